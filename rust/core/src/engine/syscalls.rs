//! System calls: C1.

use super::{Engine, Verdict};
use crate::policy::Action;
use crate::request::{Decision, Outcome, Request};
use crate::seccomp::Ruling;

/// The errors that a rule may name, with their numbers on Linux.
const ERRNOS: [(&str, u16); 12] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EIO", 5),
    ("EBADF", 9),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EBUSY", 16),
    ("EINVAL", 22),
    ("ENOSYS", 38),
    ("EOPNOTSUPP", 95),
    ("EAFNOSUPPORT", 97),
];

impl Engine {
    pub(super) fn decide_syscall(&self, request: &Request<'_>) -> Decision {
        let matching = self.syscalls.get(request.resource).map_or(&[][..], Vec::as_slice);
        let mut verdict = Verdict::default();
        verdict.name(self, matching, true);
        verdict.decision()
    }

    /// What the policy says of one call, as `seccomp::verdicts` asks it.
    pub fn ruling(&self, call: &str) -> Ruling {
        let decision = self.decide(&Request::new(Action::Syscall, call));
        if decision.outcome == Outcome::Allow {
            return Ruling::Allowed;
        }
        let Some(rule) = decision.rule.map(|entry| &self.compiled.rules[entry]) else {
            return Ruling::Denied { errno: None };
        };
        if rule.kill {
            return Ruling::Killed;
        }
        let named = rule
            .errno
            .as_deref()
            .and_then(|name| ERRNOS.iter().find(|(known, _)| *known == name));
        Ruling::Denied {
            errno: named.map(|(_, number)| *number),
        }
    }
}
