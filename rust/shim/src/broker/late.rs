//! Masks for names that appear, or are replaced, while the agent runs: inotify(7) on the directories of the masks, on those
//! of names that a rule closes, and in trees in which a pattern may close any name.
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
use replicante_sandbox::view::{
    self, Found, Host, Item, Layout, Part, Rights, Scan, Step, View, is_at_or_below, join, parent,
};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{FileType, Mode, OFlags, open};
use rustix::io::Errno;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

/// Directories of the host in which masks stand, watched from before the launch on.
pub struct Names {
    inotify: OwnedFd,
    directories: HashMap<i32, Directory>,
    masked: HashMap<String, Masked>,
    /// Trees in which any directory may get a closed name; looked through once the agent runs.
    trees: Vec<String>,
    /// Directories that are to be watched as soon as they are made.
    missing: BTreeSet<String>,
    /// Directories that could not be watched, with the reason, for the ledger.
    pub unwatched: Vec<String>,
}

/// A watched directory.
struct Directory {
    /// Where it was when the watch began.
    path: String,
    /// Keeps track of it when it is moved, as the agent may do; not for those in trees, whose new names are seen.
    handle: Option<OwnedFd>,
}

impl Directory {
    /// Where it is now.
    fn path(&self) -> String {
        let link = self.handle.as_ref().and_then(|handle| {
            let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::fs::readlink(path.as_str(), Vec::new()).ok()
        });
        let now = link.and_then(|link| link.into_string().ok());
        now.unwrap_or_else(|| self.path.clone())
    }
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

/// Whether names that the host makes are watched.
pub enum Watched {
    /// No name of the policy can be made or replaced.
    Needless,
    Names(Names),
    /// The user has no inotify instance left.
    Spent,
}

impl Names {
    /// Watches the directories of the host in which a view masks names, or a rule closes one that the run may not make
    /// either.
    ///
    /// # Errors
    /// L010 when the kernel gives no watcher.
    pub fn watch(view: &View, layout: &Layout, policy: &Policy) -> Result<Watched, ShimError> {
        let masked = masked(view, layout);
        let closed = policy.closed_later();
        let parents: BTreeSet<&str> = masked
            .keys()
            .chain(&closed.names)
            .map(|path| parent(path))
            .filter(|directory| of_the_host(view, directory))
            .collect();
        let trees: Vec<String> = if closed.patterns.is_empty() {
            Vec::new()
        } else {
            trees(view, &closed.patterns)
        };
        if parents.is_empty() && trees.is_empty() {
            return Ok(Watched::Needless);
        }
        let parents: Vec<String> = parents.into_iter().map(str::to_owned).collect();
        let inotify = match inotify::init(CreateFlags::CLOEXEC) {
            Ok(inotify) => inotify,
            // The system has few for each user (128), which are spent when that many runs are alive.
            Err(Errno::MFILE | Errno::NFILE) => return Ok(Watched::Spent),
            Err(errno) => return Err(StepError::new("watch for names", "inotify", errno).into()),
        };
        let mut names = Self {
            inotify,
            directories: HashMap::new(),
            masked,
            trees,
            missing: BTreeSet::new(),
            unwatched: Vec::new(),
        };
        for mut directory in parents {
            // Where it is missing, the nearest one above tells when it is made.
            while !names.follow(&directory) && of_the_host(view, parent(&directory)) {
                let above = parent(&directory).to_owned();
                names.missing.insert(directory);
                directory = above;
            }
        }
        Ok(Watched::Names(names))
    }

    /// Another descriptor of the watcher.
    ///
    /// # Errors
    /// L010 when there are too many descriptors.
    pub fn handle(&self) -> Result<OwnedFd, ShimError> {
        let copy = rustix::io::fcntl_dupfd_cloexec(&self.inotify, 0);
        copy.map_err(|errno| StepError::new("watch for names", "descriptor", errno).into())
    }

    /// What is watched, in words for the ledger.
    pub fn words(&self) -> String {
        let mut words = "a closed name that the host makes or replaces beside a masked one".to_owned();
        if !self.trees.is_empty() {
            words.push_str(", and any that appears in ");
            words.push_str(&self.trees.join(", "));
            words.push(',');
        }
        words.push_str(" is denied within milliseconds");
        if !self.unwatched.is_empty() {
            words.push_str(", but not in ");
            words.push_str(&self.unwatched.join(", "));
        }
        words
    }

    /// Watches a directory under whatever name it gets; whether it is there.
    fn follow(&mut self, directory: &str) -> bool {
        let there = self.add(directory);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Some(watched) = self
            .directories
            .values_mut()
            .find(|watched| watched.path == directory)
        {
            match open(directory, flags, Mode::empty()) {
                Ok(handle) => watched.handle = Some(handle),
                Err(errno) => self
                    .unwatched
                    .push(format!("{directory}, if it is moved ({errno})")),
            }
        }
        there
    }

