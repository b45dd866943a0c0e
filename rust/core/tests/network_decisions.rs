//! Connections and names: N5–N11, X1, where a rule's meaning is more than its pattern.
#![allow(clippy::unwrap_used)] // the helpers of a test are tests, too

mod forms;

use forms::{engine, limited};
use replicante_core::engine::{Charge, Engine};
use replicante_core::policy::Action;
use replicante_core::request::{Outcome, Request};

fn ask(host: &str) -> Request<'_> {
    Request {
        port: Some(443),
        ..Request::new(Action::Connect, host)
    }
}

fn is_allowed(engine: &Engine, request: &Request<'_>) -> bool {
    engine.decide(request).outcome == Outcome::Allow
}

const ANY: &str = r#""effect":"allow","action":"connect","kind":"any","ports":[[443,443]],"protocol":"tcp""#;
const DENY_ANY: &str = r#""effect":"deny","action":"connect","kind":"any","downward":true"#;
const OVERRIDE: &str = r#""effect":"override_allow","action":"connect","kind":"name","pattern":"db.example","ports":[[443,443]],"protocol":"tcp""#;

#[test]
fn an_override_by_name_lifts_a_deny_of_everything() {
    let engine = engine(&[(0, ANY), (0, DENY_ANY), (2, OVERRIDE)]);
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
        &engine(&[(0, ANY), (0, ten), (2, denied)]),
        &resolved
    ));
}

#[test]
fn request_paths_leave_no_way_around_a_deny() {
    let deny = r#""effect":"deny","action":"connect","kind":"any","downward":true,"url_paths":["/admin"]"#;
    let engine = engine(&[(0, ANY), (2, deny)]);
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
    let deny_v1 = r#""effect":"deny","action":"connect","kind":"any","downward":true,"url_paths":["/v1"]"#;
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
    let deny = r#""effect":"deny","action":"resolve","kind":"name","pattern":"db.example","downward":true"#;
    assert!(!is_allowed(&engine(&[(0, ANY), (0, deny)]), &ask("x.db.example")));
    assert!(is_allowed(
        &engine(&[(0, ANY), (0, deny), (2, OVERRIDE)]),
        &ask("db.example")
    ));
    let all = r#""effect":"deny","action":"resolve","kind":"any""#;
    assert!(
        is_allowed(&engine(&[(0, ANY), (0, all)]), &ask("93.184.215.14")),
        "an address needs no resolving"
    );
}

/// 0: rate of the block, 1: connections of the block, 2: rate of a rule, 3: bytes of a rule.
const BUCKETS: &str = r#"{"kind":"rate","count":1,"unit_ns":1,"burst":1},{"kind":"connections","count":1},
    {"kind":"rate","count":1,"unit_ns":1,"burst":1},{"kind":"upload","count":1,"unit_ns":1,"burst":1}"#;

#[test]
fn a_rate_counts_requests_where_the_rule_reads_them() {
    let plain = r#""effect":"allow","action":"connect","kind":"name","pattern":"db.example","ports":[[443,443]],"protocol":"tcp","limits":[2,3]"#;
    let engine = limited(BUCKETS, "0,1", &[(0, plain)]);
    assert_eq!(
        engine.charged(Charge::Connection, &ask("db.example")),
        [0, 1, 2, 3]
    );
    assert!(engine.charged(Charge::Request, &ask("db.example")).is_empty());

    let reads = plain.replace("\"limits\"", r#""inspect":true,"methods":["GET"],"limits""#);
    let engine = limited(
        BUCKETS,
        "0,1",
        &[(0, reads.as_str()), (0, &plain.replace("[2,3]", "[]"))],
    );
    assert_eq!(engine.charged(Charge::Connection, &ask("db.example")), [1, 3]);
    let get = Request {
        method: Some("GET"),
        path: Some("/"),
        ..ask("db.example")
    };
    assert_eq!(engine.charged(Charge::Request, &get), [0, 2]);
    // Another rule allows this one; the limit of the block counts it all the same.
    let put = Request {
        method: Some("PUT"),
        ..get
    };
    assert_eq!(engine.charged(Charge::Request, &put), [0]);
}

#[test]
fn a_limit_of_an_address_counts_connections_by_name() {
    let name = r#""effect":"allow","action":"connect","kind":"name","pattern":"db.example","ports":[[443,443]],"protocol":"tcp""#;
    let ten = r#""effect":"allow","action":"connect","kind":"net","pattern":"10.0.0.0/8","ports":[[443,443]],"protocol":"tcp","limits":[2]"#;
    let engine = limited(BUCKETS, "", &[(0, name), (0, ten)]);
    assert!(engine.charged(Charge::Connection, &ask("db.example")).is_empty());
    let resolved = Request {
        resolves: Some(&["10.0.0.5"]),
        ..ask("db.example")
    };
    assert!(is_allowed(&engine, &resolved));
    assert_eq!(engine.charged(Charge::Connection, &resolved), [2]);
    assert_eq!(engine.charged(Charge::Connection, &ask("64:ff9b::a00:5")), [2]);
}
