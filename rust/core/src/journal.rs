//! Frames of a run's journal: JSON lines behind a chained header (`supervision.md` §1.4).
//!
//! ```text
//! frame = "RJ01" | u32 body length | u16 events | u16 flags | u64 first seq | 32 previous head | 32 root | body | 32 head
//! head  = SHA-256("replicante/frame/1" | header up to root)
//! ```
//! All numbers are little-endian. A journal is frames and nothing else; what follows the last whole frame is a torn write.

use crate::merkle::{self, Digest};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 4] = b"RJ01";
const DOMAIN: &[u8] = b"replicante/frame/1";
const HEADER: usize = 4 + 4 + 2 + 2 + 8 + 32 + 32;
const HEAD: usize = 32;

/// Most events of one frame, most bytes of its body, most bytes of one line.
pub const MOST_EVENTS: usize = 256;
pub const MOST_BODY: usize = 64 * 1024;
pub const MOST_LINE: usize = 60 * 1024;

/// The head before the first frame.
pub const GENESIS: Digest = [0; 32];

/// Why bytes are no continuation of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The bytes end within a frame: a torn write if they are the journal's last.
    #[error("the frame is not whole")]
    Torn,
    #[error("not a frame (magic, flags or sizes)")]
    NotAFrame,
    #[error("expected sequence number {expected}, found {found}")]
    Gap { expected: u64, found: u64 },
    #[error("the frame does not continue the chain")]
    Forked,
    #[error("the frame's digest does not fit its lines")]
    Altered,
}

/// Where a journal stands: what the next frame must continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub next_seq: u64,
    pub head: Digest,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            next_seq: 0,
            head: GENESIS,
        }
    }
}

/// One verified frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub first_seq: u64,
    pub lines: Vec<&'a [u8]>,
    /// Bytes of the whole frame.
    pub length: usize,
}

/// Encodes `lines` (JSON, without line ends) as the frame after `position`, which moves on.
///
/// The caller keeps to `MOST_EVENTS`, `MOST_BODY` and `MOST_LINE`; lines hold no LF.
pub fn encode(position: &mut Position, lines: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = lines
        .iter()
        .flat_map(|line| line.iter().copied().chain([b'\n']))
        .collect();
    let mut frame = Vec::with_capacity(HEADER + body.len() + HEAD);
    frame.extend(MAGIC);
    // INVARIANT: the bounds above keep both below 2^16 and 2^32.
    frame.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend(u16::try_from(lines.len()).unwrap_or(u16::MAX).to_le_bytes());
    frame.extend(0u16.to_le_bytes());
    frame.extend(position.next_seq.to_le_bytes());
    frame.extend(position.head);
    frame.extend(merkle::root(lines.iter().map(Vec::as_slice)));
    let head: Digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(&frame)
        .finalize()
        .into();
    frame.extend(body);
    frame.extend(head);
    position.next_seq += lines.len() as u64;
    position.head = head;
    frame
}

/// Reads and verifies the frame at the start of `bytes`; `position` moves on.
///
/// # Errors
/// What is wrong with it; `position` is then unchanged.
pub fn decode<'a>(position: &mut Position, bytes: &'a [u8]) -> Result<Frame<'a>, JournalError> {
    let header = bytes.get(..HEADER).ok_or(JournalError::Torn)?;
    let field = |at: usize, length: usize| &header[at..at + length];
    let number = |at: usize, length: usize| {
        field(at, length)
            .iter()
            .rev()
            .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let body_length = usize::try_from(number(4, 4)).map_err(|_| JournalError::NotAFrame)?;
    let events = usize::try_from(number(8, 2)).map_err(|_| JournalError::NotAFrame)?;
    if field(0, 4) != MAGIC
        || number(10, 2) != 0
        || events == 0
        || events > MOST_EVENTS
        || body_length > 2 * MOST_BODY
    {
        return Err(JournalError::NotAFrame);
    }
    let first_seq = number(12, 8);
    let length = HEADER + body_length + HEAD;
    let whole = bytes.get(..length).ok_or(JournalError::Torn)?;
    if first_seq != position.next_seq {
        return Err(JournalError::Gap {
            expected: position.next_seq,
            found: first_seq,
        });
    }
    if field(20, 32) != position.head {
        return Err(JournalError::Forked);
    }
    let (body, head) = whole[HEADER..].split_at(body_length);
    let body = body.strip_suffix(b"\n").ok_or(JournalError::Altered)?;
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let expected: Digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(header)
        .finalize()
        .into();
    if lines.len() != events || field(52, 32) != merkle::root(lines.iter().copied()) || head != expected {
        return Err(JournalError::Altered);
    }
    position.next_seq = first_seq
        .checked_add(events as u64)
        .ok_or(JournalError::NotAFrame)?;
    position.head = expected;
    Ok(Frame {
        first_seq,
        lines,
        length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn frames_chain() {
        let (mut writer, mut reader) = (Position::default(), Position::default());
        let mut bytes = encode(&mut writer, &lines(&[r#"{"k":"run.ledger"}"#]));
        bytes.extend(encode(&mut writer, &lines(&["{}", "{}"])));
        let first = decode(&mut reader, &bytes).unwrap();
        assert_eq!((first.first_seq, first.lines.len()), (0, 1));
        let second = decode(&mut reader, &bytes[first.length..]).unwrap();
        assert_eq!((second.first_seq, second.lines.len()), (1, 2));
        assert_eq!(reader, writer);
    }

    #[test]
    fn a_frame_out_of_place_is_refused() {
        let mut writer = Position::default();
        let first = encode(&mut writer, &lines(&["{}"]));
        let second = encode(&mut writer, &lines(&["{}"]));
        let mut reader = Position::default();
        assert_eq!(
            decode(&mut reader, &second),
            Err(JournalError::Gap {
                expected: 0,
                found: 1
            })
        );
        let mut other = Position {
            next_seq: 0,
            head: [1; 32],
        };
        assert_eq!(decode(&mut other, &first), Err(JournalError::Forked));
    }

    proptest! {
        #[test]
        fn no_changed_byte_passes(texts in prop::collection::vec("[ -~]{0,40}", 1..6), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut writer = Position::default();
            let owned: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            let mut bytes = encode(&mut writer, &owned);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&mut Position::default(), &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&mut Position::default(), &bytes);
        }

        #[test]
        fn a_torn_frame_is_torn(cut in 0usize..100) {
            let mut writer = Position::default();
            let bytes = encode(&mut writer, &[b"{\"k\":\"file.open\"}".to_vec()]);
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(decode(&mut Position::default(), &bytes[..cut]), Err(JournalError::Torn));
        }
    }
}
