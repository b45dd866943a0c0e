//! MCP actions: subjects (M2) and conditions (M3).

use super::{Engine, Verdict};
use crate::glob::{Crossing, TextGlob};
use crate::json::Json;
use crate::policy::{Action, Rule, Truth};
use crate::request::{Decision, Request};

impl Engine {
    pub(super) fn decide_mcp(&self, request: &Request<'_>) -> Decision {
        if request.action == Action::Resource && strange_uri(request.resource) {
            return Decision::UNDECIDABLE;
        }
        let nothing = Json::Object(Vec::new());
        let arguments = request.arguments.unwrap_or(&nothing);
        let matching: Vec<u32> = self
            .entries(request.action)
            .filter(|entry| {
                let rule = &self.compiled.rules[*entry as usize];
                subject_matches(rule, request.resource) && condition_matches(rule, arguments)
            })
            .collect();
        let mut verdict = Verdict::default();
        verdict.name(self, &matching, true);
        verdict.decision()
    }
}

/// A rule with an unknown condition does not match if it allows, and matches if it restricts.
fn condition_matches(rule: &Rule, arguments: &Json) -> bool {
    let Some(condition) = &rule.condition else { return true };
    match condition.decide(arguments) {
        Truth::True => true,
        Truth::Unknown => !rule.effect.allows(),
        Truth::False => false,
    }
}

fn subject_matches(rule: &Rule, subject: &str) -> bool {
    let pattern = rule.pattern.as_deref().unwrap_or_default();
    let within = if rule.action == Action::Resource { Crossing::Uri } else { Crossing::Tool };
    let part = |pattern: &str, text: &str, crossing| TextGlob::parse(pattern, crossing).is_ok_and(|glob| glob.matches(text));
    match (pattern.split_once(':'), subject.split_once(':')) {
        (Some((server, rest)), Some((of_server, of_rest))) => {
            part(server, of_server, Crossing::Tool) && part(rest, of_rest, within)
        }
        (None, None) => part(pattern, subject, Crossing::Tool),
        _ => false,
    }
}

/// A URI that reads differently to different readers (M2).
fn strange_uri(subject: &str) -> bool {
    let lower = subject.to_ascii_lowercase();
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    path.contains('\\')
        || ["%2e", "%2f", "%5c"].iter().any(|escape| path.contains(escape))
        || path.split('/').any(|segment| segment == "." || segment == "..")
}
