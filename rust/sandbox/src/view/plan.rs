//! From rules and the host's file system to the items of the view.
//!
//! Invariant: at every path that the view shows, the mounts and Landlock together give at most the rights that the
//! engine gives there; where a mount can only give more or less, it gives less.

use super::scan::{Found, Host, Scan, Step};
use super::{BENEATH, HOST_SOCKET, Item, Node, Rights, View, absent, is_at_or_below, join, made, parent};
use crate::fuse::Kind;
use replicante_core::glob::{Names, SegmentGlob};
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};

/// What the plan asks of the engine.
pub struct Questions<'a> {
    /// Rights on an existing object of this name.
    pub rights: &'a dyn Fn(&str) -> Rights,
    /// The deciding rule (index of its source) of a refused read, or of another refused action; and whether it hides.
    pub refusal: &'a dyn Fn(&str) -> Option<(usize, bool)>,
    /// The rule (index of its source) that refuses reading, and whether it hides; `None` where no rule speaks (S1).
    pub closed: &'a dyn Fn(&str) -> Option<(usize, bool)>,
    /// The names that some rule tells apart in a directory and below, up to the next of them.
    pub names_below: &'a dyn Fn(&str) -> Names,
    /// Whether connecting to the host's socket of this name is allowed.
    pub connect: &'a dyn Fn(&str) -> bool,
}

/// Where variables point.
#[derive(Clone, Debug)]
pub struct Places {
    pub workspace: String,
    pub home: String,
    pub tmp: String,
    pub cache: String,
    pub runtime: String,
    pub user: String,
}

/// Everything that decides the view, beside the file system itself.
pub struct Inputs<'a> {
    pub bindings: Places,
    pub questions: Questions<'a>,
    /// Patterns of allow rules and of restricting rules, as segments: `None` is `**`, else text with wildcards.
    pub allows: Vec<Pattern>,
    pub restrictions: Vec<Pattern>,
    /// The directory that stands for `${workspace}`, where that is none outside (`policy-language.md` §17).
    pub workspace: Option<String>,
    /// The directory that stands for `${home}`, unless the real home is shown.
    pub private_home: Option<String>,
    /// The host's directory behind `${cache}`.
    pub cache: String,
    pub tmp_size: u64,
    /// Never visible, never writable (`kernel.md` §3 "Beneath every policy").
    pub beneath: Vec<String>,
    pub read_only: Vec<String>,
    pub uid: u32,
    pub gid: u32,
    pub machine_id: String,
    pub visibility: Visibility,
    /// Further files of ours, whatever the rules say: path and text.
    pub made: Vec<(String, String)>,
}

/// Where names that the view does not show are answered by the server, so that asking for them is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Nowhere: `/dev/fuse` can't be used.
    Nowhere,
    /// Where secrets and sockets are: `/etc`, `/run`, `/var`, and `${home}` unless it is a private one.
    Usual,
    /// Everywhere outside of shown trees; what the agent opens by an absolute path then costs more.
    Whole,
}

impl Inputs<'_> {
    /// The workspace inside, and the directory outside that stands for it.
    fn moved_workspace(&self) -> Option<(String, String)> {
        let outside = self.workspace.clone()?;
        Some((self.bindings.workspace.clone(), outside))
    }
}

/// A path pattern, taken apart.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Segments from the root.
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    /// Has wildcards within.
    Wild(SegmentGlob),
    AnyDepth,
}

/// Paths that the sandbox has of its own; host objects there are never shown.
const OWN: [&str; 4] = ["/proc", "/dev", "/agent", "/var/tmp"];

/// Plans the view.
///
/// # Errors
/// A line for a person when a rule asks for what no mechanism here can give.
pub fn plan(inputs: &Inputs<'_>) -> Result<View, String> {
    let mut planner = Planner {
        inputs,
        host: Host::with_moved(inputs.moved_workspace()),
        points: BTreeSet::new(),
        view: View::default(),
    };
    planner.collect();
    planner.settle()?;
    Ok(planner.view)
}

