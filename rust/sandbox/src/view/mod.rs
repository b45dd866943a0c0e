//! The view of files: which of the host's objects the sandbox shows, with which rights, and what stands over the rest.
//!
//! `plan` asks the engine and looks at the file system; `build` makes the mounts in the sandbox's own namespaces.
//! Sources: `kernel.md` §3, `visible-denials.md` §2, `policy-language.md` F1–F10.

mod absent;
mod build;
mod layout;
mod machine;
mod made;
mod plan;
mod scan;

pub use build::{Built, Fuse, Trees, build, open_trees};
pub use layout::{Layout, Part, layout};
pub use plan::{Inputs, Pattern, Places, Questions, Segment, Visibility, plan};
pub use scan::{Found, Host, Scan, Step};

use crate::fuse::Kind;
use serde::Serialize;

/// Stands for the source of a mask that no rule made and no policy lifts: what is ours.
pub const BENEATH: usize = usize::MAX;
/// Stands for the source of a name outside of everything shown that no rule speaks of (S1).
pub const UNLISTED: usize = usize::MAX - 2;
/// Stands for the source of a mask over a socket of the host that no rule allows (N12).
pub const HOST_SOCKET: usize = usize::MAX - 1;

/// A set of the five file actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

/// As words, for people who read a plan.
impl Serialize for Rights {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words = [
            (Self::READ, "read"),
            (Self::WRITE, "write"),
            (Self::CREATE, "create"),
            (Self::DELETE, "delete"),
            (Self::EXECUTE, "execute"),
        ];
        serializer.collect_seq(
            words
                .iter()
                .filter(|(right, _)| self.has(*right))
                .map(|(_, word)| word),
        )
    }
}

impl Rights {
    pub const NONE: Self = Self(0);
    pub const READ: Self = Self(1);
    pub const WRITE: Self = Self(2);
    pub const CREATE: Self = Self(4);
    pub const DELETE: Self = Self(8);
    pub const EXECUTE: Self = Self(16);
    pub const ALL: Self = Self(31);
    /// What needs a writable mount.
    pub const CHANGES: Self = Self(14);

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What stands at one path of the sandbox. Paths are canonical and as the sandbox sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    pub path: String,
    pub node: Node,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Node {
    /// The host's object at `source`, with everything below it, bound with these rights.
    Bind {
        source: String,
        directory: bool,
        rights: Rights,
        ours: bool,
        /// Whether owners are mapped to the agent's user, where root starts the sandbox.
        mapped: bool,
    },
    /// A symbolic link of the host, made again.
    Link {
        target: String,
    },
    /// An empty directory that can be passed through; listing shows what stands in it.
    Stub,
    /// An object over a denied name: mode 000, or absent when `hidden`.
    Mask {
        kind: Kind,
        source: usize,
    },
    /// A name outside of everything shown, whether or not the host has it: absent, and asking for it is told.
    Absent {
        source: usize,
    },
    /// A private file system of ours.
    Tmpfs {
        size: u64,
        mode: u32,
        exec: bool,
    },
    Proc,
    Devices,
    /// A file made by us with this text.
    File {
        text: String,
    },
}

/// The plan of the whole view: items, parents before children, and what could not be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    pub items: Vec<Item>,
    /// Directories outside of every shown tree in which each name that is not shown is answered as absent, and told.
    pub partial: Vec<String>,
    /// Rights on the root directory itself.
    pub root: Rights,
    /// Things of the policy that this view can't show or guard, for the ledger.
    pub notes: Vec<String>,
}

impl View {
    /// The deepest item at or above `path`.
    pub fn covering(&self, path: &str) -> Option<&Item> {
        self.items
            .iter()
            .filter(|item| is_at_or_below(path, &item.path))
            .max_by_key(|item| item.path.len())
    }
}

/// Whether `path` is `above` or lies below it; both canonical.
pub fn is_at_or_below(path: &str, above: &str) -> bool {
    above == "/"
        || path == above
        || (path.starts_with(above) && path.as_bytes().get(above.len()) == Some(&b'/'))
}

/// The parent of a canonical path; `/` is its own.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// `directory` and `name` joined.
pub fn join(directory: &str, name: &str) -> String {
    if directory == "/" {
        format!("/{name}")
    } else {
        format!("{directory}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_whole_segments() {
        for (path, above, below) in [
            ("/a/b", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/a", true),
            ("/a", "/", true),
            ("/", "/a", false),
        ] {
            assert_eq!(is_at_or_below(path, above), below, "{path} {above}");
        }
    }
}
