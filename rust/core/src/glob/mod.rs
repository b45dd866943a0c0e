//! Path patterns (F3) and plain text patterns (M2, M3), with backslash escapes.

mod few;
mod segment;
mod text;
mod trie;

pub use segment::SegmentGlob;
pub use text::{Crossing, Subject, TextGlob};
pub use trie::{Matches, Names, Trie};

use crate::error::PatternError;
use crate::path::NormalPath;

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Only literal bytes.
    Literal(Vec<u8>),
    /// With `*` within.
    Wild(SegmentGlob),
    /// `**`: zero or more segments.
    AnyDepth,
}

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    segments: Vec<Segment>,
}

impl Glob {
    /// Parses a pattern whose variables are bound.
    ///
    /// # Errors
    /// P030, P031, P032 or P034 with the offset of what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let bytes = text.as_bytes();
        if bytes.first() != Some(&b'/') {
            return Err(PatternError::new(
                "P030",
                0,
                "a path pattern is absolute or starts with a path variable",
            ));
        }
        if bytes == b"/" {
            return Ok(Self { segments: Vec::new() });
        }
        let mut segments = Vec::new();
        let mut start = 1;
        for piece in split_unescaped(&bytes[1..]) {
            segments.push(parse_segment(piece, start)?);
            start += piece.len() + 1;
        }
        if let [Segment::Literal(first), Segment::Literal(second), ..] = segments.as_slice()
            && first == b"proc"
            && (second == b"self" || second == b"thread-self")
        {
            return Err(PatternError::new(
                "P034",
                6,
                "`/proc/self` is a link: write `/proc/*/…`",
            ));
        }
        Ok(Self { segments })
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the pattern matches exactly this canonical path.
    pub fn matches(&self, path: NormalPath<'_>) -> bool {
        let names: Vec<&[u8]> = path.segments().collect();
        matches_from(&self.segments, &names, false)
    }

    /// Whether the pattern matches this path or one above it: a restriction closes downward (S8).
    pub fn covers(&self, path: NormalPath<'_>) -> bool {
        let names: Vec<&[u8]> = path.segments().collect();
        matches_from(&self.segments, &names, true)
    }

    /// The path, when there is no wildcard.
    pub fn literal(&self) -> Option<String> {
        literal_path(&self.segments)
    }

    /// The directory, when the pattern is `DIRECTORY/**`.
    pub fn tree(&self) -> Option<String> {
        match self.segments.split_last() {
            Some((Segment::AnyDepth, above)) => literal_path(above),
            _ => None,
        }
    }
}

fn literal_path(segments: &[Segment]) -> Option<String> {
    let mut path = String::new();
    for segment in segments {
        let Segment::Literal(bytes) = segment else {
            return None;
        };
        path.push('/');
        path.push_str(std::str::from_utf8(bytes).ok()?);
    }
    Some(if path.is_empty() { "/".to_owned() } else { path })
}

/// Cost O(|segments|·|names|): of several `**` only the last one that was met is ever widened, since widening an
/// earlier one reaches no state that the last one can't.
fn matches_from(segments: &[Segment], names: &[&[u8]], or_above: bool) -> bool {
    let (mut at, mut name) = (0, 0);
    // Where to go on, when nothing fits: behind the last `**`, with one more name inside it.
    let mut widen: Option<(usize, usize)> = None;
    loop {
        let fits = match segments.get(at) {
            Some(Segment::AnyDepth) => {
                at += 1;
                widen = Some((at, name));
                continue;
            }
            None if or_above || name == names.len() => return true,
            None => false,
            Some(Segment::Literal(bytes)) => names.get(name).is_some_and(|found| bytes == found),
            Some(Segment::Wild(glob)) => names.get(name).is_some_and(|found| glob.matches(found)),
        };
        if fits {
            (at, name) = (at + 1, name + 1);
        } else if let Some((behind, inside)) = widen.filter(|(_, inside)| *inside < names.len()) {
            widen = Some((behind, inside + 1));
            (at, name) = (behind, inside + 1);
        } else {
            return false;
        }
    }
}

/// Splits at `/`; an escape before it does not hide it, since a name never holds one.
fn split_unescaped(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'/')
}

