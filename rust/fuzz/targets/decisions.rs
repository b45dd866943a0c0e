//! Decisions on files: the automaton decides as the text of the language does, rule by rule.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use replicante_core::engine::Engine;
use replicante_core::glob::{Glob, escape};
use replicante_core::path::NormalPath;
use replicante_core::policy::{Action, Effect, Form, Values};
use replicante_core::request::{Outcome, Reason, Request};
use serde_json::json;

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Word {
    Allow,
    OverrideAllow,
    Hold,
    Deny,
    Never,
    Tripwire,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Name {
    A,
    B,
    Ab,
    Star,
    AStar,
    AnyDepth,
}

#[derive(Debug, Arbitrary)]
struct Rule {
    word: Word,
    /// Whose line it is: 0 and 1 don't know each other, 2 extends both.
    policy: u8,
    pattern: Vec<Name>,
    downward: bool,
    existing: bool,
}

#[derive(Debug, Arbitrary)]
struct Case {
    rules: Vec<Rule>,
    path: Vec<Name>,
    /// Another literal name of the same object.
    via: Option<Vec<Name>>,
    made: bool,
}

fuzz_target!(|case: Case| {
    let rules = &case.rules[..case.rules.len().min(12)];
    let written = form(rules);
    let bound = Form::parse(written.as_bytes()).map(|form| form.bind(&Values::new()));
    let Ok(Ok(compiled)) = bound else {
        panic!("not a compiled form: {written}");
    };
    let engine = Engine::new(compiled);
    let path = text(&case.path, literal);
    let via: Vec<String> = case.via.iter().map(|names| text(names, literal)).collect();
    let via: Vec<&str> = via.iter().map(String::as_str).collect();
    // Delete is the one action of files that every effect may stand before.
    let request = Request {
        via: &via,
        made: case.made,
        ..Request::new(Action::Delete, &path)
    };
    let decision = engine.decide(&request);
    let (outcome, reason) = judge(rules, &path, &via, case.made, None);
    assert_eq!((decision.outcome, decision.reason), (outcome, reason), "{case:?}");
    if case.made || !via.is_empty() {
        return;
    }
    // The fix is a line that helps: engine and text agree on that too.
    if let Some(line) = replicante_core::fixit::line(&engine, &request) {
        let Some((word, _)) = line.split_once(" delete ") else {
            panic!("no line of a file: {line}");
        };
        let fix = if word == "allow" {
            Word::Allow
        } else {
            Word::OverrideAllow
        };
        assert_eq!(
            judge(rules, &path, &[], false, Some(fix)).0,
            Outcome::Allow,
            "{line} {case:?}"
        );
    }
});

/// S1, S2, S7, S8 and D2, each rule on each name. `fix` is the line of a child of all for just this path.
fn judge(rules: &[Rule], path: &str, via: &[&str], made: bool, fix: Option<Word>) -> (Outcome, Reason) {
    let matching = |name: &str| -> Vec<&Rule> {
        let fits = |rule: &&Rule| !(made && rule.existing) && meets(rule, name);
        rules.iter().filter(fits).collect()
    };
    let mut restrictions: Vec<&Rule> = Vec::new();
    for name in [path].iter().chain(via) {
        let entries = matching(name);
        restrictions.extend(entries.iter().copied().filter(|rule| match rule.word {
            Word::Allow | Word::OverrideAllow => false,
            Word::Never | Word::Tripwire => true,
            Word::Deny | Word::Hold if matches!(fix, Some(Word::OverrideAllow)) => false,
            Word::Deny | Word::Hold => {
                !entries.iter().any(|other| {
                    matches!(other.word, Word::OverrideAllow) && extends(owner(other), owner(rule))
                })
            }
        }));
    }
    let granted = fix.is_some() || matching(path).iter().any(|rule| effect(rule.word).allows());
    let has = |want: Effect| restrictions.iter().any(|rule| effect(rule.word) == want);
    if has(Effect::Tripwire) {
        (Outcome::Deny, Reason::Tripwire)
    } else if has(Effect::Never) {
        (Outcome::Deny, Reason::Never)
    } else if has(Effect::Deny) {
        (Outcome::Deny, Reason::DenyRule)
    } else if !granted {
        (Outcome::Deny, Reason::NoAllowRule)
    } else if has(Effect::Hold) {
        (Outcome::Hold, Reason::HoldRule)
    } else {
        (Outcome::Allow, Reason::AllowRule)
    }
}

fn meets(rule: &Rule, name: &str) -> bool {
    let (Ok(glob), Ok(path)) = (
        Glob::parse(&pattern(&rule.pattern)),
        NormalPath::parse(name.as_bytes()),
    ) else {
        panic!("neither pattern nor path can be wrong here");
    };
    if rule.downward {
        glob.covers(path)
    } else {
        glob.matches(path)
    }
}

fn owner(rule: &Rule) -> u8 {
    rule.policy % 3
}

fn extends(child: u8, ancestor: u8) -> bool {
    child == 2 && ancestor < 2
}

fn effect(word: Word) -> Effect {
    match word {
        Word::Allow => Effect::Allow,
        Word::OverrideAllow => Effect::OverrideAllow,
        Word::Hold => Effect::Hold,
        Word::Deny => Effect::Deny,
        Word::Never => Effect::Never,
        Word::Tripwire => Effect::Tripwire,
    }
}

fn form(rules: &[Rule]) -> String {
    let source = |policy: u8| json!({"id": format!("p{policy}/r"), "policy": policy, "file": "", "line": 1, "column": 1, "because": null, "text": ""});
    let word = |word: Word| match word {
        Word::Allow => "allow",
        Word::OverrideAllow => "override_allow",
        Word::Hold => "hold",
        Word::Deny => "deny",
        Word::Never => "never",
        Word::Tripwire => "tripwire",
    };
    let entry = |rule: &Rule| {
        json!({
            "source": owner(rule), "effect": word(rule.word), "action": "delete", "pattern": pattern(&rule.pattern),
            "downward": rule.downward, "existing": rule.existing,
        })
    };
    json!({
        "format": 2, "name": "top", "trust_digest": "",
        "policies": [
            {"name": "left", "shipped": false, "ancestors": []}, {"name": "right", "shipped": false, "ancestors": []},
            {"name": "top", "shipped": false, "ancestors": [0, 1]},
        ],
        "sources": [source(0), source(1), source(2)], "buckets": [], "rules": rules.iter().map(entry).collect::<Vec<_>>(),
        "blocks": {"filesystem": [], "network": [], "mcp": []},
        "resources": {
            "memory": 1, "swap": 0, "disk": 1, "tmp": 1, "output": 1, "cpu": 1, "processes": 1, "threads": 1,
            "open-files": 1, "cpu-time": 1, "wall-time": 1, "idle-time": 1, "io-read": null, "io-write": null,
        },
        "stated": [], "home": "real", "workspace": "direct", "accept": [],
        "environment": {"keep": [], "set": {}, "secrets": []}, "capabilities": [], "alerts": [], "tripwires": [],
        "pins": [], "tests": [], "variables": [], "host_sets": {}, "public_suffix_date": "",
    })
    .to_string()
}

fn pattern(names: &[Name]) -> String {
    let word = |name: Name| match name {
        Name::A | Name::B | Name::Ab => escape(literal(name)),
        Name::Star => "*".to_owned(),
        Name::AStar => "a*".to_owned(),
        Name::AnyDepth => "**".to_owned(),
    };
    joined(&names.iter().take(6).map(|name| word(*name)).collect::<Vec<_>>())
}

fn text(names: &[Name], word: impl Fn(Name) -> &'static str) -> String {
    joined(
        &names
            .iter()
            .take(8)
            .map(|name| word(*name).to_owned())
            .collect::<Vec<_>>(),
    )
}

/// A name as it stands in a path; some are what a pattern would call a wildcard.
fn literal(name: Name) -> &'static str {
    match name {
        Name::A => "a",
        Name::B => "b",
        Name::Ab => "ab",
        Name::Star => "*",
        Name::AStar => "a?",
        Name::AnyDepth => "c",
    }
}

fn joined(names: &[String]) -> String {
    if names.is_empty() {
        return "/".to_owned();
    }
    names.iter().flat_map(|name| ["/", name]).collect()
}
