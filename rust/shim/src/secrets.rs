//! Secrets by reference (C4): read before the agent starts, kept here, and stood for inside by placeholders.

use crate::error::ShimError;
use crate::policy::Policy;
use crate::record::printable;
use linux_keyutils::{KeyRing, KeyRingIdentifier};
use replicante_core::host::{Host, HostPattern};
use replicante_core::policy::{SecretFrom, SecretKind};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use std::collections::BTreeMap;
use std::io::Read as _;
use zeroize::Zeroizing;

/// Most bytes of a value: what a header may have.
const MOST_BYTES: u64 = 8 * 1024;
/// Values of fewer bytes get a longer placeholder, since it must not occur by chance.
const FEWEST_BYTES: usize = 20;
const PLACEHOLDER_BYTES: usize = 32;
/// Beginnings that clients look for in a token; they say of what kind it is and nothing of its value.
const KINDS: [&str; 12] = [
    "sk-ant-api03-",
    "sk-ant-",
    "sk-proj-",
    "sk-",
    "github_pat_",
    "ghp_",
    "gho_",
    "glpat-",
    "hf_",
    "xoxb-",
    "npm_",
    "pypi-",
];

/// A secret that the proxy puts into requests.
pub struct Secret {
    /// Id of the statement, for events.
    pub rule: String,
    pub name: String,
    /// What the agent has in its place; worthless elsewhere.
    pub placeholder: String,
    value: Zeroizing<String>,
    hosts: Vec<HostPattern>,
}

impl Secret {
    /// Whether requests to a host get the value.
    pub fn is_for(&self, host: &Host) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host, false))
    }

    /// The value itself. It must reach nothing but a request to a host that it is for.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// The secrets of a run.
#[derive(Default)]
pub struct Secrets {
    /// Those that the proxy puts in.
    pub brokered: Vec<Secret>,
    /// Variables of the agent: placeholders, and values that the policy reveals.
    pub variables: Vec<(String, String)>,
    /// Why a variable is not set, for a person.
    pub missing: Vec<String>,
}

impl Secrets {
    /// Reads all of them from where the policy says.
    ///
    /// # Errors
    /// L011 for a value that can't stand in a header.
    pub fn read(policy: &Policy, environment: &BTreeMap<String, String>) -> Result<Self, ShimError> {
        let mut secrets = Self::default();
        for secret in &policy.compiled().environment.secrets {
            let value = match source(&secret.from, environment) {
                Ok(value) => value,
                Err(why) => {
                    let name = printable(&secret.name);
                    secrets
                        .missing
                        .push(format!("the secret {name} is not set: {why}"));
                    continue;
                }
            };
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                return Err(ShimError::Refused {
                    what: format!(
                        "the value of the secret {} can't stand in a header",
                        printable(&secret.name)
                    ),
                    help: "it is empty or has other characters than printable ASCII; mend its source".into(),
                });
            }
            let Some(hosts) = &secret.hosts else {
                secrets.variables.push((secret.name.clone(), value.to_string()));
                continue;
            };
            let placeholder = placeholder(&value)?;
            secrets.variables.push((secret.name.clone(), placeholder.clone()));
            secrets.brokered.push(Secret {
                rule: policy.rule_id(secret.source),
                name: secret.name.clone(),
                placeholder,
                value,
                // INVARIANT: the patterns parsed when the compiled form was checked.
                hosts: hosts
                    .iter()
                    .filter_map(|host| HostPattern::parse(host).ok())
                    .collect(),
            });
        }
        Ok(secrets)
    }
}

fn source(from: &SecretFrom, environment: &BTreeMap<String, String>) -> Result<Zeroizing<String>, String> {
    let text = match from.kind {
        SecretKind::Env => environment
            .get(&from.value)
            .cloned()
            .ok_or_else(|| format!("there is no variable {}", printable(&from.value)))?,
        SecretKind::File => file(&from.value)?,
        SecretKind::Keyring => keyring(&from.value)?,
    };
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A file of the caller's own that is no link (open(2), `O_NOFOLLOW`).
fn file(path: &str) -> Result<String, String> {
    let shown = printable(path);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = open(path, flags, Mode::empty()).map_err(|errno| format!("{shown}: {errno}"))?;
    let stat = fstat(&opened).map_err(|errno| format!("{shown}: {errno}"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(format!("{shown} is no regular file"));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() && stat.st_uid != 0 {
        return Err(format!("{shown} belongs to somebody else"));
    }
    let mut text = String::new();
    let read = std::fs::File::from(opened)
        .take(MOST_BYTES)
        .read_to_string(&mut text);
    read.map_err(|error| format!("{shown}: {error}"))?;
    Ok(text)
}

/// A key of the type `user` in the kernel's keyring of the session or the user (keyrings(7)).
fn keyring(description: &str) -> Result<String, String> {
    let shown = printable(description);
    let places = [KeyRingIdentifier::Session, KeyRingIdentifier::User];
    let key = places.into_iter().find_map(|place| {
        KeyRing::from_special_id(place, false)
            .ok()?
            .search(description)
            .ok()
    });
    let key = key
        .ok_or_else(|| format!("the kernel's keyring has no key `{shown}` (keyctl padd user {shown} @u)"))?;
    let bytes = key
        .read_to_vec()
        .map_err(|error| format!("the key `{shown}`: {error:?}"))?;
    String::from_utf8(bytes).map_err(|_| format!("the key `{shown}` is no text"))
}

/// Stands for a value: as long as it where that is long enough, with the beginning that tells its kind.
fn placeholder(value: &str) -> Result<String, ShimError> {
    let kind = KINDS
        .into_iter()
        .find(|kind| value.starts_with(kind))
        .unwrap_or_default();
    let length = if value.len() < FEWEST_BYTES {
        PLACEHOLDER_BYTES
    } else {
        value.len()
    };
    let mut random = vec![0; length];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(|errno| {
        ShimError::Refused {
            what: format!("no random numbers: {errno}"),
            help: "start again".into(),
        }
    })?;
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letter = |byte: &u8| char::from(letters[usize::from(*byte) % letters.len()]);
    let rest = length.saturating_sub(kind.len()).max(FEWEST_BYTES / 2);
    Ok(kind.chars().chain(random.iter().map(letter).take(rest)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_looks_like_the_value_and_tells_nothing_of_it() {
        let value = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz";
        let one = placeholder(value).unwrap();
        assert!(one.starts_with("sk-ant-api03-"));
        assert_eq!(one.len(), value.len());
        assert_ne!(one, placeholder(value).unwrap());
        assert_ne!(one, value);
        assert_eq!(placeholder("short").unwrap().len(), PLACEHOLDER_BYTES);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let from = |kind, value: &str| SecretFrom {
            kind,
            value: value.to_owned(),
        };
        let environment = [("TOKEN".to_owned(), "abc\n".to_owned())].into();
        let read = |kind, value| source(&from(kind, value), &environment).map(|value| value.to_string());
        assert_eq!(read(SecretKind::Env, "TOKEN"), Ok("abc".to_owned()));
        assert!(read(SecretKind::Env, "OTHER").unwrap_err().contains("OTHER"));
        assert!(
            read(SecretKind::File, "/nowhere/x")
                .unwrap_err()
                .contains("/nowhere/x")
        );
        assert!(read(SecretKind::File, "/proc").unwrap_err().contains("regular"));
        assert!(
            read(SecretKind::Keyring, "replicante/none")
                .unwrap_err()
                .contains("keyctl")
        );
    }
}
