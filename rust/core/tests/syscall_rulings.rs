//! What the filter asks of a policy: C1.
#![allow(clippy::unwrap_used)] // the helpers of a test are tests, too

mod forms;

use forms::engine;
use replicante_core::seccomp::Ruling;

fn ruling(rules: &[(usize, &str)]) -> Ruling {
    let entries: Vec<(usize, String)> = rules
        .iter()
        .map(|(policy, rest)| {
            let entry = format!(r#""effect":{rest},"action":"syscall","names":["ptrace"]"#);
            (*policy, entry)
        })
        .collect();
    engine(&entries).ruling("ptrace")
}

#[test]
fn kill_wins_then_the_smallest_number() {
    let allow = (0, r#""allow""#);
    let denied = |errno| Ruling::Denied { errno };
    let (plain, nosys, inval) = (
        (0, r#""deny""#),
        (0, r#""deny","errno":"ENOSYS""#),
        (1, r#""deny","errno":"EINVAL""#),
    );
    let cases: [(&[(usize, &str)], Ruling); 8] = [
        (&[], denied(None)),
        (&[allow], Ruling::Allowed),
        (&[allow, nosys], denied(Some(38))),
        (&[allow, nosys, inval], denied(Some(22))),
        (&[allow, nosys, plain], denied(None)),
        (&[allow, plain, (1, r#""deny","kill":true"#)], Ruling::Killed),
        (
            &[(2, r#""override_allow""#), inval, (0, r#""deny","kill":true"#)],
            Ruling::Allowed,
        ),
        (
            &[
                (2, r#""override_allow""#),
                inval,
                (2, r#""deny","errno":"ENOSYS""#),
            ],
            denied(Some(38)),
        ),
    ];
    for (rules, want) in cases {
        assert_eq!(ruling(rules), want, "{rules:?}");
    }
}
