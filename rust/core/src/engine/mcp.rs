//! MCP actions: subjects (M2) and conditions (M3).

use super::{Engine, Verdict};
use crate::glob::Subject;
use crate::json::Json;
use crate::policy::{Action, Rule, Truth};
use crate::request::{Decision, Request};

/// The parsed subjects of MCP rules, by action; the entries stand beside them.
#[derive(Clone, Debug, Default)]
pub(super) struct Subjects(Vec<(Action, Subject, u32)>);

impl Subjects {
    pub(super) fn add(&mut self, rule: &Rule, entry: u32) {
        let pattern = rule.pattern.as_deref().unwrap_or_default();
        // INVARIANT: the subject parsed when the compiled form was checked.
        if let Ok(subject) = Subject::parse(rule.action == Action::Resource, pattern) {
            self.0.push((rule.action, subject, entry));
        }
    }

    fn matching(&self, action: Action, subject: &str) -> impl Iterator<Item = u32> {
        let of_action = self.0.iter().filter(move |(of_rule, ..)| *of_rule == action);
        of_action
            .filter(move |(_, pattern, _)| pattern.matches(subject))
            .map(|(.., entry)| *entry)
    }
}

impl Engine {
    pub(super) fn decide_mcp(&self, request: &Request<'_>) -> Decision {
        if request.action == Action::Resource && strange_uri(request.resource) {
            return Decision::UNDECIDABLE;
        }
        let nothing = Json::Object(Vec::new());
        let arguments = request.arguments.unwrap_or(&nothing);
        let matching: Vec<u32> = self
            .subjects
            .matching(request.action, request.resource)
            .filter(|entry| condition_matches(&self.compiled.rules[*entry as usize], arguments))
            .collect();
        let mut verdict = Verdict::default();
        verdict.name(self, &matching, true);
        verdict.decision()
    }
}

/// A rule with an unknown condition does not match if it allows, and matches if it restricts.
fn condition_matches(rule: &Rule, arguments: &Json) -> bool {
    let Some(condition) = &rule.condition else {
        return true;
    };
    match condition.decide(arguments) {
        Truth::True => true,
        Truth::Unknown => !rule.effect.allows(),
        Truth::False => false,
    }
}

/// A URI that reads differently to different readers (M2).
fn strange_uri(subject: &str) -> bool {
    let lower = subject.to_ascii_lowercase();
    lower.contains('\\')
        || ["%2e", "%2f", "%5c"].iter().any(|escape| lower.contains(escape))
        || lower
            .split(['/', '?', '#'])
            .any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_that_read_differently() {
        let cases = [
            ("d:https://x/a.b/c", false),
            ("d:https://x/..", true),
            ("d:https://x/./a", true),
            ("d:https://x/..?q", true),
            ("d:https://x/%2E%2e/a", true),
            ("d:https://x/a%2Fb", true),
            ("d:https://x\\a", true),
            ("d:file:///a?b=c", false),
        ];
        for (uri, want) in cases {
            assert_eq!(strange_uri(uri), want, "{uri}");
        }
    }
}
