//! The decision engine: S1–S8 over compiled rules. Total: every request has a decision and nothing can fail.
//!
//! ```text
//! deny   if a never rule or a tripwire matches
//! deny   if a deny rule d matches and no override o that matches the same name has anc(policy(d), policy(o))
//! deny   if no allow rule matches
//! hold   if a hold rule matches and no such override does
//! allow  otherwise
//! ```

mod egress;
mod explain;
mod files;
mod http;
mod mcp;
mod network;
mod syscalls;

use crate::glob::{Glob, Trie};
use crate::policy::{Action, Compiled, Effect, Expectation};
use crate::request::{Decision, Outcome, Reason, Request};
use mcp::Subjects;
use network::Hosts;
use std::collections::HashMap;

pub use egress::{Charge, Literal, Reading};
pub use explain::{Difference, Explanation, NearestAllow};
pub use files::FileRights;

/// A policy with its automata.
#[derive(Clone, Debug)]
pub struct Engine {
    compiled: Compiled,
    files: [Trie; 5],
    unix: Trie,
    connect: Hosts,
    resolve: Hosts,
    subjects: Subjects,
    listen: Vec<u32>,
    /// Entries by the name of the call.
    syscalls: HashMap<String, Vec<u32>>,
}

impl Engine {
    /// Builds the automata. Cost: linear in the policy.
    pub fn new(compiled: Compiled) -> Self {
        let mut files = std::array::from_fn(|_| Trie::default());
        let mut unix = Trie::default();
        let (mut connect, mut resolve) = (Hosts::default(), Hosts::default());
        let mut subjects = Subjects::default();
        let mut listen = Vec::new();
        let mut syscalls: HashMap<String, Vec<u32>> = HashMap::new();
        // One rule gives an entry for each action, so most patterns come five times.
        let mut globs: HashMap<&str, Option<Glob>> = HashMap::new();
        for (index, rule) in compiled.rules.iter().enumerate() {
            // INVARIANT: a compiled form of 64 MiB holds far fewer than 2^32 rules.
            let entry = u32::try_from(index).unwrap_or(u32::MAX);
            match rule.action {
                Action::Connect => connect.add(rule, entry),
                Action::Resolve => resolve.add(rule, entry),
                Action::Listen => listen.push(entry),
                Action::Syscall => {
                    for name in &rule.names {
                        syscalls.entry(name.clone()).or_default().push(entry);
                    }
                }
                action if action.is_mcp() => subjects.add(rule, entry),
                action => {
                    let trie = match Action::FILES.iter().position(|file| *file == action) {
                        Some(at) => &mut files[at],
                        None => &mut unix,
                    };
                    // INVARIANT: the pattern parsed when the compiled form was checked.
                    let text = rule.pattern.as_deref().unwrap_or_default();
                    let glob = globs.entry(text).or_insert_with(|| Glob::parse(text).ok());
                    if let Some(glob) = glob {
                        trie.add(glob, entry, rule.downward);
                    }
                }
            }
        }
        Self {
            compiled,
            files,
            unix,
            connect,
            resolve,
            subjects,
            listen,
            syscalls,
        }
    }

    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Decides one request, with all limits full.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        match request.action {
            Action::Connect => self.decide_connect(request),
            Action::Resolve => self.decide_resolve(request),
            Action::Listen => self.decide_listen(request),
            Action::Syscall => self.decide_syscall(request),
            action if action.is_mcp() => self.decide_mcp(request),
            _ => self.decide_file(request),
        }
    }

    /// The first of the policy's own expectations that does not hold with the values of this run (R1, X2).
    pub fn failed_test(&self) -> Option<(&Expectation, Decision)> {
        self.compiled.tests.iter().find_map(|expectation| {
            let decision = expectation.with_request(|request| self.decide(request));
            (decision.outcome != expectation.expect).then_some((expectation, decision))
        })
    }

    fn decide_listen(&self, request: &Request<'_>) -> Decision {
        let Some(port) = request.port else {
            return Decision::UNDECIDABLE;
        };
        let matching: Vec<u32> = self
            .listen
            .iter()
            .copied()
            .filter(|entry| {
                let rule = &self.compiled.rules[*entry as usize];
                let any = rule
                    .ports
                    .as_ref()
                    .is_none_or(|ports| ports.iter().any(|(low, high)| (*low..=*high).contains(&port)));
                // Port 0 picks from the allowed ranges (N13, D9).
                any || (port == 0 && rule.effect.allows())
            })
            .collect();
        let mut verdict = Verdict::default();
        verdict.name(self, &matching, true);
        verdict.decision()
    }

    /// Whether one of the overrides among `entries` lifts the restriction `entry` (S7).
    fn lifted(&self, entry: u32, entries: &[u32]) -> bool {
        let restricted = self.compiled.policy_of(&self.compiled.rules[entry as usize]);
        entries.iter().any(|other| {
            let rule = &self.compiled.rules[*other as usize];
            rule.effect == Effect::OverrideAllow
                && self
                    .compiled
                    .is_ancestor(restricted, self.compiled.policy_of(rule))
        })
    }
}

/// What the names of a request have met so far; the strongest restriction and the first grant.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    never: Option<u32>,
    tripwire: Option<u32>,
    deny: Option<u32>,
    hold: Option<u32>,
    allow: Option<u32>,
}

impl Verdict {
    /// Takes in the entries that match one name. Only the resolved name grants; every name restricts.
    fn name(&mut self, engine: &Engine, entries: &[u32], grants: bool) {
        for entry in entries {
            let (place, counts) = match engine.compiled.rules[*entry as usize].effect {
                Effect::Allow | Effect::OverrideAllow => (&mut self.allow, grants),
                Effect::Never => (&mut self.never, true),
                Effect::Tripwire => (&mut self.tripwire, true),
                Effect::Deny => (&mut self.deny, !engine.lifted(*entry, entries)),
                Effect::Hold => (&mut self.hold, !engine.lifted(*entry, entries)),
            };
            if !counts {
                continue;
            }
            // The first rule of the text is named, whatever the automaton's order.
            *place = Some(place.map_or(*entry, |known| known.min(*entry)));
        }
    }

    fn decision(self) -> Decision {
        let made = |outcome, reason, rule: Option<u32>| Decision {
            outcome,
            reason,
            rule: rule.map(|entry| entry as usize),
            would_allow: self
                .allow
                .map(|entry| entry as usize)
                .filter(|_| outcome != Outcome::Allow),
        };
        if self.tripwire.is_some() {
            // It fires at any attempt (A3), so a never beside it must not hide it.
            made(Outcome::Deny, Reason::Tripwire, self.tripwire)
        } else if self.never.is_some() {
            made(Outcome::Deny, Reason::Never, self.never)
        } else if self.deny.is_some() {
            made(Outcome::Deny, Reason::DenyRule, self.deny)
        } else if self.allow.is_none() {
            Decision::SILENT
        } else if self.hold.is_some() {
            made(Outcome::Hold, Reason::HoldRule, self.hold)
        } else {
            made(Outcome::Allow, Reason::AllowRule, self.allow)
        }
    }
}
