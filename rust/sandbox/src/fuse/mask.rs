//! Answers for masks: objects over denied names, which refuse whatever is tried on them and tell it.

use super::wire::{self, Attributes, EACCES, ENODATA, ENOENT, ENOSYS, Request, done, failed, opcode};
use super::{Answer, Attempt, Operation, refused};
use serde::Serialize;

/// What a mask looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Size 0, mode 000; opening it is EACCES.
    File,
    /// Mode 000; listing it and all below is EACCES.
    Directory,
    /// A socket of the host: every use is EACCES, connecting too, which only a link can answer.
    Closed,
    /// Absent: every use is ENOENT, though the name stands in listings.
    Vanished,
}

impl Kind {
    /// The mask over a name that a rule closes. A link can't stand over a directory, so a hidden one is closed instead.
    pub const fn over(directory: bool, hidden: bool) -> Self {
        match (directory, hidden) {
            (true, _) => Self::Directory,
            (false, true) => Self::Vanished,
            (false, false) => Self::File,
        }
    }

    pub(super) const fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Vanished | Self::Closed => 0o120_777,
        }
    }
}

pub(super) fn answer(request: &Request<'_>, index: usize, kind: Kind, attributes: Attributes) -> Answer {
    let errno = if kind == Kind::Vanished { ENOENT } else { EACCES };
    let refused =
        |operation: Operation, below: Option<Vec<u8>>| refused(request, index, operation, below, errno);
    match request.opcode {
        opcode::GETATTR => match kind {
            Kind::Vanished => refused(Operation::Stat, None),
            // Attributes are cached for ever, so the kernel asks again only to execute: it reads the mode bits.
            Kind::File => Answer {
                reply: done(request, &wire::attributes(attributes)).reply,
                attempt: Some(Attempt {
                    node: index,
                    operation: Operation::Execute,
                    below: None,
                    tid: request.tid,
                    errno,
                }),
            },
            Kind::Directory | Kind::Closed => done(request, &wire::attributes(attributes)),
        },
        opcode::LOOKUP => refused(Operation::Lookup, Some(request.name(0).to_vec())),
        opcode::OPEN => refused(Operation::Open, None),
        opcode::OPENDIR => refused(Operation::List, None),
        opcode::ACCESS => refused(Operation::Access, None),
        opcode::READLINK => refused(Operation::Follow, None),
        opcode::SETATTR | opcode::SETXATTR | opcode::REMOVEXATTR => refused(Operation::Change, None),
        // Attributes outside of `user.` are asked for by every `ls -l`.
        opcode::GETXATTR if !request.name(8).starts_with(b"user.") => failed(request, ENODATA),
        opcode::GETXATTR | opcode::LISTXATTR => refused(Operation::Attributes, None),
        _ => failed(request, ENOSYS),
    }
}
