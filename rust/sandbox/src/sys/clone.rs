//! Making processes. Sources: clone(2), fork(2), `pidfd_open`(2); `CLONE_PIDFD` since Linux 5.2, `CLONE_INTO_CGROUP`
//! since 5.7.

use super::last_errno;
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// Not in the C library's list: it does not fit the type of its flags.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into new user, mount, pid, network, IPC, UTS and cgroup namespaces, as a member of `group` from birth on.
///
/// The caller must have one thread: the child goes on with this address space and may allocate.
///
/// # Errors
/// `EPERM` or `ENOSPC` where user namespaces are switched off or used up; with a group `ENODEV` when it is gone.
pub fn clone_sandbox(group: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    match group {
        Some(group) => clone_into(NAMESPACES | libc::CLONE_PIDFD, group),
        None => clone_with(NAMESPACES | libc::CLONE_PIDFD | libc::SIGCHLD),
    }
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

/// Makes the caller's present control group the top of a new cgroup namespace.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` in the user namespace.
pub fn begin_cgroup_namespace() -> Result<(), Errno> {
    // SAFETY: takes no pointer, and no descriptor table is taken apart by this flag.
    let result = unsafe { libc::unshare(libc::CLONE_NEWCGROUP) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
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
    which_side(pid, pidfd)
}

/// As `clone_with`, into a control group, which only clone3(2) can say.
fn clone_into(flags: libc::c_int, group: BorrowedFd<'_>) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    let group = u64::try_from(group.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let flags = u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP;
    let signal = u64::from(libc::SIGCHLD.cast_unsigned());
    // `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    // set_tid_size, cgroup.
    let place = std::ptr::from_mut(&mut pidfd).expose_provenance() as u64;
    let arguments: [u64; 11] = [flags, place, 0, 0, signal, 0, 0, 0, 0, 0, group];
    // SAFETY: the structure is as long as is said, `pidfd` outlives the call, and for the rest as in `clone_with`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            arguments.as_ptr(),
            std::mem::size_of_val(&arguments),
        )
    };
    which_side(pid, pidfd)
}

fn which_side(pid: libc::c_long, pidfd: libc::c_int) -> Result<Cloned, Errno> {
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
