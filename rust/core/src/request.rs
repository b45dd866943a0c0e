//! A request: what is asked of a policy, as after `expect` (X1).

use crate::json::Json;
use crate::policy::{Action, Protocol};

/// One request. Names are as asked; the engine normalises them and refuses what it can't.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub action: Action,
    /// Path, host, `server:subject` or call name. Empty for `listen`.
    pub resource: &'a str,
    /// Further literal names (F5).
    pub via: &'a [&'a str],
    pub port: Option<u16>,
    pub protocol: Protocol,
    /// `None`: not yet seen.
    pub method: Option<&'a str>,
    pub path: Option<&'a str>,
    /// Addresses; `None`: one public address.
    pub resolves: Option<&'a [&'a str]>,
    pub cname: &'a [&'a str],
    /// Arguments of a call; `None` is `{}`.
    pub arguments: Option<&'a Json>,
    /// Whether the run made the object itself (D2).
    pub made: bool,
}

impl<'a> Request<'a> {
    /// A plain request without context.
    pub fn new(action: Action, resource: &'a str) -> Self {
        Self {
            action,
            resource,
            via: &[],
            port: None,
            protocol: Protocol::Tcp,
            method: None,
            path: None,
            resolves: None,
            cname: &[],
            arguments: None,
            made: false,
        }
    }
}

/// `deny < hold < allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Deny,
    Hold,
    Allow,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::Allow => "allow",
        }
    }
}

/// Why (`policy-language.md` §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    AllowRule,
    HoldRule,
    DenyRule,
    Never,
    Tripwire,
    NoAllowRule,
    Undecidable,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Self::AllowRule => "allow-rule",
            Self::HoldRule => "hold-rule",
            Self::DenyRule => "deny-rule",
            Self::Never => "never",
            Self::Tripwire => "tripwire",
            Self::NoAllowRule => "no-allow-rule",
            Self::Undecidable => "undecidable",
        }
    }
}

/// The engine's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub reason: Reason,
    /// Index of the deciding rule entry, where one decided.
    pub rule: Option<usize>,
    /// Index of an allow entry that would have granted it, where a restriction decided.
    pub would_allow: Option<usize>,
}

impl Decision {
    pub(crate) const UNDECIDABLE: Self = Self {
        outcome: Outcome::Deny,
        reason: Reason::Undecidable,
        rule: None,
        would_allow: None,
    };

    pub(crate) const SILENT: Self = Self {
        outcome: Outcome::Deny,
        reason: Reason::NoAllowRule,
        rule: None,
        would_allow: None,
    };
}
