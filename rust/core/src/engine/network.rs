//! Connections and names: N2–N11.

use super::{Engine, Verdict};
use crate::glob::{Glob, Segment};
use crate::host::{AddressClass, Host, HostPattern, class, embedded, parse_address};
use crate::path::NormalPath;
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
enum Target<'a> {
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
            let globs = rule
                .url_paths
                .iter()
                .filter_map(|text| Glob::parse(text).ok())
                .collect();
            self.url_paths.insert(entry, globs);
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
    fn matching(&self, rules: &[Rule], target: Target<'_>) -> Vec<u32> {
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

/// The HTTP part of a request.
struct Http<'a> {
    method: Option<&'a str>,
    path: UrlPath,
}

enum UrlPath {
    Unseen,
    /// Reads differently to different readers.
    Strange,
    /// Decoded, without query and trailing slash.
    Seen(Vec<u8>),
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
            if !self.admits(&entries, &entries, address) {
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
        (!self.admits(of_name, &of_address, address)).then_some(Decision::SILENT)
    }

    /// Whether an address of this class may be reached by these allows of the name, or by an allow of the address (N7).
    fn admits(&self, of_name: &[u32], of_address: &[u32], address: IpAddr) -> bool {
        // The address itself; the one embedded in it is asked for by itself.
        let open = match if embedded(address).is_some() {
            AddressClass::Public
        } else {
            class(address)
        } {
            AddressClass::Public => return true,
            AddressClass::Private => Some(OpenClass::Private),
            AddressClass::Loopback => Some(OpenClass::Loopback),
            AddressClass::LinkLocal | AddressClass::Special => None,
        };
        let allows = |entries: &[u32], condition: &dyn Fn(&Rule) -> bool| {
            entries
                .iter()
                .map(|entry| &self.compiled.rules[*entry as usize])
                .any(|rule| rule.effect.allows() && condition(rule))
        };
        open.is_some_and(|open| allows(of_name, &|rule| rule.classes.contains(&open)))
            || allows(of_address, &|rule| rule.kind == Some(HostKind::Net))
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

/// Port and protocol.
fn fits(rule: &Rule, request: &Request<'_>) -> bool {
    let port = request.port.unwrap_or(0);
    let in_range = |ports: &Vec<(u16, u16)>| ports.iter().any(|(low, high)| (*low..=*high).contains(&port));
    let protocol = match rule.protocol {
        None if !rule.effect.allows() => true,
        None | Some(Protocol::Tcp | Protocol::Http) => request.protocol != Protocol::Udp,
        Some(Protocol::Udp) => request.protocol == Protocol::Udp,
    };
    protocol && rule.ports.as_ref().is_none_or(in_range)
}

/// Closed downward where the rule is (S8).
fn url_path_matches(glob: &Glob, downward: bool, path: &[u8]) -> bool {
    let matches = |bytes: &[u8]| NormalPath::parse(bytes).is_ok_and(|path| glob.matches(path));
    let above = || {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes
            .map(|(at, _)| if at == 0 { b"/".as_slice() } else { &path[..at] })
            .any(matches)
    };
    matches(path) || (downward && above())
}

/// The path of a request as rules see it: escapes decoded, without query and one trailing slash (N10).
fn url_path(text: Option<&str>) -> UrlPath {
    let Some(text) = text else { return UrlPath::Unseen };
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some(mut path) = decode(text.as_bytes()) else {
        return UrlPath::Strange;
    };
    if path.len() > 1 && path.last() == Some(&b'/') {
        path.pop();
    }
    if NormalPath::parse(&path).is_ok() {
        UrlPath::Seen(path)
    } else {
        UrlPath::Strange
    }
}

/// `None` for invalid escapes and for escaped or plain bytes that readers take differently.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| {
        char::from(*byte?)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut path = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => return None,
            b'%' => {
                let byte = digit(text.get(at + 1))? * 16 + digit(text.get(at + 2))?;
                if matches!(byte, b'/' | b'\\' | 0) {
                    return None;
                }
                path.push(byte);
                at += 2;
            }
            byte => path.push(byte),
        }
        at += 1;
    }
    Some(path)
}

