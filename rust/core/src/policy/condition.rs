//! Conditions of MCP rules in three-valued logic (M3): `not unknown` is unknown, `and` the minimum, `or` the maximum.

use crate::glob::{Crossing, Glob, TextGlob};
use crate::host::{Host, HostPattern};
use crate::json::{Decimal, Json};
use crate::path::NormalPath;
use serde::{Deserialize, Serialize};
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

/// A tree of tests, bound and with its patterns parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// No other top-level argument is present.
    Only(Vec<String>),
    /// `arg: None` means all leaves, and then there is a quantifier.
    Test {
        arg: Option<Vec<String>>,
        each: Option<Each>,
        test: Test,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    Some,
    Every,
}

/// What is tested of one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Path { pattern: Glob, downward: bool },
    Host(HostPattern),
    Text(TextGlob),
    Compare(Compare, Scalar),
    In(Vec<Scalar>),
    Length(Compare, u64),
    Is(JsonType),
    Exists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
        let wrong = |why: &str| serde::de::Error::custom(why);
        if !deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return Json::parse(text.as_bytes())
                .map(Self)
                .map_err(|error| wrong(&error.to_string()));
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        let json = match value {
            serde_json::Value::Null => Json::Null,
            serde_json::Value::Bool(value) => Json::Bool(value),
            serde_json::Value::String(text) => Json::String(text),
            serde_json::Value::Number(number) => Decimal::parse(&number.to_string())
                .map(Json::Number)
                .ok_or_else(|| wrong("number out of range"))?,
            _ => return Err(wrong("a scalar is expected")),
        };
        Ok(Self(json))
    }
}

/// The packed form has scalars as their JSON text, so that numbers stay exact.
impl Serialize for Scalar {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match &self.0 {
            Json::Bool(value) => value.to_string(),
            Json::String(text) => serde_json::Value::from(text.as_str()).to_string(),
            Json::Number(number) => number.to_string(),
            Json::Null | Json::Array(_) | Json::Object(_) => "null".to_owned(),
        };
        serializer.serialize_str(&text)
    }
}

