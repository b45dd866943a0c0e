//! Connections and names: N2–N11.

use super::{Engine, Verdict};
use crate::glob::Glob;
use crate::host::{AddressClass, Host, HostPattern, class, parse_address};
use crate::path::NormalPath;
use crate::policy::{HostKind, OpenClass, Protocol, Rule};
use crate::request::{Decision, Outcome, Request};
use std::collections::HashMap;
use std::net::IpAddr;

/// Entries of one action by host: names by their fixed labels, blocks and `any` beside them.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    by_labels: HashMap<String, Vec<u32>>,
    networks: Vec<u32>,
    any: Vec<u32>,
    patterns: HashMap<u32, HostPattern>,
}

impl Hosts {
    pub(super) fn add(&mut self, rule: &Rule, entry: u32) {
        if rule.kind == Some(HostKind::Any) {
            self.any.push(entry);
            return;
        }
        // INVARIANT: the pattern parsed when the compiled form was checked.
        let Some(Ok(pattern)) = rule.pattern.as_deref().map(HostPattern::parse) else { return };
        if pattern.network().is_some() {
            self.networks.push(entry);
        } else {
            self.by_labels.entry(pattern.labels().to_owned()).or_default().push(entry);
        }
        self.patterns.insert(entry, pattern);
    }

    /// Entries whose pattern matches the host. Cost: one look-up a label, and the blocks.
    fn matching(&self, rules: &[Rule], host: &Host) -> Vec<u32> {
        let mut found = self.any.clone();
        let candidates: Vec<u32> = match host {
            Host::Address(_) => self.networks.clone(),
            Host::Name(name) => std::iter::successors(Some(name.as_str()), |rest| rest.split_once('.').map(|(_, rest)| rest))
                .filter_map(|labels| self.by_labels.get(labels))
                .flatten()
                .copied()
                .collect(),
        };
        found.extend(candidates.into_iter().filter(|entry| {
            self.patterns.get(entry).is_some_and(|pattern| pattern.matches(host, rules[*entry as usize].downward))
        }));
        found
    }
}

impl Engine {
    pub(super) fn decide_resolve(&self, request: &Request<'_>) -> Decision {
        let Ok(host) = Host::parse(request.resource) else { return Decision::UNDECIDABLE };
        let mut found = self.resolve.matching(&self.compiled.rules, &host);
        // What may be connected to may be resolved (N11).
        let connect = self.connect.matching(&self.compiled.rules, &host);
        found.extend(connect.into_iter().filter(|entry| self.compiled.rules[*entry as usize].effect.allows()));
        let mut verdict = Verdict::default();
        verdict.name(self, &found, true);
        verdict.decision()
    }

    pub(super) fn decide_connect(&self, request: &Request<'_>) -> Decision {
        let Ok(host) = Host::parse(request.resource) else { return Decision::UNDECIDABLE };
        if request.port.is_none() {
            return Decision::UNDECIDABLE;
        }
        let mut verdict = Verdict::default();
        let entries = self.fitting(&host, request);
        if self.strange_path(&entries, request) {
            return Decision::UNDECIDABLE;
        }
        verdict.name(self, &entries, true);
        self.unresolvable(&host, &mut verdict);
        for name in request.cname {
            let Ok(name) = Host::parse(name) else { return Decision::UNDECIDABLE };
            verdict.name(self, &self.fitting(&name, request), false);
            self.unresolvable(&name, &mut verdict);
        }
        match host {
            Host::Address(address) => {
                if !self.admits(&entries, address, request) {
                    verdict.allow = None;
                }
                verdict.decision()
            }
            Host::Name(_) => self.by_addresses(verdict, &entries, request),
        }
    }

    /// Drops the addresses that nothing admits or something denies; without any left the request is denied (N8).
    fn by_addresses(&self, verdict: Verdict, entries: &[u32], request: &Request<'_>) -> Decision {
        let by_name = verdict.decision();
        let Some(resolves) = request.resolves else { return by_name };
        if by_name.outcome == Outcome::Deny {
            return by_name;
        }
        let mut refused = Decision { would_allow: by_name.rule, ..Decision::SILENT };
        for text in resolves {
            let Some(address) = parse_address(text) else { return Decision::UNDECIDABLE };
            let fitting = self.fitting(&Host::Address(address), request);
            let mut restricted = Verdict::default();
            restricted.name(self, &fitting, true);
            if restricted.never.or(restricted.tripwire).or(restricted.deny).is_some() {
                refused = Decision { would_allow: by_name.rule, ..restricted.decision() };
            } else if self.admits(entries, address, request) {
                return by_name;
            }
        }
        refused
    }

