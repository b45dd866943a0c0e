//! One segment with `*` within: literal pieces with any run of bytes between them.

use crate::error::PatternError;

/// Pieces between stars. `*` alone needs at least one byte, which every segment has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentGlob {
    /// The literal pieces; between each two stands a `*`.
    pieces: Vec<Vec<u8>>,
}

impl SegmentGlob {
    /// Parses a segment; `offset` is where it stands, for errors.
    ///
    /// # Errors
    /// P031 for `**` within, P032 for other wildcards.
    pub fn parse(text: &[u8], offset: usize) -> Result<Self, PatternError> {
        let mut pieces = vec![Vec::new()];
        let mut star_before = false;
        let mut at = 0;
        while at < text.len() {
            let byte = text[at];
            let mut literal = None;
            match byte {
                b'*' if star_before => {
                    return Err(PatternError::new(
                        "P031",
                        offset + at,
                        "`**` stands only as a whole segment",
                    ));
                }
                b'*' => pieces.push(Vec::new()),
                b'?' | b'[' | b']' | b'{' | b'}' => {
                    let message = format!(
                        "`{}` is no wildcard here; write `\\{0}` for the character",
                        char::from(byte)
                    );
                    return Err(PatternError::new("P032", offset + at, message));
                }
                b'\\' => {
                    at += 1;
                    let Some(escaped) = text.get(at) else {
                        return Err(PatternError::new(
                            "P032",
                            offset + at - 1,
                            "nothing follows the backslash",
                        ));
                    };
                    literal = Some(*escaped);
                }
                _ => literal = Some(byte),
            }
            star_before = literal.is_none();
            if let (Some(byte), Some(piece)) = (literal, pieces.last_mut()) {
                piece.push(byte);
            }
            at += 1;
        }
        Ok(Self { pieces })
    }

    /// The bytes, when there is no star.
    pub fn literal(&self) -> Option<Vec<u8>> {
        match self.pieces.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// The first and the last byte of every name that matches, where the pattern says them.
    pub(super) fn ends(&self) -> (Option<u8>, Option<u8>) {
        let first = self.pieces.first().and_then(|piece| piece.first());
        let last = self.pieces.last().and_then(|piece| piece.last());
        (first.copied(), last.copied())
    }

    /// A name that matches: each star is replaced by `filler`.
    pub fn instance(&self, filler: &[u8]) -> Vec<u8> {
        self.pieces.join(filler)
    }

    /// Whether the whole name matches. Greedy from the left, which is right for `*`; cost O(|name|·|pattern|).
    pub fn matches(&self, name: &[u8]) -> bool {
        matches_pieces(&self.pieces, name)
    }
}

/// Whether `text` is the pieces with any bytes between.
pub(super) fn matches_pieces(pieces: &[Vec<u8>], text: &[u8]) -> bool {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return text.is_empty();
    };
    if pieces.len() == 1 {
        return text == first.as_slice();
    }
    let Some(mut rest) = text.strip_prefix(first.as_slice()) else {
        return false;
    };
    for piece in &pieces[1..pieces.len() - 1] {
        match find(rest, piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    text.windows(piece.len()).position(|window| window == piece)
}
