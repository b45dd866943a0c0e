//! Variables and their values (T6). A text before binding has `${name}` for a value and `\\$` for the character.

use super::{Action, Compiled};
use crate::error::CoreError;
use crate::glob::escape;
use crate::host::normalize_host;
use crate::path::normalize_path;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values by the names of variables.
pub type Values = BTreeMap<String, String>;

/// Variables that stand for a directory.
const PATHS: [&str; 5] = ["workspace", "home", "tmp", "cache", "runtime"];

/// Why a form can't be bound; `Value` is the operator's to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    #[error("the variable `{0}` has no value in this run")]
    Missing(String),
    #[error("the value of `{name}` {why}")]
    Value { name: String, why: String },
    #[error("the workspace `{0}` contains the home directory")]
    ContainsHome(String),
    #[error(transparent)]
    Form(#[from] CoreError),
}

impl BindError {
    /// The code of the diagnostic (`policy-language.md` §15); `None` for a form that is broken.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) | Self::Value { .. } => Some("P040"),
            Self::ContainsHome(_) => Some("P041"),
            Self::Form(_) => None,
        }
    }
}

/// What is wrong with a value, or `None`.
pub fn value_problem(name: &str, value: &str) -> Option<String> {
    if PATHS.contains(&name) {
        return normalize_path(value)
            .err()
            .map(|error| format!("is no absolute canonical path: {error}"));
    }
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_word = (1..=64).contains(&value.len()) && value.bytes().all(in_alphabet);
    (!is_word || value == "." || value == "..")
        .then(|| "is not 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_`, `-`".to_owned())
}

