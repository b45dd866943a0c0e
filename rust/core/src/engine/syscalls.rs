//! System calls: C1.

use super::{Engine, Verdict};
use crate::policy::{Action, Effect};
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

    /// What the policy says of one call, as `seccomp::verdicts` asks it. Of several rules that refuse it `kill` wins,
    /// then the smallest number; a rule that names none stands for EPERM, so the built-in answer wins over all.
    pub fn ruling(&self, call: &str) -> Ruling {
        if self.decide(&Request::new(Action::Syscall, call)).outcome == Outcome::Allow {
            return Ruling::Allowed;
        }
        let matching = self.syscalls.get(call).map_or(&[][..], Vec::as_slice);
        let refusing = matching.iter().filter_map(|entry| {
            let rule = &self.compiled.rules[*entry as usize];
            let counts = match rule.effect {
                Effect::Never => true,
                Effect::Deny => !self.lifted(*entry, matching),
                Effect::Allow | Effect::OverrideAllow | Effect::Hold | Effect::Tripwire => false,
            };
            counts.then_some(rule)
        });
        let mut answer: Option<Option<u16>> = None;
        for rule in refusing {
            if rule.kill {
                return Ruling::Killed;
            }
            let named = rule.errno.as_deref().and_then(number);
            // `None`, the built-in answer, is the smallest.
            answer = Some(answer.map_or(named, |known| known.min(named)));
        }
        Ruling::Denied {
            errno: answer.flatten(),
        }
    }
}

fn number(name: &str) -> Option<u16> {
    ERRNOS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}
