//! Making processes. Sources: clone(2), fork(2), `pidfd_open`(2); `CLONE_PIDFD` since Linux 5.2.

use super::last_errno;
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{FromRawFd, OwnedFd};

/// Which side of a fork the caller is on.
pub enum Cloned {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// The namespaces of every sandbox.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Forks into new user, mount, pid, network, IPC, UTS and cgroup namespaces.
///
/// The caller must have one thread: the child goes on with this address space and may allocate.
///
/// # Errors
/// `EPERM` or `ENOSPC` where user namespaces are switched off or used up.
pub fn clone_sandbox() -> Result<Cloned, Errno> {
    clone_with(NAMESPACES | libc::CLONE_PIDFD | libc::SIGCHLD)
}

/// Forks plainly; the same rule for threads holds.
///
/// # Errors
/// `EAGAIN` at the limit of processes.
pub fn fork() -> Result<Cloned, Errno> {
    clone_with(libc::CLONE_PIDFD | libc::SIGCHLD)
}

/// Forks into a new user namespace alone; the same rule for threads holds.
///
/// # Errors
/// As `clone_sandbox`.
pub fn clone_user_namespace() -> Result<Cloned, Errno> {
    clone_with(libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::SIGCHLD)
}

/// Ends the process without running anything that the parent registered for its own end.
pub fn leave(code: i32) -> ! {
    // SAFETY: `_exit` takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

fn clone_with(flags: libc::c_int) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: without CLONE_VM the child has its own copy of this stack (stack argument null), `pidfd` outlives the call,
    // and the process has one thread, so no lock is held by a thread that the child lacks.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::from_mut(&mut pidfd),
            std::ptr::null_mut::<libc::c_int>(),
            0 as libc::c_long,
        )
    };
    if pid < 0 {
        return Err(last_errno());
    }
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(Cloned::Child);
    };
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid, pidfd })
}
