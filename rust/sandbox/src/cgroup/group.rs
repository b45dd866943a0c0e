//! The group of one run: made, joined at birth, ended as a whole and removed.
//!
//! Where the own group is not the hierarchy's root, the kernel wants it empty before it hands controllers down: this
//! process then moves into a leaf beside the run's group, and back when the run is over.

use super::{Controller, Gauge, Place, mounts};
use crate::error::{During, StepError};
use crate::view::join;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What all our groups begin with.
const PREFIX: &str = "replicante-";
/// Where processes of ours stand that guard runs.
pub(super) const LEAF: &str = "replicante-shims";

/// Removing waits this often, each time for a change or half a second, for processes that are dying.
const MOST_WAITS: usize = 20;

/// A run's group. Dropping it ends what is in it and removes it.
pub struct Group {
    directory: String,
    descriptor: OwnedFd,
    /// Those that hold for this group.
    pub controllers: Vec<Controller>,
    /// Those that do not, and why.
    pub missing: Vec<(Controller, String)>,
    seat: Seat,
    lock: Lock,
}

/// This process's own place, and what was changed there.
struct Seat {
    place: Place,
    enabled: Vec<Controller>,
}

/// Keeps runs of one user from removing each other's group before anything is in it.
struct Lock(OwnedFd);

impl Lock {
    /// `directory` is one that no agent can see: whoever can open it can hold runs up.
    fn take(directory: &str) -> Result<Self, StepError> {
        let step = "wait for other launches";
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = Self(openat(CWD, directory, flags, Mode::empty()).during(step, directory)?);
        lock.again(FlockOperation::LockExclusive)
            .during(step, directory)?;
        Ok(lock)
    }

    fn again(&self, operation: FlockOperation) -> Result<(), rustix::io::Errno> {
        rustix::io::retry_on_intr(|| flock(&self.0, operation))
    }
}

impl Group {
    /// Makes the group `replicante-RUN`. Other launches with the same `lock` directory wait until `born`.
    ///
    /// A controller that can't be handed down is in `missing`, with the kernel's answer.
    ///
    /// # Errors
    /// The step that failed; what was changed until then is as it was.
    pub fn make(place: Place, lock: &str, run: &str) -> Result<Self, StepError> {
        let lock = Lock::take(lock)?;
        remove_empty(&place.directory);
        let mut seat = Seat {
            place,
            enabled: Vec::new(),
        };
        match seat.make(run) {
            Ok((directory, descriptor, mut missing)) => {
                let mut controllers = handed_down(&seat.place.directory);
                controllers.retain(|controller| {
                    let absent = absent_file(*controller, &directory);
                    missing.extend(absent.map(|file| (*controller, format!("this kernel has no {file}"))));
                    absent.is_none()
                });
                Ok(Self {
                    directory,
                    descriptor,
                    controllers,
                    missing,
                    seat,
                    lock,
                })
            }
            Err(error) => {
                seat.leave();
                Err(error)
            }
        }
    }

    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Where the hierarchy that it is in is mounted.
    pub fn mount(&self) -> &str {
        &self.seat.place.mount
    }

    /// For `CLONE_INTO_CGROUP`.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    pub fn gauge(&self) -> Gauge {
        Gauge::of(&self.directory)
    }

    /// The first process is in it: other launches may go on.
    ///
    /// # Errors
    /// As flock(2).
    pub fn born(&self) -> Result<(), StepError> {
        // The lock belongs to the open file, of which the first process has a copy: closing ours would not end it.
        self.lock
            .again(FlockOperation::Unlock)
            .during("let other launches go on", "lock")
    }

    /// Ends every process in the group.
    pub fn kill(&self) {
        // Absent before Linux 5.14; the end of the pid namespace's first process does the same.
        let _ = fs::write(join(&self.directory, "cgroup.kill"), "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let locked = self.lock.again(FlockOperation::LockExclusive).is_ok();
        remove_when_empty(&self.directory);
        if locked {
            self.seat.leave();
        }
        // The lock ends with its descriptor: the first process, which had a copy, is gone.
        let _ = self.lock.again(FlockOperation::Unlock);
    }
}

type Made = (String, OwnedFd, Vec<(Controller, String)>);

