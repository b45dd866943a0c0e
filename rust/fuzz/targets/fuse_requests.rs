//! FUSE requests of an agent: one whole reply or none, and nothing that is attempted succeeds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_sandbox::fuse::{Asker, Kind, Node, Operation, Stub, Table, What, answer};
use std::sync::Arc;

const HEADER: usize = 40;
const FIRST_NODE: u64 = 2;
const LOOKUP: u32 = 1;
// Of the requests that name an object, those that may succeed on a mask: FUSE_GETATTR alone.
const GETATTR: u32 = 3;
// FUSE_INIT, FUSE_DESTROY, FUSE_STATFS: of the whole file system.
const WHOLE: [u32; 3] = [26, 38, 17];
// FUSE_FORGET, FUSE_INTERRUPT, FUSE_BATCH_FORGET: the kernel waits for no reply.
const SILENT: [u32; 3] = [2, 36, 42];

fuzz_target!(|bytes: &[u8]| {
    let table = table();
    let answer = answer(&table, bytes, Asker::Agent);
    if bytes.len() < HEADER {
        assert_eq!(answer.reply, None);
        assert_eq!(answer.attempt, None);
        return;
    }
    let word = |at: usize| {
        bytes[at..at + 4]
            .iter()
            .rev()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
    };
    let (opcode, tid) = (word(4), word(32));
    let node = u64::from(word(16)) | u64::from(word(20)) << 32;
    assert_eq!(
        answer.reply.is_none(),
        SILENT.contains(&opcode),
        "opcode {opcode}"
    );
    let Some(reply) = answer.reply else {
        assert_eq!(answer.attempt, None);
        return;
    };
    assert_eq!(
        u32::from_le_bytes([reply[0], reply[1], reply[2], reply[3]]) as usize,
        reply.len()
    );
    assert_eq!(reply[8..16], bytes[8..16], "the reply is to another request");
    let errno = -i32::from_le_bytes([reply[4], reply[5], reply[6], reply[7]]);
    assert!((0..=133).contains(&errno));
    assert!(errno == 0 || reply.len() == 16, "an error with a body");

    let index = node
        .checked_sub(FIRST_NODE)
        .and_then(|index| usize::try_from(index).ok());
    let node = index.and_then(|index| Some((index, table.nodes.get(index)?)));
    let Some((index, node)) = node.filter(|_| !WHOLE.contains(&opcode)) else {
        assert_eq!(answer.attempt, None, "an attempt on no node");
        return;
    };
    // An absent name is told by node 0 in a reply that says yes.
    let absent = opcode == LOOKUP && reply.get(16..24) == Some(&[0; 8]);
    if let What::Mask { kind, .. } = node.what {
        let shown = opcode == GETATTR && kind != Kind::Vanished;
        assert_eq!(errno == 0, shown, "opcode {opcode} on {node:?}");
    }
    if let Some(attempt) = answer.attempt {
        assert!(errno != 0 || absent || opcode == GETATTR);
        assert_eq!((attempt.node, attempt.tid), (index, tid));
        assert!(attempt.errno != 0);
        assert_eq!(attempt.below.is_some(), attempt.operation == Operation::Lookup);
        assert!(
            attempt
                .below
                .is_none_or(|name| !name.contains(&0) && name.len() <= bytes.len())
        );
    } else if tid != 0 {
        assert!(!absent, "an absent name that nobody is told of");
    }
});

fn table() -> Table {
    let stub = |listed| Stub {
        listed,
        entries: [("link".to_owned(), 6), ("place".to_owned(), 7)].into(),
    };
    let kinds = [Kind::File, Kind::Directory, Kind::Closed, Kind::Vanished];
    let masks = kinds.into_iter().map(|kind| What::Mask { kind, source: 3 });
    let others = [
        What::Stub(stub(false)),
        What::Stub(stub(true)),
        What::Link {
            target: "/run".into(),
        },
        What::Place,
    ];
    let node = |(index, what)| Node {
        path: format!("/w/{index}"),
        what,
    };
    Table {
        nodes: masks.chain(others).enumerate().map(node).collect(),
        taken: vec![0, 1, 2, 3, 4, 5],
        late: Arc::default(),
        uid: 1000,
        gid: 1000,
    }
}
