//! Masks for names that appear, or are replaced, while the agent runs: inotify(7) on the directories of the masks.
//!
//! A mask is a mount on a directory entry. When a process of the host renames another file over that entry or removes it,
//! the mount goes with it, and what lies there then would be readable (`visible-denials.md` §6). So each such name is masked
//! anew within milliseconds.

use crate::error::ShimError;
use crate::policy::Policy;
use crate::record::Recorder;
use replicante_sandbox::error::StepError;
use replicante_sandbox::fuse::{Kind, Node, Table, What};
use replicante_sandbox::helper::Helper;
use replicante_sandbox::view::{self, Layout, Part, View, join, parent};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Directories of the host in which masks stand, watched from before the launch on.
pub struct Names {
    inotify: OwnedFd,
    directories: HashMap<i32, String>,
    masked: HashMap<String, Masked>,
    /// Directories that could not be watched, with the reason, for the ledger.
    pub unwatched: Vec<String>,
}

/// A name that must stay masked.
#[derive(Clone, Copy)]
struct Masked {
    source: usize,
    hidden: bool,
    /// Numbers of the nodes that stand over it: while it is a file, and while it is a directory.
    file: Option<usize>,
    directory: Option<usize>,
}

/// What is needed to mask a name.
pub struct Masker {
    pub names: Names,
    pub helper: Helper,
    pub table: Table,
    pub policy: Arc<Policy>,
    pub recorder: Arc<Recorder>,
}

impl Names {
    /// Watches the directories in which a view masks names; `None` where there are none.
    ///
    /// # Errors
    /// L010 when the kernel gives no watcher.
    pub fn new(view: &View, layout: &Layout) -> Result<Option<Self>, ShimError> {
        let mut masked = HashMap::new();
        for (item, part) in view.items.iter().zip(&layout.parts) {
            if let (view::Node::Mask { kind, source }, Part::Over(node)) = (&item.node, part) {
                let directory = *kind == Kind::Directory;
                let known = Masked {
                    source: *source,
                    hidden: *kind == Kind::Vanished,
                    file: (!directory).then_some(*node),
                    directory: directory.then_some(*node),
                };
                masked.insert(item.path.clone(), known);
            }
        }
        let parents: BTreeSet<&str> = masked.keys().map(|path| parent(path)).collect();
        let of_the_host = |directory: &&str| {
            let above = view.covering(directory).map(|item| &item.node);
            matches!(above, Some(view::Node::Bind { ours: false, .. }))
        };
        let parents: Vec<String> = parents
            .into_iter()
            .filter(of_the_host)
            .map(str::to_owned)
            .collect();
        if parents.is_empty() {
            return Ok(None);
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC)
            .map_err(|errno| StepError::new("watch for names", "inotify", errno))?;
        let mut names = Self {
            inotify,
            directories: HashMap::new(),
            masked,
            unwatched: Vec::new(),
        };
        for directory in parents {
            names.add(directory);
        }
        Ok(Some(names))
    }

    fn add(&mut self, directory: String) {
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.inotify, directory.as_str(), flags) {
            Ok(number) => {
                self.directories.insert(number, directory);
            }
            Err(errno) => self.unwatched.push(format!("{directory} ({errno})")),
        }
    }
}

/// Masks until the sandbox is gone; whatever keeps a name from being masked ends the run.
pub fn serve(mut masker: Masker) {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    loop {
        let seen = match next(&masker.names.inotify, &mut buffer) {
            Ok(seen) => seen,
            Err(Errno::INTR) => continue,
            Err(errno) => return masker.recorder.fail(format!("watching for names: {errno}")),
        };
        for (number, name, directory) in seen {
            let result = match masker.names.directories.get(&number) {
                Some(above) => {
                    let path = join(above, &name);
                    masker.appeared(&path, directory)
                }
                // Events were lost: any name may have been replaced.
                None if number < 0 => masker.all(),
                None => Ok(()),
            };
            if let Err(error) = result {
                return masker.recorder.fail(error.to_string());
            }
        }
    }
}

type Seen = (i32, String, bool);

/// The next events, at least one: number of the watch, name, whether it is a directory.
fn next(inotify: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<Seen>, Errno> {
    let mut reader = Reader::new(inotify, buffer);
    let mut seen = Vec::new();
    loop {
        let event = reader.next()?;
        // A name that is not UTF-8 can't be written in a policy.
        let name = event.file_name().map_or(Some(""), |name| name.to_str().ok());
        if let Some(name) = name {
            let directory = event.events().contains(ReadFlags::ISDIR);
            seen.push((event.wd(), name.to_owned(), directory));
        }
        if reader.is_buffer_empty() {
            return Ok(seen);
        }
    }
}

impl Masker {
    /// A name was made or replaced, by whomever: masked ones can't be by the agent.
    fn appeared(&mut self, path: &str, directory: bool) -> Result<(), StepError> {
        let known = self.names.masked.get(path).copied().or_else(|| {
            // Whether the run made it itself can't be told, so only rules that cover what it makes count.
            let (source, hidden) = self.policy.closed_when_made(path)?;
            Some(Masked {
                source,
                hidden,
                file: None,
                directory: None,
            })
        });
        let Some(mut known) = known else {
            return Ok(());
        };
        let place = if directory {
            &mut known.directory
        } else {
            &mut known.file
        };
        let number = match *place {
            Some(number) => number,
            None => *place.insert(self.add(path, known.source, known.hidden, directory)?),
        };
        self.names.masked.insert(path.to_owned(), known);
        self.place(number, path, known.source)
    }

    fn add(&self, path: &str, source: usize, hidden: bool, directory: bool) -> Result<usize, StepError> {
        let kind = match (directory, hidden) {
            (true, _) => Kind::Directory,
            (false, true) => Kind::Vanished,
            (false, false) => Kind::File,
        };
        let node = Node {
            path: path.to_owned(),
            what: What::Mask { kind, source },
        };
        let place = self.table.late.add(node);
        place
            .map(|place| self.table.nodes.len() + place)
            .ok_or_else(|| StepError::because("place a mask", path, "too many names appeared in this run"))
    }

    fn place(&self, number: usize, path: &str, source: usize) -> Result<(), StepError> {
        let why = match self.helper.place(number, path)? {
            Ok(()) => None,
            // Gone again, or its directory was moved: it has another name now, which is looked at when it appears.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => Some(errno.to_string()),
        };
        let fields = json!({"r": self.policy.rule_id(source), "resource": path, "why": why});
        // A journal that can't be written ends the run at the next tick.
        let _ = self.recorder.life("file.masked", &fields);
        match why {
            None => Ok(()),
            Some(why) => Err(StepError::because("place a mask", path, why)),
        }
    }

    fn all(&mut self) -> Result<(), StepError> {
        let masked: Vec<(String, Masked)> = self
            .names
            .masked
            .iter()
            .map(|(path, known)| (path.clone(), *known))
            .collect();
        for (path, known) in masked {
            for number in [known.file, known.directory].into_iter().flatten() {
                match self.helper.place(number, &path)? {
                    Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL) => {}
                    Err(errno) => return Err(StepError::new("place a mask", path, errno)),
                }
            }
        }
        Ok(())
    }
}
