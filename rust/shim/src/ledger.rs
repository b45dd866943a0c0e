//! What is in force, what stands in for it, and what waits for its enforcer: the first event of every run.
//!
//! While Replicante is being built some enforcers are missing. `PENDING` is the one table of what a run does meanwhile
//! (design README, "While it is being built"); the work that brings an enforcer deletes its entry.

use crate::broker::late::Names;
use crate::error::ShimError;
use replicante_core::glob::{Glob, Segment};
use replicante_core::policy::{Action, Bucket, Compiled, Effect, Protocol, Rule};
use replicante_sandbox::view::{Node, Rights, View, is_at_or_below};
use serde::Serialize;

/// A guarantee of this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    pub name: String,
    pub state: State,
    /// By what it is held, or why it is not.
    pub by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Held,
    /// By a stand-in that the policy accepted.
    Weaker,
    /// Its enforcer is not there yet; what is done meanwhile is named.
    Pending,
}

/// An enforcer that is not built yet.
struct Pending {
    statement: &'static str,
    meanwhile: &'static str,
    /// Whether a policy that does not ship may have such rules of its own.
    any_policy: bool,
    of_rule: fn(&Rule) -> bool,
}

const PENDING: [Pending; 4] = [
    Pending {
        statement: "UDP by address",
        meanwhile: "not served yet: denied",
        any_policy: true,
        of_rule: |rule| rule.action == Action::Connect && rule.protocol == Some(Protocol::Udp),
    },
    Pending {
        statement: "published ports",
        meanwhile: "not served yet: reached inside alone",
        any_policy: true,
        of_rule: |rule| rule.publish,
    },
    Pending {
        statement: "held changes",
        meanwhile: "denied (no commit gate yet), for names that exist at the start",
        any_policy: true,
        of_rule: |rule| rule.effect == Effect::Hold && rule.action.is_file(),
    },
    Pending {
        statement: "MCP rules",
        meanwhile: "not in force yet: no MCP firewall",
        any_policy: false,
        of_rule: |rule| rule.action.is_mcp(),
    },
];

/// The limits on files that wait for the file broker; the `max-file` of the block is `RLIMIT_FSIZE`.
///
/// # Errors
/// L011 when a rule of a policy that does not ship has one.
fn file_limits(policy: &Compiled) -> Result<Option<Guarantee>, ShimError> {
    let bounds = |bucket: &usize, of_rule: bool| match policy.buckets[*bucket] {
        Bucket::MaxTotal { .. } | Bucket::MaxFiles { .. } => true,
        Bucket::MaxFile { .. } => of_rule,
        _ => false,
    };
    let mut rules = policy
        .rules
        .iter()
        .filter(|rule| rule.action.is_file() && rule.limits.iter().any(|bucket| bounds(bucket, true)))
        .peekable();
    let any = rules.peek().is_some()
        || policy
            .blocks
            .filesystem
            .iter()
            .any(|bucket| bounds(bucket, false));
    if let Some(own) = rules.find(|rule| is_own(policy, rule.source)) {
        let source = &policy.sources[own.source];
        return Err(ShimError::Refused {
            what: format!(
                "rule {} ({}:{}:{}): no limit of a rule on files is enforced yet",
                source.id, source.file, source.line, source.column
            ),
            help: "leave its `max-file`, `max-total` and `max-files` out, or bound the block by `limit max-file`".into(),
        });
    }
    Ok(any.then(|| Guarantee {
        name: "limits on files".into(),
        state: State::Pending,
        by: "only the `max-file` of a block is in force; `max-total`, `max-files` and those of rules are not"
            .into(),
    }))
}

/// The guarantees that wait for their enforcer.
///
/// # Errors
/// L011 when a policy that does not ship has a statement that nothing enforces and that doesn't lead to a denial.
pub fn pending(policy: &Compiled) -> Result<Vec<Guarantee>, ShimError> {
    let mut guarantees: Vec<Guarantee> = file_limits(policy)?.into_iter().collect();
    for entry in &PENDING {
        let mut rules = policy
            .rules
            .iter()
            .filter(|rule| (entry.of_rule)(rule))
            .peekable();
        if rules.peek().is_none() {
            continue;
        }
        let own = rules.find(|rule| is_own(policy, rule.source));
        if let Some(own) = own.filter(|_| !entry.any_policy) {
            let source = &policy.sources[own.source];
            return Err(ShimError::Refused {
                what: format!(
                    "rule {} ({}:{}:{}): {} are not enforced yet",
                    source.id, source.file, source.line, source.column, entry.statement
                ),
                help: "remove the rule, or run under a policy without it".into(),
            });
        }
        guarantees.push(Guarantee {
            name: entry.statement.into(),
            state: State::Pending,
            by: entry.meanwhile.into(),
        });
    }
    for (statement, count, own) in [
        (
            "alerts",
            policy.alerts.len(),
            policy.alerts.iter().any(|alert| {
                let owner = policy.policies.iter().find(|known| known.name == alert.policy);
                owner.is_none_or(|owner| !owner.shipped)
            }),
        ),
        (
            "tripwire reactions",
            policy.tripwires.len(),
            policy
                .tripwires
                .iter()
                .any(|tripwire| is_own(policy, tripwire.source)),
        ),
    ] {
        if count == 0 {
            continue;
        }
        if own {
            return Err(ShimError::Refused {
                what: format!("the policy has {statement} of its own, which nothing enforces yet"),
                help: "remove them for now; the denies in it are enforced".into(),
            });
        }
        guarantees.push(Guarantee {
            name: statement.into(),
            state: State::Pending,
            by: "not in force yet".into(),
        });
    }
    Ok(guarantees)
}

