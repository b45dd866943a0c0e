//! The agent's environment: made by us, kept or set by the policy, and nothing else (`policy-language.md` C3).

use replicante_core::policy::Environment;
use std::collections::BTreeMap;

/// Where the made variables come from.
pub struct Caller<'a> {
    /// The caller's environment.
    pub all: BTreeMap<String, String>,
    pub home: &'a str,
    pub user: &'a str,
    pub tmp: &'a str,
    /// Variables that a file is told by, where there is one.
    pub told: Vec<(&'a str, &'a str)>,
    /// Placeholders of secrets, and revealed ones (C4).
    pub secrets: &'a [(String, String)],
}

/// `NAME=VALUE` of each variable. `visible` says whether a directory shows inside, for PATH.
pub fn environment(rules: &Environment, caller: &Caller<'_>, visible: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut made: BTreeMap<String, String> = [
        ("HOME", caller.home.to_owned()),
        ("USER", caller.user.to_owned()),
        ("LOGNAME", caller.user.to_owned()),
        ("TMPDIR", caller.tmp.to_owned()),
        ("SHELL", "/bin/sh".to_owned()),
        (
            "LANG",
            caller
                .all
                .get("LANG")
                .cloned()
                .unwrap_or_else(|| "C.UTF-8".to_owned()),
        ),
        (
            "PATH",
            path(caller.all.get("PATH").map_or("", String::as_str), visible),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (name, value) in &caller.all {
        if rules.keep.iter().any(|kept| matches(kept, name)) {
            made.insert(name.clone(), value.clone());
        }
    }
    made.extend(
        caller
            .told
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    made.extend(
        rules
            .set
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    made.extend(caller.secrets.iter().cloned());
    made.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// `keep` takes a name, or a beginning followed by `*`.
fn matches(kept: &str, name: &str) -> bool {
    kept.strip_suffix('*')
        .map_or(kept == name, |beginning| name.starts_with(beginning))
}

/// The caller's entries that are visible inside (`decisions.md` D8), and the system's own.
fn path(of_caller: &str, visible: &dyn Fn(&str) -> bool) -> String {
    let system = [
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ];
    let mut entries: Vec<&str> = Vec::new();
    for entry in of_caller
        .split(':')
        .filter(|entry| entry.starts_with('/'))
        .chain(system)
    {
        if !entries.contains(&entry) && visible(entry) {
            entries.push(entry);
        }
    }
    entries.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_policy_keeps_passes() {
        let rules = Environment {
            keep: vec!["TERM".into(), "LC_*".into()],
            set: [("MODE".to_owned(), "quiet".to_owned())].into(),
            secrets: vec![],
        };
        let all = [
            ("TERM", "xterm"),
            ("LC_ALL", "C"),
            ("AWS_SECRET", "x"),
            ("PATH", "/opt/x:/usr/bin:relative"),
        ];
        let all = all
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let caller = Caller {
            all,
            home: "/home/ada",
            user: "ada",
            tmp: "/tmp",
            secrets: &[("TOKEN".to_owned(), "placeholder".to_owned())],
            told: vec![("SSL_CERT_FILE", "/etc/ca"), ("MODE", "loud")],
        };
        let made = environment(&rules, &caller, &|directory| directory != "/opt/x");
        assert!(made.contains(&"TERM=xterm".to_owned()) && made.contains(&"LC_ALL=C".to_owned()));
        assert!(made.contains(&"MODE=quiet".to_owned()));
        assert!(made.contains(&"TOKEN=placeholder".to_owned()));
        assert!(made.contains(&"SSL_CERT_FILE=/etc/ca".to_owned()));
        assert!(!made.iter().any(|entry| entry.starts_with("AWS_SECRET")));
        let path = made.iter().find(|entry| entry.starts_with("PATH=")).unwrap();
        assert!(path.starts_with("PATH=/usr/bin:") && !path.contains("relative") && !path.contains("/opt/x"));
    }
}
