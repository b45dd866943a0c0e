//! All path patterns of one action as one automaton (D3).
//!
//! Segments are the alphabet: literal segments are looked up in a hash map, segments with `*` are tried one by one, `**`
//! loops. The states that a path has reached are simulated as a set, so nothing is ever determinised. Cost: linear in
//! the path's segments times the states alive, which literal rules, however many, don't raise.

use super::few::Few;
use super::{Glob, Segment, SegmentGlob};
use crate::path::NormalPath;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

#[derive(Clone, Debug, Default)]
struct Node {
    literal: HashMap<Vec<u8>, u32, BuildHasherDefault<SegmentHasher>>,
    wild: Vec<Wild>,
    /// The node behind `**`, which stays alive on every segment.
    any_depth: Option<u32>,
    loops: bool,
    /// Entries that match here exactly, and those that also match everything below.
    exact: Vec<u32>,
    downward: Vec<u32>,
}

impl Node {
    /// Where a segment leads.
    fn targets(&self, segment: &[u8]) -> impl Iterator<Item = u32> {
        let wild = self.wild.iter().filter(move |wild| wild.matches(segment));
        self.literal
            .get(segment)
            .copied()
            .into_iter()
            .chain(wild.map(|wild| wild.next))
    }
}

/// Names that some pattern tells apart.
#[derive(Clone, Debug, Default)]
pub struct Names {
    literal: HashSet<Vec<u8>, BuildHasherDefault<SegmentHasher>>,
    wild: Vec<Wild>,
}

impl Names {
    /// Whether a name is one of them.
    pub fn has(&self, name: &[u8]) -> bool {
        self.literal.contains(name) || self.wild.iter().any(|wild| wild.matches(name))
    }

