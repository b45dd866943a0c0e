//! The strict JSON reader: what it accepts is JSON, its two ways agree, and a value written out reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_core::json::{Json, MOST_LEVELS};

fuzz_target!(|bytes: &[u8]| {
    let read = Json::parse(bytes);
    assert_eq!(Json::check(bytes), read.as_ref().map(drop).map_err(Clone::clone));
    let value = match read {
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error:?}");
            return;
        }
        Ok(value) => value,
    };
    // Another reader has the same opinion of what is JSON.
    assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok());
    assert!(levels(&value) <= MOST_LEVELS);
    let mut text = String::new();
    write(&value, &mut text);
    assert_eq!(Json::parse(text.as_bytes()), Ok(value), "{text}");
});

fn levels(value: &Json) -> usize {
    match value {
        Json::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Json::Object(members) => 1 + members.iter().map(|(_, value)| levels(value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn write(value: &Json, text: &mut String) {
    match value {
        Json::Null => text.push_str("null"),
        Json::Bool(true) => text.push_str("true"),
        Json::Bool(false) => text.push_str("false"),
        Json::Number(number) => text.push_str(&number.to_string()),
        Json::String(string) => write_string(string, text),
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write(item, text);
            }
            text.push(']');
        }
        Json::Object(members) => {
            text.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write_string(key, text);
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
    }
}

/// Each character by its UTF-16 escapes, so that the reader's surrogates are on the way.
fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for unit in string.encode_utf16() {
        text.extend(["\\u", &format!("{unit:04x}")]);
    }
    text.push('"');
}
