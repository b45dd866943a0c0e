//! Tool calls and their conditions: M1–M3, by the vectors of `policy-language.md`, Appendix B.
#![allow(clippy::unwrap_used)] // the helpers of a test are tests, too

mod forms;

use forms::engine;
use replicante_core::json::Json;
use replicante_core::policy::Action;
use replicante_core::request::{Outcome, Reason, Request};

const PATH_IN_SRV: &str =
    r#"{"op":"test","arg":["path"],"each":null,"test":{"kind":"path","pattern":"/srv/**","downward":false}}"#;
const SMALL: &str =
    r#"{"op":"test","arg":["size"],"each":null,"test":{"kind":"compare","cmp":"<=","value":1000}}"#;

fn rule(effect: &str, pattern: &str, condition: Option<&str>) -> (usize, String) {
    let condition = condition.map_or_else(String::new, |condition| format!(r#","condition":{condition}"#));
    (
        0,
        format!(r#""effect":"{effect}","action":"call","pattern":"{pattern}"{condition}"#),
    )
}

fn decide(rules: &[(usize, String)], subject: &str, arguments: &str) -> Outcome {
    let arguments = Json::parse(arguments.as_bytes()).unwrap();
    let request = Request {
        arguments: Some(&arguments),
        ..Request::new(Action::Call, subject)
    };
    engine(rules).decide(&request).outcome
}

#[test]
fn v012_v013_a_hold_under_a_condition() {
    let main =
        r#"{"op":"test","arg":["base"],"each":null,"test":{"kind":"compare","cmp":"==","value":"main"}}"#;
    let rules = [rule("allow", "g:*", None), rule("hold", "g:merge", Some(main))];
    let cases = [
        (r#"{"base":"main"}"#, Outcome::Hold),
        (r#"{"base":"dev"}"#, Outcome::Allow),
        // Unknown holds: leaving the argument out never helps.
        ("{}", Outcome::Hold),
        (r#"{"base":1}"#, Outcome::Hold),
    ];
    for (arguments, want) in cases {
        assert_eq!(decide(&rules, "g:merge", arguments), want, "{arguments}");
    }
}

#[test]
fn v116_to_v121_an_allow_under_two_tests() {
    let both = format!(r#"{{"op":"and","of":[{PATH_IN_SRV},{SMALL}]}}"#);
    let rules = [rule("allow", "f:w", Some(&both))];
    let cases = [
        (r#"{"path":"/srv/a","size":1000}"#, Outcome::Allow),
        (r#"{"path":"/srv/a","size":1001}"#, Outcome::Deny),
        (r#"{"path":"/srv/a","size":1e3}"#, Outcome::Allow),
        (r#"{"path":"/srv/a"}"#, Outcome::Deny),
        (r#"{"path":"/srv/a","size":"1"}"#, Outcome::Deny),
        (r#"{"path":"/srv/../etc/x","size":1}"#, Outcome::Deny),
        (r#"{"path":["/srv/a"],"size":1}"#, Outcome::Deny),
    ];
    for (arguments, want) in cases {
        assert_eq!(decide(&rules, "f:w", arguments), want, "{arguments}");
    }
}

#[test]
fn v132_v133_all_leaves_that_look_like_paths() {
    let etc =
        r#"{"op":"test","arg":null,"each":"some","test":{"kind":"path","pattern":"/etc","downward":true}}"#;
    let rules = [rule("allow", "f:*", None), rule("deny", "f:*", Some(etc))];
    let cases = [
        (r#"{"a":{"b":["/etc/passwd"]}}"#, Outcome::Deny),
        (r#"{"text":"hello"}"#, Outcome::Allow),
        (r#"{"a":"/srv/x"}"#, Outcome::Allow),
        (r#"{"a":"../../etc/passwd"}"#, Outcome::Deny),
        (r#"{"a":"file:///etc/passwd"}"#, Outcome::Deny),
    ];
    for (arguments, want) in cases {
        assert_eq!(decide(&rules, "f:w", arguments), want, "{arguments}");
    }
}

#[test]
fn an_unknown_condition_does_not_grant_under_not_either() {
    let not = format!(r#"{{"op":"not","of":[{SMALL}]}}"#);
    assert_eq!(
        decide(&[rule("allow", "f:w", Some(&not))], "f:w", "{}"),
        Outcome::Deny
    );
    let only = r#"{"op":"only","args":["a"]}"#;
    let rules = [rule("allow", "f:w", Some(only))];
    assert_eq!(decide(&rules, "f:w", r#"{"a":1}"#), Outcome::Allow);
    assert_eq!(decide(&rules, "f:w", r#"{"a":1,"b":2}"#), Outcome::Deny);
}

#[test]
fn v139_to_v143_subjects_of_other_actions() {
    let rules = [
        (
            0,
            r#""effect":"allow","action":"resource","pattern":"d:https://docs.example/**""#,
        ),
        (0, r#""effect":"allow","action":"sampling","pattern":"d""#),
    ];
    let engine = engine(&rules);
    let cases = [
        (Action::Resource, "d:https://docs.example/a/b", Reason::AllowRule),
        (Action::Resource, "d:https://other.example/a", Reason::NoAllowRule),
        (
            Action::Resource,
            "d:https://docs.example/a/../b",
            Reason::Undecidable,
        ),
        (Action::Sampling, "d", Reason::AllowRule),
        (Action::Elicitation, "d", Reason::NoAllowRule),
        (Action::Call, "d:x", Reason::NoAllowRule),
    ];
    for (action, subject, want) in cases {
        assert_eq!(
            engine.decide(&Request::new(action, subject)).reason,
            want,
            "{subject}"
        );
    }
}
