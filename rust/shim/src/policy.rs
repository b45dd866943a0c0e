//! The run's policy as the shim asks it: one engine, and the few questions of the launch and the brokers.

use crate::authority;
use crate::broker::syscalls::{FOREIGN, UNKNOWN};
use crate::description::Description;
use crate::error::ShimError;
use replicante_core::engine::Engine;
use replicante_core::fixit;
use replicante_core::glob::{Glob, Names, Segment as GlobSegment};
use replicante_core::policy::{Action, BindError, Bucket, Compiled, Form, Protocol, Source};
use replicante_core::request::{Decision, Outcome, Reason, Request};
use replicante_core::seccomp::{self, Arch, Verdict};
use replicante_sandbox::net;
use replicante_sandbox::view::{
    BENEATH, HOST_SOCKET, Pattern, Questions, Rights, Segment, UNLISTED, is_at_or_below,
};
use std::collections::{BTreeMap, BTreeSet};

/// Ports that are told to Landlock one by one; more than these must be all unprivileged ones.
const MOST_PORTS: usize = 512;
/// Most ports of the machine's localhost that are served inside (`kernel.md` §1).
const MOST_LOCAL_PORTS: usize = 64;
/// The first port that needs no capability (`ip_unprivileged_port_start` of a new namespace).
const FIRST_UNPRIVILEGED: u16 = 1024;

/// One of the limits of a policy.
pub struct Limit {
    pub bucket: Bucket,
    /// Id of the rule that it belongs to.
    pub owner: String,
    /// The limit as the language writes it.
    pub words: String,
}

pub struct Policy {
    engine: Engine,
    /// What no policy shows.
    beneath: Vec<String>,
}

impl Policy {
    /// Compiles the description's policy.
    ///
    /// # Errors
    /// L003 when it is no packed form that this engine reads, P040 or P041 for a value that it can't be bound to, P070 when
    /// one of the policy's own tests fails with the values of this run.
    pub fn read(description: &Description) -> Result<Self, ShimError> {
        let compiled = Form::unpack(&description.policy)
            .map_err(BindError::from)
            .and_then(|form| form.bind(&description.bindings))
            .map_err(|error| ShimError::policy(&error))?;
        let engine = Engine::new(compiled);
        if let Some((expectation, decision)) = engine.failed_test() {
            return Err(ShimError::failed_test(expectation, decision.outcome));
        }
        Ok(Self {
            engine,
            beneath: description.beneath.clone(),
        })
    }

    /// The engine, for what the egress proxy asks.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The id of the rule that a decision names; `S1` where none speaks, `S10` where none can.
    pub fn deciding_rule(&self, decision: &Decision) -> String {
        match (decision.rule, decision.reason) {
            (Some(rule), _) => self.rule_id(self.compiled().rules[rule].source),
            (None, Reason::Undecidable) => "S10".to_owned(),
            (None, _) => "S1".to_owned(),
        }
    }

    pub fn compiled(&self) -> &Compiled {
        self.engine.compiled()
    }