fn parse_segment(piece: &[u8], offset: usize) -> Result<Segment, PatternError> {
    let odd = |message: &str| Err(PatternError::new("P031", offset, message));
    match piece {
        b"" => return odd("an empty segment, `//` or a trailing `/`"),
        b"." | b".." => return odd("a `.` or `..` segment"),
        b"**" => return Ok(Segment::AnyDepth),
        _ => {}
    }
    let glob = SegmentGlob::parse(piece, offset)?;
    Ok(match glob.literal() {
        Some(bytes) => Segment::Literal(bytes),
        None => Segment::Wild(glob),
    })
}

/// `text` as a pattern that matches only itself.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern)
            .unwrap()
            .matches(NormalPath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn the_table_of_f3() {
        let cases = [
            ("/srv/*", "/srv/a", true),
            ("/srv/*", "/srv/.a", true),
            ("/srv/*", "/srv", false),
            ("/srv/*", "/srv/a/b", false),
            ("/srv/**", "/srv", true),
            ("/srv/**", "/srv/a/b", true),
            ("/srv/**", "/srvx", false),
            ("/**/.env", "/.env", true),
            ("/**/.env", "/a/b/.env", true),
            ("/**/.env", "/a/.env.local", false),
            ("/**/.env", "/a/.env/x", false),
            ("/srv/*.log", "/srv/a.log", true),
            ("/srv/*.log", "/srv/.log", true),
            ("/srv/*.log", "/srv/d/a.log", false),
            ("/srv/**/t*/x", "/srv/t/x", true),
            ("/srv/**/t*/x", "/srv/a/b/tmp/x", true),
            ("/srv/**/t*/x", "/srv/x", false),
            ("/srv/a\\*b", "/srv/a*b", true),
            ("/srv/a\\*b", "/srv/axb", false),
            ("/**", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
        ];
        for (pattern, path, want) in cases {
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let cases = [
            ("~/x", "P030"),
            ("x/y", "P030"),
            ("", "P030"),
            ("/a/", "P031"),
            ("//a", "P031"),
            ("/a/../b", "P031"),
            ("/a**b", "P031"),
            ("/a/***", "P031"),
            ("/a?", "P032"),
            ("/a[b]", "P032"),
            ("/{a}", "P032"),
            ("/proc/self/maps", "P034"),
            ("/a\\", "P032"),
        ];
        for (pattern, code) in cases {
            assert_eq!(Glob::parse(pattern).unwrap_err().code, code, "{pattern}");
        }
    }

    /// F3, word for word.
    fn slow(segments: &[Segment], names: &[&[u8]]) -> bool {
        match segments.split_first() {
            None => names.is_empty(),
            Some((Segment::AnyDepth, rest)) => (0..=names.len()).any(|skip| slow(rest, &names[skip..])),
            Some((segment, rest)) => names.split_first().is_some_and(|(name, names)| {
                let here = match segment {
                    Segment::Literal(bytes) => bytes == name,
                    Segment::Wild(glob) => glob.matches(name),
                    Segment::AnyDepth => true,
                };
                here && slow(rest, names)
            }),
        }
    }

    #[test]
    fn many_wildcards_stay_cheap() {
        let pattern = format!("{}/b", "/**/a*".repeat(40));
        assert!(!matches(&pattern, &"/a".repeat(2000)));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in "(/(\\*\\*|a|b|\\*|a\\*)){1,6}", path in "(/(a|b|ab)){0,8}", closed in any::<bool>(),
        ) {
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let path = NormalPath::parse(path.as_bytes()).unwrap();
            let names: Vec<&[u8]> = path.segments().collect();
            let glob = Glob::parse(&pattern).unwrap();
            let want = if closed {
                (0..=names.len()).any(|length| slow(glob.segments(), &names[..length]))
            } else {
                slow(glob.segments(), &names)
            };
            prop_assert_eq!(if closed { glob.covers(path) } else { glob.matches(path) }, want);
        }

        #[test]
        fn an_escaped_path_matches_itself_alone(path in "(/[a*?\\[\\]{}\\\\.]{1,4}){1,3}", other in "(/[a*.]{1,3}){1,3}") {
            prop_assume!(NormalPath::parse(path.as_bytes()).is_ok() && NormalPath::parse(other.as_bytes()).is_ok());
            prop_assume!(!path.starts_with("/proc/"));
            let pattern = escape(&path);
            prop_assert!(matches(&pattern, &path));
            prop_assert_eq!(matches(&pattern, &other), path == other);
        }
    }
}
