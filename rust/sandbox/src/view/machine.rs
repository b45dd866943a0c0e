//! `/proc` and `/dev` of the sandbox: what of them speaks of the whole machine is covered or left out.

use super::build::{MADE, detached, directory, file};
use super::join;
use crate::error::{During, StepError};
use crate::sys::{self, AttrFlags};
use rustix::fs::{CWD, FileType, symlinkat};
use rustix::mount::{
    FsMountFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount,
};
use std::os::fd::OwnedFd;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// The host's devices that the sandbox shows, cloned.
pub(super) fn devices() -> Result<Vec<OwnedFd>, StepError> {
    DEVICES
        .iter()
        .map(|name| {
            let path = format!("/dev/{name}");
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(CWD, path.as_str(), flags).during("show a device", &path)
        })
        .collect::<Result<Vec<_>, _>>()
}

/// Covers the files of `/proc` that speak of the whole machine (`kernel.md` §3).
pub(super) fn cover_proc() -> Result<(), StepError> {
    const COVERED: [&str; 19] = [
        "kcore",
        "keys",
        "key-users",
        "sysrq-trigger",
        "timer_list",
        "sched_debug",
        "scsi",
        "acpi",
        "bus",
        "fs",
        "irq",
        "kallsyms",
        "kmsg",
        "kpagecount",
        "kpageflags",
        "kpagecgroup",
        "latency_stats",
        "slabinfo",
        "config.gz",
    ];
    let empty = detached(
        "tmpfs",
        &[("size", "0"), ("mode", "0")],
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?;
    move_mount(&empty, "", CWD, MADE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).during("cover /proc", MADE)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    for name in COVERED {
        let path = join("/proc", name);
        let Ok(stat) = rustix::fs::stat(path.as_str()) else {
            continue;
        };
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            MADE
        } else {
            "/dev/null"
        };
        let tree = open_tree(CWD, cover, flags).during("cover a file of /proc", name)?;
        move_mount(
            &tree,
            "",
            CWD,
            path.as_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .during("cover a file of /proc", name)?;
    }
    unmount(MADE, UnmountFlags::DETACH).during("cover /proc", MADE)?;
    let tree = open_tree(CWD, "/proc/sys", flags | OpenTreeFlags::AT_RECURSIVE)
        .during("cover /proc", "/proc/sys")?;
    sys::set_attributes(
        &tree,
        AttrFlags {
            read_only: true,
            no_exec: true,
            no_dev: true,
        },
    )
    .during("cover /proc", "/proc/sys")?;
    move_mount(
        &tree,
        "",
        CWD,
        "/proc/sys",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .during("cover /proc", "/proc/sys")
}

/// Fills `/dev`.
pub(super) fn devices_directory(path: &str, devices: &[OwnedFd]) -> Result<(), StepError> {
    directory(path)?;
    for (name, tree) in DEVICES.iter().zip(devices) {
        let place = join(path, name);
        file(&place)?;
        move_mount(
            tree,
            "",
            CWD,
            place.as_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .during("show a device", name)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlinkat(target, CWD, join(path, name)).during("make a link", name)?;
    }
    for (name, kind, options) in [
        (
            "pts",
            "devpts",
            &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")][..],
        ),
        ("shm", "tmpfs", &[("size", "256M"), ("mode", "1777")][..]),
    ] {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = detached(kind, options, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let place = join(path, name);
        directory(&place)?;
        move_mount(
            &mount,
            "",
            CWD,
            place.as_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .during("make a file system", &place)?;
    }
    Ok(())
}
