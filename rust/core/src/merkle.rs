//! Tree hashes over the lines of a frame (RFC 6962 §2.1): one event can be proved without its neighbours.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// The tree hash of `leaves` in order; of none, the digest of nothing. Cost: one compression for each inner node.
pub fn root<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut hashes: Vec<Digest> = leaves.into_iter().map(leaf).collect();
    if hashes.is_empty() {
        return Sha256::digest([]).into();
    }
    // RFC 6962 splits at the largest power of two below the count, which is what pairing level by level yields when an
    // odd node out is carried up unchanged.
    while hashes.len() > 1 {
        hashes = hashes
            .chunks(2)
            .map(|pair| {
                if let [left, right] = pair {
                    node(left, right)
                } else {
                    pair[0]
                }
            })
            .collect();
    }
    hashes[0]
}

fn leaf(bytes: &[u8]) -> Digest {
    Sha256::new()
        .chain_update([0])
        .chain_update(bytes)
        .finalize()
        .into()
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: &Digest) -> String {
        use std::fmt::Write as _;
        digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// The recursive definition of RFC 6962 §2.1.
    fn slow(leaves: &[&[u8]]) -> Digest {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => leaf(one),
            many => {
                let split = (1..usize::BITS)
                    .map(|power| 1usize << power)
                    .take_while(|size| *size < many.len())
                    .last()
                    .unwrap_or(1);
                node(&slow(&many[..split]), &slow(&many[split..]))
            }
        }
    }

    #[test]
    fn pairing_agrees_with_the_definition() {
        let names: Vec<String> = (0..40).map(|number| format!("line {number}")).collect();
        for count in 0..names.len() {
            let leaves: Vec<&[u8]> = names[..count].iter().map(String::as_bytes).collect();
            assert_eq!(
                hex(&root(leaves.iter().copied())),
                hex(&slow(&leaves)),
                "{count} leaves"
            );
        }
    }

    #[test]
    fn of_nothing_is_the_digest_of_nothing() {
        assert_eq!(
            hex(&root([])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
