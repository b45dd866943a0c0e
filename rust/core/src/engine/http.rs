//! Paths of HTTP requests as rules see them (N10): what readers could take for different paths is not taken at all.

use crate::glob::{Glob, Segment};
use crate::path::NormalPath;

/// The HTTP part of a request.
pub(super) struct Http<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) path: UrlPath,
}

pub(super) enum UrlPath {
    Unseen,
    /// Reads differently to different readers.
    Strange,
    /// Decoded, without query and trailing slash.
    Seen(Vec<u8>),
}

/// Closed downward where the rule is (S8).
pub(super) fn url_path_matches(glob: &Glob, downward: bool, path: &[u8]) -> bool {
    NormalPath::parse(path).is_ok_and(|path| {
        if downward {
            glob.covers(path)
        } else {
            glob.matches(path)
        }
    })
}

/// The path of a request as rules see it: escapes decoded, without query and one trailing slash (N10).
pub(super) fn url_path(text: Option<&str>) -> UrlPath {
    let Some(text) = text else { return UrlPath::Unseen };
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some(mut path) = decode(text.as_bytes()) else {
        return UrlPath::Strange;
    };
    if path.len() > 1 && path.last() == Some(&b'/') {
        path.pop();
    }
    if NormalPath::parse(&path).is_ok() {
        UrlPath::Seen(path)
    } else {
        UrlPath::Strange
    }
}

/// `None` for invalid escapes and for escaped or plain bytes that readers take differently.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| {
        char::from(*byte?)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut path = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => return None,
            b'%' => {
                let byte = digit(text.get(at + 1))? * 16 + digit(text.get(at + 2))?;
                if matches!(byte, b'/' | b'\\' | 0) {
                    return None;
                }
                path.push(byte);
                at += 2;
            }
            byte => path.push(byte),
        }
        at += 1;
    }
    Some(path)
}

/// A path that the pattern matches: stars filled with a name that hardly any rule has, `**` with `depth` of them.
pub(super) fn instance(glob: &Glob, depth: usize) -> String {
    let mut path = String::new();
    for segment in glob.segments() {
        match segment {
            Segment::Literal(bytes) => path.extend(["/", &escaped(bytes)]),
            Segment::Wild(wild) => path.extend(["/", &escaped(&wild.instance(b"~"))]),
            Segment::AnyDepth => path.push_str(&"/~".repeat(depth)),
        }
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// Bytes of a segment as they stand in a request.
fn escaped(segment: &[u8]) -> String {
    segment
        .iter()
        .map(|byte| {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
            if plain {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect()
}
