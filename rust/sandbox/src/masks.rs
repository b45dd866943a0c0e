//! The FUSE server behind masks: what stands over denied names, so that an attempt becomes an event.
//!
//! `answer` is pure: a request of the kernel in, a reply and perhaps an attempt out; it looks at nothing else and never
//! waits, since a caller stuck between request and reply can't even be killed (`visible-denials.md` §7). The layouts are
//! those of `linux/fuse.h`, protocol 7.23 and later.

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

/// One mask; its place in the table gives its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    pub kind: Kind,
    /// The path of the sandbox over which it stands.
    pub path: String,
    /// The deciding rule's index among the compiled form's sources; `usize::MAX` for what no policy lifts.
    pub source: usize,
}

/// All masks of a run, and whom they belong to.
#[derive(Clone, Debug)]
pub struct Table {
    pub masks: Vec<Mask>,
    pub uid: u32,
    pub gid: u32,
}

/// What a program tried on a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index of the mask.
    pub mask: usize,
    pub operation: Operation,
    /// The name below a masked directory, where one was asked for.
    pub below: Option<Vec<u8>>,
    /// Thread id in the sandbox's pid namespace.
    pub tid: u32,
    pub errno: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    Open,
    List,
    Lookup,
    Stat,
    Access,
    Execute,
    Follow,
    Change,
    Attributes,
}

/// Bytes to write back, if the request wants an answer, and the attempt that it was, if it was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub reply: Option<Vec<u8>>,
    pub attempt: Option<Attempt>,
}

const HEADER: usize = 40;
const ROOT: u64 = 1;
const FIRST_MASK: u64 = 2;
const FOREVER_S: u64 = 1_000_000_000;

const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ENOSYS: i32 = 38;
const ENODATA: i32 = 61;

mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const OPEN: u32 = 14;
    pub const STATFS: u32 = 17;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const ACCESS: u32 = 34;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
}

struct Request<'a> {
    opcode: u32,
    unique: u64,
    node: u64,
    tid: u32,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() < HEADER {
            return None;
        }
        Some(Self {
            opcode: word(bytes, 4)?,
            unique: long(bytes, 8)?,
            node: long(bytes, 16)?,
            tid: word(bytes, 32)?,
            body: &bytes[HEADER..],
        })
    }

    /// A name in the body, from `skip` bytes on, without its NUL.
    fn name(&self, skip: usize) -> &'a [u8] {
        let body = self.body.get(skip..).unwrap_or_default();
        body.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// Answers one request. Malformed requests get no answer: only the kernel writes them.
pub fn answer(table: &Table, bytes: &[u8]) -> Answer {
    let Some(request) = Request::read(bytes) else {
        return Answer::default();
    };
    match request.opcode {
        opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => return Answer::default(),
        opcode::INIT => return done(&request, &init(&request)),
        opcode::DESTROY => return done(&request, &[]),
        opcode::STATFS => return done(&request, &[0; 80]),
        _ => {}
    }
    if request.node == ROOT {
        return root(table, &request);
    }
    let index = request
        .node
        .checked_sub(FIRST_MASK)
        .and_then(|index| usize::try_from(index).ok());
    match index.and_then(|index| table.masks.get(index).map(|mask| (index, mask))) {
        Some((index, mask)) => on_mask(table, &request, index, mask),
        None => failed(&request, ENOENT),
    }
}

/// The directory from which the launch takes the masks; nobody reaches it afterwards.
fn root(table: &Table, request: &Request<'_>) -> Answer {
    match request.opcode {
        opcode::LOOKUP => match position(request.name(0)).filter(|index| *index < table.masks.len()) {
            Some(index) => done(request, &entry(table, index)),
            None => failed(request, ENOENT),
        },
        opcode::GETATTR => {
            let mut body = Vec::with_capacity(104);
            timeout(&mut body, FOREVER_S);
            attributes(&mut body, table, ROOT, 0o040_111);
            done(request, &body)
        }
        opcode::ACCESS => done(request, &[]),
        _ => failed(request, EACCES),
    }
}

/// The index in a name `mN`.
fn position(name: &[u8]) -> Option<usize> {
    std::str::from_utf8(name).ok()?.strip_prefix('m')?.parse().ok()
}

