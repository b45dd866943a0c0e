//! What stands around a decision: the allows that match, and the nearest one that does not.
#![allow(clippy::unwrap_used)] // the helpers of a test are tests, too

mod forms;

use forms::engine;
use proptest::prelude::*;
use replicante_core::engine::Engine;
use replicante_core::policy::Action;
use replicante_core::request::{Outcome, Reason, Request};

/// The nearest allow: its entry, and what differs.
fn nearest(engine: &Engine, request: &Request<'_>) -> Option<(usize, Vec<String>)> {
    let explained = engine.explain(request);
    assert_eq!(explained.nearest_allow, engine.nearest_allow(request));
    let nearest = explained.nearest_allow?;
    Some((
        nearest.rule,
        nearest.differences.iter().map(ToString::to_string).collect(),
    ))
}

fn expect(engine: &Engine, request: &Request<'_>, rule: usize, differs: &[&str]) {
    let differs = differs.iter().map(ToString::to_string).collect();
    assert_eq!(nearest(engine, request), Some((rule, differs)), "{request:?}");
}

#[test]
fn the_path_that_shares_most_of_its_start() {
    let engine = engine(&[
        (0, r#""effect":"allow","action":"read","pattern":"/srv/**""#),
        (
            0,
            r#""effect":"allow","action":"read","pattern":"/home/ada/shop/**""#,
        ),
        (
            0,
            r#""effect":"allow","action":"read","pattern":"/home/ada/other/*""#,
        ),
        (0, r#""effect":"allow","action":"write","pattern":"/home/ada/x""#),
    ]);
    let request = Request::new(Action::Read, "/home/ada/x");
    expect(
        &engine,
        &request,
        1,
        &["path differs: `/home/ada/shop/**` does not match /home/ada/x"],
    );
    expect(
        &engine,
        &Request::new(Action::Read, "/etc"),
        0,
        &["path differs: `/srv/**` does not match /etc"],
    );
    assert_eq!(
        nearest(&engine, &Request::new(Action::Delete, "/etc")),
        None,
        "no rule allows it anywhere"
    );
    assert_eq!(
        nearest(&engine, &Request::new(Action::Read, "/srv/a")),
        None,
        "it is allowed"
    );
    assert_eq!(
        nearest(&engine, &Request::new(Action::Read, "/a/../b")),
        None,
        "it is undecidable"
    );
}

#[test]
fn the_connection_with_the_fewest_differing_parts() {
    let engine = engine(&[
        (
            0,
            r#""effect":"allow","action":"connect","kind":"name","pattern":"a.example","ports":[[80,80],[8000,8100]],"protocol":"tcp""#,
        ),
        (
            0,
            r#""effect":"allow","action":"connect","kind":"name","pattern":"b.example","ports":[[443,443]],"inspect":true,"methods":["GET"],"url_paths":["/v1/**"]"#,
        ),
        (
            0,
            r#""effect":"allow","action":"connect","kind":"net","pattern":"192.0.2.0/24","ports":[[53,53]],"protocol":"udp""#,
        ),
    ]);
    let ask = |host, port| Request {
        port: Some(port),
        ..Request::new(Action::Connect, host)
    };
    expect(
        &engine,
        &ask("a.example", 443),
        0,
        &["port differs: 80, 8000-8100 is not 443"],
    );
    expect(
        &engine,
        &ask("c.example", 443),
        1,
        &["host differs: `b.example` does not match c.example"],
    );
    expect(
        &engine,
        &Request {
            method: Some("POST"),
            path: Some("/v2"),
            ..ask("b.example", 443)
        },
        1,
        &[
            "method differs: GET is not POST",
            "path differs: `/v1/**` does not match /v2",
        ],
    );
    expect(
        &engine,
        &ask("192.0.2.7", 53),
        2,
        &["protocol differs: udp is not tcp"],
    );
    expect(
        &engine,
        &Request {
            resolves: Some(&["10.0.0.5"]),
            ..ask("a.example", 80)
        },
        0,
        &["address differs: it does not open 10.0.0.5"],
    );
    // What may be connected to may be resolved, so such a rule is near, too.
    expect(
        &engine,
        &Request::new(Action::Resolve, "c.example"),
        0,
        &["host differs: `a.example` does not match c.example"],
    );
}

#[test]
fn other_actions() {
    let condition = r#"{"op":"test","arg":["n"],"each":null,"test":{"kind":"compare","cmp":"<","value":3}}"#;
    let call = format!(r#""effect":"allow","action":"call","pattern":"git:get_*","condition":{condition}"#);
    let engine = engine(&[
        (0, call.as_str()),
        (0, r#""effect":"allow","action":"call","pattern":"files:*""#),
        (0, r#""effect":"allow","action":"listen","ports":[[3000,3000]]"#),
        (0, r#""effect":"allow","action":"syscall","names":["ptrace"]"#),
    ]);
    let call = |subject| Request::new(Action::Call, subject);
    expect(
        &engine,
        &call("git:get_x"),
        0,
        &["arguments differ: whether its condition holds can't be told"],
    );
    expect(
        &engine,
        &call("filer:x"),
        1,
        &["subject differs: `files:*` does not match filer:x"],
    );
    let listen = Request {
        port: Some(80),
        ..Request::new(Action::Listen, "")
    };
    expect(&engine, &listen, 2, &["port differs: 3000 is not 80"]);
    expect(
        &engine,
        &Request::new(Action::Syscall, "bpf"),
        3,
        &["call differs: bpf is not among them"],
    );
}

#[test]
fn a_restriction_names_the_allows_that_match() {
    let engine = engine(&[
        (0, r#""effect":"allow","action":"read","pattern":"/a/**""#),
        (0, r#""effect":"allow","action":"read","pattern":"/a/*""#),
        (1, r#""effect":"allow","action":"read","pattern":"/**""#),
        (2, r#""effect":"allow","action":"read","pattern":"/b""#),
        (
            0,
            r#""effect":"deny","action":"read","pattern":"/a/x","downward":true"#,
        ),
    ]);
    let explained = engine.explain(&Request::new(Action::Read, "/a/x"));
    assert_eq!(explained.decision.reason, Reason::DenyRule);
    // Entries 0 and 1 come from one source.
    assert_eq!(
        (explained.would_allow, explained.nearest_allow),
        (vec![0, 2], None)
    );
    let allowed = engine.explain(&Request::new(Action::Read, "/a/y"));
    assert!(allowed.would_allow.is_empty());
}

/// An allow or a deny of a small world, with the parts that a connection has.
fn entry() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec!["a.example", "*.example", "10.0.0.0/8", "b.a.example"]);
    (host, 0u16..3, any::<bool>(), any::<bool>(), 0..4).prop_map(|(host, port, private, udp, effect)| {
        let kind = if host.contains('/') { "net" } else { "name" };
        let effect = if effect == 0 { "deny" } else { "allow" };
        let classes = if private { r#""private""# } else { "" };
        let protocol = if udp && kind == "net" { "udp" } else { "tcp" };
        let (low, high) = (port * 10 + 1, port * 10 + 15);
        format!(
            r#""effect":"{effect}","action":"connect","kind":"{kind}","pattern":"{host}","ports":[[{low},{high}]],"protocol":"{protocol}","classes":[{classes}]"#
        )
    })
}

proptest! {
    #[test]
    fn an_explanation_agrees_with_the_decision(
        entries in prop::collection::vec((0..3usize, entry()), 0..5),
        host in prop::sample::select(vec!["a.example", "c.example", "10.1.2.3", "93.184.215.14"]),
        port in 1u16..40,
        resolved in any::<bool>(),
    ) {
        let engine = engine(&entries);
        let request = Request {
            port: Some(port),
            resolves: resolved.then_some(&["10.1.2.3"]),
            ..Request::new(Action::Connect, host)
        };
        let explained = engine.explain(&request);
        let decision = explained.decision;
        prop_assert_eq!(decision, engine.decide(&request));
        if let Some(first) = decision.would_allow {
            let source = |entry: usize| engine.compiled().rules[entry].source;
            let sources: Vec<usize> = explained.would_allow.iter().map(|entry| source(*entry)).collect();
            prop_assert!(decision.outcome == Outcome::Allow || resolved || sources.contains(&source(first)));
        }
        let allows = entries.iter().any(|(_, entry)| entry.contains("allow"));
        let silent = decision.reason == Reason::NoAllowRule;
        prop_assert!(explained.nearest_allow.is_none() || silent);
        // Without addresses each allow that is refused by itself differs in something that can be named.
        prop_assert!(!silent || !allows || explained.nearest_allow.is_some());
        prop_assert!(explained.nearest_allow.is_none_or(|nearest| !nearest.differences.is_empty()));
    }
}
