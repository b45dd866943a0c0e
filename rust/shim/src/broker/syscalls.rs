//! Answers refused system calls, so that each is an event with number, arguments and process (`kernel.md` §5).

use super::process;
use crate::policy::Policy;
use crate::record::{self, Denial, Recorder};
use replicante_core::seccomp::{self, Arch, Verdict};
use replicante_sandbox::sys::{self, Notification};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How calls that have no name here are recorded; no rule can name them.
pub const UNKNOWN: &str = "unknown";
pub const FOREIGN: &str = "foreign-architecture";

pub struct Server {
    pub listener: OwnedFd,
    pub arch: Arch,
    pub verdicts: BTreeMap<u32, Verdict>,
    pub policy: Arc<Policy>,
    pub recorder: Arc<Recorder>,
    /// The host's `/proc`: notifications carry thread ids of this side.
    pub proc: OwnedFd,
}

/// Serves until no process has the filter any more.
pub fn serve(server: &Server) {
    loop {
        match sys::receive(&server.listener) {
            Ok(call) => answer(server, &call),
            // ENOENT: the caller died between its call and our reading.
            Err(Errno::INTR | Errno::NOENT) => {
                if !sys::someone_left(&server.listener) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn answer(server: &Server, call: &Notification) {
    let native = call.arch == server.arch.audit() && call.number & 0x4000_0000 == 0;
    let errno = if native {
        seccomp::answer(&server.verdicts, call.number, &call.args)
    } else {
        seccomp::ENOSYS
    };
    let name = if native {
        server.arch.name(call.number).unwrap_or(UNKNOWN)
    } else {
        FOREIGN
    };
    let process = process(&server.proc, call.tid);
    // What was read under that number is the caller's only while it still waits.
    if sys::still_waiting(&server.listener, call.id) {
        server.recorder.denied(Denial {
            kind: "proc.syscall",
            verdict: record::Verdict::Denied,
            action: "syscall".to_owned(),
            resource: name.to_owned(),
            operation: arguments(name, call),
            rule: server.policy.syscall_rule(name),
            errno: i32::from(errno),
            process,
        });
    }
    // ENOENT: the caller died meanwhile; there is nobody to answer.
    let _ = sys::reply(&server.listener, call.id, errno);
}

/// The arguments that decide, of calls that are allowed with others.
fn arguments(name: &str, call: &Notification) -> String {
    match name {
        "socket" | "socketpair" => format!(
            "family {} type {} protocol {}",
            call.args[0],
            call.args[1] & 0xf,
            call.args[2]
        ),
        "clone" => format!("flags {:#x}", call.args[0]),
        "ioctl" => format!("request {:#x}", call.args[1]),
        "prctl" | "personality" => format!("option {:#x}", call.args[0]),
        _ => String::new(),
    }
}
