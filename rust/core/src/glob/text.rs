//! Patterns of tools, URIs and texts (M2, M3): `*` is any run of characters, but for one that it does not cross.

use crate::error::PatternError;

/// What `*` does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// `server:tool`: not a colon; `**` is an error.
    Tool,
    /// URIs: not a slash; `**` matches any run.
    Uri,
    /// Texts: everything; `**` is as `*`.
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Star,
    /// Crosses everything.
    DoubleStar,
}

/// A compiled text pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextGlob {
    parts: Vec<Part>,
    stop: Option<u8>,
}

impl TextGlob {
    /// # Errors
    /// P032 for `**` in a tool name or a lone backslash.
    pub fn parse(text: &str, crossing: Crossing) -> Result<Self, PatternError> {
        let stop = match crossing {
            Crossing::Tool => Some(b':'),
            Crossing::Uri => Some(b'/'),
            Crossing::Everything => None,
        };
        let bytes = text.as_bytes();
        let mut parts = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'*' if bytes.get(at + 1) == Some(&b'*') => {
                    if crossing == Crossing::Tool {
                        return Err(PatternError::new("P032", at, "`**` has no meaning in a tool name"));
                    }
                    parts.push(Part::DoubleStar);
                    at += 1;
                }
                b'*' => parts.push(Part::Star),
                b'\\' => {
                    at += 1;
                    let escaped = bytes.get(at).ok_or_else(|| {
                        PatternError::new("P032", at - 1, "nothing follows the backslash")
                    })?;
                    parts.push(Part::Byte(*escaped));
                }
                byte => parts.push(Part::Byte(byte)),
            }
            at += 1;
        }
        Ok(Self { parts, stop })
    }

    /// Whether the whole text matches. Simulates the pattern's states: cost O(|text|·|pattern|).
    pub fn matches(&self, text: &str) -> bool {
        let mut states = vec![false; self.parts.len() + 1];
        states[0] = true;
        self.close(&mut states);
        for byte in text.bytes() {
            let mut next = vec![false; states.len()];
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| states[*at]) {
                match part {
                    Part::Byte(expected) if *expected == byte => next[at + 1] = true,
                    Part::Byte(_) => {}
                    Part::Star => next[at] |= self.stop != Some(byte),
                    Part::DoubleStar => next[at] = true,
                }
            }
            self.close(&mut next);
            states = next;
        }
        states[self.parts.len()]
    }

    /// A star matches nothing, too (`decisions.md` D9).
    fn close(&self, states: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            if states[at] && !matches!(part, Part::Byte(_)) {
                states[at + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_where_they_must() {
        let cases = [
            (Crossing::Tool, "g:get_*", "g:get_x", true),
            (Crossing::Tool, "g:get_*", "g:get_", true),
            (Crossing::Tool, "g:get_*", "g:get_a:b", false),
            (Crossing::Tool, "*:*", "any:tool", true),
            (Crossing::Uri, "d:https://x/*", "d:https://x/a", true),
            (Crossing::Uri, "d:https://x/*", "d:https://x/a/b", false),
            (Crossing::Uri, "d:https://x/**", "d:https://x/a/b", true),
            (Crossing::Everything, "v*", "v1/2:3", true),
            (Crossing::Everything, "v\\*", "v1", false),
        ];
        for (crossing, pattern, text, want) in cases {
            assert_eq!(TextGlob::parse(pattern, crossing).unwrap().matches(text), want, "{pattern} {text}");
        }
    }
}
