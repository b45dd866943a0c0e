//! Conditions of MCP rules in three-valued logic (M3): `not unknown` is unknown, `and` the minimum, `or` the maximum.

use crate::glob::{Crossing, Glob, TextGlob};
use crate::host::{Host, HostPattern};
use crate::json::{Decimal, Json};
use crate::path::NormalPath;
use serde::Deserialize;
use std::cmp::Ordering;

/// false < unknown < true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    False,
    Unknown,
    True,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Condition {
    And { of: Vec<Condition> },
    Or { of: Vec<Condition> },
    Not { of: Vec<Condition> },
    /// No other top-level argument is present.
    Only { args: Vec<String> },
    /// `arg: None` means all leaves.
    Test { arg: Option<Vec<String>>, each: Option<Each>, test: Test },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    Some,
    Every,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Test {
    Path { pattern: String, downward: bool },
    Host { pattern: String },
    Text { pattern: String },
    Compare { cmp: Compare, value: Scalar },
    In { values: Vec<Scalar> },
    Length { cmp: Compare, count: u64 },
    Is {
        #[serde(rename = "type")]
        json_type: JsonType,
    },
    Exists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Compare {
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessEqual,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterEqual,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
}

impl Compare {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonType {
    String,
    Number,
    Boolean,
    Array,
    Object,
    Null,
}

/// A JSON scalar of a policy; numbers are exact.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar(pub Json);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let json = match value {
            serde_json::Value::Null => Json::Null,
            serde_json::Value::Bool(value) => Json::Bool(value),
            serde_json::Value::String(text) => Json::String(text),
            serde_json::Value::Number(number) => Decimal::parse(&number.to_string())
                .map(Json::Number)
                .ok_or_else(|| serde::de::Error::custom("number out of range"))?,
            _ => return Err(serde::de::Error::custom("a scalar is expected")),
        };
        Ok(Self(json))
    }
}

impl Condition {
    /// Decides on the arguments of a call, an object.
    pub fn decide(&self, arguments: &Json) -> Truth {
        match self {
            Self::And { of } => of.iter().map(|part| part.decide(arguments)).min().unwrap_or(Truth::True),
            Self::Or { of } => of.iter().map(|part| part.decide(arguments)).max().unwrap_or(Truth::False),
            Self::Not { of } => of.first().map_or(Truth::Unknown, |part| !part.decide(arguments)),
            Self::Only { args } => match arguments {
                Json::Object(members) => members.iter().all(|(name, _)| args.contains(name)).into(),
                _ => Truth::Unknown,
            },
            Self::Test { arg: None, each, test } => over_leaves(arguments, *each, test),
            Self::Test { arg: Some(path), each, test } => {
                let value = path.iter().try_fold(arguments, |value, key| value.get(key));
                match (value, each) {
                    (None, _) => if matches!(test, Test::Exists) { Truth::False } else { Truth::Unknown },
                    (Some(value), None) => test.decide(value),
                    (Some(Json::Array(items)), Some(each)) => combine(*each, items.iter().map(|item| test.decide(item))),
                    (Some(_), Some(_)) => Truth::Unknown,
                }
            }
        }
    }
}

/// `some` over nothing is false, `every` over nothing true.
fn combine(each: Each, results: impl Iterator<Item = Truth>) -> Truth {
    match each {
        Each::Some => results.max().unwrap_or(Truth::False),
        Each::Every => results.min().unwrap_or(Truth::True),
    }
}

/// All string leaves; with `matches path` those that look like paths.
fn over_leaves(arguments: &Json, each: Option<Each>, test: &Test) -> Truth {
    let mut leaves = Vec::new();
    collect(arguments, &mut leaves);
    let pathlike = |text: &str| ["/", "~", ".", "file:"].iter().any(|start| text.starts_with(start));
    let wanted = leaves.into_iter().filter(|leaf| match (test, leaf) {
        (Test::Path { .. }, Json::String(text)) => pathlike(text),
        _ => true,
    });
    combine(each.unwrap_or(Each::Some), wanted.map(|leaf| test.decide(leaf)))
}

