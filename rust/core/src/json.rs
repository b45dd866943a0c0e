//! The one strict JSON reader (RFC 8259 and M4): no duplicate keys, no invalid UTF-8 or unpaired surrogates, at most 64
//! levels, numbers within ±10^±308 and exact.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

/// Most levels of arrays and objects, the outermost included.
pub const MOST_LEVELS: usize = 64;
const MOST_EXPONENT: i64 = 308;

/// A JSON value. Objects keep the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Decimal),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// An exact decimal: `±0.DIGITS · 10^exponent`, digits without leading or trailing zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// Why a text is not JSON as we read it; `offset` in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct JsonError {
    pub offset: usize,
    pub what: JsonFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("not UTF-8")]
    Utf8,
    #[error("unexpected character")]
    Unexpected,
    #[error("the text ends too early")]
    End,
    #[error("duplicate key")]
    DuplicateKey,
    #[error("more than 64 levels")]
    Depth,
    #[error("a number outside of ±10^±308")]
    Range,
    #[error("an unpaired surrogate")]
    Surrogate,
}

impl Json {
    /// Reads one value and nothing else.
    ///
    /// # Errors
    /// The first fault and its place.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
            offset: error.valid_up_to(),
            what: JsonFault::Utf8,
        })?;
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
        };
        let value = reader.value(0)?;
        reader.space();
        if reader.at == reader.text.len() {
            Ok(value)
        } else {
            Err(reader.fault(JsonFault::Unexpected))
        }
    }

    /// Reads as `parse` does and keeps nothing: for bytes that another reader takes the values from.
    ///
    /// # Errors
    /// As `parse`.
    pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
            offset: error.valid_up_to(),
            what: JsonFault::Utf8,
        })?;
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
        };
        reader.skip(0)?;
        reader.space();
        if reader.at == reader.text.len() {
            Ok(())
        } else {
            Err(reader.fault(JsonFault::Unexpected))
        }
    }

    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

impl Decimal {
    /// Reads a number in JSON's grammar.
    pub fn parse(text: &str) -> Option<Self> {
        match Json::parse(text.as_bytes()) {
            Ok(Json::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// Whether it is a whole number, however it was written: `1.0` and `1e3` are.
    pub fn is_integer(&self) -> bool {
        i64::try_from(self.digits.len()).is_ok_and(|count| count <= self.exponent) || self.digits.is_empty()
    }

    fn from_parts(negative: bool, digits: &[u8], mut exponent: i64) -> Option<Self> {
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        exponent = exponent.checked_sub(i64::try_from(leading).ok()?)?;
        let mut digits = digits[leading..].to_vec();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        (exponent.abs() <= MOST_EXPONENT + 1).then_some(Self {
            negative,
            digits,
            exponent,
        })
    }
}

impl std::fmt::Display for Decimal {
    /// Exact: whole numbers as plain digits, others with an exponent. Reads back to the same number.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = String::from_utf8_lossy(&self.digits);
        let sign = if self.negative { "-" } else { "" };
        if self.digits.is_empty() {
            formatter.write_str("0")
        } else if self.is_integer() {
            let width = usize::try_from(self.exponent).unwrap_or(self.digits.len());
            write!(formatter, "{sign}{digits:0<width$}")
        } else {
            write!(formatter, "{sign}0.{digits}e{}", self.exponent)
        }
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        let digits = number.to_string();
        let exponent = i64::try_from(digits.len()).unwrap_or(0);
        // INVARIANT: at most 20 digits are within the range.
        Self::from_parts(false, digits.as_bytes(), exponent).unwrap_or(Self {
            negative: false,
            digits: Vec::new(),
            exponent: 0,
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let magnitude = || {
            self.exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits))
        };
        match (sign(self), sign(other)) {
            (a, b) if a != b => a.cmp(&b),
            (0, _) => Ordering::Equal,
            (-1, _) => magnitude().reverse(),
            _ => magnitude(),
        }
    }
}

/// Members that are compared one by one; beyond, a set of keys keeps the cost linear.
const FEW_MEMBERS: usize = 16;

/// Whether the key was there before; `seen` is filled once there are many members.
fn has_key(members: &[(String, Json)], seen: &mut HashSet<String>, key: &str) -> bool {
    if members.len() < FEW_MEMBERS {
        return members.iter().any(|(name, _)| name == key);
    }
    if seen.is_empty() {
        seen.extend(members.iter().map(|(name, _)| name.clone()));
    }
    !seen.insert(key.to_owned())
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, what: JsonFault) -> JsonError {
        let what = if what == JsonFault::Unexpected && self.at >= self.text.len() {
            JsonFault::End
        } else {
            what
        };
        JsonError {
            offset: self.at,
            what,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault(JsonFault::Unexpected))
        }
    }

