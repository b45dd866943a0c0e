//! The engine against a slow reference, written straight from `policy-language.md` §2, F3, F5 and `decisions.md` D2.
#![allow(clippy::unwrap_used)] // the helpers of a test are tests, too

mod forms;

use proptest::prelude::*;
use replicante_core::engine::Engine;
use replicante_core::policy::Action;
use replicante_core::request::{Outcome, Request};

/// Three policies: `top` extends `left` and `right`, which don't know each other.
const ANCESTORS: [&[usize]; 3] = [&[], &[], &[0, 1]];
const EFFECTS: [&str; 6] = ["allow", "override_allow", "hold", "deny", "never", "tripwire"];

#[derive(Clone, Debug)]
struct Written {
    policy: usize,
    effect: &'static str,
    action: &'static str,
    pattern: Vec<&'static str>,
    downward: bool,
    existing: bool,
}

impl Written {
    fn grants(&self) -> bool {
        matches!(self.effect, "allow" | "override_allow")
    }

    fn entry(&self) -> String {
        format!(
            r#""effect":"{}","action":"{}","pattern":"/{}","downward":{},"existing":{}"#,
            self.effect,
            self.action,
            self.pattern.join("/"),
            self.downward,
            self.existing
        )
    }

    /// F3 and S8.
    fn matches(&self, name: &str) -> bool {
        let segments: Vec<&str> = name.split('/').filter(|segment| !segment.is_empty()).collect();
        if self.downward {
            return (0..=segments.len()).any(|length| matches(&self.pattern, &segments[..length]));
        }
        matches(&self.pattern, &segments)
    }
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((&"**", rest)) => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        Some((first, rest)) => path.split_first().is_some_and(|(name, path)| {
            let here = match first.split_once('*') {
                None => first == name,
                Some((start, end)) => {
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                }
            };
            here && matches(rest, path)
        }),
    }
}

/// The formula after S7, for each name as F5 says.
fn reference(rules: &[Written], action: &str, names: &[String], made: bool) -> Outcome {
    let applies = |rule: &Written, name: &str| {
        let about_others = rule.existing && !rule.grants();
        rule.action == action && rule.matches(name) && !(about_others && (made || action == "create"))
    };
    let restricts = |effects: &[&str], name: &str| {
        rules
            .iter()
            .filter(|rule| effects.contains(&rule.effect) && applies(rule, name))
            .any(|restriction| {
                let liftable = matches!(restriction.effect, "deny" | "hold");
                !rules.iter().any(|lifting| {
                    liftable
                        && lifting.effect == "override_allow"
                        && applies(lifting, name)
                        && ANCESTORS[lifting.policy].contains(&restriction.policy)
                })
            })
    };
    if names
        .iter()
        .any(|name| restricts(&["never", "tripwire", "deny"], name))
    {
        return Outcome::Deny;
    }
    if !rules.iter().any(|rule| rule.grants() && applies(rule, &names[0])) {
        return Outcome::Deny;
    }
    if names.iter().any(|name| restricts(&["hold"], name)) {
        Outcome::Hold
    } else {
        Outcome::Allow
    }
}

fn engine(rules: &[Written]) -> Engine {
    let entries: Vec<(usize, String)> = rules.iter().map(|rule| (rule.policy, rule.entry())).collect();
    forms::engine(&entries)
}

fn decide(engine: &Engine, action: &str, names: &[String], made: bool) -> Outcome {
    let via: Vec<&str> = names[1..].iter().map(String::as_str).collect();
    let action = Action::from_word(action).unwrap();
    engine
        .decide(&Request {
            via: &via,
            made,
            ..Request::new(action, &names[0])
        })
        .outcome
}

fn rule() -> impl Strategy<Value = Written> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "*", "**", "a*", "*b"]);
    let pattern = prop::collection::vec(segment, 1..4);
    // Every second rule grants, or hardly anything would ever be allowed.
    let effect = prop_oneof![
        prop::sample::select(EFFECTS[..2].to_vec()),
        prop::sample::select(EFFECTS[2..].to_vec())
    ];
    let action = prop::sample::select(vec!["write", "create"]);
    (0usize..3, effect, action, pattern, any::<bool>(), any::<bool>()).prop_map(
        |(policy, effect, action, pattern, downward, existing)| {
            let grants = EFFECTS[..2].contains(&effect);
            Written {
                policy,
                effect,
                action,
                pattern,
                downward: downward && !grants,
                existing: existing && !grants,
            }
        },
    )
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "c"]), 1..4)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_engine_decides_as_the_reference(
        rules in prop::collection::vec(rule(), 0..10),
        names in prop::collection::vec(path(), 1..4),
        action in prop::sample::select(vec!["write", "create", "read"]),
        made in any::<bool>(),
    ) {
        let engine = engine(&rules);
        prop_assert_eq!(decide(&engine, action, &names, made), reference(&rules, action, &names, made));
    }

    #[test]
    fn a_further_restriction_never_widens_and_order_never_matters(
        rules in prop::collection::vec(rule(), 0..8),
        more in rule(),
        names in prop::collection::vec(path(), 1..3),
    ) {
        let before = decide(&engine(&rules), "write", &names, false);
        let mut reversed = rules.clone();
        reversed.reverse();
        prop_assert_eq!(decide(&engine(&reversed), "write", &names, false), before);
        if !more.grants() {
            let tighter: Vec<Written> = rules.iter().cloned().chain([more]).collect();
            prop_assert!(decide(&engine(&tighter), "write", &names, false) <= before);
        }
    }

    #[test]
    fn rights_are_the_single_decisions(rules in prop::collection::vec(rule(), 0..8), name in path()) {
        let engine = engine(&rules);
        for (action, allowed) in Action::FILES.iter().zip(engine.rights(&name)) {
            let decision = decide(&engine, action.word(), std::slice::from_ref(&name), false);
            prop_assert_eq!(decision == Outcome::Allow, allowed);
        }
    }
}

#[test]
fn what_is_not_canonical_is_undecidable() {
    let all = Written {
        policy: 0,
        effect: "allow",
        action: "read",
        pattern: vec!["**"],
        downward: false,
        existing: false,
    };
    let engine = engine(&[all]);
    for name in ["/srv/../etc", "/srv//a", "srv", "", "/srv/", "/a\0b"] {
        assert_eq!(
            decide(&engine, "read", &[name.to_owned()], false),
            Outcome::Deny,
            "{name}"
        );
        assert_eq!(
            decide(&engine, "read", &["/a".to_owned(), name.to_owned()], false),
            Outcome::Deny,
            "via {name}"
        );
    }
    assert_eq!(decide(&engine, "read", &["/a".to_owned()], false), Outcome::Allow);
}
