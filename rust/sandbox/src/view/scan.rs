//! Looking through trees of the host for names that a restriction covers, within a budget.

use super::{is_at_or_below, join, parent};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The bounds of one launch's search (design README, "file broker").
pub const MOST_NAMES: usize = 200_000;
pub const MOST_TIME: Duration = Duration::from_secs(2);

/// One object of the host.
pub struct Found<'a> {
    pub path: &'a str,
    /// Bytes of its name at the end of the path.
    pub name_length: usize,
    pub kind: FileType,
    /// Whether every directory on the way was entered by `Into`.
    pub plain: bool,
}

/// Whether to look below a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Into,
    /// As `Into`; nothing below is plain.
    IntoMarked,
    Over,
}

/// Bytes of directory entries that one call reads.
const ENTRIES: usize = 32 << 10;

/// The host's objects as they were when a launch first looked at them: each is looked at once.
#[derive(Default)]
pub struct Host {
    /// A directory of the sandbox that stands elsewhere outside, and where.
    moved: Option<(String, String)>,
    kinds: RefCell<HashMap<String, Option<FileType>>>,
    names: RefCell<HashMap<String, Rc<[String]>>>,
}

impl Host {
    /// The host whose directory `outside` the sandbox has at the path `inside`.
    pub fn with_moved(moved: Option<(String, String)>) -> Self {
        Self {
            moved,
            ..Self::default()
        }
    }

    /// Where a path of the sandbox is outside.
    pub fn outside<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match &self.moved {
            Some((inside, outside)) if is_at_or_below(path, inside) => {
                Cow::Owned(format!("{outside}{}", &path[inside.len()..]))
            }
            _ => Cow::Borrowed(path),
        }
    }

    /// The target of a symbolic link; `None` when it is none, or is not UTF-8.
    pub fn link_target(&self, path: &str) -> Option<String> {
        let target = rustix::fs::readlinkat(CWD, self.outside(path).as_ref(), Vec::new()).ok()?;
        target.into_string().ok()
    }

    /// The kind of the object itself, links not followed; `None` when there is none.
    pub fn kind_of(&self, path: &str) -> Option<FileType> {
        if let Some(kind) = self.kinds.borrow().get(path) {
            return *kind;
        }
        let is_moved = self.moved.as_ref().is_some_and(|(inside, _)| inside == path);
        // Many rules name things below a directory that is not there.
        let absent = !is_moved
            && matches!(
                self.kinds.borrow().get(parent(path)),
                Some(None | Some(FileType::RegularFile))
            );
        let kind = if absent {
            None
        } else {
            kind_of(&self.outside(path))
        };
        if kind.is_none() && !absent && path != "/" {
            self.kind_of(parent(path));
        }
        self.kinds.borrow_mut().insert(path.to_owned(), kind);
        kind
    }

    /// The names in a directory, sorted; empty when it can't be opened.
    pub fn names(&self, path: &str) -> Rc<[String]> {
        if let Some(names) = self.names.borrow().get(path) {
            return Rc::clone(names);
        }
        let mut names = Vec::new();
        if let Some(directory) = open(&self.outside(path)) {
            entries(&directory, &mut |name, _| {
                names.extend(name.to_str().ok().map(str::to_owned));
                true
            });
        }
        names.sort();
        let names: Rc<[String]> = names.into();
        self.names.borrow_mut().insert(path.to_owned(), Rc::clone(&names));
        names
    }
}

/// A search over several trees with one budget.
pub struct Scan {
    names: usize,
    deadline: Instant,
}

impl Scan {
    /// Starts the clock of its budget.
    pub fn begin() -> Self {
        Self {
            names: 0,
            deadline: Instant::now() + MOST_TIME,
        }
    }

    /// Visits everything below `root`, not `root` itself; links are not followed, mount points are crossed.
    ///
    /// Gives `false` when the budget ended before the tree did. What can't be opened is passed over: the agent, who has
    /// no more rights than the caller, can't open it either.
    pub fn tree(&mut self, host: &Host, root: &str, visit: &mut dyn FnMut(&Found<'_>) -> Step) -> bool {
        let mut waiting = vec![(root.to_owned(), true)];
        while let Some((path, plain)) = waiting.pop() {
            let Some(directory) = open(&host.outside(&path)) else {
                continue;
            };
            let whole = entries(&directory, &mut |name, kind| {
                self.names += 1;
                if self.names > MOST_NAMES
                    || (self.names.is_multiple_of(256) && Instant::now() > self.deadline)
                {
                    return false;
                }
                // Names that are not UTF-8 can't be written in a policy; patterns see them as they are elsewhere.
                let Ok(name) = name.to_str() else { return true };
                let below = join(&path, name);
                let kind = match kind {
                    FileType::Unknown => kind_of(&host.outside(&below)).unwrap_or(FileType::Unknown),
                    kind => kind,
                };
                let object = Found {
                    path: &below,
                    name_length: name.len(),
                    kind,
                    plain,
                };
                let step = visit(&object);
                if step != Step::Over && kind == FileType::Directory {
                    waiting.push((below, plain && step == Step::Into));
                }
                true
            });
            if !whole {
                return false;
            }
        }
        true
    }
}

fn open(path: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).ok()
}

/// Gives each entry but `.` and `..` to `visit` until it says `false`; whether it never did. An error ends the entries.
fn entries(directory: &OwnedFd, visit: &mut dyn FnMut(&CStr, FileType) -> bool) -> bool {
    let mut buffer = Vec::with_capacity(ENTRIES);
    let mut raw = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(Ok(entry)) = raw.next() {
        let name = entry.file_name();
        if name != c"." && name != c".." && !visit(name, entry.file_type()) {
            return false;
        }
    }
    true
}

fn kind_of(path: &str) -> Option<FileType> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