    /// What the view asks.
    pub fn questions(&self) -> Answers<'_> {
        Answers {
            rights: Box::new(|path| self.rights(path)),
            refusal: Box::new(|path| self.refusal(path)),
            closed: Box::new(|path| self.closed(path)),
            names_below: Box::new(|path| self.engine.names_below(path)),
            connect: Box::new(|path| {
                self.engine
                    .decide(&Request::new(Action::ConnectUnix, path))
                    .outcome
                    == Outcome::Allow
            }),
        }
    }

    fn rights(&self, path: &str) -> Rights {
        let all = [
            Rights::READ,
            Rights::WRITE,
            Rights::CREATE,
            Rights::DELETE,
            Rights::EXECUTE,
        ];
        let allowed = self.engine.rights(path);
        all.into_iter()
            .zip(allowed)
            .filter(|(_, allowed)| *allowed)
            .fold(Rights::NONE, |sum, (right, _)| sum.with(right))
    }

    /// The rule that refuses reading (else any other action) of a path, and whether it hides the name.
    fn refusal(&self, path: &str) -> Option<(usize, bool)> {
        Action::FILES
            .into_iter()
            .find_map(|action| self.refuses(&Request::new(action, path)))
    }

    /// The rule that refuses reading of a path, and whether it hides the name.
    fn closed(&self, path: &str) -> Option<(usize, bool)> {
        self.refuses(&Request::new(Action::Read, path))
    }

    /// The rule that refuses reading of what the run may have made itself, and whether it hides the name.
    pub fn closed_when_made(&self, path: &str) -> Option<(usize, bool)> {
        self.refuses(&Request {
            made: true,
            ..Request::new(Action::Read, path)
        })
    }

    /// Rules that close reading of names whoever makes them, which a file system can't be told in advance.
    pub fn closed_later(&self) -> ClosedLater {
        let mut closed = ClosedLater::default();
        let rules = self.compiled().rules.iter();
        for rule in
            rules.filter(|rule| rule.action == Action::Read && !rule.effect.allows() && !rule.existing)
        {
            let Some(glob) = rule.pattern.as_deref().and_then(|text| Glob::parse(text).ok()) else {
                continue;
            };
            let fixed: Vec<&str> = glob
                .segments()
                .iter()
                .map_while(|segment| match segment {
                    GlobSegment::Literal(bytes) => std::str::from_utf8(bytes).ok(),
                    _ => None,
                })
                .collect();
            let path = format!("/{}", fixed.join("/"));
            if fixed.len() == glob.segments().len() {
                closed.names.push(path);
            } else {
                closed.patterns.push(path);
            }
        }
        closed
    }

    fn refuses(&self, request: &Request<'_>) -> Option<(usize, bool)> {
        let decision = self.engine.decide(request);
        let rule = decision.rule.filter(|_| decision.outcome != Outcome::Allow)?;
        let rule = &self.compiled().rules[rule];
        Some((rule.source, rule.hidden))
    }

    /// The id of the rule that refuses reading of a name that is not shown; `S1` where none speaks.
    pub fn reading_rule(&self, path: &str) -> String {
        self.closed(path)
            .map_or_else(|| "S1".to_owned(), |(source, _)| self.rule_id(source))
    }

    /// The path patterns of allow rules, or of restricting ones, taken apart.
    pub fn patterns(&self, allows: bool) -> Vec<Pattern> {
        let mut seen = BTreeSet::new();
        for rule in &self.compiled().rules {
            // A hold is a denial until there is a commit gate, so it is guarded as one.
            if !rule.action.is_file() || rule.effect.allows() != allows {
                continue;
            }
            seen.extend(rule.pattern.as_deref());
        }
        seen.into_iter()
            .filter_map(|text| Glob::parse(text).ok().map(|glob| take_apart(&glob)))
            .collect()
    }

    /// Verdicts of all system calls.
    pub fn verdicts(&self, arch: Arch) -> BTreeMap<u32, Verdict> {
        seccomp::verdicts(arch, |name| self.engine.ruling(name))
    }

    /// The id of the rule that refuses a call.
    pub fn syscall_rule(&self, name: &str) -> String {
        if seccomp::is_floor(name) {
            return "kernel-surface".to_owned();
        }
        let decision = self.engine.decide(&Request::new(Action::Syscall, name));
        match decision.rule.filter(|_| decision.outcome != Outcome::Allow) {
            Some(rule) => self.rule_id(self.compiled().rules[rule].source),
            None if decision.outcome == Outcome::Allow => "kernel-surface".to_owned(),
            None => "S1".to_owned(),
        }
    }

    /// The id of a source; `beneath` for what no policy lifts.
    pub fn rule_id(&self, source: usize) -> String {
        match source {
            BENEATH => "beneath".to_owned(),
            HOST_SOCKET => "N12".to_owned(),
            UNLISTED => "S1".to_owned(),
            source => self
                .compiled()
                .sources
                .get(source)
                .map_or_else(String::new, |source| source.id.clone()),
        }
    }

    /// The limits, as the policy's buckets are numbered.
    pub fn limits(&self) -> Vec<Limit> {
        let buckets = self.compiled().buckets.iter().enumerate();
        buckets
            .map(|(index, bucket)| {
                let mut rules = self.compiled().rules.iter();
                let rule = rules.find(|rule| rule.limits.contains(&index));
                Limit {
                    bucket: bucket.clone(),
                    owner: rule.map_or_else(|| "network limit".to_owned(), |rule| self.rule_id(rule.source)),
                    words: limit_words(bucket),
                }
            })
            .collect()
    }

    fn source(&self, id: &str) -> Option<&Source> {
        self.compiled().sources.iter().find(|source| source.id == id)
    }

    /// `file:line:column` of a rule.
    pub fn place(&self, id: &str) -> Option<String> {
        self.source(id)
            .map(|source| format!("{}:{}:{}", source.file, source.line, source.column))
    }

    pub fn because(&self, id: &str) -> Option<&str> {
        self.source(id)?.because.as_deref()
    }

    /// The line that would allow a refused request.
    pub fn fix(&self, action: &str, resource: &str) -> Option<String> {
        if action == "syscall" && (seccomp::is_floor(resource) || [UNKNOWN, FOREIGN].contains(&resource)) {
            return None;
        }
        if self.beneath.iter().any(|ours| is_at_or_below(resource, ours)) {
            return None;
        }
        let action = Action::from_word(action)?;
        let request = match action {
            Action::Connect => connection(resource),
            // Programs resolve what they will connect to, most often by HTTPS; the other ports have no name yet.
            Action::Resolve => Request {
                port: Some(443),
                ..Request::new(Action::Connect, resource)
            },
            _ => Request::new(action, resource),
        };
        fixit::line(&self.engine, &request)
    }

    /// What the sandbox's network lets through to the egress proxy.
    ///
    /// # Errors
    /// L011 for more ports of `localhost` than can be taken from the agent.
    pub fn network(&self) -> Result<net::Plan, ShimError> {
        let literals = self.engine.literals().into_iter();
        let local: BTreeSet<u16> = self
            .engine
            .localhost_ports()
            .into_iter()
            .flat_map(|(low, high)| (low..=high).take(MOST_LOCAL_PORTS + 1))
            .collect();
        if local.len() > MOST_LOCAL_PORTS {
            return Err(ShimError::Refused {
                what: format!("over {MOST_LOCAL_PORTS} ports of the machine's localhost are allowed"),
                help: "name the ports that are needed".into(),
            });
        }
        Ok(net::Plan {
            name_ports: self.engine.name_ports(),
            literals: literals
                .filter(|literal| literal.protocol != Protocol::Udp)
                .map(|literal| net::Literal {
                    network: literal.network.address(),
                    prefix: literal.network.bits(),
                    ports: literal.ports,
                })
                .collect(),
            local_ports: local.into_iter().collect(),
        })
    }

    /// TCP ports that may be bound, for Landlock; `None` where the namespace's own bound says the same.
    ///
    /// # Errors
    /// L011 for a set of ports that neither can say.
    pub fn listen_ports(&self) -> Result<Option<Vec<u16>>, ShimError> {
        if self
            .compiled()
            .rules
            .iter()
            .all(|rule| rule.action != Action::Listen)
        {
            return Ok(Some(Vec::new()));
        }
        let allowed = |port: u16| {
            let request = Request {
                port: Some(port),
                ..Request::new(Action::Listen, "")
            };
            self.engine.decide(&request).outcome == Outcome::Allow
        };
        let ranges: Vec<(u16, u16)> = self
            .port_ranges()
            .into_iter()
            .filter(|(first, _)| allowed(*first))
            .collect();
        let count: usize = ranges
            .iter()
            .map(|(first, last)| usize::from(last - first) + 1)
            .sum();
        let privileged = ranges
            .iter()
            .any(|(first, _)| *first > 0 && *first < FIRST_UNPRIVILEGED);
        let unprivileged = usize::from(u16::MAX - FIRST_UNPRIVILEGED) + 1;
        if !privileged && count >= unprivileged {
            return Ok(None);
        }
        if count <= MOST_PORTS {
            return Ok(Some(
                ranges
                    .into_iter()
                    .flat_map(|(first, last)| first..=last)
                    .collect(),
            ));
        }
        Err(ShimError::Refused {
            what: format!("{count} ports to listen on: Landlock takes at most {MOST_PORTS} one by one"),
            help: "allow a smaller range, or all of 1024..65535".into(),
        })
    }

    /// Ranges of ports within which no listen rule begins or ends, so that each is decided alike. Port 0 is its own.
    fn port_ranges(&self) -> Vec<(u16, u16)> {
        let rules = self
            .compiled()
            .rules
            .iter()
            .filter(|rule| rule.action == Action::Listen);
        let edges = rules.filter_map(|rule| rule.ports.as_ref()).flatten();
        let mut starts: BTreeSet<u16> = edges
            .flat_map(|(low, high)| [Some(*low), high.checked_add(1)])
            .flatten()
            .collect();
        starts.extend([0, 1, FIRST_UNPRIVILEGED]);
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([u16::MAX]);
        starts.iter().copied().zip(ends).collect()
    }

    /// The smallest `max-file` that holds for every file, for `RLIMIT_FSIZE`.
    pub fn max_file(&self) -> Option<u64> {
        let compiled = self.compiled();
        compiled
            .blocks
            .filesystem
            .iter()
            .filter_map(|bucket| match compiled.buckets[*bucket] {
                Bucket::MaxFile { bytes } => Some(bytes),
                _ => None,
            })
            .min()
    }
}

