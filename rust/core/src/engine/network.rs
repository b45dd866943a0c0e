//! Connections and names: N2–N11.

use super::http::{Http, UrlPath, instance, url_path, url_path_matches};
use super::{Engine, Verdict};
use crate::glob::Glob;
use crate::host::{AddressClass, Host, HostPattern, class, embedded, parse_address};
use crate::policy::{HostKind, OpenClass, Protocol, Rule};
use crate::request::{Decision, Outcome, Request};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Entries of one action by host: names by their fixed labels, blocks and `any` beside them.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    by_labels: HashMap<String, Vec<u32>>,
    networks: Vec<u32>,
    any: Vec<u32>,
    patterns: HashMap<u32, HostPattern>,
    /// Path patterns of HTTP requests, of the entries that have them.
    url_paths: HashMap<u32, Vec<Glob>>,
    /// The methods that some rule names.
    methods: BTreeSet<String>,
}

/// What an entry is matched with.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// What is asked for: also `any` matches it.
    Asked(&'a Host),
    /// A name or address on the way to it: only rules that name such a thing match.
    Met(&'a Host),
}

impl Hosts {
    pub(super) fn add(&mut self, rule: &Rule, entry: u32) {
        self.methods.extend(rule.methods.iter().cloned());
        if !rule.url_paths.is_empty() {
            // INVARIANT: these parsed, too.
            let globs = rule.url_paths.iter().filter_map(|text| Glob::parse(text).ok());
            self.url_paths.insert(entry, globs.collect());
        }
        if rule.kind == Some(HostKind::Any) {
            self.any.push(entry);
            return;
        }
        // INVARIANT: the pattern parsed when the compiled form was checked.
        let Some(Ok(pattern)) = rule.pattern.as_deref().map(HostPattern::parse) else {
            return;
        };
        if pattern.network().is_some() {
            self.networks.push(entry);
        } else {
            self.by_labels
                .entry(pattern.labels().to_owned())
                .or_default()
                .push(entry);
        }
        self.patterns.insert(entry, pattern);
    }

    /// Entries whose pattern matches the host. Cost: one look-up a label, and the blocks.
    pub(super) fn matching(&self, rules: &[Rule], target: Target<'_>) -> Vec<u32> {
        let (mut found, host) = match target {
            Target::Asked(host) => (self.any.clone(), host),
            Target::Met(host) => (Vec::new(), host),
        };
        match host {
            // Exactly this address: what is embedded in it is asked for by itself (N5).
            Host::Address(address) => found.extend(self.networks.iter().copied().filter(|entry| {
                let network = self.patterns.get(entry).and_then(HostPattern::network);
                network.is_some_and(|network| network.contains(*address))
            })),
            Host::Name(name) => {
                let suffixes = std::iter::successors(Some(name.as_str()), |rest| {
                    rest.split_once('.').map(|(_, rest)| rest)
                });
                let candidates = suffixes
                    .filter_map(|labels| self.by_labels.get(labels))
                    .flatten()
                    .copied();
                found.extend(candidates.filter(|entry| {
                    let downward = rules[*entry as usize].downward;
                    self.patterns
                        .get(entry)
                        .is_some_and(|pattern| pattern.matches(host, downward))
                }));
            }
        }
        found
    }

    /// Whether as much of the HTTP request as has been seen fits the entry's conditions (N10).
    fn http_fits(&self, rule: &Rule, entry: u32, http: &Http<'_>) -> bool {
        let method = match http.method {
            // Not yet seen: a good request may follow, so an allow matches and a restriction does not (X1).
            None => rule.methods.is_empty() || rule.effect.allows(),
            Some(method) => rule.methods.is_empty() || rule.methods.iter().any(|named| named == method),
        };
        method
            && self.url_paths.get(&entry).is_none_or(|globs| match &http.path {
                UrlPath::Unseen => rule.effect.allows(),
                // Whoever serves it may read it as any path.
                UrlPath::Strange => true,
                UrlPath::Seen(path) => globs
                    .iter()
                    .any(|glob| url_path_matches(glob, rule.downward, path)),
            })
    }
}

impl Engine {
    pub(super) fn decide_resolve(&self, request: &Request<'_>) -> Decision {
        let Ok(host) = Host::parse(request.resource) else {
            return Decision::UNDECIDABLE;
        };
        let mut verdict = Verdict::default();
        verdict.name(self, &self.resolving(Target::Asked(&host)), true);
        verdict.decision()
    }

    /// Entries that decide whether a name may be resolved: what may be connected to may be (N11).
    fn resolving(&self, target: Target<'_>) -> Vec<u32> {
        let rules = &self.compiled.rules;
        let mut found = self.resolve.matching(rules, target);
        let connect = self.connect.matching(rules, target);
        found.extend(
            connect
                .into_iter()
                .filter(|entry| rules[*entry as usize].effect.allows()),
        );
        found
    }

    /// Decides a connection, or a request in it. What was not seen yet gets the best request that could follow (X1).
    pub(super) fn decide_connect(&self, request: &Request<'_>) -> Decision {
        let mut best: Option<Decision> = None;
        for method in self.possible_methods(request) {
            for path in self.possible_paths(request) {
                let decision = self.connect_once(&Request {
                    method,
                    path: path.as_deref(),
                    ..*request
                });
                if decision.outcome == Outcome::Allow {
                    return decision;
                }
                best.get_or_insert(decision);
            }
        }
        best.unwrap_or(Decision::UNDECIDABLE)
    }

    /// The methods that rules tell apart: those that are named, and one that no rule names.
    fn possible_methods<'r>(&'r self, request: &Request<'r>) -> Vec<Option<&'r str>> {
        if request.method.is_some() || self.connect.methods.is_empty() {
            return vec![request.method];
        }
        // An empty method is none that a rule can name.
        self.connect
            .methods
            .iter()
            .map(|method| Some(method.as_str()))
            .chain([Some("")])
            .collect()
    }

    /// Paths that rules tell apart: for each pattern paths that it matches, and one that hardly any pattern does.
    fn possible_paths(&self, request: &Request<'_>) -> Vec<Option<String>> {
        if request.path.is_some() || self.connect.url_paths.is_empty() {
            return vec![request.path.map(str::to_owned)];
        }
        let globs = self.connect.url_paths.values().flatten();
        let of_patterns: BTreeSet<String> = globs
            .flat_map(|glob| [0, 1, 3].map(|depth| instance(glob, depth)))
            .collect();
        of_patterns
            .into_iter()
            .chain(["/~".to_owned()])
            .map(Some)
            .collect()
    }

    fn connect_once(&self, request: &Request<'_>) -> Decision {
        let Ok(host) = Host::parse(request.resource) else {
            return Decision::UNDECIDABLE;
        };
        if request.port.is_none() {
            return Decision::UNDECIDABLE;
        }
        let http = Http {
            method: request.method,
            path: url_path(request.path),
        };
        match &host {
            Host::Address(address) => self.to_literal(*address, request, &http),
            Host::Name(_) => self.to_name(&host, request, &http),
        }
    }

    /// A literal address, and the one embedded in it: both must be allowed (N5).
    fn to_literal(&self, address: IpAddr, request: &Request<'_>, http: &Http<'_>) -> Decision {
        let mut decision = Decision::UNDECIDABLE;
        for address in views(address) {
            let host = Host::Address(address);
            let entries = self.fitting(Target::Asked(&host), request, http);
            if self.is_ambiguous(&entries, http) {
                return Decision::UNDECIDABLE;
            }
            let mut verdict = Verdict::default();
            verdict.name(self, &entries, true);
            if !self.admits(&entries, &entries, address, request.machine) {
                verdict.allow = None;
            }
            decision = verdict.decision();
            if decision.outcome == Outcome::Deny {
                break;
            }
        }
        decision
    }

    fn to_name(&self, host: &Host, request: &Request<'_>, http: &Http<'_>) -> Decision {
        let entries = self.fitting(Target::Asked(host), request, http);
        if self.is_ambiguous(&entries, http) {
            return Decision::UNDECIDABLE;
        }
        let mut verdict = Verdict::default();
        verdict.name(self, &entries, true);
        // A name that may not be resolved may not be connected to (N11).
        verdict.name(self, &self.resolving(Target::Asked(host)), false);
        for name in request.cname {
            let Ok(name) = Host::parse(name) else {
                return Decision::UNDECIDABLE;
            };
            verdict.name(self, &self.fitting(Target::Met(&name), request, http), false);
            verdict.name(self, &self.resolving(Target::Met(&name)), false);
        }
        let by_name = verdict.decision();
        match request.resolves {
            Some(resolves) if by_name.outcome != Outcome::Deny => {
                self.by_addresses(by_name, &entries, resolves, request, http)
            }
            _ => by_name,
        }
    }

    /// Drops the addresses that nothing admits or something denies; without any left the request is denied (N8).
    fn by_addresses(
        &self,
        by_name: Decision,
        of_name: &[u32],
        resolves: &[&str],
        request: &Request<'_>,
        http: &Http<'_>,
    ) -> Decision {
        let mut refused = Decision {
            would_allow: by_name.rule,
            ..Decision::SILENT
        };
        for text in resolves {
            let Some(address) = parse_address(text) else {
                return Decision::UNDECIDABLE;
            };
            let refusal = views(address).find_map(|address| self.refuses(address, of_name, request, http));
            match refusal {
                None => return by_name,
                Some(decision) => {
                    refused = Decision {
                        would_allow: by_name.rule,
                        ..decision
                    }
                }
            }
        }
        refused
    }

    /// The refusal of one resolved address, where there is one.
    fn refuses(
        &self,
        address: IpAddr,
        of_name: &[u32],
        request: &Request<'_>,
        http: &Http<'_>,
    ) -> Option<Decision> {
        let of_address = self.fitting(Target::Met(&Host::Address(address)), request, http);
        let mut verdict = Verdict::default();
        verdict.name(self, &of_address, true);
        if verdict.never.or(verdict.tripwire).or(verdict.deny).is_some() {
            return Some(verdict.decision());
        }
        (!self.admits(of_name, &of_address, address, request.machine)).then_some(Decision::SILENT)
    }

    /// Whether an address of this class may be reached by these allows of the name, or by an allow of the address (N7).
    fn admits(&self, of_name: &[u32], of_address: &[u32], address: IpAddr, machine: &[IpAddr]) -> bool {
        let opening = opening(address, machine);
        if opening == Opening::Free {
            return true;
        }
        let allows = |entries: &[u32], condition: &dyn Fn(&Rule) -> bool| {
            entries
                .iter()
                .map(|entry| &self.compiled.rules[*entry as usize])
                .any(|rule| rule.effect.allows() && condition(rule))
        };
        allows(of_name, &|rule| opening.is_by(rule))
            || allows(of_address, &|rule| rule.kind == Some(HostKind::Net))
    }

    /// Entries that match a request to connect, by what it asks for or by an address that is decided with it.
    pub(super) fn entries_on_the_way(&self, request: &Request<'_>) -> Vec<u32> {
        let Ok(asked) = Host::parse(request.resource) else {
            return Vec::new();
        };
        let http = Http {
            method: request.method,
            path: url_path(request.path),
        };
        let inside = match asked {
            Host::Address(address) => embedded(address).map(IpAddr::V4),
            Host::Name(_) => None,
        };
        let resolved = request.resolves.into_iter().flatten();
        let met = resolved
            .filter_map(|text| parse_address(text))
            .flat_map(views)
            .chain(inside);
        let mut entries = self.fitting(Target::Asked(&asked), request, &http);
        entries.extend(
            met.flat_map(|address| self.fitting(Target::Met(&Host::Address(address)), request, &http)),
        );
        entries
    }

    /// Entries that match host, port, protocol and as much of the HTTP request as has been seen.
    fn fitting(&self, target: Target<'_>, request: &Request<'_>, http: &Http<'_>) -> Vec<u32> {
        let mut found = self.connect.matching(&self.compiled.rules, target);
        found.retain(|entry| {
            let rule = &self.compiled.rules[*entry as usize];
            fits(rule, request) && self.connect.http_fits(rule, *entry, http)
        });
        found
    }

    /// Whether a path that reads differently to different readers meets a rule with a path condition (N10).
    fn is_ambiguous(&self, entries: &[u32], http: &Http<'_>) -> bool {
        matches!(http.path, UrlPath::Strange)
            && entries
                .iter()
                .any(|entry| self.connect.url_paths.contains_key(entry))
    }
}

/// An address as itself and as the IPv4 address embedded in it.
fn views(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    std::iter::once(address).chain(embedded(address).map(IpAddr::V4))
}

/// How an address is opened (N7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It needs nothing beyond the rule that matches.
    Free,
    /// By `to private` or `to loopback`, or by an allow of its block.
    Class(OpenClass),
    /// By an allow of its block only.
    Block,
}