fn on_mask(table: &Table, request: &Request<'_>, index: usize, mask: &Mask) -> Answer {
    let errno = if mask.kind == Kind::Vanished {
        ENOENT
    } else {
        EACCES
    };
    let refused = |operation: Operation, below: Option<Vec<u8>>| Answer {
        reply: Some(error(request.unique, errno)),
        attempt: Some(Attempt {
            mask: index,
            operation,
            below,
            tid: request.tid,
            errno,
        }),
    };
    match request.opcode {
        opcode::GETATTR => match mask.kind {
            Kind::Vanished => refused(Operation::Stat, None),
            // Attributes are cached for ever, so the kernel asks again only to execute: it reads the mode bits.
            Kind::File | Kind::Directory | Kind::Closed => {
                let mut body = Vec::with_capacity(104);
                timeout(&mut body, FOREVER_S);
                attributes(&mut body, table, request.node, mode(mask.kind));
                let mut answer = done(request, &body);
                if mask.kind == Kind::File {
                    let operation = Operation::Execute;
                    answer.attempt = Some(Attempt {
                        mask: index,
                        operation,
                        below: None,
                        tid: request.tid,
                        errno,
                    });
                }
                answer
            }
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

const fn mode(kind: Kind) -> u32 {
    match kind {
        Kind::File => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Vanished | Kind::Closed => 0o120_777,
    }
}

/// `struct fuse_init_out` of 64 bytes: the flags of `visible-denials.md` §1.6, as far as the kernel offers them.
fn init(request: &Request<'_>) -> Vec<u8> {
    const ATOMIC_O_TRUNC: u32 = 1 << 3;
    const DO_READDIRPLUS: u32 = 1 << 13;
    const PARALLEL_DIROPS: u32 = 1 << 18;
    const CACHE_SYMLINKS: u32 = 1 << 23;
    let offered = word(request.body, 12).unwrap_or(0);
    let flags = offered & (ATOMIC_O_TRUNC | DO_READDIRPLUS | PARALLEL_DIROPS | CACHE_SYMLINKS);
    let mut body = Vec::with_capacity(64);
    for value in [7, 31, 0, flags] {
        body.extend(u32::to_ne_bytes(value));
    }
    body.extend(16u16.to_ne_bytes()); // max_background
    body.extend(12u16.to_ne_bytes()); // congestion_threshold
    body.extend(4096u32.to_ne_bytes()); // max_write
    body.extend(1u32.to_ne_bytes()); // time_gran, ns
    body.resize(64, 0);
    body
}

/// `struct fuse_entry_out`.
fn entry(table: &Table, index: usize) -> Vec<u8> {
    // INVARIANT: a table is far shorter than 2^64.
    let node = u64::try_from(index).unwrap_or(u64::MAX - FIRST_MASK) + FIRST_MASK;
    let kind = table.masks[index].kind;
    let attributes_valid = if kind == Kind::Vanished { 0 } else { FOREVER_S };
    let mut body = Vec::with_capacity(128);
    for value in [node, 0, FOREVER_S, attributes_valid] {
        body.extend(value.to_ne_bytes());
    }
    body.extend([0; 8]);
    attributes(&mut body, table, node, mode(kind));
    body
}

fn timeout(body: &mut Vec<u8>, seconds: u64) {
    body.extend(seconds.to_ne_bytes());
    body.extend([0; 8]);
}

/// `struct fuse_attr`: size 0, time 0, owned by the agent, so that the kernel asks us before it refuses.
fn attributes(body: &mut Vec<u8>, table: &Table, node: u64, mode: u32) {
    body.extend(node.to_ne_bytes());
    body.extend([0; 40]); // size, blocks, atime, mtime, ctime
    body.extend([0; 12]); // nanoseconds
    for value in [mode, 1, table.uid, table.gid, 0, 4096, 0] {
        body.extend(value.to_ne_bytes());
    }
}

fn done(request: &Request<'_>, body: &[u8]) -> Answer {
    // INVARIANT: replies are at most a few hundred bytes.
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut reply = Vec::with_capacity(16 + body.len());
    reply.extend(length.to_ne_bytes());
    reply.extend(0i32.to_ne_bytes());
    reply.extend(request.unique.to_ne_bytes());
    reply.extend(body);
    Answer {
        reply: Some(reply),
        attempt: None,
    }
}

fn failed(request: &Request<'_>, errno: i32) -> Answer {
    Answer {
        reply: Some(error(request.unique, errno)),
        attempt: None,
    }
}

fn error(unique: u64, errno: i32) -> Vec<u8> {
    let mut reply = Vec::with_capacity(16);
    reply.extend(16u32.to_ne_bytes());
    reply.extend((-errno).to_ne_bytes());
    reply.extend(unique.to_ne_bytes());
    reply
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> Table {
        let mask = |kind, path: &str| Mask {
            kind,
            path: path.into(),
            source: 3,
        };
        let masks = vec![
            mask(Kind::File, "/w/.env"),
            mask(Kind::Directory, "/w/d"),
            mask(Kind::Vanished, "/h/.netrc"),
        ];
        Table {
            masks,
            uid: 1000,
            gid: 1000,
        }
    }

    fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
        bytes.extend(opcode.to_ne_bytes());
        bytes.extend(77u64.to_ne_bytes());
        bytes.extend(node.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(42u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    fn errno(answer: &Answer) -> i32 {
        -i32::from_ne_bytes(answer.reply.as_ref().unwrap()[4..8].try_into().unwrap())
    }

    #[test]
    fn attempts_are_refused_and_told() {
        let cases = [
            ("open a file", opcode::OPEN, 2, EACCES, Some(Operation::Open)),
            (
                "list a directory",
                opcode::OPENDIR,
                3,
                EACCES,
                Some(Operation::List),
            ),
            (
                "enter a directory",
                opcode::ACCESS,
                3,
                EACCES,
                Some(Operation::Access),
            ),
            (
                "change a mode",
                opcode::SETATTR,
                2,
                EACCES,
                Some(Operation::Change),
            ),
            (
                "look at what vanished",
                opcode::GETATTR,
                4,
                ENOENT,
                Some(Operation::Stat),
            ),
            (
                "follow what vanished",
                opcode::READLINK,
                4,
                ENOENT,
                Some(Operation::Follow),
            ),
            ("an unknown node", opcode::OPEN, 9, ENOENT, None),
            ("an unknown call", 999, 2, ENOSYS, None),
        ];
        for (name, opcode, node, want, operation) in cases {
            let answer = answer(&table(), &request(opcode, node, b"x\0"));
            assert_eq!(errno(&answer), want, "{name}");
            assert_eq!(
                answer.attempt.map(|attempt| (attempt.operation, attempt.tid)),
                operation.map(|o| (o, 42)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_lookup_below_names_what_was_asked_for() {
        let answer = answer(&table(), &request(opcode::LOOKUP, 3, b"secret\0"));
        assert_eq!(answer.attempt.unwrap().below.as_deref(), Some(&b"secret"[..]));
    }

    #[test]
    fn masks_are_empty_and_closed() {
        let answer = answer(&table(), &request(opcode::LOOKUP, ROOT, b"m0\0"));
        let reply = answer.reply.unwrap();
        assert_eq!(reply.len(), 16 + 128);
        let size = u64::from_ne_bytes(reply[16 + 40 + 8..16 + 40 + 16].try_into().unwrap());
        let mode = u32::from_ne_bytes(reply[16 + 40 + 60..16 + 40 + 64].try_into().unwrap());
        assert_eq!((size, mode), (0, 0o100_000));
    }

    #[test]
    fn short_requests_get_no_answer() {
        for length in 0..HEADER {
            assert_eq!(answer(&table(), &vec![1; length]), Answer::default());
        }
    }

    proptest! {
        #[test]
        fn any_request_gets_at_most_one_whole_reply(
            opcode in 0u32..60, node in 0u64..8, body in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let answer = answer(&table(), &request(opcode, node, &body));
            if let Some(reply) = &answer.reply {
                let length = u32::from_ne_bytes(reply[..4].try_into().unwrap());
                prop_assert_eq!(usize::try_from(length).unwrap(), reply.len());
                // What was attempted on a mask never succeeds, but for attributes, which are all zero.
                let refused = i32::from_ne_bytes(reply[4..8].try_into().unwrap()) != 0;
                prop_assert!(refused || answer.attempt.is_none() || opcode == opcode::GETATTR);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = answer(&table(), &bytes);
        }
    }
}
