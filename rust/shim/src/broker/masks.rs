//! Answers for what the view refuses; see `replicante_sandbox::fuse`.

use super::process;
use crate::policy::Policy;
use crate::record::{Denial, Recorder, Verdict};
use replicante_sandbox::fuse::{Asker, Attempt, Kind, Operation, Table, What, answer, is_quiet};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Server {
    pub device: OwnedFd,
    pub table: Table,
    pub policy: Arc<Policy>,
    pub recorder: Arc<Recorder>,
    /// The sandbox's `/proc`: requests carry its thread ids.
    pub proc: OwnedFd,
    /// Set before the agent's program is started; until then the launch asks.
    pub in_force: Arc<AtomicBool>,
}

/// Serves until the sandbox is gone.
pub fn serve(server: &Server) {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let length = match rustix::io::read(&server.device, &mut buffer[..]) {
            Ok(length) => length,
            // ENOENT: the request was taken back by a signal.
            Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => continue,
            // ENODEV: the file system is unmounted everywhere.
            Err(_) => return,
        };
        let asker = if server.in_force.load(Ordering::Acquire) {
            Asker::Agent
        } else {
            Asker::Launch
        };
        let answer = answer(&server.table, &buffer[..length], asker);
        if let Some(attempt) = answer.attempt {
            record(server, &attempt);
        }
        if answer.reply.is_some_and(|reply| !replied(server, &reply)) {
            return;
        }
    }
}

/// Hands a reply to the kernel, once more if need be: a caller without one could not even be killed. `false` ends the
/// service, and with the device gone every request fails.
fn replied(server: &Server, reply: &[u8]) -> bool {
    (0..2).any(|_| {
        // ENOENT: the caller was killed meanwhile.
        matches!(
            rustix::io::write(&server.device, reply),
            Ok(_) | Err(Errno::NOENT)
        )
    })
}

fn record(server: &Server, attempt: &Attempt) {
    let (node, resource) = (server.table.node(attempt.node), server.table.resource(attempt));
    let (Some(node), Some(resource)) = (node, resource) else {
        return;
    };
    let (rule, kind) = match &node.what {
        What::Mask { kind, source } => (server.policy.rule_id(*source), Some(*kind)),
        _ => (server.policy.reading_rule(&resource), None),
    };
    if attempt.operation == Operation::Lookup && is_quiet(&resource) {
        server.recorder.quiet(&resource);
        return;
    }
    let action = match attempt.operation {
        _ if kind == Some(Kind::Closed) => "connect unix",
        Operation::Execute => "execute",
        Operation::Change => "write",
        _ => "read",
    };
    let operation = serde_json::to_value(attempt.operation)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned));
    let process = process(&server.proc, attempt.tid);
    server.recorder.denied(Denial {
        kind: "file.open",
        verdict: Verdict::Denied,
        action: action.to_owned(),
        resource,
        operation: operation.unwrap_or_default(),
        rule,
        errno: attempt.errno,
        process,
    });
}
