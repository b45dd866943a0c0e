//! The one policy line that would allow a refused request, checked by the engine before it is shown.

use crate::engine::Engine;
use crate::glob::escape;
use crate::host::Host;
use crate::policy::{Action, Effect, Rule};
use crate::request::{Outcome, Reason, Request};

/// The line, as it stands in a block of a child policy; `None` where no line helps: a never, a tripwire, a request that
/// can't be decided, or one that is allowed.
pub fn line(engine: &Engine, request: &Request<'_>) -> Option<String> {
    let decision = engine.decide(request);
    if decision.outcome == Outcome::Allow
        || matches!(
            decision.reason,
            Reason::Never | Reason::Tripwire | Reason::Undecidable
        )
    {
        return None;
    }
    let (subject, rule) = subject(engine, request)?;
    // A plain allow where it is enough; something that restricts as well needs the override.
    let words = [
        ("allow", Effect::Allow),
        ("override allow", Effect::OverrideAllow),
    ];
    let (word, _) = words
        .into_iter()
        .find(|(_, effect)| would_help(engine, request, &rule, *effect))?;
    Some(match request.action {
        // A block of system calls has no word for its one action.
        Action::Syscall => format!("{word} {subject}"),
        action => format!("{word} {} {subject}", action.word()),
    })
}

/// The subject as text, and the entry that the line would lower to.
fn subject(engine: &Engine, request: &Request<'_>) -> Option<(String, Rule)> {
    let mut rule = blank(request.action);
    let text = match request.action {
        Action::Connect | Action::Resolve => {
            let host = Host::parse(request.resource).ok()?;
            rule.kind = Some(if matches!(host, Host::Name(_)) {
                crate::policy::HostKind::Name
            } else {
                crate::policy::HostKind::Net
            });
            rule.pattern = Some(host.to_string());
            match (request.action, request.port) {
                (Action::Connect, Some(port)) => {
                    rule.ports = Some(vec![(port, port)]);
                    format!("\"{host}\" port {port}")
                }
                (Action::Connect, None) => return None,
                _ => format!("\"{host}\""),
            }
        }
        Action::Listen => {
            let port = request.port?;
            rule.ports = Some(vec![(port, port)]);
            format!("port {port}")
        }
        Action::Syscall => {
            // The name stands bare in the line, so it must be a word of the language.
            let name = request.resource.as_bytes();
            let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
            if name.first().is_none_or(u8::is_ascii_digit) || !name.iter().all(plain) {
                return None;
            }
            rule.names = vec![request.resource.to_owned()];
            request.resource.to_owned()
        }
        action if action.is_mcp() => {
            rule.pattern = Some(escape(request.resource));
            format!("\"{}\"", quote(&escape(request.resource)))
        }
        _ => {
            rule.pattern = Some(escape(request.resource));
            format!("\"{}\"", path_text(engine, request.resource))
        }
    };
    Some((text, rule))
}

/// A path as a pattern that parses to that very path, with the variable that it starts with.
fn path_text(engine: &Engine, path: &str) -> String {
    let bindings = &engine.compiled().bindings;
    let mut places: Vec<(&str, &str)> = ["workspace", "home", "tmp", "cache", "runtime"]
        .into_iter()
        .filter_map(|name| bindings.get(name).map(|place| (name, place.as_str())))
        .collect();
    places.sort_by_key(|(_, place)| std::cmp::Reverse(place.len()));
    for (name, place) in places {
        if let Some(rest) = path
            .strip_prefix(place)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return format!("${{{name}}}{}", quote(&escape(rest)));
        }
    }
    quote(&escape(path))
}

/// Pattern text inside a string of the language: what the pattern has escaped stays so, the rest that a string needs is
/// escaped here.
fn quote(pattern: &str) -> String {
    let mut text = String::new();
    for c in pattern.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '$' => text.push_str("\\$"),
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                text.extend(["\\u{", &format!("{:x}", u32::from(c)), "}"]);
            }
            c => text.push(c),
        }
    }
    text
}

fn blank(action: Action) -> Rule {
    Rule {
        source: 0,
        effect: Effect::OverrideAllow,
        action,
        pattern: None,
        downward: false,
        hidden: false,
        existing: false,
        inert: false,
        kind: None,
        ports: None,
        protocol: None,
        classes: Vec::new(),
        methods: Vec::new(),
        url_paths: Vec::new(),
        inspect: false,
        publish: false,
        condition: None,
        expose: Vec::new(),
        names: Vec::new(),
        errno: None,
        kill: false,
        limits: Vec::new(),
    }
}

/// Decides the request again by a child policy that holds just this line.
fn would_help(engine: &Engine, request: &Request<'_>, rule: &Rule, effect: Effect) -> bool {
    let mut compiled = engine.compiled().clone();
    let ancestors = (0..compiled.policies.len()).collect();
    let policy = compiled.policies.len();
    compiled.policies.push(crate::policy::PolicyInfo {
        name: "child".into(),
        shipped: false,
        ancestors,
    });
    let rule = Rule {
        source: compiled.sources.len(),
        effect,
        ..rule.clone()
    };
    let (id, file, text) = ("child/line".to_owned(), String::new(), String::new());
    compiled.sources.push(crate::policy::Source {
        id,
        policy,
        file,
        line: 1,
        column: 1,
        because: None,
        text,
    });
    compiled.rules.push(rule);
    Engine::new(compiled).decide(request).outcome == Outcome::Allow
}
