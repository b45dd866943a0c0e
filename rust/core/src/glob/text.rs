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
                        return Err(PatternError::new(
                            "P032",
                            at,
                            "`**` has no meaning in a tool name",
                        ));
                    }
                    parts.push(Part::DoubleStar);
                    at += 1;
                }
                b'*' => parts.push(Part::Star),
                b'\\' => {
                    at += 1;
                    let escaped = bytes
                        .get(at)
                        .ok_or_else(|| PatternError::new("P032", at - 1, "nothing follows the backslash"))?;
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
        let mut next = states.clone();
        states[0] = true;
        self.close(&mut states);
        for byte in text.bytes() {
            next.fill(false);
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| states[*at]) {
                match part {
                    Part::Byte(expected) if *expected == byte => next[at + 1] = true,
                    Part::Byte(_) => {}
                    Part::Star => next[at] |= self.stop != Some(byte),
                    Part::DoubleStar => next[at] = true,
                }
            }
            self.close(&mut next);
            std::mem::swap(&mut states, &mut next);
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

/// The subject of an MCP rule: `server:tool`, `server:URI`, or a server alone (M2). The parts are matched apart, so a
/// wildcard never crosses the first colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    server: TextGlob,
    rest: Option<TextGlob>,
}

impl Subject {
    /// Parses a subject; `is_uri` says that a URI follows the server.
    ///
    /// # Errors
    /// As for its parts.
    pub fn parse(is_uri: bool, text: &str) -> Result<Self, PatternError> {
        let (server, rest) = text
            .split_once(':')
            .map_or((text, None), |(server, rest)| (server, Some(rest)));
        let of_rest = if is_uri { Crossing::Uri } else { Crossing::Tool };
        let later = |error: PatternError| PatternError {
            offset: error.offset + server.len() + 1,
            ..error
        };
        let rest = rest
            .map(|rest| TextGlob::parse(rest, of_rest).map_err(later))
            .transpose()?;
        Ok(Self {
            server: TextGlob::parse(server, Crossing::Tool)?,
            rest,
        })
    }

    /// Whether it matches a concrete subject.
    pub fn matches(&self, subject: &str) -> bool {
        match (&self.rest, subject.split_once(':')) {
            (Some(rest), Some((server, of_rest))) => self.server.matches(server) && rest.matches(of_rest),
            (None, None) => self.server.matches(subject),
            _ => false,
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
            assert_eq!(
                TextGlob::parse(pattern, crossing).unwrap().matches(text),
                want,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_wildcard_stays_in_its_part_of_the_subject() {
        let cases = [
            (false, "g:get_*", "g:get_x", true),
            (false, "*:get", "g:get", true),
            (false, "*:get", "g:h:get", false),
            (true, "*:https://x/**", "d:https://x/a/b", true),
            (true, "d:*", "d:https://x", false),
            (false, "g*", "github", true),
            (false, "g", "g:x", false),
        ];
        for (is_uri, pattern, subject, want) in cases {
            assert_eq!(
                Subject::parse(is_uri, pattern).unwrap().matches(subject),
                want,
                "{pattern} {subject}"
            );
        }
        assert_eq!(
            Subject::parse(false, "g:a**").map_err(|error| error.offset),
            Err(3)
        );
    }
}
