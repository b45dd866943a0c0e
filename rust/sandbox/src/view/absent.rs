//! Names outside of every shown tree that are answered as absent, so that asking for them is told.
//!
//! Above the shown trees the root is a plain directory of ours, where a name that is missing leaves no trace. What stands
//! for one is listed in `/proc/self/mountinfo`, so only names that tell nothing get it: those of a fixed list, whether or
//! not the host has them, and those that the policy itself closes or hides (`visible-denials.md` §2).

use super::plan::{Inputs, Pattern, Segment, Visibility, covering};
use super::scan::Host;
use super::{Node, UNLISTED, is_at_or_below, join, parent};
use crate::fuse::Kind;
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};

/// Top directories in which machines keep what is no agent's business.
const OUTER: [&str; 8] = [
    "/boot", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/sys",
];

/// Adds what stands for absent names to the items of a view; gives the topmost partial directories, in which every name
/// is answered for.
pub(super) fn add(inputs: &Inputs<'_>, host: &Host, items: &mut BTreeMap<String, Node>) -> Vec<String> {
    let partial: Vec<String> = roots(inputs)
        .into_iter()
        .filter(|root| {
            // Nobody who runs programs takes offence at an empty `/run`; the others are there for what they show.
            let passed = root == "/" || root == "/run" || is_passed(root, items);
            let free = matches!(covering(items, root), None | Some((_, Node::Tmpfs { .. })));
            passed && free && !items.contains_key(root)
        })
        .collect();
    items.extend(partial.iter().map(|root| (root.clone(), Node::Stub)));
    if inputs.visibility == Visibility::Whole {
        items.entry("/run".to_owned()).or_insert(Node::Stub);
    }
    if partial.iter().any(|root| root == "/var" || root == "/") && is_passed("/var", items) {
        let target = "/run".to_owned();
        items
            .entry("/var/run".to_owned())
            .or_insert(Node::Link { target });
    }
    if inputs.visibility == Visibility::Usual {
        outer(inputs, items);
    }
    if inputs.visibility != Visibility::Nowhere {
        hidden(inputs, host, items);
    }
    partial
}

/// A name outside of everything shown is simply absent, but for one in a partial directory that a rule closes without
/// hiding it. `above` is the file system of ours in which that directory lies.
pub(super) fn closed(
    inputs: &Inputs<'_>,
    host: &Host,
    path: &str,
    above: &str,
    directory: bool,
) -> Option<Node> {
    let partial = roots(inputs)
        .iter()
        .any(|root| path != root && is_at_or_below(path, root) && is_at_or_below(root, above));
    let (source, hidden) = (inputs.questions.closed)(path).filter(|_| partial)?;
    let kind = if directory { Kind::Directory } else { Kind::File };
    (!hidden && !reached_by_link(host, path)).then_some(Node::Mask { kind, source })
}

/// The directories whose absent names are to be seen, as far as nothing is shown in their place; none lies in another.
fn roots(inputs: &Inputs<'_>) -> Vec<String> {
    let mut roots = match inputs.visibility {
        Visibility::Nowhere => return Vec::new(),
        Visibility::Whole => return vec!["/".to_owned()],
        Visibility::Usual => vec!["/etc".to_owned(), "/run".to_owned(), "/var".to_owned()],
    };
    let home = &inputs.bindings.home;
    let in_another = roots.iter().any(|root| is_at_or_below(home, root));
    if inputs.private_home.is_none() && home != "/" && !in_another {
        roots.push(home.clone());
    }
    roots
}

/// Names in plain directories of ours: the fixed list and those that restricting rules close by name.
fn outer(inputs: &Inputs<'_>, items: &mut BTreeMap<String, Node>) {
    let closed = |path: &str| (inputs.questions.closed)(path);
    let fixed = OUTER.iter().map(|name| (*name).to_owned());
    let named = inputs.restrictions.iter().filter_map(literal);
    for path in fixed.chain(named.filter(|path| closed(path).is_some())) {
        let Some(name) = topmost_missing(&path, items) else {
            continue;
        };
        let source = closed(&name).map_or(UNLISTED, |(source, _)| source);
        items.insert(name, Node::Absent { source });
    }
}

