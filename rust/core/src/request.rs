//! A request: what is asked of a policy, as after `expect` (X1).

use crate::json::Json;
use crate::policy::{Action, Protocol};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

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
    /// Addresses of the machine's own interfaces, which count as loopback whatever their block (N7).
    pub machine: &'a [IpAddr],
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
            machine: &[],
            arguments: None,
            made: false,
        }
    }
}

/// What a request says beside action and resource, owned; its default says nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub via: Vec<String>,
    pub port: Option<u16>,
    pub protocol: Option<Protocol>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub resolves: Option<Vec<String>>,
    pub cname: Vec<String>,
    #[serde(skip)]
    pub arguments: Option<Json>,
    pub made: bool,
}

impl Context {
    /// Hands the request with all this in it to `use_it`.
    pub fn with_request<T>(&self, plain: Request<'_>, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        let via = borrowed(&self.via);
        let cname = borrowed(&self.cname);
        let resolves = self.resolves.as_deref().map(borrowed);
        use_it(&Request {
            via: &via,
            port: self.port,
            protocol: self.protocol.unwrap_or(plain.protocol),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
            resolves: resolves.as_deref(),
            cname: &cname,
            machine: plain.machine,
            arguments: self.arguments.as_ref(),
            made: self.made,
            ..plain
        })
    }
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// `deny < hold < allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
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
