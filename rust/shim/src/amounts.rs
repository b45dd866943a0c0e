//! Which amounts of the policy a control group holds in this run, and which a stand-in does.

use crate::description::Description;
use crate::error::ShimError;
use crate::ledger::{Guarantee, held, weaker};
use crate::meter::Held;
use replicante_core::policy::{ByteRate, Compiled, Resources};
use replicante_sandbox::cgroup::{self, Amounts, Controller, Group, Io, Plan};
use replicante_sandbox::limits::Limits;
use replicante_sandbox::view::{Node, View};
use std::path::Path;

/// How the amounts of a run are held.
pub struct Bounds {
    /// The run's group, where one could be made.
    pub group: Option<Group>,
    /// What was written into it.
    pub plan: Option<Plan>,
    /// Those that nothing stronger holds for the group as a whole.
    pub limits: Limits,
    pub guarantees: Vec<Guarantee>,
}

/// An amount of the policy, its enforcer and its stand-in.
struct Amount {
    /// The name of E3.
    name: &'static str,
    controller: Option<Controller>,
    by_group: &'static str,
    stand_in: &'static str,
}

const AMOUNTS: [Amount; 5] = [
    Amount {
        name: "memory",
        controller: Some(Controller::Memory),
        by_group: "cgroup memory.max: the kernel kills the largest process",
        stand_in: "sampled ten times a second, the largest process is killed; overshoot is possible",
    },
    Amount {
        name: "processes",
        controller: Some(Controller::Pids),
        by_group: "cgroup pids.max",
        stand_in: "RLIMIT_NPROC for the agent's user in this namespace",
    },
    Amount {
        name: "cpu",
        controller: Some(Controller::Cpu),
        by_group: "cgroup cpu.max",
        stand_in: "niceness, RLIMIT_CPU for each process",
    },
    Amount {
        name: "io",
        controller: Some(Controller::Io),
        by_group: "cgroup io.max on the workspace's disk",
        stand_in: "nothing: reading and writing are not bounded",
    },
    Amount {
        name: "freeze",
        controller: None,
        by_group: "cgroup.freeze; nothing asks for it yet",
        stand_in: "SIGSTOP; nothing asks for it yet",
    },
];

/// Makes the run's group where one is delegated, limits it, and says of each amount how it is held.
///
/// # Errors
/// L010 when a group that should hold can't be made or limited; L011 when a stand-in is needed that is not accepted.
pub fn bound(
    description: &Description,
    policy: &Compiled,
    file_size: Option<u64>,
) -> Result<Bounds, ShimError> {
    let resources = &policy.resources;
    let disk = (resources.io_read.is_some() || resources.io_write.is_some())
        .then(|| cgroup::disk_of(&description.bindings["workspace"]));
    let group = match cgroup::find(None) {
        Ok(place) => Ok(Group::make(place, lock_of(description), &description.run)?),
        Err(why) => Err(why),
    };
    let plan = group.as_ref().ok().map(|group| {
        let disk = disk.as_ref().and_then(|disk| disk.as_ref().ok());
        cgroup::plan(group, &amounts(resources, disk.copied()))
    });
    plan.as_ref().map_or(Ok(()), Plan::apply)?;
    let mut guarantees = Vec::new();
    for amount in &AMOUNTS {
        let of_disk = amount.controller == Some(Controller::Io);
        let asked = !of_disk || disk.is_some();
        let is_of = |key: &String| key == amount.name || (of_disk && key.starts_with("io-"));
        let stated = policy.stated.iter().any(is_of) || amount.controller.is_none();
        let missing = match &disk {
            Some(Err(why)) if of_disk => Some(why.clone()),
            _ => missing(amount, group.as_ref()),
        };
        match missing {
            None if asked => guarantees.push(held(amount.name, amount.by_group)),
            Some(why) if stated || (description.no_weaker && asked) => {
                let (name, by) = (amount.name, amount.stand_in);
                guarantees.push(weaker(policy, description.no_weaker, name, &why, by)?);
            }
            _ => {}
        }
    }
    if missing(&AMOUNTS[0], group.as_ref()).is_none() {
        guarantees.push(held("swap", "cgroup memory.swap.max"));
    }
    let lacks = |controller| {
        group
            .as_ref()
            .map_or(true, |group| !group.controllers.contains(&controller))
    };
    let cpu_stated = policy.stated.iter().any(|key| key == "cpu");
    let limits = Limits {
        open_files: Some(resources.open_files),
        file_size,
        processes: lacks(Controller::Pids).then_some(tasks(resources)),
        cpu_seconds: lacks(Controller::Cpu).then_some((resources.cpu_time / 1_000_000_000).max(1)),
        nice: i32::from(lacks(Controller::Cpu) && cpu_stated),
    };
    Ok(Bounds {
        group: group.ok(),
        plan,
        limits,
        guarantees,
    })
}

/// Why no group holds an amount; `None` where one does.
fn missing(amount: &Amount, group: Result<&Group, &String>) -> Option<String> {
    let group = match group {
        Ok(group) => group,
        Err(why) => return Some(format!("no cgroup v2 is delegated here ({why})")),
    };
    let controller = amount.controller?;
    if group.controllers.contains(&controller) {
        return None;
    }
    let why = group.missing.iter().find(|(missing, _)| *missing == controller);
    Some(format!(
        "the run's group has no controller {} ({})",
        controller.word(),
        why.map_or("it is not handed down", |(_, why)| why)
    ))
}

fn amounts(resources: &Resources, disk: Option<(u32, u32)>) -> Amounts {
    Amounts {
        memory: resources.memory,
        swap: resources.swap,
        // The sandbox's first process is not the agent's.
        tasks: tasks(resources).saturating_add(1),
        cpu: resources.cpu,
        io: disk.map(|disk| Io {
            disk,
            read: resources.io_read.as_ref().map(each_second),
            write: resources.io_write.as_ref().map(each_second),
        }),
    }
}

/// Processes and threads of the agent: nothing counts the two apart yet.
fn tasks(resources: &Resources) -> u64 {
    resources.threads.min(resources.processes)
}

/// Shows the run its own group in place of the whole hierarchy, where a rule shows that: programs such as a JVM take their
/// size from it, and other groups are nobody's business.
pub fn show_own_group(view: &mut View, group: &Group) {
    for item in &mut view.items {
        if item.path == group.mount()
            && let Node::Bind { source, .. } = &mut item.node
        {
            group.directory().clone_into(source);
        }
    }
}

/// What `Meter` needs of a group.
pub fn measured(group: &Group) -> Held {
    Held {
        gauge: group.gauge(),
        controllers: group.controllers.clone(),
    }
}

/// Where launches of this user wait for each other: the directory of all runs, which no agent sees.
fn lock_of(description: &Description) -> &str {
    Path::new(&description.run_dir)
        .parent()
        .and_then(Path::to_str)
        .unwrap_or(&description.run_dir)
}

/// Bytes in a second, at least one.
fn each_second(rate: &ByteRate) -> u64 {
    let bytes = u128::from(rate.count) * 1_000_000_000 / u128::from(rate.unit_ns.max(1));
    u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_in_bytes_a_second() {
        let minute = ByteRate {
            count: 6_000_000,
            unit_ns: 60_000_000_000,
        };
        assert_eq!(each_second(&minute), 100_000);
        let slow = ByteRate {
            count: 1,
            unit_ns: 60_000_000_000,
        };
        assert_eq!(each_second(&slow), 1);
    }
}
