//! Makes the view in the new mount namespace: a tmpfs as root, the allowed trees moved into it, masks over the rest.
//!
//! Runs in the sandbox's first process, before anything of the agent. Everything taken from the host is opened before
//! `pivot_root`; afterwards the host's root is gone and paths are those of the sandbox.

use super::{Item, Layout, Node, Part, Rights, View, is_at_or_below, join, machine, parent};
use crate::error::{During, StepError};
use crate::fuse::{Kind, What};
use crate::sys::{self, AttrFlags};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    mount, mount_change, mount_remount, move_mount, open_tree, unmount,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const MASKS: &str = "/agent/masks";
pub(super) const MADE: &str = "/agent/made";
/// Directories that the build needs for itself.
pub(super) const OWN_PLACES: [&str; 2] = [MASKS, MADE];
/// Directories of the server with more names are listed first.
const MOST_LOOKUPS: usize = 4;

/// The host's objects of a view, cloned and with their flags set; in the order of the items.
pub struct Trees(Vec<Option<OwnedFd>>);

/// What the build gives back.
pub struct Built {
    /// Names of the view that vanished between plan and build, for the ledger.
    pub gone: Vec<String>,
    /// The root of the served file system, which has no name inside.
    pub masks: Option<OwnedFd>,
}

/// The channel to the process that answers for masks: `start` hands it the open `/dev/fuse`.
pub struct Fuse<'a> {
    pub device: OwnedFd,
    /// Gets `/dev/fuse` and the sandbox's `/proc`, by which the server names who asked.
    pub start: &'a mut dyn FnMut(BorrowedFd<'_>, BorrowedFd<'_>) -> Result<(), StepError>,
    pub uid: u32,
    pub gid: u32,
}

/// Clones the host's trees. As root this is done before the user namespace is entered, so that the caller's rights count
/// and writable trees can be mapped to the agent's user by `mapping`; else by the sandbox's first process.
///
/// # Errors
/// Names the tree that could not be cloned. A name that is gone by now is skipped and stays absent.
pub fn open_trees(view: &View, mapping: Option<BorrowedFd<'_>>) -> Result<Trees, StepError> {
    let mut trees = Vec::with_capacity(view.items.len());
    for item in &view.items {
        let Node::Bind {
            source,
            rights,
            mapped,
            ..
        } = &item.node
        else {
            trees.push(None);
            continue;
        };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = match open_tree(CWD, source.as_str(), flags) {
            Ok(tree) => tree,
            Err(rustix::io::Errno::NOENT) => {
                trees.push(None);
                continue;
            }
            Err(errno) => return Err(StepError::new("show a tree", source, errno)),
        };
        let changes = !rights.and(Rights::CHANGES).is_empty();
        if let Some(mapping) = mapping.filter(|_| *mapped) {
            sys::idmap(&tree, mapping).during("map the owners of a tree", source)?;
        }
        let flags = AttrFlags {
            read_only: !changes,
            no_exec: !rights.has(Rights::EXECUTE),
            no_dev: true,
        };
        sys::set_attributes(&tree, flags).during("restrict a tree", source)?;
        trees.push(Some(tree));
    }
    Ok(Trees(trees))
}

/// Builds the view and makes it the root.
///
/// # Errors
/// The step that failed; the process must end.
pub fn build(view: &View, layout: &Layout, trees: Trees, fuse: Option<Fuse<'_>>) -> Result<Built, StepError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .during("separate mounts", "/")?;
    let proc = detached(
        "proc",
        &[],
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    let devices = machine::devices()?;
    enter_root()?;
    let mut builder = Builder {
        layout,
        served: false,
        whole: false,
        gone: Vec::new(),
    };
    builder.start_masks(fuse, &proc)?;
    let parts = layout.parts.iter().copied();
    for ((item, part), tree) in view.items.iter().zip(parts).zip(trees.0) {
        let part = if builder.served { part } else { Part::Placed };
        builder.item(item, part, tree, &proc, &devices)?;
    }
    let masks = builder.finish()?;
    Ok(Built {
        gone: builder.gone,
        masks,
    })
}

/// A tmpfs becomes the root; the host's root is let go.
fn enter_root() -> Result<(), StepError> {
    let root = detached(
        "tmpfs",
        &[("size", "4M"), ("mode", "0755")],
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    become_root(&root)
}

/// Makes a mount the root and lets go of the one before.
fn become_root(root: &OwnedFd) -> Result<(), StepError> {
    move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .during("place the new root", "/")?;
    rustix::process::fchdir(root).during("enter the new root", "/")?;
    rustix::process::pivot_root(".", ".").during("change the root", "/")?;
    unmount(".", UnmountFlags::DETACH).during("let go of the root before", "/")?;
    rustix::process::chdir("/").during("enter the new root", "/")
}

pub(super) fn detached(
    kind: &str,
    options: &[(&str, &str)],
    flags: FsMountFlags,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, StepError> {
    let step = "make a file system";
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).during(step, kind)?;
    for (key, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(context.as_fd(), *key).during(step, kind)?;
        } else {
            fsconfig_set_string(context.as_fd(), *key, *value).during(step, kind)?;
        }
    }
    fsconfig_create(context.as_fd()).during(step, kind)?;
    fsmount(
        context.as_fd(),
        flags,
        attributes | MountAttrFlags::MOUNT_ATTR_NOSUID,
    )
    .during(step, kind)
}

struct Builder<'a> {
    layout: &'a Layout,
    /// Whether masks come from the FUSE server, so that attempts are seen.
    served: bool,
    /// Whether the root is the server's, too; else it is a file system of ours.
    whole: bool,
    gone: Vec<String>,
}

