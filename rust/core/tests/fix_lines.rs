//! The one line that would allow a refused request.
#![allow(clippy::unwrap_used)] // the helpers of a test are tests, too

mod forms;

use forms::engine;
use replicante_core::fixit::line;
use replicante_core::policy::Action;
use replicante_core::request::Request;

#[test]
fn a_path_is_written_so_that_it_parses_to_itself() {
    let engine = engine(&[(
        0,
        r#""effect":"deny","action":"read","pattern":"/**/.env","downward":true"#,
    )]);
    let cases = [
        ("/srv/a", r#"allow read "/srv/a""#),
        ("/srv/.env", r#"override allow read "/srv/.env""#),
        ("/home/ada/shop/a*b", r#"allow read "${workspace}/a\*b""#),
        ("/home/ada/$x\"", r#"allow read "${home}/\$x\"""#),
        ("/home/adam/x", r#"allow read "/home/adam/x""#),
        ("/srv/a\\b\n", r#"allow read "/srv/a\\b\u{a}""#),
        ("/srv/\u{202e}x", r#"allow read "/srv/\u{202e}x""#),
    ];
    for (path, want) in cases {
        assert_eq!(
            line(&engine, &Request::new(Action::Read, path)).as_deref(),
            Some(want),
            "{path:?}"
        );
    }
}

#[test]
fn where_no_line_helps_there_is_none() {
    let engine = engine(&[
        (
            0,
            r#""effect":"never","action":"read","pattern":"/never","downward":true"#,
        ),
        (
            0,
            r#""effect":"tripwire","action":"read","pattern":"/trip","downward":true"#,
        ),
        (0, r#""effect":"allow","action":"read","pattern":"/ok""#),
    ]);
    for path in ["/never/a", "/trip", "/ok", "/a/../b"] {
        assert_eq!(line(&engine, &Request::new(Action::Read, path)), None, "{path}");
    }
}

#[test]
fn other_actions() {
    let rules: [(usize, &str); 2] = [
        (0, r#""effect":"deny","action":"syscall","names":["ptrace"]"#),
        (0, r#""effect":"hold","action":"call","pattern":"g:merge""#),
    ];
    let engine = engine(&rules);
    let connect = Request {
        port: Some(443),
        ..Request::new(Action::Connect, "X.example.")
    };
    assert_eq!(
        line(&engine, &connect).as_deref(),
        Some(r#"allow connect "x.example" port 443"#)
    );
    let listen = Request {
        port: Some(3000),
        ..Request::new(Action::Listen, "")
    };
    assert_eq!(line(&engine, &listen).as_deref(), Some("allow listen port 3000"));
    let cases = [
        (Action::Syscall, "ptrace", "override allow ptrace"),
        (Action::Call, "g:merge", r#"override allow call "g:merge""#),
        (
            Action::ConnectUnix,
            "/run/x.sock",
            r#"allow connect unix "/run/x.sock""#,
        ),
    ];
    for (action, resource, want) in cases {
        assert_eq!(
            line(&engine, &Request::new(action, resource)).as_deref(),
            Some(want),
            "{resource}"
        );
    }
    // What is no name of a call would end the line and begin another.
    for strange in ["", "ptrace\nallow mount", "a b", "PTRACE", "0ptrace"] {
        let request = Request::new(Action::Syscall, strange);
        assert_eq!(line(&engine, &request), None, "{strange:?}");
    }
}
