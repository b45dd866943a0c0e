//! The one path normaliser (F4): a path is canonical or it is refused. Nothing is ever resolved by deleting text.

/// Most bytes of a path and of one segment.
pub const MOST_BYTES: usize = 4096;
pub const MOST_SEGMENT: usize = 255;

/// Why a path is not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("not absolute")]
    Relative,
    #[error("an empty segment or a trailing slash")]
    EmptySegment,
    #[error("a `.` or `..` segment")]
    DotSegment,
    #[error("a NUL byte")]
    Nul,
    #[error("longer than 4096 bytes, or a segment longer than 255")]
    TooLong,
}

/// A canonical path: `/`, or `/` followed by segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormalPath<'a>(&'a [u8]);

impl<'a> NormalPath<'a> {
    /// The only constructor.
    ///
    /// # Errors
    /// What makes the path not canonical.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PathError> {
        if bytes.first() != Some(&b'/') {
            return Err(PathError::Relative);
        }
        if bytes.len() > MOST_BYTES {
            return Err(PathError::TooLong);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.len() > 1 {
            for segment in bytes[1..].split(|byte| *byte == b'/') {
                match segment {
                    b"" => return Err(PathError::EmptySegment),
                    b"." | b".." => return Err(PathError::DotSegment),
                    long if long.len() > MOST_SEGMENT => return Err(PathError::TooLong),
                    _ => {}
                }
            }
        }
        Ok(Self(bytes))
    }

    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The segments from the root; none for `/`.
    pub fn segments(self) -> impl Iterator<Item = &'a [u8]> {
        // The root has no segment, and every other path begins with a slash.
        let below = if self.0.len() > 1 {
            Some(&self.0[1..])
        } else {
            None
        };
        below
            .into_iter()
            .flat_map(|below| below.split(|byte| *byte == b'/'))
    }
}

/// The canonical form of a path, which is the path itself.
///
/// # Errors
/// What makes it not canonical.
pub fn normalize_path(path: &str) -> Result<&str, PathError> {
    NormalPath::parse(path.as_bytes()).map(|_| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_canonical() {
        let long = format!("/{}", "a".repeat(256));
        let deep = "/abcdefg".repeat(513);
        let cases = [
            ("/", Ok(())),
            ("/a/b.c/...", Ok(())),
            ("", Err(PathError::Relative)),
            ("a/b", Err(PathError::Relative)),
            ("/a//b", Err(PathError::EmptySegment)),
            ("/a/", Err(PathError::EmptySegment)),
            ("/a/./b", Err(PathError::DotSegment)),
            ("/a/..", Err(PathError::DotSegment)),
            ("/a\0b", Err(PathError::Nul)),
            (long.as_str(), Err(PathError::TooLong)),
            (deep.as_str(), Err(PathError::TooLong)),
        ];
        for (path, want) in cases {
            assert_eq!(normalize_path(path).map(|_| ()), want, "{path:.40}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "(/[a-c.]{0,3}){0,5}/?") {
            if let Ok(once) = normalize_path(&path) {
                prop_assert_eq!(normalize_path(once), Ok(once));
                let rebuilt: Vec<u8> = NormalPath::parse(once.as_bytes()).unwrap().segments()
                    .flat_map(|segment| [b"/".as_slice(), segment].concat()).collect();
                prop_assert!(once == "/" || rebuilt == once.as_bytes());
            }
        }
    }
}
