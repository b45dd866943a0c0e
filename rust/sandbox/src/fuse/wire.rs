//! The messages of `linux/fuse.h`, protocol 7.23 and later: requests taken apart, replies put together.

use super::Answer;

pub const HEADER: usize = 40;
/// How long the kernel keeps what never changes, in seconds.
pub const FOREVER_S: u64 = 1_000_000_000;

pub const ENOENT: i32 = 2;
pub const EACCES: i32 = 13;
pub const ENOSYS: i32 = 38;
pub const ENODATA: i32 = 61;

pub mod opcode {
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
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const ACCESS: u32 = 34;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
    pub const READDIRPLUS: u32 = 44;
}

/// `struct fuse_in_header` and what follows it.
pub struct Request<'a> {
    pub opcode: u32,
    pub unique: u64,
    pub node: u64,
    pub tid: u32,
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
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
    pub fn name(&self, skip: usize) -> &'a [u8] {
        let body = self.body.get(skip..).unwrap_or_default();
        body.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The rights that ACCESS asks for (access(2)).
    pub fn wants(&self, bit: u32) -> bool {
        word(self.body, 0).is_some_and(|mask| mask & bit != 0)
    }

    /// Offset and size of a READDIR or READDIRPLUS (`struct fuse_read_in`).
    pub fn page(&self) -> (usize, usize) {
        let offset = long(self.body, 8).and_then(|offset| usize::try_from(offset).ok());
        let size = word(self.body, 16).and_then(|size| usize::try_from(size).ok());
        (offset.unwrap_or(usize::MAX), size.unwrap_or(0))
    }
}

/// What the kernel is told of one object: `struct fuse_attr` without what is 0 everywhere.
#[derive(Clone, Copy)]
pub struct Attributes {
    pub node: u64,
    pub mode: u32,
    pub size: u64,
    pub uid: u32,
    pub gid: u32,
}

impl Attributes {
    /// Time 0; the size is that of the content, the owner the one who is told.
    fn write(self, body: &mut Vec<u8>) {
        body.extend(self.node.to_ne_bytes());
        body.extend(self.size.to_ne_bytes());
        body.extend([0; 32]); // blocks, atime, mtime, ctime
        body.extend([0; 12]); // nanoseconds
        for value in [self.mode, 1, self.uid, self.gid, 0, 4096, 0] {
            body.extend(value.to_ne_bytes());
        }
    }
}

/// `struct fuse_attr_out`.
pub fn attributes(attributes: Attributes) -> Vec<u8> {
    let mut body = Vec::with_capacity(104);
    body.extend(FOREVER_S.to_ne_bytes());
    body.extend([0; 8]);
    attributes.write(&mut body);
    body
}

/// `struct fuse_entry_out`; `valid_s` is how long the kernel may take the attributes as known.
pub fn entry(attributes: Attributes, valid_s: u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    for value in [attributes.node, 0, FOREVER_S, valid_s] {
        body.extend(value.to_ne_bytes());
    }
    body.extend([0; 8]);
    attributes.write(&mut body);
    body
}

/// `struct fuse_entry_out` of a name that is absent: node 0, which the kernel remembers for so long.
pub fn absent(valid_s: u64) -> Vec<u8> {
    let mut body = vec![0; 128];
    body[16..24].copy_from_slice(&valid_s.to_ne_bytes());
    body
}

/// One name of a listing.
pub struct Listed<'a> {
    pub name: &'a str,
    pub attributes: Attributes,
    /// As in `entry`.
    pub valid_s: u64,
}

/// The names of a listing from `offset` on that fit into `size` bytes, with their attributes where the kernel asked for
/// them (`struct fuse_direntplus`, `struct fuse_dirent`).
pub fn listing<'a>(
    names: impl Iterator<Item = Listed<'a>>,
    (offset, size): (usize, usize),
    plus: bool,
) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, listed) in names.enumerate().skip(offset) {
        let padded = listed.name.len().next_multiple_of(8);
        if body.len() + if plus { 128 } else { 0 } + 24 + padded > size {
            break;
        }
        if plus {
            body.extend(entry(listed.attributes, listed.valid_s));
        }
        body.extend(listed.attributes.node.to_ne_bytes());
        // INVARIANT: indices and names (at most 255 bytes) are small.
        body.extend(u64::try_from(index + 1).unwrap_or(u64::MAX).to_ne_bytes());
        body.extend(u32::try_from(listed.name.len()).unwrap_or(0).to_ne_bytes());
        body.extend((listed.attributes.mode >> 12).to_ne_bytes());
        body.extend(listed.name.as_bytes());
        body.resize(body.len() + padded - listed.name.len(), 0);
    }
    body
}

/// `struct fuse_init_out` of 64 bytes: the flags of `visible-denials.md` §1.6, as far as the kernel offers them.
pub fn init(request: &Request<'_>) -> Vec<u8> {
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

/// A reply that says yes.
pub fn done(request: &Request<'_>, body: &[u8]) -> Answer {
    // INVARIANT: replies are at most a page or a listing of 128 KiB.
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

/// A reply that says no, of which nobody is told.
pub fn failed(request: &Request<'_>, errno: i32) -> Answer {
    let mut reply = Vec::with_capacity(16);
    reply.extend(16u32.to_ne_bytes());
    reply.extend((-errno).to_ne_bytes());
    reply.extend(request.unique.to_ne_bytes());
    Answer {
        reply: Some(reply),
        attempt: None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}
