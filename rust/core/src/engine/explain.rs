//! What a person wants to know of a decision beyond the rule that made it (`policy-language.md` §14).
//!
//! Never on the way of a decision: each allow rule of the action is compared with the request, part by part. Cost: linear
//! in the policy.

use super::Engine;
use super::http::{UrlPath, url_path};
use super::network::{Opening, opening, port_fits, protocol_fits};
use crate::glob::{Glob, Segment, Subject};
use crate::host::{Host, HostPattern, parse_address};
use crate::json::Json;
use crate::path::NormalPath;
use crate::policy::{Action, HostKind, Protocol, Rule, Truth};
use crate::request::{Decision, Outcome, Reason, Request};
use std::cmp::Reverse;
use std::net::IpAddr;

/// A decision with what stands around it. Rules are indices of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub decision: Decision,
    /// The allow rules that match, one for each source; empty if the request is allowed or undecidable.
    pub would_allow: Vec<usize>,
    /// The nearest allow, if no allow rule matches.
    pub nearest_allow: Option<NearestAllow>,
}

/// The allow rule of the same action with the fewest differing parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearestAllow {
    pub rule: usize,
    /// At least one.
    pub differences: Vec<Difference>,
}

/// One part of a request that a rule does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `path`, `host`, `port`, `protocol`, `method`, `address`, `subject`, `arguments` or `call`.
    pub part: &'static str,
    /// What the rule says and what was asked, in one line.
    pub text: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.part == "arguments" {
            "differ"
        } else {
            "differs"
        };
        write!(formatter, "{} {verb}: {}", self.part, self.text)
    }
}

impl Engine {
    /// Decides a request and explains the decision.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let decision = self.decide(request);
        let mut explanation = Explanation {
            decision,
            would_allow: Vec::new(),
            nearest_allow: None,
        };
        if decision.outcome == Outcome::Allow || decision.reason == Reason::Undecidable {
            return explanation;
        }
        let compared = self.compared(request);
        let mut sources: Vec<usize> = Vec::new();
        for (entry, differences) in &compared {
            let source = self.compiled.rules[*entry].source;
            if differences.is_empty() && !sources.contains(&source) {
                sources.push(source);
                explanation.would_allow.push(*entry);
            }
        }
        if decision.reason == Reason::NoAllowRule {
            explanation.nearest_allow = self.nearest(request, compared);
        }
        explanation
    }

    /// The nearest allow of a request that no allow rule matches; `None` for all others.
    pub fn nearest_allow(&self, request: &Request<'_>) -> Option<NearestAllow> {
        let silent = self.decide(request).reason == Reason::NoAllowRule;
        silent.then(|| self.nearest(request, self.compared(request)))?
    }

    fn nearest(
        &self,
        request: &Request<'_>,
        compared: Vec<(usize, Vec<Difference>)>,
    ) -> Option<NearestAllow> {
        let different = compared
            .into_iter()
            .filter(|(_, differences)| !differences.is_empty());
        // Of rules that differ in equally many parts the one that is most alike, then the first of the text.
        let nearest = different.min_by_key(|(entry, differences)| {
            (
                differences.len(),
                Reverse(likeness(&self.compiled.rules[*entry], request)),
                *entry,
            )
        });
        nearest.map(|(rule, differences)| NearestAllow { rule, differences })
    }

    /// Each allow entry that could grant the action, with the parts that differ.
    fn compared(&self, request: &Request<'_>) -> Vec<(usize, Vec<Difference>)> {
        let rules = self.compiled.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| rule.effect.allows() && grants(rule.action, request.action))
            .map(|(entry, rule)| (entry, self.differences(entry, rule, request)))
            .collect()
    }

    fn differences(&self, entry: usize, rule: &Rule, request: &Request<'_>) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut differs = |part, text: String| differences.push(Difference { part, text });
        let pattern = rule.pattern.as_deref().unwrap_or_default();
        match request.action {
            Action::Connect => self.connection(rule, request, &mut differs),
            Action::Resolve => self.host(rule, request, &mut differs),
            Action::Listen => port(rule, request, &mut differs),
            Action::Syscall => {
                if !rule.names.iter().any(|name| name == request.resource) {
                    differs("call", format!("{} is not among them", request.resource));
                }
            }
            action if action.is_mcp() => {
                let is_uri = action == Action::Resource;
                if !Subject::parse(is_uri, pattern).is_ok_and(|subject| subject.matches(request.resource)) {
                    differs(
                        "subject",
                        format!("`{pattern}` does not match {}", request.resource),
                    );
                }
                let nothing = Json::Object(Vec::new());
                let arguments = request.arguments.unwrap_or(&nothing);
                match self.subjects.condition_holds(entry, arguments) {
                    Truth::True => {}
                    Truth::Unknown => {
                        differs("arguments", "whether its condition holds can't be told".into());
                    }
                    Truth::False => differs("arguments", "its condition does not hold".into()),
                }
            }
            _ => {
                let path = NormalPath::parse(request.resource.as_bytes());
                let glob = Glob::parse(pattern);
                if !glob.is_ok_and(|glob| path.is_ok_and(|path| glob.matches(path))) {
                    differs("path", format!("`{pattern}` does not match {}", request.resource));
                }
            }
        }
        differences
    }

    fn connection(&self, rule: &Rule, request: &Request<'_>, differs: &mut impl FnMut(&'static str, String)) {
        self.host(rule, request, differs);
        port(rule, request, differs);
        if !protocol_fits(rule, request) {
            let spoken = |protocol| match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Http => "http",
            };
            let allowed = spoken(rule.protocol.unwrap_or(Protocol::Tcp));
            differs(
                "protocol",
                format!("{allowed} is not {}", spoken(request.protocol)),
            );
        }
        if let Some(method) = request
            .method
            .filter(|method| !rule.methods.is_empty() && !rule.methods.iter().any(|one| one == method))
        {
            differs("method", format!("{} is not {method}", rule.methods.join(", ")));
        }
        if let (UrlPath::Seen(path), false) = (url_path(request.path), rule.url_paths.is_empty()) {
            let mut globs = rule.url_paths.iter().filter_map(|text| Glob::parse(text).ok());
            let matches = |glob: Glob| NormalPath::parse(&path).is_ok_and(|path| glob.matches(path));
            if !globs.any(matches) {
                let patterns = rule.url_paths.join("`, `");
                differs(
                    "path",
                    format!("`{patterns}` does not match {}", String::from_utf8_lossy(&path)),
                );
            }
        }
        let addresses: Vec<IpAddr> = match Host::parse(request.resource) {
            Ok(Host::Address(address)) => vec![address],
            _ => request
                .resolves
                .unwrap_or_default()
                .iter()
                .filter_map(|text| parse_address(text))
                .collect(),
        };
        if !addresses.is_empty()
            && !addresses
                .iter()
                .any(|address| admits(rule, *address, request.machine))
        {
            let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            differs("address", format!("it does not open {}", texts.join(", ")));
        }
    }

    fn host(&self, rule: &Rule, request: &Request<'_>, differs: &mut impl FnMut(&'static str, String)) {
        if rule.kind == Some(HostKind::Any) {
            return;
        }
        let (Ok(host), Some(pattern)) = (Host::parse(request.resource), rule.pattern.as_deref()) else {
            return;
        };
        if HostPattern::parse(pattern).is_ok_and(|parsed| parsed.matches(&host, false)) {
            return;
        }
        // A rule that names a set is told by the set, not by one of its hosts.
        let text = &self.compiled.sources[rule.source].text;
        let mut sets = self.compiled.host_sets.iter();
        let set = sets.find(|(name, hosts)| names_set(text, name) && hosts.iter().any(|one| one == pattern));
        match set {
            Some((name, _)) => differs("host", format!("{name} does not contain {host}")),
            None => differs("host", format!("`{pattern}` does not match {host}")),
        }
    }
}

