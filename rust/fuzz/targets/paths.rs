//! Paths and their patterns: the normaliser changes nothing that it accepts, and all readers of a pattern agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_core::glob::{Glob, Matches, Segment, Trie, escape};
use replicante_core::path::{NormalPath, PathError, normalize_path};

// The pattern in the first line, the path in the rest.
fuzz_target!(|text: &str| {
    let Some((pattern, path)) = text.split_once('\n') else {
        return;
    };
    let normal = NormalPath::parse(path.as_bytes());
    assert_eq!(normal.map(drop), naive(path), "{path:?}");
    let glob = Glob::parse(pattern);
    if let Err(error) = &glob {
        assert!(error.offset <= pattern.len(), "{pattern:?}: {error:?}");
    }
    let Ok(normal) = normal else { return };
    assert_eq!(normalize_path(path), Ok(path));
    let rebuilt: Vec<u8> = normal.segments().flat_map(|name| [b"/", name].concat()).collect();
    assert!(path == "/" || rebuilt == path.as_bytes());

    // A path as a pattern means that path; the names under /proc that are links are no patterns.
    let own = Glob::parse(&escape(path));
    assert!(own.is_ok() || path.starts_with("/proc/"), "{path:?}");
    if let Ok(own) = &own {
        assert!(own.matches(normal) && own.covers(normal), "{path:?}");
        assert_eq!(own.literal().as_deref(), Some(path));
    }
    let Ok(glob) = glob else { return };
    let (matches, covers) = (glob.matches(normal), glob.covers(normal));
    assert!(covers || !matches, "{pattern:?} {path:?}");
    let names: Vec<&[u8]> = normal.segments().collect();
    assert_eq!(
        matches,
        by_definition(glob.segments(), &names),
        "{pattern:?} {path:?}"
    );
    for (downward, want) in [(false, matches), (true, covers)] {
        let mut trie = Trie::default();
        trie.add(&glob, 7, downward);
        let mut found = Matches::default();
        trie.find(normal, &mut found);
        assert_eq!(
            !found.as_slice().is_empty(),
            want,
            "{pattern:?} {path:?} {downward}"
        );
    }
});

/// The rule F4, read off its text.
fn naive(path: &str) -> Result<(), PathError> {
    let Some(below) = path.strip_prefix('/') else {
        return Err(PathError::Relative);
    };
    if path.len() > 4096 {
        return Err(PathError::TooLong);
    }
    if path.contains('\0') {
        return Err(PathError::Nul);
    }
    if below.is_empty() {
        return Ok(());
    }
    let judged = below.split('/').map(|name| match name {
        "" => Err(PathError::EmptySegment),
        "." | ".." => Err(PathError::DotSegment),
        long if long.len() > 255 => Err(PathError::TooLong),
        _ => Ok(()),
    });
    judged.collect()
}

/// Matching by its definition: whether the first `i` segments mean the first `j` names, for all `i` and `j`.
fn by_definition(segments: &[Segment], names: &[&[u8]]) -> bool {
    let mut row: Vec<bool> = (0..=names.len()).map(|count| count == 0).collect();
    for segment in segments {
        let before = row.clone();
        for count in 0..=names.len() {
            row[count] = match (segment, count.checked_sub(1)) {
                (Segment::AnyDepth, None) => before[0],
                (Segment::AnyDepth, Some(less)) => before[count] || row[less],
                (_, None) => false,
                (Segment::Literal(bytes), Some(less)) => before[less] && bytes == names[less],
                (Segment::Wild(glob), Some(less)) => before[less] && glob.matches(names[less]),
            };
        }
    }
    row[names.len()]
}
