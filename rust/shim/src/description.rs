//! The launch description, as `docs/reference/compiled-form.md` gives it.

use crate::VERSION;
use crate::error::ShimError;
use crate::record::printable;
use replicante_core::json::Json;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::RawFd;

/// The protocol between package and shim.
const PROTOCOL: u32 = 2;

/// The closed set of variables (T6); each has a value in every run.
const VARIABLES: [&str; 8] = [
    "workspace",
    "home",
    "tmp",
    "cache",
    "runtime",
    "agent",
    "run",
    "user",
];

/// Most bytes of a description: a policy of many thousand rules fits.
const MOST_BYTES: u64 = 64 << 20;

/// What the caller asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub protocol: u32,
    pub version: String,
    /// The packed form, which follows the description.
    #[serde(skip)]
    pub policy: Vec<u8>,
    pub argv: Vec<String>,
    pub cwd: String,
    pub bindings: BTreeMap<String, String>,
    pub run: String,
    pub run_dir: String,
    /// The host's directory that stands for the workspace, where there is none of that name outside.
    pub workspace: Option<String>,
    pub private_home: Option<String>,
    pub cache: String,
    /// Directory of locks, one for each user id that a live run has.
    pub uids: String,
    pub beneath: Vec<String>,
    pub read_only: Vec<String>,
    pub no_weaker: bool,
    pub explain: bool,
    pub report: Report,
    pub visibility: Seen,
}

/// The form of the report at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    Text,
    Json,
}

/// Where asking for a name that is not shown is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    Usual,
    Whole,
}

/// Reads the description from an inherited descriptor.
///
/// # Errors
/// L001 for another version, L002 for anything that is no description.
pub fn read(fd: RawFd) -> Result<Description, ShimError> {
    let strange = |why: String| ShimError::Description(why);
    // Through /proc the descriptor is opened anew, so that no number is taken on trust; the inherited one is closed
    // before the agent starts, with all others.
    let mut file = File::open(format!("/proc/self/fd/{fd}")).map_err(|error| strange(error.to_string()))?;
    file.rewind().map_err(|error| strange(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| strange(error.to_string()))?;
    parse(&bytes)
}

/// Reads a description's bytes: JSON, a zero byte, the packed policy.
///
/// # Errors
/// As `read`.
pub fn parse(bytes: &[u8]) -> Result<Description, ShimError> {
    // What the words of the description say of themselves must not reach a terminal as they are.
    let strange = |why: String| ShimError::Description(printable(&why));
    // JSON text has no zero byte, so the first one ends it.
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .ok_or_else(|| strange("no policy follows it".into()))?;
    let (words, policy) = bytes.split_at(end);
    // The one strict reader, for serde would take the last of two equal bindings.
    Json::check(words).map_err(|error| strange(error.to_string()))?;
    let mut description: Description =
        serde_json::from_slice(words).map_err(|error| strange(error.to_string()))?;
    description.policy = policy[1..].to_vec();
    if description.version != VERSION || description.protocol != PROTOCOL {
        let shim = VERSION.to_owned();
        return Err(ShimError::Version {
            shim,
            package: description.version,
        });
    }
    for name in VARIABLES {
        if !description.bindings.contains_key(name) {
            return Err(strange(format!("no binding for {name}")));
        }
    }
    if description.argv.first().is_none_or(String::is_empty) {
        return Err(strange("no program is given".into()));
    }
    Ok(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> String {
        let bindings = VARIABLES.map(|name| format!(r#""{name}":"/w""#)).join(",");
        format!(
            r#"{{"protocol":2,"version":"{VERSION}","argv":["true"],"cwd":"/w","bindings":{{{bindings}}},"run":"r",
            "run_dir":"/r","workspace":null,"private_home":null,"cache":"/c","uids":"/u","beneath":[],"read_only":[],"no_weaker":false,"visibility":"usual",
            "explain":false,"report":"text"}}"#
        ) + "\0packed\0"
    }

    #[test]
    fn what_is_refused_is_refused_in_one_line() {
        assert_eq!(parse(whole().as_bytes()).unwrap().policy, b"packed\0");
        let cases = [
            (r#""protocol":2"#, r#""protocol":1"#, "L001"),
            (r#""protocol":2"#, r#""a\u000ab\u001b[2J":1"#, "L002"),
            (
                r#""workspace":"/w""#,
                r#""workspace":"/w","workspace":"/x""#,
                "L002",
            ),
            (r#""user":"#, r#""users":"#, "L002"),
            ("\0packed\0", "", "L002"),
            (r#"["true"]"#, "[]", "L002"),
            (r#"["true"]"#, r#"[""]"#, "L002"),
            (r#""report":"text""#, r#""report":"yaml""#, "L002"),
        ];
        for (good, bad, code) in cases {
            let text = whole().replacen(good, bad, 1);
            assert_ne!(text, whole());
            let Err(error) = parse(text.as_bytes()) else {
                panic!("accepted: {bad}");
            };
            let line = error.to_string();
            assert!(line.starts_with(&format!("error[{code}]")), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}