    fn value(&mut self, level: usize) -> Result<Json, JsonError> {
        self.space();
        match self.peek() {
            Some(b'{' | b'[') if level == MOST_LEVELS => Err(self.fault(JsonFault::Depth)),
            Some(b'{') => self.object(level),
            Some(b'[') => self.array(level),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            _ => self.word(),
        }
    }

    /// Passes over a value as `value` reads it.
    fn skip(&mut self, level: usize) -> Result<(), JsonError> {
        self.space();
        match self.peek() {
            Some(b'{' | b'[') if level == MOST_LEVELS => Err(self.fault(JsonFault::Depth)),
            Some(b'{') => self.skip_object(level),
            Some(b'[') => self.skip_array(level),
            Some(b'"') => self.skip_string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => self.word().map(drop),
        }
    }

    fn skip_array(&mut self, level: usize) -> Result<(), JsonError> {
        self.take(b'[')?;
        self.space();
        if self.take(b']').is_ok() {
            return Ok(());
        }
        loop {
            self.skip(level + 1)?;
            self.space();
            if self.take(b',').is_err() {
                return self.take(b']');
            }
        }
    }

    fn skip_object(&mut self, level: usize) -> Result<(), JsonError> {
        self.take(b'{')?;
        let mut keys: Vec<Cow<'a, [u8]>> = Vec::new();
        let mut seen = HashSet::new();
        self.space();
        if self.take(b'}').is_ok() {
            return Ok(());
        }
        loop {
            self.space();
            let start = self.at;
            let key = self.skip_string()?;
            let known = if keys.len() < FEW_MEMBERS {
                keys.contains(&key)
            } else {
                if seen.is_empty() {
                    seen.extend(keys.iter().cloned());
                }
                !seen.insert(key.clone())
            };
            if known {
                return Err(JsonError {
                    offset: start,
                    what: JsonFault::DuplicateKey,
                });
            }
            keys.push(key);
            self.space();
            self.take(b':')?;
            self.skip(level + 1)?;
            self.space();
            if self.take(b',').is_err() {
                return self.take(b'}');
            }
        }
    }

