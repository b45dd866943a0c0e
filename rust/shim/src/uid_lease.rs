//! A user id that no other live run has, for agents that root starts in a workspace of its own.

use crate::error::ShimError;
use replicante_sandbox::error::StepError;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Belong to nobody: the range of systemd's dynamic users.
const FIRST: u32 = 61184;
const LAST: u32 = 65519;

/// A user id, ours as long as this lives.
pub struct Lease {
    pub uid: u32,
    /// Locked; the kernel lets go of it when the last process of the run is gone.
    _lock: OwnedFd,
}

/// Takes an id that is free, by the locks in `directory`.
///
/// # Errors
/// L010 when the directory can't be used, L011 when all ids are taken.
pub fn take(directory: &str) -> Result<Lease, ShimError> {
    let count = LAST - FIRST + 1;
    // Runs start at different places, so that the first try is nearly always free.
    let start = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs() % count;
    for at in 0..count {
        let uid = FIRST + (start + at) % count;
        let path = format!("{directory}/{uid}");
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let failed = |errno| StepError::new("take a user id", &path, errno);
        let lock = open(path.as_str(), flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lease { uid, _lock: lock }),
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(failed(errno).into()),
        }
    }
    Err(ShimError::Refused {
        what: format!("{count} runs of root are alive, each with a user id of its own"),
        help: "end some, or start runs in workspaces of other users".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_live_runs_have_two_ids() {
        let directory = std::env::temp_dir().join(format!("replicante-uids-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.to_str().unwrap();
        let (one, other) = (take(path).unwrap(), take(path).unwrap());
        assert_ne!(one.uid, other.uid);
        let freed = one.uid;
        drop(one);
        assert_eq!(take(path).unwrap().uid, freed);
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(take(path).is_err());
    }
}