impl Seat {
    fn make(&mut self, run: &str) -> Result<Made, StepError> {
        let step = "make the run's group";
        if !self.place.root {
            let leaf = join(&self.place.directory, LEAF);
            make_directory(&leaf).during(step, &leaf)?;
            move_to(&leaf).map_err(|why| StepError::because(step, &*leaf, why))?;
        }
        let control = join(&self.place.directory, "cgroup.subtree_control");
        let mut missing = Vec::new();
        for controller in Controller::ALL {
            if handed_down(&self.place.directory).contains(&controller) {
                continue;
            }
            if !self.place.controllers.contains(&controller) {
                missing.push((controller, format!("{} does not have it", self.place.directory)));
                continue;
            }
            match fs::write(&control, format!("+{}", controller.word())) {
                Ok(()) => self.enabled.push(controller),
                Err(error) => missing.push((controller, format!("{control}: {error}"))),
            }
        }
        let directory = join(&self.place.directory, &format!("{PREFIX}{run}"));
        rustix::fs::mkdir(directory.as_str(), Mode::from_raw_mode(0o755)).during(step, &directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = openat(CWD, directory.as_str(), flags, Mode::empty()).during(step, &directory)?;
        Ok((directory, descriptor, missing))
    }

    /// Puts everything back as it was, unless another run still needs it.
    fn leave(&mut self) {
        if self.place.root {
            return; // nothing was moved, and groups of others may use by now what was handed down
        }
        let leaf = join(&self.place.directory, LEAF);
        let mine = std::process::id().to_string();
        let alone = fs::read_to_string(join(&leaf, "cgroup.procs")).is_ok_and(|text| text.trim() == mine);
        let needed = ours(&self.place.directory).iter().any(|name| name != LEAF);
        if !alone || needed {
            return;
        }
        let control = join(&self.place.directory, "cgroup.subtree_control");
        for controller in &self.enabled {
            // What stays handed down keeps this process in the leaf, where the next run finds it.
            let _ = fs::write(&control, format!("-{}", controller.word()));
        }
        if move_to(&self.place.directory).is_ok() {
            let _ = rustix::fs::rmdir(leaf.as_str());
        }
    }
}

/// Removes groups that runs left which were killed with everything else: below all mounts, only our own names, only this
/// user's, only empty ones. Gives their directories.
///
/// # Errors
/// When the lock directory can't be opened.
pub fn remove_leftovers(lock: &str) -> Result<Vec<String>, StepError> {
    let lock = Lock::take(lock)?;
    let mut removed = Vec::new();
    let mut waiting = mounts();
    while let Some(directory) = waiting.pop() {
        removed.extend(remove_empty(&directory));
        removed.extend(remove_if_empty(&directory, LEAF));
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        let below = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(below.filter_map(|entry| entry.path().into_os_string().into_string().ok()));
    }
    drop(lock);
    removed.sort();
    Ok(removed)
}

/// Removes the empty groups of runs in one directory.
fn remove_empty(directory: &str) -> Vec<String> {
    ours(directory)
        .iter()
        .filter(|name| *name != LEAF)
        .filter_map(|name| remove_if_empty(directory, name))
        .collect()
}

fn remove_if_empty(directory: &str, name: &str) -> Option<String> {
    let path = join(directory, name);
    let stat = rustix::fs::lstat(path.as_str()).ok()?;
    let own = stat.st_uid == rustix::process::geteuid().as_raw();
    // KERNEL: rmdir refuses (EBUSY) a group that holds a process or another group.
    (own && rustix::fs::rmdir(path.as_str()).is_ok()).then_some(path)
}

/// The names of ours in a directory.
fn ours(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(PREFIX))
        .collect()
}

fn handed_down(directory: &str) -> Vec<Controller> {
    Controller::listed(&fs::read_to_string(join(directory, "cgroup.subtree_control")).unwrap_or_default())
}

/// A file that the group lacks and that its controller is of no use without.
fn absent_file(controller: Controller, directory: &str) -> Option<&'static str> {
    let files: &[&str] = match controller {
        // A kernel without swap has no file for it, and nothing that could go there.
        Controller::Memory if fs::metadata("/proc/swaps").is_err() => &["memory.max"],
        Controller::Memory => &["memory.max", "memory.swap.max"],
        Controller::Pids => &["pids.max"],
        Controller::Cpu => &["cpu.max"],
        Controller::Io => &["io.max"],
    };
    files
        .iter()
        .copied()
        .find(|file| fs::metadata(join(directory, file)).is_err())
}

fn make_directory(path: &str) -> Result<(), rustix::io::Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Moves this process.
fn move_to(directory: &str) -> Result<(), String> {
    fs::write(join(directory, "cgroup.procs"), "0").map_err(|error| error.to_string())
}

/// Removes a group once its last process is gone, which takes the kernel a moment after it was killed.
fn remove_when_empty(directory: &str) {
    let events = openat(
        CWD,
        join(directory, "cgroup.events").as_str(),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let half_a_second = Timespec {
        tv_sec: 0,
        tv_nsec: 500_000_000,
    };
    for _ in 0..MOST_WAITS {
        if let Ok(events) = &events {
            // Reading tells the kernel which state is known, so that each later change wakes.
            let _ = rustix::io::pread(events, &mut [0u8; 64][..], 0);
        }
        match (rustix::fs::rmdir(directory), &events) {
            (Err(rustix::io::Errno::BUSY), Ok(events)) => {
                let _ = poll(&mut [PollFd::new(events, PollFlags::PRI)], Some(&half_a_second));
            }
            // Removed, or another run has done so; what stays is for `doctor --leftovers`.
            _ => return,
        }
    }
}
