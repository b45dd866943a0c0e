//! Becoming the agent. Sources: execve(2), `close_range`(2) (Linux 5.9), sigaction(2).

use super::last_errno;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Replaces the process; returns only the error.
pub fn exec(path: &CString, argv: &[CString], env: &[CString]) -> Errno {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|item| item.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: all pointers are to NUL-terminated strings that live until the call returns, both lists end with null.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    last_errno()
}

/// Marks every descriptor from `first` on to be closed at the next exec.
///
/// # Errors
/// `EINVAL` before Linux 5.11.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: only numbers are passed, and no descriptor is closed before the process image is replaced.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Closes every descriptor but these, standard input, output and error too. What owned the others must not be used or
/// dropped afterwards: for a fresh child that ends by `leave`.
///
/// # Errors
/// `ENOSYS` before Linux 5.9.
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut kept: Vec<u32> = kept
        .iter()
        // INVARIANT: descriptors are never negative.
        .map(|fd| fd.as_raw_fd().unsigned_abs())
        .collect();
    kept.sort_unstable();
    let mut first = 0;
    for number in kept {
        if first < number {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: only numbers are passed; that nobody uses a closed descriptor is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Gives every signal its default disposition and empties the mask.
pub fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition for every signal; those that can't be set are refused by the kernel.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_mask(libc::SIG_SETMASK, &[]);
}

fn set_mask(how: libc::c_int, signals: &[i32]) {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was initialised above; the number is checked by the C library.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: the set is initialised and lives until the call returns; the old mask is not asked for.
    unsafe { libc::sigprocmask(how, set.as_ptr(), std::ptr::null_mut()) };
}

/// A descriptor that becomes readable when one of `signals`, which are blocked by this, is pending (signalfd(2)).
///
/// # Errors
/// As signalfd(2).
pub fn signal_fd(signals: &[i32]) -> Result<std::os::fd::OwnedFd, Errno> {
    use std::os::fd::FromRawFd;
    set_mask(libc::SIG_BLOCK, signals);
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was initialised above; the number is checked by the C library.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: the set is initialised and lives until the call returns; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// The next pending signal of a signal descriptor, or `None` when there is none.
pub fn next_signal(fd: impl std::os::fd::AsFd) -> Option<i32> {
    // `struct signalfd_siginfo` is 128 bytes and begins with the number.
    let mut info = [0u8; 128];
    let length = rustix::io::read(fd, &mut info[..]).ok()?;
    if length < info.len() {
        return None;
    }
    i32::try_from(u32::from_ne_bytes([info[0], info[1], info[2], info[3]])).ok()
}