    /// Whether an address of this class may be reached by these allows of the name, or by an allow of the address.
    fn admits(&self, of_name: &[u32], address: IpAddr, request: &Request<'_>) -> bool {
        let open = match class(address) {
            AddressClass::Public => return true,
            AddressClass::Private => Some(OpenClass::Private),
            AddressClass::Loopback => Some(OpenClass::Loopback),
            AddressClass::LinkLocal | AddressClass::Special => None,
        };
        let rules = &self.compiled.rules;
        let by_class = open.is_some_and(|open| {
            of_name.iter().any(|entry| rules[*entry as usize].effect.allows() && rules[*entry as usize].classes.contains(&open))
        });
        by_class
            || self.fitting(&Host::Address(address), request).iter().any(|entry| {
                let rule = &rules[*entry as usize];
                rule.effect.allows() && rule.kind == Some(HostKind::Net)
            })
    }

    /// A name that may not be resolved may not be connected to.
    fn unresolvable(&self, host: &Host, verdict: &mut Verdict) {
        let entries = self.resolve.matching(&self.compiled.rules, host);
        verdict.name(self, &entries, false);
    }

    /// Entries that match host, port, protocol and as much of the HTTP request as has been seen.
    fn fitting(&self, host: &Host, request: &Request<'_>) -> Vec<u32> {
        let mut found = self.connect.matching(&self.compiled.rules, host);
        found.retain(|entry| fits(&self.compiled.rules[*entry as usize], request));
        found
    }

    /// Whether a path that reads differently to different readers meets a rule with a path condition (N10).
    fn strange_path(&self, entries: &[u32], request: &Request<'_>) -> bool {
        let Some(path) = request.path else { return false };
        let path = path.split('?').next().unwrap_or_default();
        let host = Host::parse(request.resource);
        let conditional = || {
            let Ok(host) = &host else { return false };
            let without_path = Request { path: None, ..*request };
            self.fitting(host, &without_path).iter().chain(entries).any(|entry| !self.compiled.rules[*entry as usize].url_paths.is_empty())
        };
        strange(path) && conditional()
    }
}

fn fits(rule: &Rule, request: &Request<'_>) -> bool {
    let ports = rule.ports.as_ref();
    let port = request.port.unwrap_or(0);
    if !ports.is_none_or(|ports| ports.iter().any(|(low, high)| (*low..=*high).contains(&port))) {
        return false;
    }
    let restricts = !rule.effect.allows();
    let protocol = match rule.protocol {
        None if restricts => true,
        None | Some(Protocol::Tcp | Protocol::Http) => request.protocol != Protocol::Udp,
        Some(Protocol::Udp) => request.protocol == Protocol::Udp,
    };
    if !protocol {
        return false;
    }
    // Not yet seen: for an allow a good request may follow, for a restriction so it may, too.
    let method = rule.methods.is_empty()
        || request.method.map_or(!restricts, |method| rule.methods.iter().any(|allowed| allowed == method));
    let path = rule.url_paths.is_empty()
        || request.path.map_or(!restricts, |path| {
            let path = path.split('?').next().unwrap_or_default();
            NormalPath::parse(path.as_bytes()).is_ok_and(|path| {
                rule.url_paths.iter().any(|pattern| Glob::parse(pattern).is_ok_and(|glob| glob.matches(path)))
            })
        });
    method && path
}

fn strange(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    let bad_escape = lower.match_indices('%').any(|(at, _)| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    !path.starts_with('/')
        || path.contains("//")
        || path.contains('\\')
        || path.split('/').any(|segment| segment == "." || segment == "..")
        || ["%2f", "%5c", "%00", "%2e"].iter().any(|escape| lower.contains(escape))
        || bad_escape
}
