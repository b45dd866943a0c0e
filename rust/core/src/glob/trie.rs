//! All path patterns of one action as one automaton (D3).
//!
//! Segments are the alphabet: literal segments are looked up in a hash map, segments with `*` are tried one by one, `**`
//! loops. The states that a path has reached are simulated as a set, so nothing is ever determinised. Cost: linear in
//! the path's segments times the states alive, which literal rules, however many, don't raise.

use super::{Glob, Segment, SegmentGlob};
use crate::path::NormalPath;
use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
struct Node {
    literal: HashMap<Vec<u8>, u32>,
    wild: Vec<(SegmentGlob, u32)>,
    /// The node behind `**`, which stays alive on every segment.
    any_depth: Option<u32>,
    loops: bool,
    /// Entries that match here exactly, and those that also match everything below.
    exact: Vec<u32>,
    downward: Vec<u32>,
}

/// Patterns with the entries that they stand for.
#[derive(Clone, Debug)]
pub struct Trie {
    nodes: Vec<Node>,
}

/// The entries that match one path.
pub type Matches = Vec<u32>;

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// Adds a pattern; `downward` closes it over everything below (S8).
    pub fn add(&mut self, pattern: &Glob, entry: u32, downward: bool) {
        let mut at = 0;
        for segment in pattern.segments() {
            at = self.step(at, segment);
        }
        let node = &mut self.nodes[at as usize];
        if downward { node.downward.push(entry) } else { node.exact.push(entry) }
    }

    fn step(&mut self, from: u32, segment: &Segment) -> u32 {
        // INVARIANT: a compiled form of 64 MiB holds far fewer than 2^32 segments.
        let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = &mut self.nodes[from as usize];
        let next = match segment {
            Segment::Literal(name) => *node.literal.entry(name.clone()).or_insert(new),
            Segment::Wild(glob) => match node.wild.iter().find(|(known, _)| known == glob) {
                Some((_, next)) => *next,
                None => {
                    node.wild.push((glob.clone(), new));
                    new
                }
            },
            // `**/**` is `**`.
            Segment::AnyDepth if node.loops => return from,
            Segment::AnyDepth => *node.any_depth.get_or_insert(new),
        };
        if next == new {
            self.nodes.push(Node { loops: *segment == Segment::AnyDepth, ..Node::default() });
        }
        next
    }

    /// Collects the entries that match `path`, each at most once a state, into `found`, which is cleared first.
    pub fn find(&self, path: NormalPath<'_>, found: &mut Matches) {
        found.clear();
        // Most paths keep a handful of states alive; the two lists are reused from segment to segment.
        let mut alive: Vec<u32> = Vec::with_capacity(8);
        let mut next: Vec<u32> = Vec::with_capacity(8);
        self.enter(0, &mut alive, found);
        for segment in path.segments() {
            next.clear();
            for state in &alive {
                let node = &self.nodes[*state as usize];
                if node.loops && !next.contains(state) {
                    next.push(*state);
                }
                if let Some(target) = node.literal.get(segment) {
                    self.enter(*target, &mut next, found);
                }
                for (glob, target) in &node.wild {
                    if glob.matches(segment) {
                        self.enter(*target, &mut next, found);
                    }
                }
            }
            std::mem::swap(&mut alive, &mut next);
            if alive.is_empty() {
                break;
            }
        }
        for state in &alive {
            found.extend(&self.nodes[*state as usize].exact);
        }
    }

    /// Makes a state alive, and with it the one behind a `**` that matches nothing. Downward entries match from here on.
    fn enter(&self, state: u32, alive: &mut Vec<u32>, found: &mut Matches) {
        if alive.contains(&state) {
            return;
        }
        alive.push(state);
        let node = &self.nodes[state as usize];
        found.extend(&node.downward);
        if let Some(behind) = node.any_depth {
            self.enter(behind, alive, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_automaton_agrees_with_each_pattern(
            patterns in prop::collection::vec(("(/(\\*\\*|a|b|\\*|a\\*|\\*b)){1,4}", any::<bool>()), 1..8),
            path in "(/(a|b|ab|aab)){0,5}",
        ) {
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let mut trie = Trie::default();
            let parsed: Vec<(Glob, bool)> = patterns.iter().map(|(text, down)| (Glob::parse(text).unwrap(), *down)).collect();
            for (index, (glob, downward)) in parsed.iter().enumerate() {
                trie.add(glob, u32::try_from(index).unwrap(), *downward);
            }
            let mut found = Vec::new();
            trie.find(NormalPath::parse(path.as_bytes()).unwrap(), &mut found);
            for (index, (glob, downward)) in parsed.iter().enumerate() {
                let above = std::iter::successors(Some(path.as_str()), |at| match at.rfind('/') {
                    Some(0) if at.len() > 1 => Some("/"),
                    Some(cut) if cut > 0 => Some(&at[..cut]),
                    _ => None,
                });
                let mut names = above.map(|at| glob.matches(NormalPath::parse(at.as_bytes()).unwrap()));
                let want = if *downward { names.any(|matches| matches) } else { names.next() == Some(true) };
                prop_assert_eq!(found.contains(&u32::try_from(index).unwrap()), want, "{:?} on {}", patterns[index], &path);
            }
        }
    }
}