/// Whether the workspace is `/`, the home directory or above it (P041).
pub fn contains_home(workspace: &str, home: Option<&str>) -> bool {
    workspace == "/"
        || home.is_some_and(|home| {
            home.strip_prefix(workspace)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// Replaces the variables of all texts, and keeps the values that are mentioned.
pub(super) fn bind(compiled: &mut Compiled, values: &Values) -> Result<(), BindError> {
    for name in &compiled.variables {
        let value = values.get(name).ok_or_else(|| BindError::Missing(name.clone()))?;
        if let Some(why) = value_problem(name, value) {
            let name = name.clone();
            return Err(BindError::Value { name, why });
        }
        compiled.bindings.insert(name.clone(), value.clone());
    }
    if let Some(workspace) = compiled.bindings.get("workspace")
        && contains_home(workspace, values.get("home").map(String::as_str))
    {
        return Err(BindError::ContainsHome(workspace.clone()));
    }
    let values = Replaced {
        plain: compiled.bindings.clone(),
        patterns: compiled
            .bindings
            .iter()
            .map(|(name, value)| (name.clone(), escape(value)))
            .collect(),
    };
    for rule in &mut compiled.rules {
        if let Some(pattern) = &mut rule.pattern
            && values.pattern(pattern)?
            && matches!(rule.action, Action::Connect | Action::Resolve)
        {
            normalize(pattern)?;
        }
        for path in rule.url_paths.iter_mut().chain(&mut rule.expose) {
            values.pattern(path)?;
        }
        if let Some(condition) = &mut rule.condition {
            condition.each_pattern(&mut |pattern| values.pattern(pattern).map(drop))?;
        }
    }
    for text in compiled.environment.set.values_mut() {
        values.plain(text)?;
    }
    for secret in &mut compiled.environment.secrets {
        values.plain(&mut secret.from.value)?;
        for host in secret.hosts.iter_mut().flatten() {
            if values.pattern(host)? {
                normalize(host)?;
            }
        }
    }
    for alert in &mut compiled.alerts {
        if let Some(pattern) = &mut alert.measure.pattern {
            values.pattern(pattern)?;
        }
    }
    for pin in &mut compiled.pins {
        values.plain(&mut pin.subject)?;
    }
    for expectation in &mut compiled.tests {
        expectation.each_text(&mut |text| values.plain(text))?;
    }
    Ok(())
}

/// A host pattern in its normal form; without a value in it, it has been in that form before.
fn normalize(pattern: &mut String) -> Result<(), BindError> {
    let stars = ["**.", "*."]
        .into_iter()
        .find(|stars| pattern.starts_with(stars))
        .unwrap_or_default();
    let name = normalize_host(&pattern[stars.len()..])
        .map_err(|error| CoreError::new(format!("host `{pattern}`"), error.to_string()))?;
    *pattern = format!("{stars}{name}");
    Ok(())
}

/// Values as they stand in plain texts and in patterns.
struct Replaced {
    plain: Values,
    patterns: Values,
}

impl Replaced {
    /// Binds a pattern, whose other escapes stay; whether it had a variable.
    fn pattern(&self, text: &mut String) -> Result<bool, CoreError> {
        if !text.contains('$') {
            return Ok(false);
        }
        let (bound, found) = replaced(text, &self.patterns, |escaped| {
            if escaped == '$' {
                Cow::Borrowed("$")
            } else {
                Cow::Owned(format!("\\{escaped}"))
            }
        })?;
        *text = bound;
        Ok(found)
    }

    /// Binds a plain text, in which a backslash stands only before `$` and before itself.
    fn plain(&self, text: &mut String) -> Result<(), CoreError> {
        if text.contains(['$', '\\']) {
            *text = replaced(text, &self.plain, |escaped| Cow::Owned(escaped.to_string()))?.0;
        }
        Ok(())
    }
}

fn replaced(
    text: &str,
    values: &Values,
    unescape: impl Fn(char) -> Cow<'static, str>,
) -> Result<(String, bool), CoreError> {
    let wrong = |what: &str| CoreError::new(format!("text `{text}`"), what);
    let mut bound = String::with_capacity(text.len() + 32);
    let mut found = false;
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        bound.push_str(&rest[..at]);
        if let Some(reference) = rest[at..].strip_prefix("${") {
            let (name, after) = reference
                .split_once('}')
                .ok_or_else(|| wrong("a variable that does not end"))?;
            let value = values
                .get(name)
                .ok_or_else(|| wrong("a variable that the form does not list"))?;
            bound.push_str(value);
            found = true;
            rest = after;
        } else if let Some(escaped) = rest[at..].strip_prefix('\\') {
            let mut characters = escaped.chars();
            let character = characters
                .next()
                .ok_or_else(|| wrong("nothing follows the backslash"))?;
            bound.push_str(&unescape(character));
            rest = characters.as_str();
        } else {
            return Err(wrong("a bare `$`"));
        }
    }
    bound.push_str(rest);
    Ok((bound, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> Replaced {
        let plain: Values = [("workspace", "/w*"), ("user", "ada")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let patterns = plain
            .iter()
            .map(|(name, value)| (name.clone(), escape(value)))
            .collect();
        Replaced { plain, patterns }
    }

    #[test]
    fn texts_are_bound() {
        for (text, pattern, plain) in [
            ("${workspace}/**", "/w\\*/**", "/w*/**"),
            ("/${user}/\\$\\\\", "/ada/$\\\\", "/ada/$\\"),
            ("/a", "/a", "/a"),
        ] {
            let mut bound = text.to_owned();
            values().pattern(&mut bound).unwrap();
            assert_eq!(bound, pattern);
            let mut bound = text.to_owned();
            values().plain(&mut bound).unwrap();
            assert_eq!(bound, plain);
        }
        for broken in ["$", "${workspace", "${tmp}", "a$b", "\\"] {
            assert!(values().plain(&mut broken.to_owned()).is_err(), "{broken}");
        }
    }

    #[test]
    fn values_that_no_variable_can_have() {
        for (name, value, good) in [
            ("workspace", "/a/b", true),
            ("workspace", "a", false),
            ("workspace", "/a/../b", false),
            ("user", "ada", true),
            ("user", "..", false),
            ("user", "", false),
            ("user", "a b", false),
        ] {
            assert_eq!(value_problem(name, value).is_none(), good, "{name} {value}");
        }
        for (workspace, home, inside) in [
            ("/", None, true),
            ("/home", Some("/home/ada"), true),
            ("/home/ada", Some("/home/ada"), true),
            ("/home/ada/w", Some("/home/ada"), false),
            ("/home/ad", Some("/home/ada"), false),
        ] {
            assert_eq!(contains_home(workspace, home), inside, "{workspace}");
        }
    }

    proptest! {
        /// Whatever a value holds, in a pattern it stands for itself.
        #[test]
        fn a_value_is_never_a_wildcard(value in "(/[a-z*?{}$\\[\\]\\\\]{1,5}){1,3}") {
            prop_assume!(normalize_path(&value).is_ok());
            let plain: Values = [("workspace".to_owned(), value.clone())].into();
            let patterns = [("workspace".to_owned(), escape(&value))].into();
            let mut bound = "${workspace}/x".to_owned();
            Replaced { plain, patterns }.pattern(&mut bound).unwrap();
            let glob = crate::glob::Glob::parse(&bound).unwrap();
            prop_assert_eq!(glob.literal(), Some(format!("{value}/x")));
        }
    }
}