impl Builder<'_> {
    /// Prepares the place where masks are cloned from.
    fn start_masks(&mut self, fuse: Option<Fuse<'_>>, proc: &OwnedFd) -> Result<(), StepError> {
        directory(MASKS)?;
        directory(MADE)?;
        let layout = self.layout;
        if layout.table.nodes.is_empty() {
            return Ok(());
        }
        if let Some(fuse) = fuse {
            let options = format!(
                "fd={},rootmode=40755,user_id={},group_id={},allow_other",
                fuse.device.as_raw_fd(),
                fuse.uid,
                fuse.gid
            );
            let options = std::ffi::CString::new(options).unwrap_or_default();
            mount(
                "replicante",
                MASKS,
                "fuse",
                MountFlags::NOSUID | MountFlags::NODEV,
                Some(options.as_c_str()),
            )
            .during("mount the masks", "/dev/fuse")?;
            (fuse.start)(fuse.device.as_fd(), proc.as_fd())?;
            // Now the server alone holds it: when that dies, whoever waits for an answer gets an error, where a device that
            // is still open would let it wait beyond any signal.
            drop(fuse);
            self.served = true;
            return if layout.table.taken.len() > MOST_LOOKUPS {
                learn(MASKS)
            } else {
                Ok(())
            };
        }
        mkdirat(CWD, join(MASKS, "d"), Mode::empty()).during("make a mask", "directory")?;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(CWD, join(MASKS, "f"), flags, Mode::empty()).during("make a mask", "file")?;
        Ok(())
    }

    fn item(
        &mut self,
        item: &Item,
        part: Part,
        tree: Option<OwnedFd>,
        proc: &OwnedFd,
        devices: &[OwnedFd],
    ) -> Result<(), StepError> {
        let path = item.path.as_str();
        match &item.node {
            _ if part == Part::Answered => Ok(()),
            Node::Bind { directory, .. } => {
                let Some(tree) = tree else {
                    self.gone.push(path.to_owned());
                    return Ok(());
                };
                self.place(&tree, path, *directory)
            }
            Node::Stub => match part {
                Part::Over(node) => self.partial(path, node),
                _ => directory(path),
            },
            Node::Link { target } => {
                directory(parent(path))?;
                match symlinkat(target.as_str(), CWD, path) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
                    Err(errno) => Err(StepError::new("make a link", path, errno)),
                }
            }
            Node::Mask { kind, .. } => self.mask(path, part, *kind == Kind::Directory),
            Node::Absent { .. } => match part {
                Part::Over(node) => self.place(&take(node, path)?, path, false),
                _ => Ok(()),
            },
            Node::Tmpfs { size, mode, exec } => {
                let exec = if *exec {
                    MountAttrFlags::empty()
                } else {
                    MountAttrFlags::MOUNT_ATTR_NOEXEC
                };
                let options = [("size", size.to_string()), ("mode", format!("{mode:o}"))];
                let options: Vec<(&str, &str)> = options
                    .iter()
                    .map(|(key, value)| (*key, value.as_str()))
                    .collect();
                let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | exec;
                let mount = detached("tmpfs", &options, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
                self.place(&mount, path, true)
            }
            Node::Proc => {
                self.place(proc, path, true)?;
                machine::cover_proc()
            }
            Node::Devices if self.whole => {
                let attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC;
                let options = [("size", "64K"), ("mode", "0755")];
                let mount = detached("tmpfs", &options, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
                self.place(&mount, path, true)?;
                machine::devices_directory(path, devices)?;
                read_only(path)
            }
            Node::Devices => machine::devices_directory(path, devices),
            Node::File { text } => self.made(path, text),
        }
    }

    /// Moves a mount to its place, which is made where it lies in a directory of ours.
    fn place(&mut self, mount: &OwnedFd, path: &str, is_directory: bool) -> Result<(), StepError> {
        let made = if is_directory { directory(path) } else { file(path) };
        if made.is_err() && rustix::fs::lstat(path).is_err() {
            // The place is in a tree of the host, where nothing is ever made.
            self.gone.push(path.to_owned());
            return Ok(());
        }
        move_mount(mount, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .during("place a mount", path)
    }

    /// Mounts a topmost partial directory.
    fn partial(&mut self, path: &str, node: usize) -> Result<(), StepError> {
        let directory = take(node, path)?;
        if path == "/" {
            // The server's own root and a place for made files come along, as what stands in them is still to be taken.
            let masks = clone(MASKS, MASKS)?;
            let made = detached(
                "tmpfs",
                &[("size", "1M"), ("mode", "0755")],
                FsMountFlags::FSMOUNT_CLOEXEC,
                MountAttrFlags::MOUNT_ATTR_NODEV,
            )?;
            become_root(&directory)?;
            self.place(&masks, MASKS, true)?;
            self.place(&made, MADE, true)?;
            self.whole = true;
        } else {
            self.place(&directory, path, true)?;
        }
        for node in &self.layout.table.nodes {
            match &node.what {
                What::Stub(stub) if stub.entries.len() > MOST_LOOKUPS && is_at_or_below(&node.path, path) => {
                    learn(&node.path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn mask(&mut self, path: &str, part: Part, is_directory: bool) -> Result<(), StepError> {
        let mask = match (part, is_directory) {
            (Part::Over(node), _) => take(node, path)?,
            (_, true) => clone(&join(MASKS, "d"), path)?,
            (_, false) => clone(&join(MASKS, "f"), path)?,
        };
        match move_mount(&mask, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::NOENT) => {
                self.gone.push(path.to_owned());
                Ok(())
            }
            Err(rustix::io::Errno::ACCESS) => {
                // Root's own directory, and root's agent has another user: it has no more rights than this process.
                self.gone.push(format!(
                    "shut to the agent's user by the host's own modes: {path}"
                ));
                Ok(())
            }
            Err(errno) => Err(StepError::new("mask a name", path, errno)),
        }
    }

    fn made(&mut self, path: &str, text: &str) -> Result<(), StepError> {
        let own = join(MADE, &path[1..].replace('/', "-"));
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TRUNC;
        let fd = openat(CWD, own.as_str(), flags, Mode::from_raw_mode(0o444)).during("make a file", path)?;
        rustix::io::write(&fd, text.as_bytes()).during("make a file", path)?;
        drop(fd);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, own.as_str(), flags).during("make a file", path)?;
        sys::set_attributes(
            &tree,
            AttrFlags {
                read_only: true,
                no_exec: true,
                no_dev: true,
            },
        )
        .during("make a file", path)?;
        if rustix::fs::lstat(path)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
        {
            return Ok(()); // a link of the host stays a link (`decisions.md` §2)
        }
        self.place(&tree, path, false)
    }

    /// Covers the place from which the masks came, and gives it to who is to take more of them.
    fn finish(&mut self) -> Result<Option<OwnedFd>, StepError> {
        let masks = if self.served {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let masks = openat(CWD, MASKS, flags, Mode::empty()).during("put the masks away", MASKS)?;
            let cover = join(MADE, "cover");
            mkdirat(CWD, cover.as_str(), Mode::empty()).during("put the masks away", MASKS)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&clone(&cover, MASKS)?, "", CWD, MASKS, flags).during("put the masks away", MASKS)?;
            Some(masks)
        } else {
            None
        };
        if self.whole {
            // Nothing can be made in the server's directories, and a read-only mount would refuse without telling it.
            unmount(MADE, UnmountFlags::DETACH).during("put made files away", MADE)?;
        } else {
            read_only("/")?;
        }
        Ok(masks)
    }
}

/// Makes a mount of ours read-only, not those in it.
fn read_only(path: &str) -> Result<(), StepError> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(path, flags, "").during("make a file system read-only", path)
}

/// Lists a directory of the server, so that the kernel learns its names at once: a look-up each would be a round trip
/// each.
fn learn(path: &str) -> Result<(), StepError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = openat(CWD, path, flags, Mode::empty()).and_then(Dir::new);
    let mut names = listed.during("list what is served", path)?;
    names
        .try_for_each(|name| name.map(drop))
        .during("list what is served", path)
}

/// A mount of one of the server's nodes.
fn take(node: usize, path: &str) -> Result<OwnedFd, StepError> {
    clone(&join(MASKS, &node.to_string()), path)
}

/// A mount of the object at `from`, for `path`.
fn clone(from: &str, path: &str) -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    open_tree(CWD, from, flags).during("take a mask", path)
}

/// Makes a directory and those above it, where they are missing.
pub(super) fn directory(path: &str) -> Result<(), StepError> {
    if path == "/" || rustix::fs::stat(path).is_ok() {
        return Ok(());
    }
    directory(parent(path))?;
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(StepError::new("make a directory", path, errno)),
    }
}

pub(super) fn file(path: &str) -> Result<(), StepError> {
    if rustix::fs::lstat(path).is_ok() {
        return Ok(());
    }
    directory(parent(path))?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::from_raw_mode(0o644))
        .during("make a mount point", path)
        .map(drop)
}