impl Opening {
    /// Whether the rule names the class.
    pub(super) fn is_by(self, rule: &Rule) -> bool {
        matches!(self, Self::Class(class) if rule.classes.contains(&class))
    }
}

/// What opens an address itself; the one embedded in it is asked for by itself.
pub(super) fn opening(address: IpAddr, machine: &[IpAddr]) -> Opening {
    if embedded(address).is_some() {
        return Opening::Free;
    }
    match class(address) {
        AddressClass::Public | AddressClass::Private if machine.contains(&address) => {
            Opening::Class(OpenClass::Loopback)
        }
        AddressClass::Public => Opening::Free,
        AddressClass::Private => Opening::Class(OpenClass::Private),
        AddressClass::Loopback => Opening::Class(OpenClass::Loopback),
        AddressClass::LinkLocal | AddressClass::Special => Opening::Block,
    }
}

fn fits(rule: &Rule, request: &Request<'_>) -> bool {
    protocol_fits(rule, request) && port_fits(rule, request)
}

pub(super) fn protocol_fits(rule: &Rule, request: &Request<'_>) -> bool {
    match rule.protocol {
        None if !rule.effect.allows() => true,
        None | Some(Protocol::Tcp | Protocol::Http) => request.protocol != Protocol::Udp,
        Some(Protocol::Udp) => request.protocol == Protocol::Udp,
    }
}

/// A request without port fits a rule without ports only.
pub(super) fn port_fits(rule: &Rule, request: &Request<'_>) -> bool {
    let port = request.port.unwrap_or(0);
    let in_range = |ports: &Vec<(u16, u16)>| ports.iter().any(|(low, high)| (*low..=*high).contains(&port));
    rule.ports.as_ref().is_none_or(in_range)
}