/// Whether rules of one action grant another: what may be connected to may be resolved (N11).
fn grants(rule: Action, asked: Action) -> bool {
    rule == asked || (rule == Action::Connect && asked == Action::Resolve)
}

fn port(rule: &Rule, request: &Request<'_>, differs: &mut impl FnMut(&'static str, String)) {
    // Listening at 0 picks from the allowed ranges (N13).
    if port_fits(rule, request) || (request.action == Action::Listen && request.port == Some(0)) {
        return;
    }
    let ranges: Vec<String> = rule
        .ports
        .iter()
        .flatten()
        .map(|(low, high)| {
            if low == high {
                low.to_string()
            } else {
                format!("{low}-{high}")
            }
        })
        .collect();
    differs(
        "port",
        format!("{} is not {}", ranges.join(", "), request.port.unwrap_or(0)),
    );
}

/// Whether this rule alone opens an address (N7).
fn admits(rule: &Rule, address: IpAddr, machine: &[IpAddr]) -> bool {
    match opening(address, machine) {
        Opening::Free => true,
        shut => shut.is_by(rule) || rule.kind == Some(HostKind::Net),
    }
}

/// Whether a rule's text mentions a host set as a word of its own.
fn names_set(text: &str, name: &str) -> bool {
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(name)
        .any(|(at, _)| !text[at + name.len()..].starts_with(of_name))
}

/// How much of the resource a rule's pattern has: segments from the root, labels from the right, or bytes of a subject.
fn likeness(rule: &Rule, request: &Request<'_>) -> usize {
    let pattern = rule.pattern.as_deref().unwrap_or_default();
    let shared = |of_pattern: &mut dyn Iterator<Item = &[u8]>,
                  of_resource: &mut dyn Iterator<Item = &[u8]>| {
        of_pattern
            .zip(of_resource)
            .take_while(|(one, other)| one == other)
            .count()
    };
    match request.action {
        Action::Connect | Action::Resolve => shared(
            &mut pattern.rsplit('.').map(str::as_bytes),
            &mut request
                .resource
                .trim_end_matches('.')
                .rsplit('.')
                .map(str::as_bytes),
        ),
        action if action.is_mcp() => pattern
            .bytes()
            .zip(request.resource.bytes())
            .take_while(|(one, other)| one == other)
            .count(),
        Action::Listen | Action::Syscall => 0,
        _ => {
            let (Ok(glob), Ok(path)) = (
                Glob::parse(pattern),
                NormalPath::parse(request.resource.as_bytes()),
            ) else {
                return 0;
            };
            let mut literal = glob.segments().iter().map_while(|segment| match segment {
                Segment::Literal(bytes) => Some(bytes.as_slice()),
                _ => None,
            });
            shared(&mut literal, &mut path.segments())
        }
    }
}