    /// Takes in those of another set of patterns.
    pub fn extend(&mut self, other: Self) {
        self.literal.extend(other.literal);
        for wild in other.wild {
            if self.wild.iter().all(|known| known.glob != wild.glob) {
                self.wild.push(wild);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Wild {
    glob: SegmentGlob,
    /// The bytes that a name must begin and end with, for a cheap no.
    first: Option<u8>,
    last: Option<u8>,
    next: u32,
}

impl Wild {
    fn matches(&self, segment: &[u8]) -> bool {
        self.first.is_none_or(|first| segment.first() == Some(&first))
            && self.last.is_none_or(|last| segment.last() == Some(&last))
            && self.glob.matches(segment)
    }
}

/// Multiplies and folds eight bytes at a time (the idea of `FxHash`). Its keys are the policy's own segments, so nobody
/// who is decided about can make them collide.
#[derive(Clone, Copy, Debug, Default)]
struct SegmentHasher(u64);

impl SegmentHasher {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(Self::FACTOR);
    }
}

impl Hasher for SegmentHasher {
    fn finish(&self) -> u64 {
        // The table takes the upper bits for its tags and the lower ones for the place.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }
}

/// Patterns with the entries that they stand for.
#[derive(Clone, Debug)]
pub struct Trie {
    nodes: Vec<Node>,
}

/// The entries that match one path.
pub type Matches = Few;

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
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
        if downward {
            node.downward.push(entry);
        } else {
            node.exact.push(entry);
        }
    }

    fn step(&mut self, from: u32, segment: &Segment) -> u32 {
        // INVARIANT: a compiled form of 64 MiB holds far fewer than 2^32 segments.
        let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = &mut self.nodes[from as usize];
        let next = match segment {
            Segment::Literal(name) => *node.literal.entry(name.clone()).or_insert(new),
            Segment::Wild(glob) => {
                if let Some(known) = node.wild.iter().find(|known| known.glob == *glob) {
                    known.next
                } else {
                    let (first, last) = glob.ends();
                    node.wild.push(Wild {
                        glob: glob.clone(),
                        first,
                        last,
                        next: new,
                    });
                    new
                }
            }
            // `**/**` is `**`.
            Segment::AnyDepth if node.loops => return from,
            Segment::AnyDepth => *node.any_depth.get_or_insert(new),
        };
        if next == new {
            self.nodes.push(Node {
                loops: *segment == Segment::AnyDepth,
                ..Node::default()
            });
        }
        next
    }

    /// Collects the entries that match `path`, each at most once a state, into `found`, which is cleared first.
    pub fn find(&self, path: NormalPath<'_>, found: &mut Matches) {
        found.clear();
        let (mut first, mut second) = (Few::default(), Few::default());
        let (mut alive, mut next) = (&mut first, &mut second);
        self.enter(0, alive, found);
        for segment in path.segments() {
            next.clear();
            for state in alive.as_slice() {
                let node = &self.nodes[*state as usize];
                if node.loops && !next.as_slice().contains(state) {
                    next.push(*state);
                }
                if !node.literal.is_empty()
                    && let Some(target) = node.literal.get(segment)
                {
                    self.enter(*target, next, found);
                }
                for wild in &node.wild {
                    if wild.matches(segment) {
                        self.enter(wild.next, next, found);
                    }
                }
            }
            std::mem::swap(&mut alive, &mut next);
            if alive.as_slice().is_empty() {
                break;
            }
        }
        for state in alive.as_slice() {
            found.extend(&self.nodes[*state as usize].exact);
        }
    }

    /// The names that some pattern tells apart in `root`, and in each directory below it on the way to which none of them
    /// was passed: any other name is matched there as its neighbours are.
    pub fn names_below(&self, root: NormalPath<'_>) -> Names {
        let (mut alive, mut unused) = (Few::default(), Matches::default());
        self.enter(0, &mut alive, &mut unused);
        let mut states: Vec<u32> = alive.as_slice().to_vec();
        for segment in root.segments() {
            let mut next = Few::default();
            for state in &states {
                let node = &self.nodes[*state as usize];
                if node.loops && !next.as_slice().contains(state) {
                    next.push(*state);
                }
                for target in node.targets(segment) {
                    self.enter(target, &mut next, &mut unused);
                }
            }
            states = next.as_slice().to_vec();
        }
        let mut names = Names::default();
        for state in states {
            let node = &self.nodes[state as usize];
            names.literal.extend(node.literal.keys().cloned());
            names.wild.extend(node.wild.iter().cloned());
        }
        names
    }

    /// Makes a state alive, and with it the one behind a `**` that matches nothing. Downward entries match from here on.
    fn enter(&self, state: u32, alive: &mut Few, found: &mut Matches) {
        if alive.as_slice().contains(&state) {
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
        fn a_name_that_is_not_told_apart_is_matched_as_any_other(
            patterns in prop::collection::vec(("(/(\\*\\*|a|b|a\\*|\\*b)){1,4}", any::<bool>()), 1..8),
            root in "(/(a|b|c)){0,2}", below in "(/(a|b|ab|c|d)){0,2}", name in "a|b|ab|c|cb",
        ) {
            let mut trie = Trie::default();
            for (index, (text, downward)) in patterns.iter().enumerate() {
                trie.add(&Glob::parse(text).unwrap(), u32::try_from(index).unwrap(), *downward);
            }
            let root = if root.is_empty() { "/".to_owned() } else { root };
            let names = trie.names_below(NormalPath::parse(root.as_bytes()).unwrap());
            prop_assume!(below.split('/').all(|segment| !names.has(segment.as_bytes())));
            let within = format!("{}{below}", root.trim_end_matches('/'));
            let found = |name: &str| {
                let mut found = Matches::default();
                trie.find(NormalPath::parse(format!("{within}/{name}").as_bytes()).unwrap(), &mut found);
                let mut entries = found.as_slice().to_vec();
                entries.sort_unstable();
                entries.dedup();
                entries
            };
            let same = found(&name) == found("\u{1}");
            prop_assert!(names.has(name.as_bytes()) || same);
        }

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
            let mut found = Matches::default();
            trie.find(NormalPath::parse(path.as_bytes()).unwrap(), &mut found);
            for (index, (glob, downward)) in parsed.iter().enumerate() {
                let above = std::iter::successors(Some(path.as_str()), |at| match at.rfind('/') {
                    Some(0) if at.len() > 1 => Some("/"),
                    Some(cut) if cut > 0 => Some(&at[..cut]),
                    _ => None,
                });
                let mut names = above.map(|at| glob.matches(NormalPath::parse(at.as_bytes()).unwrap()));
                let want = if *downward { names.any(|matches| matches) } else { names.next() == Some(true) };
                prop_assert_eq!(found.as_slice().contains(&u32::try_from(index).unwrap()), want, "{:?} on {}", patterns[index], &path);
            }
        }
    }
}