fn collect<'a>(value: &'a Json, leaves: &mut Vec<&'a Json>) {
    match value {
        Json::String(_) => leaves.push(value),
        Json::Array(items) => items.iter().for_each(|item| collect(item, leaves)),
        Json::Object(members) => members.iter().for_each(|(_, member)| collect(member, leaves)),
        _ => {}
    }
}

impl Test {
    fn decide(&self, value: &Json) -> Truth {
        match (self, value) {
            (Self::Exists, _) => Truth::True,
            (Self::Is { json_type }, value) => (type_of(value) == *json_type).into(),
            (Self::Path { pattern, downward }, Json::String(text)) => path_matches(pattern, *downward, text),
            (Self::Host { pattern }, Json::String(text)) => host_matches(pattern, text),
            (Self::Text { pattern }, Json::String(text)) => {
                TextGlob::parse(pattern, Crossing::Everything).map_or(Truth::Unknown, |glob| glob.matches(text).into())
            }
            (Self::Compare { cmp, value: expected }, value) => compare(*cmp, value, &expected.0),
            (Self::In { values }, value) => {
                values.iter().map(|expected| compare(Compare::Equal, value, &expected.0)).max().unwrap_or(Truth::False)
            }
            (Self::Length { cmp, count }, value) => {
                let length = match value {
                    Json::String(text) => text.chars().count(),
                    Json::Array(items) => items.len(),
                    Json::Object(members) => members.len(),
                    _ => return Truth::Unknown,
                };
                cmp.holds((length as u64).cmp(count)).into()
            }
            _ => Truth::Unknown,
        }
    }
}

fn type_of(value: &Json) -> JsonType {
    match value {
        Json::Null => JsonType::Null,
        Json::Bool(_) => JsonType::Boolean,
        Json::Number(_) => JsonType::Number,
        Json::String(_) => JsonType::String,
        Json::Array(_) => JsonType::Array,
        Json::Object(_) => JsonType::Object,
    }
}

/// Unknown for values of different types, and for an order of what has none.
fn compare(cmp: Compare, value: &Json, expected: &Json) -> Truth {
    match (value, expected) {
        (Json::Number(a), Json::Number(b)) => cmp.holds(a.cmp(b)).into(),
        (a, b) if type_of(a) == type_of(b) && matches!(cmp, Compare::Equal | Compare::NotEqual) => {
            ((a == b) == (cmp == Compare::Equal)).into()
        }
        _ => Truth::Unknown,
    }
}

fn path_matches(pattern: &str, downward: bool, text: &str) -> Truth {
    let (Ok(glob), Ok(path)) = (Glob::parse(pattern), NormalPath::parse(text.as_bytes())) else { return Truth::Unknown };
    if glob.matches(path) {
        return Truth::True;
    }
    let above = text.match_indices('/').map(|(at, _)| if at == 0 { "/" } else { &text[..at] });
    let covered = downward
        && above.into_iter().any(|at| NormalPath::parse(at.as_bytes()).is_ok_and(|path| glob.matches(path)));
    covered.into()
}

/// The host itself, or the host of an absolute URL. What can't be normalised is unknown (D9 M3).
fn host_matches(pattern: &str, text: &str) -> Truth {
    if text.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
        return Truth::Unknown;
    }
    let host = match text.split_once("://") {
        Some((_, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let authority = authority.rsplit('@').next().unwrap_or_default();
            if let Some(inner) = authority.strip_prefix('[') {
                inner.split(']').next().unwrap_or_default()
            } else {
                authority.split(':').next().unwrap_or_default()
            }
        }
        None => text,
    };
    match (HostPattern::parse(pattern), Host::parse(host)) {
        (Ok(pattern), Ok(host)) => pattern.matches(&host, false).into(),
        _ => Truth::Unknown,
    }
}
