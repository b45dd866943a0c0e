//! `mount_setattr`(2), Linux 5.12, on trees that `open_tree` cloned.

use super::last_errno;
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What a mount forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrFlags {
    pub read_only: bool,
    pub no_exec: bool,
    pub no_dev: bool,
}

/// Sets flags (always nosuid) on a tree and all mounts in it, and cuts it off from mounts elsewhere. Flags are only
/// added, never cleared.
///
/// # Errors
/// `EINVAL` or `EPERM` when the mount is not the caller's.
pub fn set_attributes(tree: impl AsFd, flags: AttrFlags) -> Result<(), Errno> {
    let mut set = libc::MOUNT_ATTR_NOSUID;
    for (on, bit) in [
        (flags.read_only, libc::MOUNT_ATTR_RDONLY),
        (flags.no_exec, libc::MOUNT_ATTR_NOEXEC),
        (flags.no_dev, libc::MOUNT_ATTR_NODEV),
    ] {
        if on {
            set |= bit;
        }
    }
    call(
        tree.as_fd(),
        &libc::mount_attr {
            attr_set: set,
            attr_clr: 0,
            // A clone of a shared mount is its peer: what is mounted over it inside would appear on the host.
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        },
        libc::AT_RECURSIVE,
    )
}

/// Maps the owners of a cloned tree by a user namespace (`MOUNT_ATTR_IDMAP`, Linux 5.12; tmpfs 6.3).
///
/// # Errors
/// `EINVAL` where the file system can't be mapped, `EPERM` without `CAP_SYS_ADMIN` over it.
pub fn idmap(tree: impl AsFd, user_namespace: impl AsFd) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        // INVARIANT: descriptors are never negative.
        userns_fd: u64::try_from(user_namespace.as_fd().as_raw_fd()).unwrap_or(0),
    };
    call(tree.as_fd(), &attr, 0)
}

fn call(tree: BorrowedFd<'_>, attr: &libc::mount_attr, flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the call, the path is an empty C string (AT_EMPTY_PATH), and the structure lives
    // until the call returns and has the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}