/// Names that are closed whoever makes them.
#[derive(Debug, Default)]
pub struct ClosedLater {
    /// Whole paths.
    pub names: Vec<String>,
    /// The fixed beginnings of patterns.
    pub patterns: Vec<String>,
}

type Asked<'a, T> = Box<dyn Fn(&str) -> T + 'a>;

/// The closures behind `Questions`, owned.
pub struct Answers<'a> {
    rights: Asked<'a, Rights>,
    refusal: Asked<'a, Option<(usize, bool)>>,
    closed: Asked<'a, Option<(usize, bool)>>,
    names_below: Asked<'a, Names>,
    connect: Asked<'a, bool>,
}

impl Answers<'_> {
    pub fn as_questions(&self) -> Questions<'_> {
        Questions {
            rights: &*self.rights,
            refusal: &*self.refusal,
            closed: &*self.closed,
            names_below: &*self.names_below,
            connect: &*self.connect,
        }
    }
}

/// The request that an event names: `HOST:PORT`, or `METHOD SCHEME://HOST:PORT/PATH`.
fn connection(resource: &str) -> Request<'_> {
    let Some((method, (scheme, rest))) = resource
        .split_once(' ')
        .and_then(|(method, url)| Some((method, url.split_once("://")?)))
    else {
        let (host, port) = authority::split(resource);
        return Request {
            port: port.and_then(|port| port.parse().ok()),
            ..Request::new(Action::Connect, host)
        };
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority::split(authority);
    Request {
        port: port.and_then(|port| port.parse().ok()),
        protocol: if scheme == "http" {
            Protocol::Http
        } else {
            Protocol::Tcp
        },
        method: Some(method),
        path: Some(path),
        ..Request::new(Action::Connect, host)
    }
}

