//! The run's journal on disk: frames appended to `run_dir/journal/00000000.rj` (`supervision.md` §1.4, §1.5).
//!
//! Two mebibytes are reserved at the start, so that denials can still be written when the disk is full.

use crate::error::ShimError;
use replicante_core::journal::{MOST_BODY, MOST_EVENTS, MOST_LINE, Position, encode};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fdatasync, mkdir, open};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The journal's file, for syncing alone.
pub struct Disk(OwnedFd);

impl Disk {
    /// Waits until everything written is on disk: it survives a power cut.
    ///
    /// # Errors
    /// L012 when the disk says no.
    pub fn sync(&self) -> Result<(), ShimError> {
        fdatasync(&self.0).map_err(|errno| ShimError::Journal {
            what: "sync".into(),
            why: errno.to_string(),
        })
    }
}

const RESERVE: u64 = 2 << 20;

/// A journal that is being written.
pub struct Journal {
    file: OwnedFd,
    position: Position,
    waiting: Vec<Vec<u8>>,
    waiting_bytes: usize,
    /// Why a frame was not written whole. Nothing is appended after it: the chain would be broken where it is torn.
    lost: Option<Errno>,
}

impl Journal {
    /// Makes the journal of a new run.
    ///
    /// # Errors
    /// L012 when the directory can't be written or the reserve is not there.
    pub fn create(run_dir: &str) -> Result<Self, ShimError> {
        let directory = format!("{run_dir}/journal");
        let failed = |what: &str| {
            let what = what.to_owned();
            move |errno: Errno| ShimError::Journal {
                what,
                why: errno.to_string(),
            }
        };
        mkdir(directory.as_str(), Mode::from_raw_mode(0o700)).map_err(failed(&directory))?;
        let path = format!("{directory}/00000000.rj");
        let flags = OFlags::CREATE
            | OFlags::EXCL
            | OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CLOEXEC
            | OFlags::NOFOLLOW;
        let file = open(path.as_str(), flags, Mode::from_raw_mode(0o600)).map_err(failed(&path))?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, RESERVE) {
            // Some file systems can't reserve; what they hold is then written as it comes.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("2 MiB of reserve")(errno)),
        }
        Ok(Self {
            file,
            position: Position::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            lost: None,
        })
    }

    /// The sequence number of the next line.
    pub fn next_seq(&self) -> u64 {
        self.position.next_seq + self.waiting.len() as u64
    }

    /// Adds a line to the open frame, which is written when it is full.
    ///
    /// # Errors
    /// L012 when it can't be written.
    pub fn append(&mut self, mut line: Vec<u8>) -> Result<(), ShimError> {
        line.truncate(MOST_LINE);
        if self.waiting.len() == MOST_EVENTS || self.waiting_bytes + line.len() > MOST_BODY {
            self.close_frame()?;
        }
        self.waiting_bytes += line.len() + 1;
        self.waiting.push(line);
        Ok(())
    }

    /// Writes the open frame. What is written survives the death of any process.
    ///
    /// # Errors
    /// L012 when it can't be written.
    pub fn close_frame(&mut self) -> Result<(), ShimError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let frame = encode(&mut self.position, &self.waiting);
        self.waiting.clear();
        self.waiting_bytes = 0;
        let mut rest = frame.as_slice();
        while !rest.is_empty() && self.lost.is_none() {
            match rustix::io::retry_on_intr(|| rustix::io::write(&self.file, rest)) {
                Ok(written) => rest = &rest[written..],
                Err(errno) => self.lost = Some(errno),
            }
        }
        match self.lost {
            None => Ok(()),
            Some(errno) => Err(ShimError::Journal {
                what: "frame".into(),
                why: errno.to_string(),
            }),
        }
    }

    /// A handle by which another thread puts what is written on disk.
    ///
    /// # Errors
    /// L012 when there is no descriptor left.
    pub fn disk(&self) -> Result<Disk, ShimError> {
        let file = rustix::io::fcntl_dupfd_cloexec(&self.file, 3).map_err(|errno| ShimError::Journal {
            what: "sync".into(),
            why: errno.to_string(),
        })?;
        Ok(Disk(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    #[test]
    fn nothing_follows_a_frame_that_was_not_written() {
        let full = open("/dev/full", OFlags::WRONLY, Mode::empty()).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut journal = Journal {
            file: full,
            position: Position::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            lost: None,
        };
        journal.append(b"{}".to_vec()).unwrap();
        assert!(journal.close_frame().is_err());
        // Now there would be space again.
        journal.file = writer.as_fd().try_clone_to_owned().unwrap();
        journal.append(b"{}".to_vec()).unwrap();
        assert!(journal.close_frame().is_err());
        drop((journal, writer));
        let mut written = Vec::new();
        reader.read_to_end(&mut written).unwrap();
        assert_eq!(written, b"");
    }
}
