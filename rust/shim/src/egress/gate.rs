//! What the policy says of names and connections, and the events of those that are refused.

use super::budget::Budget;
use super::names::Names;
use super::requests::Scheme;
use super::target::Target;
use super::upstream::Resolved;
use crate::policy::Policy;
use crate::record::{Denial, Process, Recorder, Verdict};
use replicante_core::engine::{Charge, Reading};
use replicante_core::policy::{Action, Protocol};
use replicante_core::request::{Decision, Outcome, Request};
use replicante_sandbox::net::Transport;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const ECONNRESET: i32 = 104;
const ECONNREFUSED: i32 = 111;

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Id of the rule, or of the paragraph of the language.
    pub rule: String,
    /// What was wrong, for a person.
    pub why: String,
    pub verdict: Verdict,
}

impl Refusal {
    /// No rule allows it (S1).
    pub fn silent(why: &str) -> Self {
        Self::by("S1", why)
    }

    /// It can't be decided (S10).
    pub fn undecidable(why: &str) -> Self {
        Self::by("S10", why)
    }

    /// The connection says another name than the one that it was opened for (N8).
    pub fn misnamed(why: &str) -> Self {
        Self::by("N8", why)
    }

    /// The server has no certificate for the name that the machine trusts (N10).
    pub fn unverified(why: &str) -> Self {
        Self::by("N10", why)
    }

    /// A placeholder is where its secret must not be (C4).
    pub fn misused(rule: &str, why: &str) -> Self {
        Self::by(rule, why)
    }

    fn by(rule: &str, why: &str) -> Self {
        Self {
            rule: rule.to_owned(),
            why: why.to_owned(),
            verdict: Verdict::Denied,
        }
    }
}

/// What the tasks of one run share.
pub struct Gate {
    pub names: RefCell<Names>,
    pub budget: Arc<Budget>,
    policy: Arc<Policy>,
    recorder: Arc<Recorder>,
}

impl Gate {
    pub fn new(policy: Arc<Policy>, recorder: Arc<Recorder>) -> Self {
        Self {
            names: RefCell::default(),
            budget: Budget::new(policy.limits(), Arc::clone(&recorder)),
            policy,
            recorder,
        }
    }

    /// Whether a normalised name may be resolved (N11).
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn may_resolve(&self, name: &str) -> Result<(), Refusal> {
        let decision = self.policy.engine().decide(&Request::new(Action::Resolve, name));
        self.allowed(decision, "resolve")
    }

