//! seccomp(2): installing a filter and answering its notifications (`seccomp_unotify`(2), Linux 5.0).

use super::last_errno;
use replicante_core::seccomp::Instruction;
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    pub id: u64,
    /// Thread id in the reader's pid namespace.
    pub tid: u32,
    pub number: u32,
    pub arch: u32,
    pub args: [u64; 6],
}

const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5; // Linux 5.19

/// Installs the filter on the calling thread and gives the descriptor of its notifications.
///
/// `no_new_privs` must be set. Threads and children that follow inherit the filter.
///
/// # Errors
/// `EINVAL` for a program that the kernel refuses, `ENOSYS` without seccomp.
pub fn install_filter(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter {
            code: step.code,
            jt: step.jt,
            jf: step.jf,
            k: step.k,
        })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let prog = libc::sock_fprog {
        len: length,
        filter: filter.as_mut_ptr(),
    };
    let load = |flags: libc::c_ulong| {
        // SAFETY: `prog` points to `length` instructions that live until the call returns; the kernel copies them.
        unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                std::ptr::from_ref(&prog),
            )
        }
    };
    let mut fd = load(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV);
    if fd < 0 && last_errno() == Errno::INVAL {
        // KERNEL: before 5.19 the flag is unknown; a signal can then interrupt a call that is being answered.
        fd = load(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    }
    if fd < 0 {
        return Err(last_errno());
    }
    let fd = RawFd::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const RECV: libc::c_ulong = 0xc050_2100; // SECCOMP_IOCTL_NOTIF_RECV
const SEND: libc::c_ulong = 0xc018_2101; // SECCOMP_IOCTL_NOTIF_SEND
const ID_VALID: libc::c_ulong = 0x4008_2102; // SECCOMP_IOCTL_NOTIF_ID_VALID

/// Whether any process still has the filter.
pub fn someone_left(listener: impl AsFd) -> bool {
    let mut ready = [rustix::event::PollFd::new(
        &listener,
        rustix::event::PollFlags::IN,
    )];
    let now = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut ready, Some(&now)).is_err()
        || !ready[0].revents().contains(rustix::event::PollFlags::HUP)
}

/// Waits for the next refused call.
///
/// # Errors
/// `ENOENT` when the caller died meanwhile, `EINTR` at a signal.
pub fn receive(listener: impl AsFd) -> Result<Notification, Errno> {
    let mut raw = std::mem::MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the structure is zeroed, as the call demands, and has the size that is part of the request's number.
    let result = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), RECV as _, raw.as_mut_ptr()) };
    if result < 0 {
        return Err(last_errno());
    }
    // SAFETY: the structure was zeroed, which is a valid value, and then filled by the kernel.
    let raw = unsafe { raw.assume_init() };
    Ok(Notification {
        id: raw.id,
        tid: raw.pid,
        number: raw.data.nr.cast_unsigned(),
        arch: raw.data.arch,
        args: raw.data.args,
    })
}

/// Answers a waiting call with an error.
///
/// # Errors
/// `ENOENT` when the caller died meanwhile: then there is nobody to answer.
pub fn reply(listener: impl AsFd, id: u64, errno: u16) -> Result<(), Errno> {
    let answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: -i32::from(errno),
        flags: 0,
    };
    // SAFETY: the structure lives until the call returns and has the size that is part of the request's number.
    let result = unsafe {
        libc::ioctl(
            listener.as_fd().as_raw_fd(),
            SEND as _,
            std::ptr::from_ref(&answer),
        )
    };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Whether the caller still waits: what was read of it under `/proc` belongs to it and not to a successor.
pub fn still_waiting(listener: impl AsFd, id: u64) -> bool {
    // SAFETY: the number lives until the call returns and has the size that is part of the request's number.
    let result = unsafe {
        libc::ioctl(
            listener.as_fd().as_raw_fd(),
            ID_VALID as _,
            std::ptr::from_ref(&id),
        )
    };
    result == 0
}
