//! Which objects of a view the FUSE server answers for, and where the build takes each from.

use super::build::OWN_PLACES;
use super::{Item, Node, View, is_at_or_below, parent};
use crate::fuse::{self, Kind, Stub, Table, What};
use std::collections::{BTreeSet, HashMap};

/// What the build does with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Places it itself.
    Placed,
    /// Takes this node of the server and mounts it over the name.
    Over(usize),
    /// Nothing: it is an entry of a partial directory.
    Answered,
}

/// The server's objects, and how the items of a view come by them.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub table: Table,
    /// The topmost partial directories.
    pub partial: Vec<String>,
    /// One for each item of the view, in its order.
    pub parts: Vec<Part>,
}

/// Lays a view out for the agent's user. `listed` tells whether a partial directory may be listed.
pub fn layout(view: &View, (uid, gid): (u32, u32), listed: &dyn Fn(&str) -> bool) -> Layout {
    let mut maker = Maker {
        layout: Layout {
            table: Table {
                uid,
                gid,
                ..Table::default()
            },
            ..Layout::default()
        },
        stubs: HashMap::new(),
        covered: BTreeSet::new(),
        listed,
    };
    for item in &view.items {
        let part = maker.part(item, &view.partial);
        maker.layout.parts.push(part);
    }
    maker.layout
}

struct Maker<'a> {
    layout: Layout,
    stubs: HashMap<String, usize>,
    /// Paths below which the server has nothing.
    covered: BTreeSet<&'a str>,
    listed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Maker<'a> {
    fn part(&mut self, item: &'a Item, roots: &[String]) -> Part {
        let path = item.path.as_str();
        if roots.iter().any(|root| root == path) {
            let index = self.stub(path);
            self.layout.partial.push(item.path.clone());
            self.layout.table.taken.push(index);
            if path == "/" {
                // Places of the build, which it lets go before the agent runs.
                for own in OWN_PLACES {
                    self.below(own);
                }
            }
            return Part::Over(index);
        }
        let answered = self.in_stub(path, roots);
        if !matches!(item.node, Node::Stub) {
            self.covered.insert(path);
        }
        match (&item.node, answered) {
            (Node::Mask { kind, source }, _) => {
                let (kind, source) = (*kind, *source);
                let index = self.add(path, What::Mask { kind, source });
                if answered {
                    self.enter(path, index);
                    Part::Answered
                } else {
                    self.layout.table.taken.push(index);
                    Part::Over(index)
                }
            }
            (Node::Absent { source }, _) => {
                let (kind, source) = (Kind::Vanished, *source);
                let index = self.add(path, What::Mask { kind, source });
                self.layout.table.taken.push(index);
                Part::Over(index)
            }
            (Node::Link { target }, true) => {
                let target = target.clone();
                let index = self.add(path, What::Link { target });
                self.enter(path, index);
                Part::Answered
            }
            (Node::File { .. } | Node::Bind { directory: false, .. }, true) => {
                let index = self.add(path, What::Place);
                self.enter(path, index);
                Part::Placed
            }
            (_, true) => {
                self.below(path);
                Part::Placed
            }
            (_, false) => Part::Placed,
        }
    }

    /// Whether a name lies in a partial directory and not in something that stands there.
    fn in_stub(&self, path: &str, roots: &[String]) -> bool {
        let Some(root) = roots
            .iter()
            .find(|root| path != root.as_str() && is_at_or_below(path, root))
        else {
            return false;
        };
        let mut at = parent(path);
        while at != root {
            if self.covered.contains(at) {
                return false;
            }
            at = parent(at);
        }
        true
    }

    fn add(&mut self, path: &str, what: What) -> usize {
        let index = self.layout.table.nodes.len();
        self.layout.table.nodes.push(fuse::Node {
            path: path.to_owned(),
            what,
        });
        index
    }

    fn stub(&mut self, path: &str) -> usize {
        let stub = Stub {
            listed: (self.listed)(path),
            ..Stub::default()
        };
        let index = self.add(path, What::Stub(stub));
        self.stubs.insert(path.to_owned(), index);
        index
    }

    /// The partial directory at a path below a root, made with those above it where it is missing.
    fn below(&mut self, path: &str) -> usize {
        if let Some(index) = self.stubs.get(path) {
            return *index;
        }
        let index = self.stub(path);
        self.enter(path, index);
        index
    }

    /// Makes a node an entry of its directory.
    fn enter(&mut self, path: &str, index: usize) {
        let directory = self.below(parent(path));
        let name = path.rsplit('/').next().unwrap_or_default();
        if let What::Stub(stub) = &mut self.layout.table.nodes[directory].what {
            stub.entries.insert(name.to_owned(), index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::Kind;
    use crate::view::Rights;

    fn bind(path: &str, directory: bool) -> Item {
        Item {
            path: path.into(),
            node: Node::Bind {
                source: path.into(),
                directory,
                rights: Rights::READ,
                ours: false,
                mapped: false,
            },
        }
    }

    fn mask(path: &str) -> Item {
        Item {
            path: path.into(),
            node: Node::Mask {
                kind: Kind::File,
                source: 0,
            },
        }
    }

    #[test]
    fn names_in_shown_trees_are_mounted_over_and_others_are_entries() {
        let view = View {
            items: vec![
                bind("/usr", true),
                Item {
                    path: "/etc".into(),
                    node: Node::Stub,
                },
                bind("/etc/ssl", true),
                bind("/etc/hosts", false),
                mask("/etc/shadow"),
                mask("/usr/secret"),
                bind("/etc/a/b", true),
                mask("/etc/ssl/key"),
            ],
            partial: vec!["/etc".into()],
            ..View::default()
        };
        let layout = layout(&view, (1, 1), &|_| false);
        let node = |path: &str| {
            layout
                .table
                .nodes
                .iter()
                .position(|node| node.path == path)
                .unwrap()
        };
        let want = [
            Part::Placed,
            Part::Over(node("/etc")),
            Part::Placed,
            Part::Placed,
            Part::Answered,
            Part::Over(node("/usr/secret")),
            Part::Placed,
            Part::Over(node("/etc/ssl/key")),
        ];
        assert_eq!(layout.parts, want);
        assert_eq!(layout.partial, ["/etc"]);
        assert_eq!(
            layout.table.taken,
            [node("/etc"), node("/usr/secret"), node("/etc/ssl/key")]
        );
        let entries = |path: &str| match &layout.table.nodes[node(path)].what {
            What::Stub(stub) => stub.entries.keys().cloned().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        assert_eq!(entries("/etc"), ["a", "hosts", "shadow", "ssl"]);
        assert_eq!(entries("/etc/a"), ["b"]);
    }
}
