//! The FUSE server behind refused names: what stands over or in place of them, so that an attempt becomes an event.
//!
//! `answer` is pure: a request of the kernel in, a reply and perhaps an attempt out; it looks at nothing else and never
//! waits, since a caller stuck between request and reply can't even be killed (`visible-denials.md` §7).

mod mask;
mod stub;
mod wire;

pub use mask::Kind;
pub use stub::{Stub, is_quiet};

use crate::view::join;
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use wire::{Attributes, EACCES, ENOENT, FOREVER_S, Listed, Request, done, failed, opcode};

/// One object that the server answers for; its place in the table gives its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The path of the sandbox at which it stands.
    pub path: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Over a denied name.
    Mask {
        kind: Kind,
        /// The deciding rule's index among the compiled form's sources, or one of `view`'s for what no rule made.
        source: usize,
    },
    /// A partial directory.
    Stub(Stub),
    /// An empty file in a partial directory, over which the launch mounts the one that is shown.
    Place,
    /// A symbolic link of the host, made again in a partial directory.
    Link { target: String },
}

/// All objects of a run, and whom masks belong to.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub nodes: Vec<Node>,
    /// The nodes that the launch takes from the file system's root, by their number: masks and topmost stubs.
    pub taken: Vec<usize>,
    /// Masks that are added while the server runs; their numbers follow those of `nodes`.
    pub late: Arc<Late>,
    pub uid: u32,
    pub gid: u32,
}

/// Room for masks that come while the server runs. Reading it never waits.
#[derive(Debug)]
pub struct Late(Box<[OnceLock<Box<Node>>]>);

impl Late {
    /// Most names that can be masked after the start of one run.
    const MOST: usize = 1024;

    /// Adds a mask; gives its place, or `None` when there is no room.
    pub fn add(&self, node: Node) -> Option<usize> {
        let mut node = Box::new(node);
        for (place, slot) in self.0.iter().enumerate() {
            match slot.set(node) {
                Ok(()) => return Some(place),
                Err(back) => node = back,
            }
        }
        None
    }
}

impl Default for Late {
    fn default() -> Self {
        Self((0..Self::MOST).map(|_| OnceLock::new()).collect())
    }
}

/// Who asks: the launch may look at everything, and none of its requests is an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Launch,
    Agent,
}

/// What a program tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index of the node.
    pub node: usize,
    pub operation: Operation,
    /// The name below a directory, where one was asked for.
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

const ROOT: u64 = 1;
const FIRST: u64 = 2;
/// Stands for an owner that the sandbox's user namespace does not map: the kernel itself refuses to make a name there.
const NOBODY: u32 = u32::MAX - 1;

impl Table {
    /// The number of a node in the kernel's words.
    fn number(index: usize) -> u64 {
        // INVARIANT: a table is far shorter than 2^64.
        u64::try_from(index).unwrap_or(u64::MAX - FIRST) + FIRST
    }

    fn at(&self, number: u64) -> Option<(usize, &Node)> {
        let index = usize::try_from(number.checked_sub(FIRST)?).ok()?;
        Some((index, self.node(index)?))
    }

    /// The node of this index, of the launch or added later.
    pub fn node(&self, index: usize) -> Option<&Node> {
        match index.checked_sub(self.nodes.len()) {
            None => self.nodes.get(index),
            Some(place) => self.late.0.get(place)?.get().map(|node| &**node),
        }
    }

    fn entry(&self, index: usize, node: &Node) -> Vec<u8> {
        wire::entry(node.attributes(self, index), node.valid_s())
    }

    fn listed<'a>(&self, name: &'a str, index: usize, node: &Node) -> Listed<'a> {
        Listed {
            name,
            attributes: node.attributes(self, index),
            valid_s: node.valid_s(),
        }
    }

    /// What was asked for, as a path of the sandbox; what followed an absent name is unknown.
    pub fn resource(&self, attempt: &Attempt) -> Option<String> {
        let node = self.node(attempt.node)?;
        let below = attempt.below.as_deref();
        Some(below.map_or_else(|| node.path.clone(), |name| node.join(name)))
    }
}

impl Node {
    /// Masks are the agent's own, so that the kernel asks us before it refuses; all else is nobody's.
    fn attributes(&self, table: &Table, index: usize) -> Attributes {
        let (mode, size, owned) = match &self.what {
            What::Mask { kind, .. } => (kind.mode(), 0, true),
            What::Stub(_) => (0o040_755, 0, false),
            What::Place => (0o100_444, 0, false),
            What::Link { target } => (0o120_777, target.len() as u64, false),
        };
        Attributes {
            node: Table::number(index),
            mode,
            size,
            uid: if owned { table.uid } else { NOBODY },
            gid: if owned { table.gid } else { NOBODY },
        }
    }