/// Whether a rule (index of its source) comes from a policy that does not ship.
fn is_own(policy: &Compiled, source: usize) -> bool {
    policy
        .sources
        .get(source)
        .is_some_and(|source| !policy.policies[source.policy].shipped)
}

/// A mechanism that is missing, if the policy accepts its stand-in.
///
/// # Errors
/// L011 when it does not, or when the caller refuses all stand-ins.
pub fn weaker(
    policy: &Compiled,
    no_weaker: bool,
    name: &str,
    missing: &str,
    by: &str,
) -> Result<Guarantee, ShimError> {
    let accepted = policy.accept.iter().any(|accepted| accepted == name);
    if no_weaker || !accepted {
        let help = if no_weaker {
            "start without --no-weaker to take the stand-in".to_owned()
        } else {
            format!("let the policy say `accept weaker {name}`, or run `replicante doctor`")
        };
        return Err(ShimError::Refused {
            what: format!("{missing}; its stand-in `{name}` would be {by}"),
            help,
        });
    }
    Ok(Guarantee {
        name: name.into(),
        state: State::Weaker,
        by: by.into(),
    })
}

/// Whether restricting names that appear later matter to this policy, and what is done about them: without the file
/// broker only names that exist at the start are covered, and, where `names` are watched, what the host makes or puts in their
/// place. The policies that ship run so; a rule of another policy needs `accept weaker late-names`.
///
/// # Errors
/// L011 names the first rule that nothing would enforce on a later name.
pub fn late_names(
    policy: &Compiled,
    view: &View,
    names: Option<&Names>,
    no_weaker: bool,
) -> Result<Guarantee, ShimError> {
    let mut by = "start only: restricting names that exist at the start are covered".to_owned();
    if let Some(names) = names {
        by.push_str("; ");
        by.push_str(&names.words());
    }
    let own = policy.rules.iter().find(|rule| {
        is_own(policy, rule.source)
            && !rule.effect.allows()
            && rule.action.is_file()
            && !rule.existing
            && may_appear(view, rule)
    });
    let Some(rule) = own else {
        return Ok(Guarantee {
            name: "late-names".into(),
            state: State::Pending,
            by,
        });
    };
    let source = &policy.sources[rule.source];
    let missing = format!(
        "rule {} ({}:{}:{}) covers names that may appear while the run lasts, which needs the file broker",
        source.id, source.file, source.line, source.column
    );
    weaker(policy, no_weaker, "late-names", &missing, &by)
}

/// What a run says of itself that the system has no watcher left for.
pub fn not_watched() -> Guarantee {
    Guarantee {
        name: "names that the host replaces".into(),
        state: State::Weaker,
        by: "nothing masks them again: no inotify instance is left (fs.inotify.max_user_instances)".into(),
    }
}

/// Whether a name that the rule covers can come into being in a tree that the agent may change.
fn may_appear(view: &View, rule: &Rule) -> bool {
    let Some(glob) = rule.pattern.as_deref().and_then(|text| Glob::parse(text).ok()) else {
        return false;
    };
    let fixed: Vec<&str> = glob
        .segments()
        .iter()
        .map_while(|segment| match segment {
            Segment::Literal(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
        .collect();
    let start = format!("/{}", fixed.join("/"));
    if fixed.len() == glob.segments().len() && rustix::fs::lstat(start.as_str()).is_ok() {
        return false;
    }
    view.items.iter().any(|item| {
        let changeable = match &item.node {
            Node::Bind { rights, .. } => !rights.and(Rights::CREATE).is_empty(),
            Node::Tmpfs { .. } => true,
            _ => false,
        };
        changeable && (is_at_or_below(&start, &item.path) || is_at_or_below(&item.path, &start))
    })
}

/// What is refused and leaves no event, by class.
pub fn invisible(view: &View, served: bool) -> Vec<String> {
    let elsewhere = "listing and lookups outside of the view";
    let whole = view.partial.iter().any(|root| root == "/");
    let lookups = if whole {
        let own = view.items.iter().filter(|item| {
            let shared = matches!(item.node, Node::Bind { ours: false, .. });
            matches!(item.node, Node::Tmpfs { .. } | Node::Devices | Node::Bind { .. }) && !shared
        });
        let own: Vec<&str> = own.map(|item| item.path.as_str()).collect();
        format!("{elsewhere}, where the sandbox has its own: {}", own.join(", "))
    } else if served && !view.partial.is_empty() {
        let at: Vec<&str> = view
            .items
            .iter()
            .filter(|item| matches!(item.node, Node::Absent { .. }) && !item.path[1..].contains('/'))
            .map(|item| item.path.as_str())
            .collect();
        let places = view.partial.join(", ");
        format!("{elsewhere}, but in {places} and at {}", at.join(", "))
    } else {
        elsewhere.to_owned()
    };
    let others = [
        "refusals by Landlock",
        "calls of an absent name",
        "changes of what is shown read-only",
        "processes outside of the sandbox",
        "descriptors and variables of the caller",
        "the machine's loopback and abstract sockets, of which the sandbox has its own",
        "echo requests and changes of the network, for which the sandbox has no right",
        "amounts that the kernel limits by itself",
    ];
    std::iter::once(lookups)
        .chain(others.map(str::to_owned))
        .collect()
}

/// A guarantee that is held.
pub fn held(name: &str, by: impl Into<String>) -> Guarantee {
    Guarantee {
        name: name.into(),
        state: State::Held,
        by: by.into(),
    }
}