/// Names in a home of ours that the policy hides.
fn hidden(inputs: &Inputs<'_>, host: &Host, items: &mut BTreeMap<String, Node>) {
    let Some(private) = &inputs.private_home else {
        return;
    };
    let home = inputs.bindings.home.as_str();
    // Parents first: below a name that is hidden nothing else can stand.
    let names: BTreeSet<String> = inputs.restrictions.iter().filter_map(literal).collect();
    for path in names {
        let hidden = (inputs.questions.closed)(&path).filter(|(_, hidden)| *hidden);
        let Some((source, _)) = hidden.filter(|_| path != home && is_at_or_below(&path, home)) else {
            continue;
        };
        let in_home = covering(items, &path).is_some_and(|(above, _)| above == home);
        if !in_home || items.contains_key(&path) {
            continue;
        }
        // An earlier run may have made a directory of this name, over which nothing but a directory can stand.
        let own = join(private, path[home.len()..].trim_start_matches('/'));
        if host.kind_of(&own) == Some(FileType::Directory) {
            let kind = Kind::Directory;
            items.insert(path, Node::Mask { kind, source });
        } else if can_be_made(host, private, &own) {
            items.insert(path, Node::Absent { source });
        }
    }
}

/// The path of a pattern without wildcards.
fn literal(pattern: &Pattern) -> Option<String> {
    let mut path = String::new();
    for segment in &pattern.segments {
        match segment {
            Segment::Literal(name) => {
                path.push('/');
                path.push_str(name);
            }
            Segment::Wild(_) | Segment::AnyDepth => return None,
        }
    }
    (!path.is_empty()).then_some(path)
}

/// The first name on the way to `path` that nothing shows, if the directory in which it is missing is a plain one of ours.
fn topmost_missing(path: &str, items: &BTreeMap<String, Node>) -> Option<String> {
    let mut ways: Vec<&str> = std::iter::successors(Some(path), |at| Some(parent(at)))
        .take_while(|at| *at != "/")
        .collect();
    ways.reverse();
    for at in ways {
        if items.contains_key(at) {
            return None;
        }
        if !is_passed(at, items) {
            return Some(at.to_owned());
        }
    }
    None
}

/// Whether something is shown below a directory.
fn is_passed(directory: &str, items: &BTreeMap<String, Node>) -> bool {
    let below = format!("{directory}/");
    items
        .range(below.clone()..)
        .next()
        .is_some_and(|(first, _)| first.starts_with(&below))
}

/// Whether a directory on the way to a name is a symbolic link, so that the object has another name.
fn reached_by_link(host: &Host, path: &str) -> bool {
    let above = std::iter::successors(Some(parent(path)), |at| (*at != "/").then(|| parent(at)));
    above
        .into_iter()
        .any(|directory| host.kind_of(directory) == Some(FileType::Symlink))
}

/// Whether the directories above a name in the private home are directories or missing.
fn can_be_made(host: &Host, private: &str, own: &str) -> bool {
    std::iter::successors(Some(parent(own)), |at| Some(parent(at)))
        .take_while(|at| *at != private && *at != "/")
        .all(|at| matches!(host.kind_of(at), None | Some(FileType::Directory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_missing_name_stands_for_a_path() {
        let items: BTreeMap<String, Node> = ["/etc", "/opt/tools/bin", "/usr"]
            .into_iter()
            .map(|path| (path.to_owned(), Node::Stub))
            .collect();
        let cases = [
            ("/srv", Some("/srv")),
            ("/srv/data/x", Some("/srv")),
            ("/opt", None),
            ("/opt/x/y", Some("/opt/x")),
            ("/opt/tools/x", Some("/opt/tools/x")),
            ("/etc/shadow", None),
            ("/usr/x", None),
        ];
        for (path, want) in cases {
            assert_eq!(topmost_missing(path, &items).as_deref(), want, "{path}");
        }
    }
}