    /// How long the kernel may take the attributes as known.
    fn valid_s(&self) -> u64 {
        match self.what {
            What::Mask {
                kind: Kind::Vanished, ..
            } => 0,
            _ => FOREVER_S,
        }
    }

    /// The path of a name in this directory.
    fn join(&self, name: &[u8]) -> String {
        join(&self.path, &String::from_utf8_lossy(name))
    }
}

/// Answers one request. Malformed requests get no answer: only the kernel writes them.
pub fn answer(table: &Table, bytes: &[u8], asker: Asker) -> Answer {
    let Some(request) = Request::read(bytes) else {
        return Answer::default();
    };
    match request.opcode {
        opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => return Answer::default(),
        opcode::INIT => return done(&request, &wire::init(&request)),
        opcode::DESTROY => return done(&request, &[]),
        opcode::STATFS => return done(&request, &[0; 80]),
        _ => {}
    }
    // Thread id 0 is a process outside of the sandbox's pid namespace: the helper that places masks, never the agent.
    let asker = if request.tid == 0 { Asker::Launch } else { asker };
    if request.node == ROOT {
        return root(table, &request, asker);
    }
    let Some((index, node)) = table.at(request.node) else {
        return failed(&request, ENOENT);
    };
    let mut answer = match &node.what {
        What::Mask { kind, .. } => mask::answer(&request, index, *kind, node.attributes(table, index)),
        What::Stub(stub) => stub::answer(table, &request, (index, node, stub), asker),
        What::Link { target } if request.opcode == opcode::READLINK => done(&request, target.as_bytes()),
        What::Place | What::Link { .. } => place(&request, node.attributes(table, index)),
    };
    answer.attempt = answer.attempt.filter(|_| asker == Asker::Agent);
    answer
}

/// The directory from which the launch takes what it mounts; the agent does not reach it.
fn root(table: &Table, request: &Request<'_>, asker: Asker) -> Answer {
    match request.opcode {
        opcode::LOOKUP if asker == Asker::Launch => match number(table, request.name(0)) {
            Some((index, node)) => done(request, &table.entry(index, node)),
            None => failed(request, ENOENT),
        },
        opcode::OPENDIR if asker == Asker::Launch => done(request, &[0; 16]),
        opcode::READDIR | opcode::READDIRPLUS if asker == Asker::Launch => {
            let names: Vec<String> = table.taken.iter().map(usize::to_string).collect();
            let listed = names
                .iter()
                .zip(&table.taken)
                .filter_map(|(name, index)| Some(table.listed(name, *index, table.node(*index)?)));
            let plus = request.opcode == opcode::READDIRPLUS;
            done(request, &wire::listing(listed, request.page(), plus))
        }
        opcode::GETATTR => {
            let attributes = Attributes {
                node: ROOT,
                mode: 0o040_111,
                size: 0,
                uid: table.uid,
                gid: table.gid,
            };
            done(request, &wire::attributes(attributes))
        }
        opcode::RELEASEDIR | opcode::ACCESS => done(request, &[]),
        _ => failed(request, EACCES),
    }
}

/// The node of which this is the number, if it may be taken.
fn number<'a>(table: &'a Table, name: &[u8]) -> Option<(usize, &'a Node)> {
    let index: usize = std::str::from_utf8(name).ok()?.parse().ok()?;
    let late = index >= table.nodes.len();
    let taken = late || table.taken.binary_search(&index).is_ok();
    table.node(index).filter(|_| taken).map(|node| (index, node))
}

/// What is not an attempt: an object that is there only to be mounted over or followed.
fn place(request: &Request<'_>, attributes: Attributes) -> Answer {
    match request.opcode {
        opcode::GETATTR => done(request, &wire::attributes(attributes)),
        opcode::GETXATTR | opcode::LISTXATTR => failed(request, wire::ENODATA),
        _ => failed(request, EACCES),
    }
}

