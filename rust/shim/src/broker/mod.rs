//! Brokers: threads of the shim that answer the agent's requests by the policy and record what they refuse.

pub mod late;
pub mod masks;
pub mod syscalls;

use crate::record::Process;
use rustix::fs::{Mode, OFlags, openat};
use std::os::fd::{AsFd, OwnedFd};

/// The name of a waiting thread; empty when it can't be read (a process that is not dumpable hides from others).
pub(crate) fn process(proc: &OwnedFd, tid: u32) -> Process {
    let read = || {
        let file = openat(
            proc,
            format!("{tid}/comm"),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .ok()?;
        let mut buffer = [0u8; 64];
        let length = rustix::io::read(file.as_fd(), &mut buffer[..]).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned())
    };
    Process {
        tid,
        comm: read().unwrap_or_default(),
    }
}