    /// The bytes of a string: those of the text where it has no escape.
    fn skip_string(&mut self) -> Result<Cow<'a, [u8]>, JsonError> {
        let start = self.at + 1;
        let plain = self
            .text
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f))
            .count();
        if self.text.get(start + plain) == Some(&b'"') && self.peek() == Some(b'"') {
            self.at = start + plain + 1;
            return Ok(Cow::Borrowed(&self.text[start..start + plain]));
        }
        self.string().map(|text| Cow::Owned(text.into_bytes()))
    }

    fn word(&mut self) -> Result<Json, JsonError> {
        for (word, value) in [
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("null", Json::Null),
        ] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fault(JsonFault::Unexpected))
    }

    fn array(&mut self, level: usize) -> Result<Json, JsonError> {
        self.take(b'[')?;
        let mut items = Vec::new();
        self.space();
        if self.take(b']').is_ok() {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(level + 1)?);
            self.space();
            if self.take(b',').is_err() {
                self.take(b']')?;
                return Ok(Json::Array(items));
            }
        }
    }

    fn object(&mut self, level: usize) -> Result<Json, JsonError> {
        self.take(b'{')?;
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        self.space();
        if self.take(b'}').is_ok() {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            let start = self.at;
            let key = self.string()?;
            if has_key(&members, &mut seen, &key) {
                return Err(JsonError {
                    offset: start,
                    what: JsonFault::DuplicateKey,
                });
            }
            self.space();
            self.take(b':')?;
            members.push((key, self.value(level + 1)?));
            self.space();
            if self.take(b',').is_err() {
                self.take(b'}')?;
                return Ok(Json::Object(members));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.take(b'"')?;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.fault(JsonFault::End)),
                Some(b'"') => {
                    self.at += 1;
                    // The text is UTF-8 and escapes add whole characters, so this never fails.
                    return String::from_utf8(bytes).map_err(|_| self.fault(JsonFault::Utf8));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(0..=0x1f) => return Err(self.fault(JsonFault::Unexpected)),
                Some(_) => {
                    let rest = &self.text[self.at..];
                    let plain = rest
                        .iter()
                        .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f))
                        .count();
                    bytes.extend_from_slice(&rest[..plain]);
                    self.at += plain;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.fault(JsonFault::Unexpected)),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with(b"\\u") {
                    return Err(self.fault(JsonFault::Surrogate));
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.fault(JsonFault::Surrogate));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.fault(JsonFault::Surrogate))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(JsonError {
            offset: self.at,
            what: JsonFault::End,
        })?;
        let mut code = 0;
        for digit in digits {
            let value = char::from(*digit)
                .to_digit(16)
                .ok_or_else(|| self.fault(JsonFault::Unexpected))?;
            code = code * 16 + value;
        }
        self.at += 4;
        Ok(code)
    }

    fn digits(&mut self) -> Result<&[u8], JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.fault(JsonFault::Unexpected))
        } else {
            Ok(&self.text[start..self.at])
        }
    }

    fn number(&mut self) -> Result<Decimal, JsonError> {
        let start = self.at;
        let negative = self.take(b'-').is_ok();
        let whole = self.digits()?.to_vec();
        if whole.len() > 1 && whole[0] == b'0' {
            return Err(JsonError {
                offset: start,
                what: JsonFault::Unexpected,
            });
        }
        let fraction = if self.take(b'.').is_ok() {
            self.digits()?.to_vec()
        } else {
            Vec::new()
        };
        let mut exponent: i64 = 0;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let minus = self.take(b'-').is_ok();
            if !minus {
                let _plus = self.take(b'+');
            }
            let range = JsonError {
                offset: start,
                what: JsonFault::Range,
            };
            for digit in self.digits()? {
                exponent = exponent
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(i64::from(digit - b'0')))
                    .filter(|value| *value < 1 << 32)
                    .ok_or_else(|| range.clone())?;
            }
            if minus {
                exponent = -exponent;
            }
        }
        let scale = exponent + i64::try_from(whole.len()).unwrap_or(i64::MAX / 2);
        Decimal::from_parts(negative, &[whole, fraction].concat(), scale).ok_or(JsonError {
            offset: start,
            what: JsonFault::Range,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_refused() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        let cases: [(&[u8], JsonFault); 12] = [
            (b"{\"a\":1,\"a\":2}", JsonFault::DuplicateKey),
            (b"{\"a\":1,\"\\u0061\":2}", JsonFault::DuplicateKey),
            (b"\"\xff\"", JsonFault::Utf8),
            (b"\"\\ud800\"", JsonFault::Surrogate),
            (b"\"\\udc00\"", JsonFault::Surrogate),
            (b"1e400", JsonFault::Range),
            (b"01", JsonFault::Unexpected),
            (b"[1,]", JsonFault::Unexpected),
            (b"1 2", JsonFault::Unexpected),
            (b"\"a\nb\"", JsonFault::Unexpected),
            (b"[", JsonFault::End),
            (deep.as_bytes(), JsonFault::Depth),
        ];
        for (text, fault) in cases {
            assert_eq!(
                Json::parse(text).map_err(|error| error.what),
                Err(fault),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn duplicates_are_found_among_few_and_many_members() {
        for count in [1, 15, 16, 17, 40] {
            let members: Vec<String> = (0..count).map(|number| format!("\"k{number}\":0")).collect();
            let text = format!("{{{}}}", members.join(","));
            assert!(Json::parse(text.as_bytes()).is_ok(), "{count}");
            for again in [0, count - 1] {
                let text = format!("{{{},\"k{again}\":1}}", members.join(","));
                let fault = Json::parse(text.as_bytes()).map_err(|error| error.what);
                assert_eq!(fault, Err(JsonFault::DuplicateKey), "{again} of {count}");
            }
        }
    }

    #[test]
    fn numbers_compare_by_value() {
        let number = |text| Decimal::parse(text).unwrap();
        assert_eq!(number("1e3"), number("1000.0"));
        assert_eq!(number("-0"), number("0.00"));
        assert!(number("0.1") < number("0.2") && number("-2") < number("-1") && number("9") < number("10"));
        assert!(number("1.00000000000000000001") > number("1"));
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_it_accepts(text in "[\\[\\]{}:,\"a0-2.e\\-\\\\u ]{0,24}") {
            if Json::parse(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn checking_agrees_with_parsing(text in "[\\[\\]{}:,\"ab0-2.e\\-\\\\u ]{0,32}") {
            prop_assert_eq!(Json::check(text.as_bytes()), Json::parse(text.as_bytes()).map(drop), "{}", text);
        }

        #[test]
        fn order_is_that_of_the_numbers(a in -1000i64..1000, b in -1000i64..1000) {
            let number = |value: i64| Decimal::parse(&value.to_string()).unwrap();
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }
    }
}