/// A path that the pattern matches: stars filled with a name that hardly any rule has, `**` with `depth` of them.
fn instance(glob: &Glob, depth: usize) -> String {
    let mut path = String::new();
    for segment in glob.segments() {
        match segment {
            Segment::Literal(bytes) => path.extend(["/", &escaped(bytes)]),
            Segment::Wild(wild) => path.extend(["/", &escaped(&wild.instance(b"~"))]),
            Segment::AnyDepth => path.push_str(&"/~".repeat(depth)),
        }
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// Bytes of a segment as they stand in a request.
fn escaped(segment: &[u8]) -> String {
    segment
        .iter()
        .map(|byte| {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
            if plain {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Action, Compiled};

    /// An engine of two policies, the second the child of the first; `(policy, rest of the entry)`.
    fn engine(entries: &[(usize, &str)]) -> Engine {
        let sources: Vec<String> = (0..2)
            .map(|policy| {
                format!(r#"{{"id":"p{policy}/r","policy":{policy},"file":"","line":1,"column":1,"because":null,"text":""}}"#)
            })
            .collect();
        let rules: Vec<String> = entries
            .iter()
            .map(|(policy, rest)| format!(r#"{{"source":{policy},{rest}}}"#))
            .collect();
        let text = format!(
            r#"{{"format":1,"name":"p","identity":"","trust_digest":"","policies":[
            {{"name":"a","shipped":false,"ancestors":[]}},{{"name":"b","shipped":false,"ancestors":[0]}}],
            "sources":[{}],"buckets":[],"rules":[{}],"blocks":{{"filesystem":[],"network":[],"mcp":[]}},
            "resources":{{"memory":1,"swap":0,"disk":1,"tmp":1,"output":1,"cpu":1,"processes":1,"threads":1,
            "open-files":1,"cpu-time":1,"wall-time":1,"idle-time":1,"io-read":null,"io-write":null}},
            "stated":[],"home":"real","workspace":"direct","accept":[],
            "environment":{{"keep":[],"set":{{}},"secrets":[]}},"capabilities":[],"alerts":[],"tripwires":[],
            "pins":[],"bindings":{{}},"host_sets":{{}},"public_suffix_date":""}}"#,
            sources.join(","),
            rules.join(",")
        );
        Engine::new(Compiled::parse(text.as_bytes()).unwrap())
    }

    fn ask(host: &str) -> Request<'_> {
        Request {
            port: Some(443),
            ..Request::new(Action::Connect, host)
        }
    }

    fn is_allowed(engine: &Engine, request: &Request<'_>) -> bool {
        engine.decide(request).outcome == Outcome::Allow
    }

    const ANY: &str =
        r#""effect":"allow","action":"connect","kind":"any","ports":[[443,443]],"protocol":"tcp""#;
    const DENY_ANY: &str = r#""effect":"deny","action":"connect","kind":"any","downward":true"#;
    const OVERRIDE: &str = r#""effect":"override_allow","action":"connect","kind":"name","pattern":"db.example","ports":[[443,443]],"protocol":"tcp""#;

    #[test]
    fn an_override_by_name_lifts_a_deny_of_everything() {
        let engine = engine(&[(0, ANY), (0, DENY_ANY), (1, OVERRIDE)]);
        let public = Request {
            resolves: Some(&["93.184.215.14"]),
            cname: &["cdn.example"],
            ..ask("db.example")
        };
        assert!(is_allowed(&engine, &public));
        assert!(!is_allowed(&engine, &ask("other.example")));
    }

    #[test]
    fn an_embedded_address_is_decided_as_both() {
        let ten = r#""effect":"allow","action":"connect","kind":"net","pattern":"10.0.0.0/8","ports":[[443,443]],"protocol":"tcp""#;
        let denied = r#""effect":"deny","action":"connect","kind":"net","pattern":"10.0.0.0/8""#;
        let literal = ask("64:ff9b::a00:5");
        assert!(
            !is_allowed(&engine(&[(0, ten)]), &literal),
            "the block holds only one of both"
        );
        assert!(is_allowed(&engine(&[(0, ANY), (0, ten)]), &literal));
        assert!(
            !is_allowed(&engine(&[(0, ANY)]), &literal),
            "`any` grants no private address"
        );
        let resolved = Request {
            resolves: Some(&["64:ff9b::a00:5"]),
            ..ask("db.example")
        };
        assert!(is_allowed(&engine(&[(0, ANY), (0, ten)]), &resolved));
        assert!(!is_allowed(
            &engine(&[(0, ANY), (0, ten), (1, denied)]),
            &resolved
        ));
    }

    #[test]
    fn request_paths_leave_no_way_around_a_deny() {
        let deny =
            r#""effect":"deny","action":"connect","kind":"any","downward":true,"url_paths":["/admin"]"#;
        let engine = engine(&[(0, ANY), (1, deny)]);
        let long = format!("/admin/{}", "a".repeat(300));
        let cases = [
            ("/", true),
            ("/administer", true),
            ("/admin", false),
            ("/admin/", false),
            ("/admin/x?y", false),
            ("/%61dmin", false),
            ("/x/../admin", false),
            ("/x/%2e%2e/admin", false),
            ("//admin", false),
            ("/x%2fy", false),
            ("/x%", false),
            ("/x\\y", false),
            ("/a%2eb/", true),
            (long.as_str(), false),
        ];
        for (path, want) in cases {
            let request = Request {
                method: Some("GET"),
                path: Some(path),
                ..ask("a.example")
            };
            assert_eq!(is_allowed(&engine, &request), want, "{path}");
        }
    }

    #[test]
    fn an_unseen_request_is_the_best_that_could_follow() {
        let get = r#""effect":"allow","action":"connect","kind":"any","ports":[[443,443]],"inspect":true,"methods":["GET"],"url_paths":["/v1/**"]"#;
        let deny_get = r#""effect":"deny","action":"connect","kind":"any","methods":["GET"]"#;
        let deny_post = r#""effect":"deny","action":"connect","kind":"any","methods":["POST"]"#;
        let deny_v1 =
            r#""effect":"deny","action":"connect","kind":"any","downward":true,"url_paths":["/v1"]"#;
        let deny_below =
            r#""effect":"deny","action":"connect","kind":"any","downward":true,"url_paths":["/v1/*"]"#;
        for (restriction, want) in [
            (deny_get, false),
            (deny_post, true),
            (deny_v1, false),
            (deny_below, true),
        ] {
            assert_eq!(
                is_allowed(&engine(&[(0, get), (0, restriction)]), &ask("a.example")),
                want,
                "{restriction}"
            );
        }
        assert!(!is_allowed(
            &engine(&[(0, get)]),
            &Request {
                method: Some("POST"),
                ..ask("a.example")
            }
        ));
    }

    #[test]
    fn what_may_not_be_resolved_may_not_be_connected_to() {
        let deny =
            r#""effect":"deny","action":"resolve","kind":"name","pattern":"db.example","downward":true"#;
        assert!(!is_allowed(&engine(&[(0, ANY), (0, deny)]), &ask("x.db.example")));
        assert!(is_allowed(
            &engine(&[(0, ANY), (0, deny), (1, OVERRIDE)]),
            &ask("db.example")
        ));
        let all = r#""effect":"deny","action":"resolve","kind":"any""#;
        assert!(
            is_allowed(&engine(&[(0, ANY), (0, all)]), &ask("93.184.215.14")),
            "an address needs no resolving"
        );
    }
}
