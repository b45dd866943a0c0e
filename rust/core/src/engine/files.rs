//! File actions and the host's unix sockets: F3–F5, D2.

use super::{Engine, Verdict};
use crate::glob::{Matches, Names};
use crate::path::NormalPath;
use crate::policy::Action;
use crate::request::{Decision, Outcome, Request};

/// Which of the five file actions a path is allowed, in the order of `Action::FILES`.
pub type FileRights = [bool; 5];

impl Engine {
    pub(super) fn decide_file(&self, request: &Request<'_>) -> Decision {
        let trie = match Action::FILES.iter().position(|action| *action == request.action) {
            Some(at) => &self.files[at],
            None => &self.unix,
        };
        let mut verdict = Verdict::default();
        let mut found = Matches::default();
        for (index, name) in std::iter::once(&request.resource).chain(request.via).enumerate() {
            let Ok(path) = NormalPath::parse(name.as_bytes()) else {
                return Decision::UNDECIDABLE;
            };
            trie.find(path, &mut found);
            if request.made || request.action == Action::Create {
                // D2: such rules cover what was there before.
                found.retain(|entry| !self.compiled.rules[entry as usize].existing);
            }
            verdict.name(self, found.as_slice(), index == 0);
        }
        verdict.decision()
    }

    /// The names that some file rule tells apart in a directory and below, up to the next of them (`Trie::names_below`).
    /// Empty for what is no canonical path.
    pub fn names_below(&self, root: &str) -> Names {
        let mut names = Names::default();
        if let Ok(root) = NormalPath::parse(root.as_bytes()) {
            for trie in &self.files {
                names.extend(trie.names_below(root));
            }
        }
        names
    }

    /// The actions that are allowed (not held) on an object of this name that the run did not make.
    pub fn rights(&self, path: &str) -> FileRights {
        Action::FILES.map(|action| self.decide(&Request::new(action, path)).outcome == Outcome::Allow)
    }
}
