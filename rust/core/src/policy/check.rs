//! The checks that make a compiled form total: indices in range, patterns that parse, keys that belong to their action.

use super::{Action, Compiled, Condition, Effect, FORMAT, HostKind, Rule};
use crate::error::CoreError;
use crate::glob::{Glob, Subject};
use crate::host::HostPattern;
use std::collections::HashSet;

pub(super) fn check(compiled: &Compiled) -> Result<(), CoreError> {
    if compiled.format != FORMAT {
        let what = format!(
            "format {} is not understood; this engine reads {FORMAT}",
            compiled.format
        );
        return Err(CoreError::new("format", what));
    }
    for (index, policy) in compiled.policies.iter().enumerate() {
        if policy.ancestors.iter().any(|ancestor| *ancestor >= index) {
            return Err(CoreError::new(
                format!("policies[{index}].ancestors"),
                "not an earlier policy",
            ));
        }
    }
    for (index, source) in compiled.sources.iter().enumerate() {
        in_range(source.policy, compiled.policies.len(), || {
            format!("sources[{index}].policy")
        })?;
    }
    let blocks = [
        &compiled.blocks.filesystem,
        &compiled.blocks.network,
        &compiled.blocks.mcp,
    ];
    for bucket in blocks.into_iter().flatten() {
        in_range(*bucket, compiled.buckets.len(), || "blocks".to_owned())?;
    }
    for (index, secret) in compiled.environment.secrets.iter().enumerate() {
        in_range(secret.source, compiled.sources.len(), || {
            format!("environment.secrets[{index}].source")
        })?;
    }
    for (index, tripwire) in compiled.tripwires.iter().enumerate() {
        in_range(tripwire.source, compiled.sources.len(), || {
            format!("tripwires[{index}].source")
        })?;
    }
    // One rule gives an entry for each action, so most patterns come five times.
    let mut parsed = HashSet::new();
    for (index, rule) in compiled.rules.iter().enumerate() {
        check_rule(compiled, rule, &mut parsed)
            .map_err(|error| CoreError::new(format!("rules[{index}].{}", error.place), error.what))?;
    }
    Ok(())
}

fn in_range(index: usize, length: usize, place: impl Fn() -> String) -> Result<(), CoreError> {
    if index < length {
        Ok(())
    } else {
        Err(CoreError::new(place(), format!("index {index} of {length}")))
    }
}

fn check_rule<'a>(
    compiled: &'a Compiled,
    rule: &'a Rule,
    parsed: &mut HashSet<&'a str>,
) -> Result<(), CoreError> {
    in_range(rule.source, compiled.sources.len(), || "source".into())?;
    for bucket in &rule.limits {
        in_range(*bucket, compiled.buckets.len(), || "limits".into())?;
    }
    if rule
        .ports
        .iter()
        .flatten()
        .any(|(low, high)| low > high || *low == 0)
    {
        return Err(CoreError::new("ports", "ports are 1 to 65535, the low one first"));
    }
    let held = [Action::Write, Action::Create, Action::Delete, Action::Call].contains(&rule.action);
    if rule.effect == Effect::Hold && !held {
        return Err(CoreError::new(
            "effect",
            format!("`{}` can't be held", rule.action.word()),
        ));
    }
    let odd = odd_keys(rule);
    if let Some(key) = odd {
        return Err(CoreError::new(
            key,
            format!("has no meaning for `{}`", rule.action.word()),
        ));
    }
    let pattern = |what: &str| {
        rule.pattern
            .as_deref()
            .ok_or_else(|| CoreError::new("pattern", format!("{what} needs one")))
    };
    let bad = |place: &str, error: crate::error::PatternError| CoreError::new(place, error.message);
    match rule.action {
        action if action.is_file() || action == Action::ConnectUnix => {
            let text = pattern("a path rule")?;
            if parsed.insert(text) {
                Glob::parse(text).map_err(|error| bad("pattern", error))?;
            }
        }
        Action::Connect | Action::Resolve => match rule.kind {
            None => return Err(CoreError::new("kind", "a host rule needs one")),
            Some(HostKind::Any) => {}
            Some(HostKind::Name | HostKind::Net) => {
                HostPattern::parse(pattern("a host rule")?).map_err(|error| bad("pattern", error))?;
            }
        },
        action if action.is_mcp() => {
            Subject::parse(action == Action::Resource, pattern("a tool rule")?)
                .map_err(|error| bad("pattern", error))?;
        }
        _ => {}
    }
    if let Some(condition) = &rule.condition {
        Condition::try_from(condition).map_err(|what| CoreError::new("condition", what))?;
    }
    for path in &rule.url_paths {
        Glob::parse(path).map_err(|error| bad("url_paths", error))?;
    }
    Ok(())
}

/// The first key that does not belong to the rule's action.
fn odd_keys(rule: &Rule) -> Option<&'static str> {
    let files = rule.action.is_file();
    let hosts = matches!(rule.action, Action::Connect | Action::Resolve);
    let syscall = rule.action == Action::Syscall;
    let keys = [
        (
            "downward",
            rule.downward,
            files || hosts || rule.action == Action::ConnectUnix,
        ),
        (
            "limits",
            !rule.limits.is_empty(),
            files || hosts || rule.action.is_mcp(),
        ),
        ("hidden", rule.hidden, files),
        ("existing", rule.existing, files),
        ("inert", rule.inert, files),
        ("kind", rule.kind.is_some(), hosts),
        ("protocol", rule.protocol.is_some(), hosts),
        ("classes", !rule.classes.is_empty(), hosts),
        ("methods", !rule.methods.is_empty(), hosts),
        ("url_paths", !rule.url_paths.is_empty(), hosts),
        ("inspect", rule.inspect, hosts),
        (
            "ports",
            rule.ports.is_some(),
            hosts || rule.action == Action::Listen,
        ),
        ("publish", rule.publish, rule.action == Action::Listen),
        ("condition", rule.condition.is_some(), rule.action.is_mcp()),
        ("expose", !rule.expose.is_empty(), rule.action == Action::Roots),
        ("names", !rule.names.is_empty(), syscall),
        ("errno", rule.errno.is_some(), syscall),
        ("kill", rule.kill, syscall),
    ];
    keys.into_iter()
        .find(|(_, present, belongs)| *present && !belongs)
        .map(|(key, _, _)| key)
}