struct Planner<'a, 'b> {
    inputs: &'a Inputs<'b>,
    host: Host,
    /// Paths at which the rights may differ from those above.
    points: BTreeSet<String>,
    view: View,
}

impl Planner<'_, '_> {
    fn own(&self, path: &str) -> bool {
        let places = &self.inputs.bindings;
        let private = [
            places.tmp.as_str(),
            places.cache.as_str(),
            places.runtime.as_str(),
        ];
        OWN.iter().chain(&private).any(|own| is_at_or_below(path, own))
            && !is_at_or_below(path, &places.workspace)
    }

    fn collect(&mut self) {
        for pattern in &self.inputs.allows {
            self.expand(pattern, true);
        }
        for pattern in &self.inputs.restrictions {
            self.expand(pattern, false);
        }
        for path in self.inputs.beneath.iter().chain(&self.inputs.read_only) {
            self.points.insert(path.clone());
        }
        self.points.insert(self.inputs.bindings.workspace.clone());
        self.search();
    }

    /// Adds the existing names that a pattern without inner `**` starts at.
    fn expand(&mut self, pattern: &Pattern, allow: bool) {
        let mut segments = pattern.segments.as_slice();
        if segments.last() == Some(&Segment::AnyDepth) {
            segments = &segments[..segments.len() - 1];
        }
        if segments.contains(&Segment::AnyDepth) {
            return; // found by `search`
        }
        let mut paths = vec!["/".to_owned()];
        for segment in segments {
            paths = match segment {
                Segment::Literal(name) => paths.iter().map(|path| join(path, name)).collect(),
                Segment::Wild(glob) => paths
                    .iter()
                    .flat_map(|path| {
                        let matching = |name: &&String| glob.matches(name.as_bytes());
                        let names = self.host.names(path);
                        names
                            .iter()
                            .filter(matching)
                            .map(move |name| join(path, name))
                            .collect::<Vec<_>>()
                    })
                    .collect(),
                Segment::AnyDepth => paths,
            };
            // `/proc/*/…` of the host says nothing about the sandbox's own; the workspace may lie in `/tmp`.
            let workspace = &self.inputs.bindings.workspace;
            paths.retain(|path| !self.own(path) || is_at_or_below(workspace, path));
        }
        for path in paths {
            if path == "/" {
                // The root is our own directory; a tree at `/` is shown entry by entry.
                self.points
                    .extend(self.host.names("/").iter().map(|name| join("/", name)));
            } else if allow && self.host.kind_of(&path).is_none() {
                self.view
                    .notes
                    .push(format!("absent at the start, not shown: {path}"));
            } else {
                self.points.insert(path);
            }
        }
    }