    /// Watches a directory; whether it is there.
    fn add(&mut self, directory: &str) -> bool {
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.inotify, directory, flags) {
            Ok(number) => {
                let path = directory.to_owned();
                self.directories.insert(number, Directory { path, handle: None });
            }
            Err(Errno::NOENT | Errno::NOTDIR) => return false,
            Err(errno) => self.unwatched.push(format!("{directory} ({errno})")),
        }
        true
    }
}

/// The names that a view masks by a mount of their own.
fn masked(view: &View, layout: &Layout) -> HashMap<String, Masked> {
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
    masked
}

/// Whether a directory is shown as the host has it, under its own name: nobody else works in one of ours.
fn of_the_host(view: &View, directory: &str) -> bool {
    view.covering(directory).is_some_and(is_of_the_host)
}

fn is_of_the_host(item: &Item) -> bool {
    matches!(&item.node, view::Node::Bind { ours: false, source, .. } if *source == item.path)
}

/// The trees of the host in which names may be made that one of these patterns, which have this fixed beginning, closes.
fn trees(view: &View, beginnings: &[String]) -> Vec<String> {
    let trees = view.items.iter().filter_map(|item| match &item.node {
        view::Node::Bind { rights, .. } if rights.has(Rights::CREATE) && is_of_the_host(item) => {
            Some(item.path.as_str())
        }
        _ => None,
    });
    let met = trees.filter_map(|tree| {
        beginnings.iter().find_map(|beginning| match beginning.as_str() {
            below if is_at_or_below(below, tree) => Some(below),
            above if is_at_or_below(tree, above) => Some(tree),
            _ => None,
        })
    });
    met.map(str::to_owned).collect()
}

/// Masks until the sandbox is gone; whatever keeps a name from being masked ends the run.
pub fn serve(mut masker: Masker) {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    for tree in masker.names.trees.clone() {
        if let Err(error) = masker.look_through(&tree) {
            return masker.recorder.fail(error.to_string());
        }
    }
    loop {
        let seen = match next(&masker.names.inotify, &mut buffer) {
            Ok(seen) => seen,
            Err(Errno::INTR) => continue,
            Err(errno) => return masker.recorder.fail(format!("watching for names: {errno}")),
        };
        for (number, name, directory) in seen {
            let result = match masker.names.directories.get(&number) {
                Some(above) => {
                    let (first, path) = (join(&above.path, &name), join(&above.path(), &name));
                    masker.appeared(&first, &path, directory).and_then(|masked| {
                        if directory && !masked && masker.is_wanted(&path) {
                            masker.look_through(&path)
                        } else {
                            Ok(())
                        }
                    })
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
    /// Whether a directory that was made may have closed names in it.
    fn is_wanted(&self, path: &str) -> bool {
        let mut missing = self.names.missing.iter();
        missing.any(|wanted| is_at_or_below(wanted, path))
            || self.names.trees.iter().any(|tree| is_at_or_below(path, tree))
    }

    /// Watches a directory and all below it, each before its names are read, and masks what is closed there.
    fn look_through(&mut self, tree: &str) -> Result<(), StepError> {
        self.names.add(tree);
        let mut result = Ok(());
        let complete = Scan::begin().tree(&Host::default(), tree, &mut |found: &Found<'_>| {
            let directory = found.kind == FileType::Directory;
            match self.appeared(found.path, found.path, directory) {
                Ok(true) => Step::Over,
                Ok(false) => {
                    if directory {
                        self.names.add(found.path);
                    }
                    Step::Into
                }
                Err(error) => {
                    result = Err(error);
                    Step::Over
                }
            }
        });
        let mut lost = std::mem::take(&mut self.names.unwatched);
        if !complete {
            lost.push(format!("{tree} (too many names)"));
        }
        for place in lost {
            // A journal that can't be written ends the run at the next tick.
            let _ = self.recorder.life("file.unwatched", &json!({"resource": place}));
        }
        result
    }

    /// A name was made or replaced, by whomever: masked ones can't be by the agent. Whether it is masked now. `first` is the
    /// name that it had before the agent moved its directory.
    fn appeared(&mut self, first: &str, path: &str, directory: bool) -> Result<bool, StepError> {
        let known = self.names.masked.get(first).copied().or_else(|| {
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
            return Ok(false);
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
        self.names.masked.insert(first.to_owned(), known);
        self.place(number, path, known.source).map(|()| true)
    }

    fn add(&self, path: &str, source: usize, hidden: bool, directory: bool) -> Result<usize, StepError> {
        let kind = Kind::over(directory, hidden);
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
