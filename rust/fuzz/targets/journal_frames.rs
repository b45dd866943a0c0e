//! Journal frames: what is encoded is decoded, what is decoded was encoded, and no changed byte passes.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use replicante_core::journal::{JournalError, MOST_EVENTS, Position, decode, encode};

/// Lines of two frames, and what happens to the bytes.
#[derive(Debug, Arbitrary)]
struct Written {
    first: Vec<Vec<u8>>,
    second: Vec<Vec<u8>>,
    place: usize,
    bit: u8,
}

fuzz_target!(|bytes: &[u8]| {
    hostile(bytes);
    if let Ok(written) = Written::arbitrary(&mut Unstructured::new(bytes)) {
        round_trip(written);
    }
});

/// Bytes that somebody else wrote.
fn hostile(bytes: &[u8]) {
    let mut position = Position::default();
    match decode(&mut position, bytes) {
        Ok(frame) => {
            let lines: Vec<Vec<u8>> = frame.lines.iter().map(|line| line.to_vec()).collect();
            let mut again = Position::default();
            assert_eq!(encode(&mut again, &lines), bytes[..frame.length]);
            assert_eq!(again, position);
        }
        Err(_) => assert_eq!(position, Position::default(), "a refused frame moved the reader"),
    }
}

fn round_trip(written: Written) {
    let (mut writer, mut reader) = (Position::default(), Position::default());
    let mut journal = Vec::new();
    let frames: Vec<Vec<Vec<u8>>> = [written.first, written.second]
        .into_iter()
        .filter_map(lines)
        .collect();
    for lines in &frames {
        journal.extend(encode(&mut writer, lines));
    }
    let mut rest = journal.as_slice();
    for lines in &frames {
        let Ok(frame) = decode(&mut reader, rest) else {
            panic!("not decoded: {lines:?}");
        };
        assert_eq!(frame.lines, *lines);
        rest = &rest[frame.length..];
    }
    assert!(rest.is_empty());
    assert_eq!(reader, writer);

    let Some(first) = frames.first() else { return };
    let length = encode(&mut Position::default(), first).len();
    let cut = written.place % length;
    assert_eq!(
        decode(&mut Position::default(), &journal[..cut]),
        Err(JournalError::Torn)
    );
    journal[cut] ^= 1 << (written.bit % 8);
    assert!(
        decode(&mut Position::default(), &journal).is_err(),
        "byte {cut} was changed"
    );
}

/// Lines as a writer may give them: without LF, at least one, not too many.
fn lines(mut lines: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    lines.truncate(MOST_EVENTS);
    for line in &mut lines {
        line.retain(|byte| *byte != b'\n');
    }
    Some(lines).filter(|lines| !lines.is_empty())
}