    /// Whether a connection may be opened, before anything is known of addresses, and how much of it is to be read.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn may_connect(&self, target: &Target) -> Result<Reading, Refusal> {
        let host = target.host.to_string();
        let request = Request {
            port: Some(target.port),
            ..Request::new(Action::Connect, &host)
        };
        self.allowed(self.policy.engine().decide(&request), "connect")?;
        Ok(self.policy.engine().reading(&request))
    }

    /// The limits that a connection to one of these addresses is charged to.
    pub fn charged(&self, target: &Target, addresses: &[IpAddr]) -> Vec<usize> {
        let host = target.host.to_string();
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let request = Request {
            port: Some(target.port),
            resolves: Some(&texts),
            ..Request::new(Action::Connect, &host)
        };
        self.policy.engine().charged(Charge::Connection, &request)
    }

    /// Whether a request may be passed on; gives the limits that it is charged to.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn may_request(
        &self,
        target: &Target,
        scheme: Scheme,
        method: &str,
        path: &str,
    ) -> Result<Vec<usize>, Refusal> {
        let host = target.host.to_string();
        let request = Request {
            port: Some(target.port),
            protocol: match scheme {
                Scheme::Http => Protocol::Http,
                Scheme::Https => Protocol::Tcp,
            },
            method: Some(method),
            path: Some(path),
            ..Request::new(Action::Connect, &host)
        };
        self.allowed(self.policy.engine().decide(&request), "request")?;
        Ok(self.policy.engine().charged(Charge::Request, &request))
    }

    /// What a client is told of a request that was refused.
    pub fn explained(&self, named: &str, refusal: &Refusal) -> String {
        let place = self
            .policy
            .place(&refusal.rule)
            .map(|place| format!(" ({place})"));
        let because = self
            .policy
            .because(&refusal.rule)
            .map(|because| format!("because {because}\n"));
        // What is allowed needs no line but time.
        let fix = Some(refusal.verdict)
            .filter(|verdict| *verdict == Verdict::Denied)
            .and_then(|_| self.policy.fix("connect", named))
            .map(|line| format!("would allow it: {line}\n"));
        format!(
            "replicante: refused: {named}\n{}\nrule {}{}\n{}{}",
            refusal.why,
            refusal.rule,
            place.unwrap_or_default(),
            because.unwrap_or_default(),
            fix.unwrap_or_default(),
        )
    }

    /// Records that a request was refused; the client is told in an answer.
    pub fn refused_request(&self, named: &str, refusal: &Refusal) {
        let kind = match refusal.verdict {
            Verdict::Denied => "net.request",
            Verdict::Limited => "net.budget",
        };
        self.record(kind, "connect", named.to_owned(), refusal.clone(), EPERM);
    }

    /// Of the addresses that a name resolves to, those that may be connected to (N7, N8).
    ///
    /// # Errors
    /// The rule that refuses the last of them, when none is left.
    pub fn admitted(&self, target: &Target, resolved: &Resolved) -> Result<Vec<IpAddr>, Refusal> {
        let host = target.host.to_string();
        let aliases: Vec<&str> = resolved.aliases.iter().map(String::as_str).collect();
        let mut refusal = Refusal::silent("the name has no address");
        let mut admitted = Vec::new();
        for address in &resolved.addresses {
            let text = address.to_string();
            let decision = self.policy.engine().decide(&Request {
                port: Some(target.port),
                resolves: Some(&[&text]),
                cname: &aliases,
                machine: &resolved.own,
                ..Request::new(Action::Connect, &host)
            });
            match self.allowed(decision, &format!("resolves to {text}")) {
                Ok(()) => admitted.push(*address),
                // Without a rule that speaks it is the address's class that no rule opens.
                Err(silent) if silent.rule == "S1" => {
                    refusal = Refusal {
                        rule: "N7".into(),
                        ..silent
                    }
                }
                Err(ruled) => refusal = ruled,
            }
        }
        if admitted.is_empty() {
            Err(refusal)
        } else {
            Ok(admitted)
        }
    }

    /// Records that a name was refused. `kind` is the record's type.
    pub fn refused_name(&self, name: &str, kind: &str, refusal: &Refusal) {
        let refusal = Refusal {
            why: format!("{kind}: {}", refusal.why),
            ..refusal.clone()
        };
        self.record("net.dns", "resolve", name.to_owned(), refusal, ENOENT);
    }

    /// Records that an open connection was refused; the client sees a reset.
    pub fn refused(&self, target: &Target, refusal: &Refusal) {
        let kind = match refusal.verdict {
            Verdict::Denied => "net.connect",
            Verdict::Limited => "net.budget",
        };
        self.record(kind, "connect", target.to_string(), refusal.clone(), ECONNRESET);
    }

    /// Records what the kernel refused before it reached us.
    pub fn refused_packet(&self, target: &Target, sent: Transport) {
        let host = target.host.to_string();
        let (protocol, operation, errno) = match sent {
            Transport::Tcp => (Protocol::Tcp, "tcp".to_owned(), ECONNREFUSED),
            Transport::Udp => (Protocol::Udp, "udp".to_owned(), EPERM),
            Transport::Other(number) => (Protocol::Udp, format!("protocol {number}"), EPERM),
        };
        let decision = self.policy.engine().decide(&Request {
            port: Some(target.port),
            protocol,
            ..Request::new(Action::Connect, &host)
        });
        let refusal = Refusal {
            rule: self.policy.deciding_rule(&decision),
            why: operation,
            verdict: Verdict::Denied,
        };
        self.record("net.connect", "connect", target.to_string(), refusal, errno);
    }

    fn allowed(&self, decision: Decision, operation: &str) -> Result<(), Refusal> {
        if decision.outcome == Outcome::Allow {
            return Ok(());
        }
        Err(Refusal {
            rule: self.policy.deciding_rule(&decision),
            why: operation.to_owned(),
            verdict: Verdict::Denied,
        })
    }

    fn record(&self, kind: &'static str, action: &str, resource: String, refusal: Refusal, errno: i32) {
        self.recorder.denied(Denial {
            kind,
            verdict: refusal.verdict,
            action: action.to_owned(),
            resource,
            operation: refusal.why,
            rule: refusal.rule,
            errno,
            process: Process::default(),
        });
    }
}
