//! MCP actions: subjects (M2) and conditions (M3).

use super::{Engine, Verdict};
use crate::glob::Subject;
use crate::json::Json;
use crate::policy::{Action, Condition, Effect, Rule, Truth};
use crate::request::{Decision, Request};

/// One MCP rule with its patterns parsed.
#[derive(Clone, Debug)]
struct Tool {
    action: Action,
    effect: Effect,
    subject: Subject,
    condition: Option<Condition>,
    entry: u32,
}

impl Tool {
    /// An unknown condition does not match if the rule allows, and matches if it restricts.
    fn applies(&self, arguments: &Json) -> bool {
        match self
            .condition
            .as_ref()
            .map(|condition| condition.decide(arguments))
        {
            None | Some(Truth::True) => true,
            Some(Truth::Unknown) => !self.effect.allows(),
            Some(Truth::False) => false,
        }
    }
}

/// The MCP rules of a policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Subjects(Vec<Tool>);

impl Subjects {
    pub(super) fn add(&mut self, rule: &Rule, entry: u32) {
        let pattern = rule.pattern.as_deref().unwrap_or_default();
        let condition = rule.condition.as_ref().map(Condition::try_from).transpose();
        // INVARIANT: both parsed when the compiled form was checked.
        if let (Ok(subject), Ok(condition)) = (
            Subject::parse(rule.action == Action::Resource, pattern),
            condition,
        ) {
            self.0.push(Tool {
                action: rule.action,
                effect: rule.effect,
                subject,
                condition,
                entry,
            });
        }
    }

    /// Whether the condition of an entry holds.
    pub(super) fn condition_holds(&self, entry: usize, arguments: &Json) -> Truth {
        let condition = self
            .0
            .iter()
            .find(|tool| tool.entry as usize == entry)
            .and_then(|tool| tool.condition.as_ref());
        condition.map_or(Truth::True, |condition| condition.decide(arguments))
    }
}

impl Engine {
    pub(super) fn decide_mcp(&self, request: &Request<'_>) -> Decision {
        if request.action == Action::Resource && strange_uri(request.resource) {
            return Decision::UNDECIDABLE;
        }
        let nothing = Json::Object(Vec::new());
        let arguments = request.arguments.unwrap_or(&nothing);
        let tools = self
            .subjects
            .0
            .iter()
            .filter(|tool| tool.action == request.action);
        let matching: Vec<u32> = tools
            .filter(|tool| tool.subject.matches(request.resource) && tool.applies(arguments))
            .map(|tool| tool.entry)
            .collect();
        let mut verdict = Verdict::default();
        verdict.name(self, &matching, true);
        verdict.decision()
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
