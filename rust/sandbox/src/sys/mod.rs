//! Thin safe wrappers over the system calls that no library covers. The one place with `unsafe`.
#![allow(unsafe_code)]

mod clone;
mod exec;
mod mounts;
mod notify;
mod sockets;

pub use clone::{Cloned, begin_cgroup_namespace, clone_sandbox, clone_user_namespace, fork, leave};
pub use exec::{close_all_but, close_on_exec_from, default_signals, exec, next_signal, signal_fd};
pub use mounts::{AttrFlags, idmap, set_attributes};
pub use notify::{Notification, install_filter, receive, reply, someone_left, still_waiting};
pub use sockets::{receive_with_fds, send_with_fds, set_transparent};

use rustix::io::Errno;

/// The error of the calling thread's last system call.
fn last_errno() -> Errno {
    // INVARIANT: after a failed libc call `errno` is a positive number.
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
