//! The compiled form: whatever is accepted is total, so that no request of any action can fail, and asking twice is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_core::engine::Engine;
use replicante_core::fixit;
use replicante_core::json::Json;
use replicante_core::policy::{Action, Form, Protocol};
use replicante_core::request::{Outcome, Request};

const ACTIONS: [Action; 16] = [
    Action::Read,
    Action::Write,
    Action::Create,
    Action::Delete,
    Action::Execute,
    Action::Connect,
    Action::ConnectUnix,
    Action::Resolve,
    Action::Listen,
    Action::Call,
    Action::Resource,
    Action::Prompt,
    Action::Sampling,
    Action::Elicitation,
    Action::Roots,
    Action::Syscall,
];

/// Requests besides those that the form's own rules name.
const RESOURCES: [&str; 7] = [
    "/",
    "/w/src/a.py",
    "a.x.example",
    "10.0.0.1",
    "forge:create_issue",
    "openat",
    "not//canonical",
];

/// What the form is bound to: values that mean something in a pattern, too.
const VALUES: [(&str, &str); 3] = [("workspace", "/w"), ("home", "/h*"), ("user", "ada")];

fuzz_target!(|bytes: &[u8]| {
    let form = match Form::unpack(bytes).or_else(|_| Form::parse(bytes)) {
        Ok(form) => form,
        Err(error) => {
            assert!(!error.place.is_empty() && !error.what.is_empty(), "{error:?}");
            return;
        }
    };
    let packed = form.pack().unwrap_or_default();
    let Ok(again) = Form::unpack(&packed) else {
        panic!("what was packed is no packed form");
    };
    assert_eq!(format!("{form:?}"), format!("{again:?}"));
    let values = VALUES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Ok(compiled) = form.bind(&values.into()) else {
        return;
    };
    let own: Vec<String> = compiled
        .rules
        .iter()
        .flat_map(|rule| rule.pattern.iter().chain(&rule.names))
        .map(|text| text.replace("**", "x").replace('*', "y").replace('\\', ""))
        .collect();
    let engine = Engine::new(compiled);
    let arguments = Json::parse(br#"{"n":1.5,"s":"x","list":[1,{"x":null}]}"#).ok();
    for resource in own.iter().map(String::as_str).chain(RESOURCES).take(32) {
        for action in ACTIONS {
            let request = Request {
                port: Some(443),
                protocol: Protocol::Http,
                method: Some("GET"),
                path: Some("/a/b"),
                arguments: arguments.as_ref(),
                ..Request::new(action, resource)
            };
            ask(&engine, &request);
        }
    }
});

fn ask(engine: &Engine, request: &Request<'_>) {
    let decision = engine.decide(request);
    assert_eq!(engine.decide(request), decision);
    let explained = engine.explain(request);
    assert_eq!(explained.decision, decision);
    let rules = &engine.compiled().rules;
    if let Some(rule) = decision.rule {
        let grants = rules[rule].effect.allows();
        assert_eq!(grants, decision.outcome == Outcome::Allow, "{request:?}");
    } else {
        assert_eq!(decision.outcome, Outcome::Deny, "{request:?}");
    }
    if decision.outcome == Outcome::Allow {
        assert_eq!(fixit::line(engine, request), None);
        assert!(explained.nearest_allow.is_none() && explained.would_allow.is_empty());
    }
    // A line that is offered is one line.
    if let Some(line) = fixit::line(engine, request) {
        assert!(!line.contains('\n'), "{line:?}");
    }
}