impl Condition {
    /// Decides on the arguments of a call, an object.
    pub fn decide(&self, arguments: &Json) -> Truth {
        match self {
            Self::And(of) => of
                .iter()
                .map(|part| part.decide(arguments))
                .min()
                .unwrap_or(Truth::True),
            Self::Or(of) => of
                .iter()
                .map(|part| part.decide(arguments))
                .max()
                .unwrap_or(Truth::False),
            Self::Not(part) => !part.decide(arguments),
            Self::Only(args) => match arguments {
                Json::Object(members) => members.iter().all(|(name, _)| args.contains(name)).into(),
                _ => Truth::Unknown,
            },
            Self::Test {
                arg: None,
                each,
                test,
            } => over_leaves(arguments, *each, test),
            Self::Test {
                arg: Some(path),
                each,
                test,
            } => {
                let value = path.iter().try_fold(arguments, |value, key| value.get(key));
                match (value, each) {
                    (None, _) => {
                        if matches!(test, Test::Exists) {
                            Truth::False
                        } else {
                            Truth::Unknown
                        }
                    }
                    (Some(value), None) => test.decide(value),
                    (Some(Json::Array(items)), Some(each)) => {
                        combine(*each, items.iter().map(|item| test.decide(item)))
                    }
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
    let pathlike = |text: &str| {
        ["/", "~", ".", "file:"]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let tested = leaves.into_iter().filter(|leaf| match (test, leaf) {
        (Test::Path { .. }, Json::String(start)) => pathlike(start),
        _ => true,
    });
    combine(each.unwrap_or(Each::Some), tested.map(|leaf| test.decide(leaf)))
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
            (Self::Is(json_type), value) => (type_of(value) == *json_type).into(),
            (Self::Path { pattern, downward }, Json::String(text)) => {
                match NormalPath::parse(text.as_bytes()) {
                    Ok(path) if *downward => pattern.covers(path).into(),
                    Ok(path) => pattern.matches(path).into(),
                    Err(_) => Truth::Unknown,
                }
            }
            (Self::Host(pattern), Json::String(text)) => {
                host_of(text).map_or(Truth::Unknown, |host| pattern.matches(&host, false).into())
            }
            (Self::Text(pattern), Json::String(text)) => pattern.matches(text).into(),
            (Self::Compare(cmp, expected), value) => compare(*cmp, value, &expected.0),
            (Self::In(values), value) => is_one_of(value, values),
            (Self::Length(cmp, count), value) => {
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

/// Unknown only if no value of the list has the type of this one.
fn is_one_of(value: &Json, values: &[Scalar]) -> Truth {
    let mut result = if values.is_empty() {
        Truth::False
    } else {
        Truth::Unknown
    };
    for expected in values {
        match compare(Compare::Equal, value, &expected.0) {
            Truth::True => return Truth::True,
            Truth::False => result = Truth::False,
            Truth::Unknown => {}
        }
    }
    result
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

/// The host itself, or the host of an absolute URL (RFC 3986 §3.2); `None` for what readers could take for different
/// hosts (`decisions.md` D9, M3).
fn host_of(text: &str) -> Option<Host> {
    if text.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
        return None;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Host::parse(text).ok();
    };
    let valid_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !valid_scheme {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => authority
            .find(':')
            .map_or((authority, ""), |at| authority.split_at(at)),
    };
    let numeric = port
        .strip_prefix(':')
        .unwrap_or(port)
        .bytes()
        .all(|byte| byte.is_ascii_digit());
    let well_formed = numeric && (port.is_empty() || port.starts_with(':'));
    Host::parse(host).ok().filter(|_| well_formed)
}

// ---- reading ---------------------------------------------------------------------------------------------------

/// A condition as it is written, perhaps not bound. Flat: tagged enums would buffer numbers (see `BucketForm`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionForm {
    op: String,
    of: Option<Vec<ConditionForm>>,
    args: Option<Vec<String>>,
    arg: Option<Vec<String>>,
    each: Option<Each>,
    test: Option<TestForm>,
}

impl ConditionForm {
    /// Hands each pattern in it to `change`.
    pub(super) fn each_pattern<E>(
        &mut self,
        change: &mut dyn FnMut(&mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        for part in self.of.iter_mut().flatten() {
            part.each_pattern(change)?;
        }
        match self.test.as_mut().and_then(|test| test.pattern.as_mut()) {
            Some(pattern) => change(pattern),
            None => Ok(()),
        }
    }
}

impl TryFrom<&ConditionForm> for Condition {
    type Error = String;

    fn try_from(form: &ConditionForm) -> Result<Self, String> {
        let plain = form.arg.is_none() && form.each.is_none();
        let parts = |of: &[ConditionForm]| of.iter().map(Self::try_from).collect::<Result<Vec<_>, _>>();
        match (form.op.as_str(), &form.of, &form.args, &form.test) {
            ("and", Some(of), None, None) if plain && !of.is_empty() => parts(of).map(Self::And),
            ("or", Some(of), None, None) if plain && !of.is_empty() => parts(of).map(Self::Or),
            ("not", Some(of), None, None) if plain && of.len() == 1 => {
                Self::try_from(&of[0]).map(|inner| Self::Not(Box::new(inner)))
            }
            ("only", None, Some(args), None) if plain => Ok(Self::Only(args.clone())),
            ("test", None, None, Some(_)) if plain => Err("all leaves need `some` or `every`".into()),
            ("test", None, None, Some(test)) => Ok(Self::Test {
                arg: form.arg.clone(),
                each: form.each,
                test: Test::try_from(test)?,
            }),
            (op, ..) => Err(format!(
                "`{op}` is no operator of a condition, or has not its keys"
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TestForm {
    kind: String,
    pattern: Option<String>,
    downward: Option<bool>,
    cmp: Option<Compare>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Scalar>,
    values: Option<Vec<Scalar>>,
    count: Option<u64>,
    #[serde(rename = "type")]
    json_type: Option<JsonType>,
}

/// A `null` that is there in JSON is a value, no absent one.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Scalar>, D::Error> {
    if deserializer.is_human_readable() {
        Scalar::deserialize(deserializer).map(Some)
    } else {
        Option::deserialize(deserializer)
    }
}

impl TryFrom<&TestForm> for Test {
    type Error = String;

    fn try_from(form: &TestForm) -> Result<Self, String> {
        let words = (form.kind.as_str(), form.pattern.as_deref(), form.cmp);
        match (
            words,
            form.downward,
            &form.value,
            &form.values,
            form.count,
            form.json_type,
        ) {
            (("path", Some(pattern), None), Some(downward), None, None, None, None) => Glob::parse(pattern)
                .map(|pattern| Self::Path { pattern, downward })
                .map_err(|error| error.to_string()),
            (("host", Some(pattern), None), None, None, None, None, None) => HostPattern::parse(pattern)
                .map(Self::Host)
                .map_err(|error| error.to_string()),
            (("text", Some(pattern), None), None, None, None, None, None) => {
                TextGlob::parse(pattern, Crossing::Everything)
                    .map(Self::Text)
                    .map_err(|error| error.to_string())
            }
            (("compare", None, Some(cmp)), None, Some(value), None, None, None) => {
                Ok(Self::Compare(cmp, value.clone()))
            }
            (("in", None, None), None, None, Some(values), None, None) => Ok(Self::In(values.clone())),
            (("length", None, Some(cmp)), None, None, None, Some(count), None) => {
                Ok(Self::Length(cmp, count))
            }
            (("is", None, None), None, None, None, None, Some(json_type)) => Ok(Self::Is(json_type)),
            (("exists", None, None), None, None, None, None, None) => Ok(Self::Exists),
            ((kind, ..), ..) => Err(format!("`{kind}` is no test, or has not its keys")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(test: &str, value: &str) -> Truth {
        let form: TestForm = serde_json::from_str(test).unwrap();
        let test = Test::try_from(&form).unwrap();
        test.decide(&Json::parse(value.as_bytes()).unwrap())
    }

    #[test]
    fn one_value() {
        use Truth::{False, True, Unknown};
        let host = r#"{"kind":"host","pattern":"**.x.example"}"#;
        let cases = [
            (r#"{"kind":"compare","cmp":"<=","value":1000}"#, "1e3", True),
            (
                r#"{"kind":"compare","cmp":"<=","value":1000}"#,
                "1000.0000000000000000001",
                False,
            ),
            (r#"{"kind":"compare","cmp":"<=","value":1000}"#, "\"1\"", Unknown),
            (r#"{"kind":"compare","cmp":"==","value":null}"#, "null", True),
            (r#"{"kind":"compare","cmp":"==","value":true}"#, "1", Unknown),
            (r#"{"kind":"in","values":["a",1]}"#, "1.0", True),
            (r#"{"kind":"in","values":["a",1]}"#, "\"b\"", False),
            (r#"{"kind":"in","values":["a",1]}"#, "true", Unknown),
            (r#"{"kind":"length","cmp":"<=","count":2}"#, "\"üß\"", True),
            (r#"{"kind":"length","cmp":"<=","count":2}"#, "3", Unknown),
            (
                r#"{"kind":"path","pattern":"/etc","downward":true}"#,
                "\"/etc/passwd\"",
                True,
            ),
            (
                r#"{"kind":"path","pattern":"/etc","downward":false}"#,
                "\"/etc/passwd\"",
                False,
            ),
            (
                r#"{"kind":"path","pattern":"/etc","downward":true}"#,
                "\"/etc/../x\"",
                Unknown,
            ),
            (host, "\"https://user@a.x.example:8443/p\"", True),
            (host, "\"https://a.x.example@evil.example/\"", False),
            (host, "\"https:\\\\a.x.example\"", Unknown),
            (host, "\"//a.x.example/\"", Unknown),
            (host, "\"1x://a.x.example/\"", Unknown),
            (host, "\"http://[::1]a.x.example/\"", Unknown),
        ];
        for (test, value, want) in cases {
            assert_eq!(decide(test, value), want, "{test} {value}");
        }
    }

    #[test]
    fn leaving_an_argument_out_never_helps() {
        let missing =
            r#"{"op":"test","arg":["a"],"each":null,"test":{"kind":"compare","cmp":"==","value":1}}"#;
        let nothing = Json::Object(Vec::new());
        for (text, want) in [
            (missing.to_owned(), Truth::Unknown),
            (format!(r#"{{"op":"not","of":[{missing}]}}"#), Truth::Unknown),
            (
                r#"{"op":"test","arg":["a"],"each":null,"test":{"kind":"exists"}}"#.to_owned(),
                Truth::False,
            ),
            (
                r#"{"op":"test","arg":null,"each":"some","test":{"kind":"exists"}}"#.to_owned(),
                Truth::False,
            ),
            (
                r#"{"op":"test","arg":null,"each":"every","test":{"kind":"text","pattern":"v"}}"#.to_owned(),
                Truth::True,
            ),
        ] {
            let form: ConditionForm = serde_json::from_str(&text).unwrap();
            let condition = Condition::try_from(&form).unwrap();
            assert_eq!(condition.decide(&nothing), want, "{text}");
        }
    }
}
