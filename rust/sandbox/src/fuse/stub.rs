//! Answers for partial directories: their listed entries exist, every other name is absent, and asking for it is told.

use super::wire::{self, EACCES, ENODATA, ENOENT, ENOSYS, FOREVER_S, Request, done, failed, opcode};
use super::{Answer, Asker, Node, Operation, Table, refused};
use std::collections::BTreeMap;

/// How long the kernel answers for an absent name by itself: repeats within this time are not seen.
const ABSENT_S: u64 = 1;

/// Names that ordinary programs look for and do without: the kernel keeps the first answer for the whole run.
const QUIET: [&str; 31] = [
    "/etc/apache",
    "/etc/apache2",
    "/etc/default",
    "/etc/gcrypt",
    "/etc/gitattributes",
    "/etc/gitconfig",
    "/etc/gnutls",
    "/etc/httpd",
    "/etc/inputrc",
    "/etc/ld.so.nohwcap",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/malloc.conf",
    "/etc/manpath.config",
    "/etc/netsvc.conf",
    "/etc/npmrc",
    "/etc/pip.conf",
    "/etc/pyenv.d",
    "/etc/rustup",
    "/etc/selinux",
    "/etc/svc.conf",
    "/etc/sysless",
    "/etc/syslesskey",
    "/etc/terminfo",
    "/etc/topdefaultrc",
    "/etc/toprc",
    "/etc/wgetrc",
    "/etc/xdg",
    "/run/nscd",
    "/run/utmp",
    "/run/systemd",
];

/// Whether an absent name is one of those that ordinary programs look for; what names a distribution is, too.
pub fn is_quiet(path: &str) -> bool {
    QUIET.contains(&path) || (path.starts_with("/etc/") && path.ends_with("-release"))
}

/// A directory that can be passed through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stub {
    /// Whether the agent may list it.
    pub listed: bool,
    /// Names and the indices of their nodes.
    pub entries: BTreeMap<String, usize>,
}

/// Bits of access(2).
const READ: u32 = 4;
const WRITE: u32 = 2;

/// A stub with its node and that one's index.
type Here<'a> = (usize, &'a Node, &'a Stub);

pub(super) fn answer(table: &Table, request: &Request<'_>, here: Here<'_>, asker: Asker) -> Answer {
    let (index, node, stub) = here;
    let open = stub.listed || asker == Asker::Launch;
    match request.opcode {
        opcode::LOOKUP => lookup(table, request, here, asker),
        opcode::GETATTR => done(request, &wire::attributes(node.attributes(table, index))),
        opcode::OPENDIR if open => done(request, &[0; 16]),
        opcode::READDIR | opcode::READDIRPLUS if open => {
            let names = stub
                .entries
                .iter()
                .filter_map(|(name, node)| Some(table.listed(name, *node, table.node(*node)?)));
            let plus = request.opcode == opcode::READDIRPLUS;
            done(request, &wire::listing(names, request.page(), plus))
        }
        opcode::OPENDIR => refused(request, index, Operation::List, None, EACCES),
        // Passing through is free; nothing in it can be changed, whoever asks.
        opcode::ACCESS if request.wants(WRITE) => failed(request, EACCES),
        opcode::ACCESS if request.wants(READ) && !open => {
            refused(request, index, Operation::List, None, EACCES)
        }
        opcode::RELEASEDIR | opcode::ACCESS => done(request, &[]),
        opcode::SETATTR | opcode::SETXATTR | opcode::REMOVEXATTR => {
            refused(request, index, Operation::Change, None, EACCES)
        }
        opcode::GETXATTR | opcode::LISTXATTR => failed(request, ENODATA),
        _ => failed(request, ENOSYS),
    }
}

fn lookup(table: &Table, request: &Request<'_>, (index, here, stub): Here<'_>, asker: Asker) -> Answer {
    let name = request.name(0);
    let known = std::str::from_utf8(name)
        .ok()
        .and_then(|name| stub.entries.get(name));
    if let Some((known, node)) = known.and_then(|known| Some((*known, table.node(*known)?))) {
        return done(request, &table.entry(known, node));
    }
    if asker == Asker::Launch {
        return failed(request, ENOENT);
    }
    let path = here.join(name);
    let valid_s = if is_quiet(&path) { FOREVER_S } else { ABSENT_S };
    Answer {
        reply: done(request, &wire::absent(valid_s)).reply,
        attempt: refused(request, index, Operation::Lookup, Some(name.to_vec()), ENOENT).attempt,
    }
}
