//! Looking through trees of the host for names that a restriction covers, within a budget.

use super::join;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use std::time::{Duration, Instant};

/// The bounds of one launch's search (design README, "file broker").
pub const MOST_NAMES: usize = 200_000;
pub const MOST_TIME: Duration = Duration::from_secs(2);

/// One object of the host.
pub struct Found<'a> {
    pub path: &'a str,
    pub kind: FileType,
}

/// Whether to look below a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Into,
    Over,
}

/// A search over several trees with one budget.
pub struct Scan {
    names: usize,
    deadline: Instant,
}

impl Scan {
    pub fn new() -> Self {
        Self {
            names: 0,
            deadline: Instant::now() + MOST_TIME,
        }
    }

    /// Visits everything below `root`, not `root` itself; links are not followed, mount points are crossed.
    ///
    /// Gives `false` when the budget ended before the tree did. What can't be opened is passed over: the agent, who has
    /// no more rights than the caller, can't open it either.
    pub fn tree(&mut self, root: &str, visit: &mut dyn FnMut(&Found<'_>) -> Step) -> bool {
        let mut waiting = vec![root.to_owned()];
        while let Some(path) = waiting.pop() {
            let Some(entries) = open(&path) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                self.names += 1;
                if self.names > MOST_NAMES
                    || (self.names.is_multiple_of(256) && Instant::now() > self.deadline)
                {
                    return false;
                }
                // Names that are not UTF-8 can't be written in a policy; patterns see them as they are elsewhere.
                let Ok(name) = name.to_str() else { continue };
                let below = join(&path, name);
                let kind = match entry.file_type() {
                    FileType::Unknown => kind_of(&below).unwrap_or(FileType::Unknown),
                    kind => kind,
                };
                if visit(&Found { path: &below, kind }) == Step::Into && kind == FileType::Directory {
                    waiting.push(below);
                }
            }
        }
        true
    }
}

fn open(path: &str) -> Option<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty()).ok()?;
    Dir::new(directory).ok()
}

/// The names in a directory, sorted; empty when it can't be opened.
pub fn names(path: &str) -> Vec<String> {
    let Some(entries) = open(path) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .collect();
    names.sort();
    names
}

/// The kind of the object itself, links not followed; `None` when there is none.
pub fn kind_of(path: &str) -> Option<FileType> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