/// A refusal that is told.
fn refused(
    request: &Request<'_>,
    node: usize,
    operation: Operation,
    below: Option<Vec<u8>>,
    errno: i32,
) -> Answer {
    Answer {
        reply: failed(request, errno).reply,
        attempt: Some(Attempt {
            node,
            operation,
            below,
            tid: request.tid,
            errno,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::wire::{ENOSYS, HEADER};
    use proptest::prelude::*;

    fn table() -> Table {
        let node = |path: &str, what| Node {
            path: path.into(),
            what,
        };
        let mask = |kind, path: &str| node(path, What::Mask { kind, source: 3 });
        let stub = Stub {
            listed: false,
            entries: [("ssl".to_owned(), 4)].into(),
        };
        let nodes = vec![
            mask(Kind::File, "/w/.env"),
            mask(Kind::Directory, "/w/d"),
            mask(Kind::Vanished, "/h/.netrc"),
            node("/etc", What::Stub(stub)),
            node("/etc/ssl", What::Place),
        ];
        Table {
            nodes,
            taken: vec![0, 1, 2, 3],
            late: Arc::default(),
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
            (
                "list a partial directory",
                opcode::OPENDIR,
                5,
                EACCES,
                Some(Operation::List),
            ),
            ("open what is only a place", opcode::OPEN, 6, EACCES, None),
            ("an unknown node", opcode::OPEN, 9, ENOENT, None),
            ("an unknown call", 999, 2, ENOSYS, None),
        ];
        for (name, opcode, node, want, operation) in cases {
            let answer = answer(&table(), &request(opcode, node, b"x\0"), Asker::Agent);
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
        let answer = answer(&table(), &request(opcode::LOOKUP, 3, b"secret\0"), Asker::Agent);
        assert_eq!(answer.attempt.unwrap().below.as_deref(), Some(&b"secret"[..]));
    }

    #[test]
    fn masks_are_empty_and_closed() {
        let answer = answer(&table(), &request(opcode::LOOKUP, ROOT, b"0\0"), Asker::Launch);
        let reply = answer.reply.unwrap();
        assert_eq!(reply.len(), 16 + 128);
        let size = u64::from_ne_bytes(reply[16 + 40 + 8..16 + 40 + 16].try_into().unwrap());
        let mode = u32::from_ne_bytes(reply[16 + 40 + 60..16 + 40 + 64].try_into().unwrap());
        assert_eq!((size, mode), (0, 0o100_000));
    }

    #[test]
    fn an_absent_name_is_told_and_remembered_for_a_second() {
        for (name, valid_s) in [("shadow", 1), ("ld.so.preload", FOREVER_S)] {
            let body = format!("{name}\0");
            let answer = answer(
                &table(),
                &request(opcode::LOOKUP, 5, body.as_bytes()),
                Asker::Agent,
            );
            let attempt = answer.attempt.unwrap();
            assert_eq!(
                (attempt.below.as_deref(), attempt.errno),
                (Some(name.as_bytes()), ENOENT)
            );
            let reply = answer.reply.unwrap();
            assert_eq!(reply[16..24], [0; 8], "node 0");
            assert_eq!(reply[32..40], u64::to_ne_bytes(valid_s), "{name}");
        }
    }

    #[test]
    fn the_launch_looks_without_being_told_and_the_agent_does_not_reach_the_root() {
        let ask = |opcode, node, asker| answer(&table(), &request(opcode, node, b"none\0"), asker);
        assert_eq!(ask(opcode::LOOKUP, 5, Asker::Launch).attempt, None);
        assert_eq!(errno(&ask(opcode::OPENDIR, 5, Asker::Launch)), 0);
        for opcode in [opcode::LOOKUP, opcode::OPENDIR, opcode::READDIRPLUS] {
            assert_eq!(errno(&ask(opcode, ROOT, Asker::Agent)), EACCES);
        }
    }

    #[test]
    fn a_listing_has_every_name_once_over_several_pages() {
        let mut names = Vec::new();
        let mut offset = 0u64;
        loop {
            let mut body = vec![0; 8];
            body.extend(offset.to_ne_bytes());
            body.extend(350u32.to_ne_bytes());
            let answer = answer(
                &table(),
                &request(opcode::READDIRPLUS, ROOT, &body),
                Asker::Launch,
            );
            let mut rest = answer.reply.unwrap().split_off(16);
            if rest.is_empty() {
                break;
            }
            while !rest.is_empty() {
                offset = u64::from_ne_bytes(rest[136..144].try_into().unwrap());
                let length = usize::try_from(u32::from_ne_bytes(rest[144..148].try_into().unwrap())).unwrap();
                names.push(String::from_utf8(rest[152..152 + length].to_vec()).unwrap());
                rest = rest.split_off(152 + length.next_multiple_of(8));
            }
        }
        assert_eq!(names, ["0", "1", "2", "3"]);
    }

    #[test]
    fn short_requests_get_no_answer() {
        for length in 0..HEADER {
            assert_eq!(
                answer(&table(), &vec![1; length], Asker::Agent),
                Answer::default()
            );
        }
    }

    proptest! {
        #[test]
        fn any_request_gets_at_most_one_whole_reply(
            opcode in 0u32..60, node in 0u64..8, body in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let answer = answer(&table(), &request(opcode, node, &body), Asker::Agent);
            if let Some(reply) = &answer.reply {
                let length = u32::from_ne_bytes(reply[..4].try_into().unwrap());
                prop_assert_eq!(usize::try_from(length).unwrap(), reply.len());
                // What was attempted never succeeds, but for attributes, which are all zero; node 0 is an absent name.
                let absent = opcode == opcode::LOOKUP && reply.get(16..24) == Some(&[0; 8]);
                let refused = absent || i32::from_ne_bytes(reply[4..8].try_into().unwrap()) != 0;
                prop_assert!(refused || answer.attempt.is_none() || opcode == opcode::GETATTR);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = answer(&table(), &bytes, Asker::Agent);
        }
    }
}