fn unit(ns: u64) -> &'static str {
    match ns / 1_000_000_000 {
        ..60 => "s",
        60..3600 => "min",
        3600..86400 => "h",
        _ => "day",
    }
}

/// A limit as the language writes it; of the network alone.
fn limit_words(bucket: &Bucket) -> String {
    match bucket {
        Bucket::Rate { count, unit_ns, .. } => format!("rate {count}/{}", unit(*unit_ns)),
        Bucket::Connections { count } => format!("connections {count}"),
        Bucket::Upload { count, unit_ns, .. } => format!("upload {}/{}", size(*count), unit(*unit_ns)),
        Bucket::Download { count, unit_ns, .. } => format!("download {}/{}", size(*count), unit(*unit_ns)),
        _ => String::new(),
    }
}

/// A size in the largest unit that has a whole number of it (T5).
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = units
        .into_iter()
        .find(|(bits, _)| bytes.trailing_zeros() >= *bits);
    fits.map_or_else(
        || format!("{bytes}B"),
        |(bits, unit)| format!("{}{unit}", bytes >> bits),
    )
}

fn take_apart(glob: &Glob) -> Pattern {
    let segments = glob
        .segments()
        .iter()
        .map(|segment| match segment {
            GlobSegment::Literal(bytes) => Segment::Literal(String::from_utf8_lossy(bytes).into_owned()),
            GlobSegment::Wild(glob) => Segment::Wild(glob.clone()),
            GlobSegment::AnyDepth => Segment::AnyDepth,
        })
        .collect();
    Pattern { segments }
}
