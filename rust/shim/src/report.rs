//! The report at the end of a run: what was refused, how often, by which rule, and the line that would allow it; which
//! limits were reached.

use crate::description::Report;
use crate::policy::Policy;
use crate::record::{Group, Totals, printable};
use serde_json::json;
use std::io::Write as _;

/// Groups shown in text; the rest is counted.
const MOST_GROUPS: usize = 20;
/// Unlisted names shown one by one; more are named in one line, since programs look for much that they can do without.
const MOST_UNLISTED: usize = 3;

/// Writes the report to standard error.
pub fn write(form: Report, policy: &Policy, totals: &Totals, ending: &str, run: &str) {
    let text = match form {
        Report::Text => text(policy, totals, run),
        Report::Json => json(policy, totals, ending, run),
    };
    // A closed standard error is the caller's choice; the journal has everything.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn text(policy: &Policy, totals: &Totals, run: &str) -> String {
    let mut lines: Vec<String> = totals
        .limits
        .iter()
        .filter_map(|(key, reached)| {
            let what = consequence(key)?;
            Some(format!(
                "replicante: {key} reached the limit {} ×: {what} (run {run})",
                reached.count
            ))
        })
        .collect();
    let groups = &totals.groups;
    let total: u64 = groups.iter().map(|(_, count)| count).sum();
    if total > 0 {
        lines.push(format!(
            "replicante: {total} {} (run {run})",
            if total == 1 { "denial" } else { "denials" }
        ));
    }
    let (mut unlisted, mut shown): (Vec<_>, Vec<_>) = groups
        .iter()
        .partition(|(group, _)| group.rule == "S1" && group.action == "read");
    if unlisted.len() <= MOST_UNLISTED {
        shown.append(&mut unlisted);
    }
    for (group, count) in shown.iter().take(MOST_GROUPS) {
        let place = policy
            .place(&group.rule)
            .map(|place| format!(" ({place})"))
            .unwrap_or_default();
        lines.push(format!(
            "  {count} × {} {}  rule {}{place}",
            group.action,
            printable(&group.resource),
            group.rule
        ));
        if let Some(because) = policy.because(&group.rule) {
            lines.push(format!("      because {because}"));
        }
        lines.push(match (&group.spent, fix(policy, group)) {
            (Some(spent), _) => format!("      {spent}"),
            (None, Some(line)) => format!("      would allow it: {line}"),
            (None, None) => "      no line of a policy allows it".to_owned(),
        });
    }
    if !unlisted.is_empty() {
        let count: u64 = unlisted.iter().map(|(_, count)| count).sum();
        let names: Vec<String> = unlisted
            .iter()
            .take(MOST_GROUPS)
            .map(|(group, _)| printable(&group.resource))
            .collect();
        let more = unlisted.len() - names.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        lines.push(format!(
            "  {count} × read of what no rule allows (S1): {}{more}",
            names.join(", ")
        ));
    }
    if shown.len() > MOST_GROUPS {
        lines.push(format!(
            "  … and {} more kinds: replicante events {run}",
            shown.len() - MOST_GROUPS
        ));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.join("\n")
}

/// What a limit did to the agent; `None` for those that end the run, which is told when it happens.
fn consequence(key: &str) -> Option<&'static str> {
    match key {
        "memory" => Some("the largest process was killed"),
        "processes" => Some("no further one was made"),
        _ => None,
    }
}

/// The line that would allow what was denied; what a limit refused is allowed already.
fn fix(policy: &Policy, group: &Group) -> Option<String> {
    let denied = group.spent.is_none();
    denied
        .then(|| policy.fix(&group.action, &group.resource))
        .flatten()
}

fn json(policy: &Policy, totals: &Totals, ending: &str, run: &str) -> String {
    let denials: Vec<_> = totals
        .groups
        .iter()
        .map(|(group, count)| {
            json!({
                "action": group.action, "resource": group.resource, "rule": group.rule, "count": count,
                "place": policy.place(&group.rule), "because": policy.because(&group.rule),
                "would_allow": fix(policy, group), "limit": group.spent,
            })
        })
        .collect();
    let limits: Vec<_> = totals
        .limits
        .iter()
        .map(|(key, reached)| json!({"resource": key, "count": reached.count, "limit": reached.limit}))
        .collect();
    let report = json!({
        "schema": 1, "ok": totals.groups.is_empty(), "run": run, "ending": ending, "denials": denials,
        "limits": limits, "diagnostics": [],
    });
    format!("{report}\n")
}