    /// Looks below workspace, home and the visible sockets' directory for names whose rights differ from their parent's,
    /// and for sockets of the host, which are covered whatever patterns the policy has (N12).
    fn search(&mut self) {
        let places = &self.inputs.bindings;
        let mut roots = vec![places.workspace.clone()];
        if self.inputs.private_home.is_none() {
            roots.push(places.home.clone());
        }
        let sockets_only = ["/run".to_owned()];
        let mut scan = Scan::begin();
        for root in roots.iter().chain(&sockets_only) {
            if (self.inputs.questions.rights)(root).is_empty() || self.own(root) {
                continue;
            }
            let inputs = self.inputs;
            let mut found = Vec::new();
            let names = (inputs.questions.names_below)(root);
            // The rights that a name without rule of its own has in the directory looked at last.
            let mut usual = (String::new(), Rights::NONE);
            let complete = scan.tree(&self.host, root, &mut |object: &Found<'_>| {
                if object.kind == FileType::Socket {
                    found.push(object.path.to_owned());
                    return Step::Over;
                }
                let directory = parent(object.path);
                if usual.0 != directory {
                    usual = (
                        directory.to_owned(),
                        (inputs.questions.rights)(&join(directory, "\u{1}")),
                    );
                }
                let name = &object.path[object.path.len() - object.name_length..];
                if object.plain && !names.has(name.as_bytes()) {
                    return if usual.1.has(Rights::READ) {
                        Step::Into
                    } else {
                        Step::Over
                    };
                }
                let rights = (inputs.questions.rights)(object.path);
                let within = || (inputs.questions.rights)(&join(object.path, "\u{1}"));
                if rights != usual.1 || (object.kind == FileType::Directory && within() != usual.1) {
                    found.push(object.path.to_owned());
                }
                // Below what may not be read nothing else shows, except by a deeper rule, which has its own point.
                if rights.has(Rights::READ) {
                    Step::IntoMarked
                } else {
                    Step::Over
                }
            });
            self.points.extend(found);
            if !complete {
                self.view
                    .notes
                    .push(format!("not searched to the end for guarded names: {root}"));
            }
        }
    }

    /// Turns points into items, parents first.
    fn settle(&mut self) -> Result<(), String> {
        let inputs = self.inputs;
        let places = &inputs.bindings;
        let mut items: BTreeMap<String, Node> = BTreeMap::new();
        items.insert("/agent".into(), Node::Stub);
        if let Some(private) = &inputs.private_home {
            let node = Node::Bind {
                source: private.clone(),
                directory: true,
                rights: Rights::ALL,
                ours: true,
                mapped: true,
            };
            items.insert(places.home.clone(), node);
        }
        let tmp_rights = (inputs.questions.rights)(&join(&places.tmp, "x"));
        if !tmp_rights.is_empty() {
            let exec = tmp_rights.has(Rights::EXECUTE);
            items.insert(
                places.tmp.clone(),
                Node::Tmpfs {
                    size: inputs.tmp_size,
                    mode: 0o700,
                    exec,
                },
            );
            items.insert(
                "/var/tmp".into(),
                Node::Tmpfs {
                    size: inputs.tmp_size,
                    mode: 0o700,
                    exec,
                },
            );
        }
        let cache_rights = (inputs.questions.rights)(&join(&places.cache, "x"));
        if !cache_rights.is_empty() {
            let node = Node::Bind {
                source: inputs.cache.clone(),
                directory: true,
                rights: cache_rights,
                ours: true,
                mapped: true,
            };
            items.insert(places.cache.clone(), node);
        }
        items.insert(
            places.runtime.clone(),
            Node::Tmpfs {
                size: 1 << 20,
                mode: 0o700,
                exec: false,
            },
        );
        if (inputs.questions.rights)("/proc/version").has(Rights::READ) {
            items.insert("/proc".into(), Node::Proc);
        }
        items.insert("/dev".into(), Node::Devices);
        let points: Vec<String> = self
            .points
            .iter()
            .filter(|path| !self.own(path))
            .cloned()
            .collect();
        for path in points {
            if let Some(node) = self.node(&path, &items)? {
                items.insert(path, node);
            }
        }
        for (path, text) in made::files(inputs) {
            if (inputs.questions.rights)(path).has(Rights::READ) {
                items.insert(path.into(), Node::File { text });
            }
        }
        for (path, text) in &inputs.made {
            items.insert(path.clone(), Node::File { text: text.clone() });
        }
        self.view.partial = absent::add(inputs, &self.host, &mut items);
        self.view.root = (inputs.questions.rights)("/");
        self.view.items = items
            .into_iter()
            .map(|(path, node)| Item { path, node })
            .collect();
        self.view
            .items
            .sort_by_key(|item| (item.path.matches('/').count(), item.path.clone()));
        Ok(())
    }

    fn node(&mut self, path: &str, items: &BTreeMap<String, Node>) -> Result<Option<Node>, String> {
        let inputs = self.inputs;
        let above = covering(items, path);
        let shown_above = matches!(above, Some((_, Node::Bind { .. })));
        if inputs.beneath.iter().any(|hidden| is_at_or_below(path, hidden)) {
            let kind = if self.host.kind_of(path) == Some(FileType::Directory) {
                Kind::Directory
            } else {
                Kind::File
            };
            return Ok(shown_above.then_some(Node::Mask {
                kind,
                source: BENEATH,
            }));
        }
        let kind = self.host.kind_of(path);
        let Some(kind) = kind else {
            // A restricted name that is absent: the file broker's, later. In a home of ours a name that the rule hides
            // is answered as absent anyway.
            return Ok(None);
        };
        if kind == FileType::Symlink {
            let readable = (inputs.questions.rights)(path);
            return Ok(match above {
                Some((_, Node::Bind { ours: false, .. })) if !readable.is_empty() => None,
                Some((_, Node::Bind { ours: false, .. })) => self.mask(path, false),
                _ => self.host.link_target(path).map(|target| Node::Link { target }),
            });
        }
        let directory = kind == FileType::Directory;
        let mut rights = (inputs.questions.rights)(path);
        if directory {
            // A rule that names a directory alone allows its listing, not what lies in it; one that restricts changing
            // the directory alone leaves what lies in it. As a mount point it can't be moved or removed then.
            let below = (inputs.questions.rights)(&join(path, "\u{1}"));
            if below.and(Rights::CHANGES) != rights.and(Rights::CHANGES) && !below.is_empty() {
                self.view
                    .notes
                    .push(format!("modes and times are not held apart from content: {path}"));
            }
            rights = rights.and(below).with(below.and(Rights::CHANGES));
        }
        if rights == Rights::CREATE || (!directory && !rights.has(Rights::WRITE)) {
            // A rule about existing objects leaves `create` alone (D2); for what exists that is no right.
            rights = rights.and(Rights::READ.with(Rights::EXECUTE).with(Rights::DELETE));
        }
        if inputs
            .read_only
            .iter()
            .any(|guarded| is_at_or_below(path, guarded))
        {
            rights = rights.and(Rights::READ.with(Rights::EXECUTE));
        }
        let masked = shown_above && !matches!(above, Some((_, Node::Bind { ours: true, .. })));
        if kind == FileType::Socket && !(inputs.questions.connect)(path) {
            return Ok(masked.then_some(Node::Mask {
                kind: Kind::Closed,
                source: HOST_SOCKET,
            }));
        }
        if rights.is_empty() {
            return Ok(match above {
                _ if masked => self.mask(path, directory),
                None => absent::closed(inputs, &self.host, path, "/", directory),
                Some((at, Node::Tmpfs { .. })) => absent::closed(inputs, &self.host, path, at, directory),
                Some(_) => None,
            });
        }
        if !rights.has(Rights::READ) {
            return Err(format!(
                "nothing here can show {path} for changing without `read`: mounts and Landlock can't hide what they let change"
            ));
        }
        let changes = rights.and(Rights::CHANGES);
        if !changes.is_empty() && !changes.has(Rights::WRITE) {
            return Err(format!(
                "nothing here can allow `create` or `delete` in {path} without `write`: modes and times can't be held apart"
            ));
        }
        // Below another bind only a whole loss of changes can be said by a mount; Landlock's rights only add up.
        if let Some((
            _,
            Node::Bind {
                rights: outer,
                ours: false,
                ..
            },
        )) = above
        {
            let outer_changes = outer.and(Rights::CHANGES);
            if changes != outer_changes && outer_changes.has(changes) {
                rights = rights.and(Rights::READ.with(Rights::EXECUTE));
            }
            let itself_guarded = directory && (inputs.questions.rights)(path).and(Rights::CHANGES) != changes;
            if rights == *outer && !itself_guarded {
                return Ok(None);
            }
        }
        Ok(Some(Node::Bind {
            source: self.host.outside(path).into_owned(),
            directory,
            rights,
            ours: false,
            mapped: !changes.is_empty() || is_at_or_below(path, &inputs.bindings.workspace),
        }))
    }

    fn mask(&self, path: &str, directory: bool) -> Option<Node> {
        let (source, hidden) = (self.inputs.questions.refusal)(path)?;
        let kind = Kind::over(directory, hidden);
        Some(Node::Mask { kind, source })
    }
}

/// The deepest item above `path`.
pub(super) fn covering<'a>(items: &'a BTreeMap<String, Node>, path: &str) -> Option<(&'a str, &'a Node)> {
    let mut at = path;
    while at != "/" {
        at = parent(at);
        if let Some((path, node)) = items.get_key_value(at) {
            return Some((path, node));
        }
    }
    None
}
