//! What a client says first: it is the same greeting however it is cut, and a whole one keeps its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_shim::egress::greeting::{Greeting, Reader};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let mut whole = Reader::default();
    let once = whole.take(bytes);
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let mut pieces = Reader::default();
    let early = pieces.take(first);
    if early == Greeting::Partial {
        assert_eq!(pieces.take(second), once);
        assert_eq!(pieces.into_bytes(), bytes);
    }
    if let Greeting::Http(authorities) = once {
        assert!(authorities.len() <= 2);
    }
});
