//! Stand-ins for cgroup v2: memory by sampling, processor time by summing (`kernel.md` §6). They are weaker, and the
//! ledger says so.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// What one look at the sandbox's processes showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident bytes; proportional where the plain sum would be over the limit.
    pub memory: u64,
    /// Processor time of the living processes, nanoseconds.
    pub cpu_ns: u64,
    /// The process with the most memory.
    pub largest: Option<i32>,
    pub processes: u64,
}

/// Sums over the descendants of the sandbox's first process. Costs some 20 µs for each process.
pub fn look(init: i32, memory_limit: u64) -> Usage {
    let mut members = members_of(init);
    members.push(init); // its own times hold those of everything it reaped
    let mut usage = Usage {
        processes: members.len() as u64,
        ..Usage::default()
    };
    let mut largest = 0;
    for pid in &members {
        let resident = resident(*pid);
        usage.memory += resident;
        usage.cpu_ns += cpu_ns(*pid);
        if resident > largest {
            largest = resident;
            usage.largest = Some(*pid);
        }
    }
    if usage.memory > memory_limit {
        // Shared pages were counted once for each process: ask the kernel for shares before anything is killed.
        usage.memory = members
            .iter()
            .map(|pid| proportional(*pid).unwrap_or_else(|| resident(*pid)))
            .sum();
    }
    usage
}

/// Ends the process with the most memory.
pub fn kill_largest(usage: &Usage) {
    if let Some(pid) = usage.largest.and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// All descendants of `init`, itself excluded, by the kernel's lists of children (`CONFIG_PROC_CHILDREN`).
fn members_of(init: i32) -> Vec<i32> {
    let mut members = Vec::new();
    let mut waiting = vec![init];
    while let Some(pid) = waiting.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = children_in(&task.path().join("children"));
            members.extend(&children);
            waiting.extend(children);
        }
    }
    members
}

/// The pids in one of the kernel's lists of children; none when the process is gone.
fn children_in(list: &std::path::Path) -> Vec<i32> {
    let text = fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// Whether the agent's own process group, that of the first child of `init`, has the terminal.
pub fn leads(init: Pid, master: std::os::fd::BorrowedFd<'_>) -> bool {
    let children = children_in(format!("/proc/{0}/task/{0}/children", init.as_raw_nonzero()).as_ref());
    rustix::termios::tcgetpgrp(master)
        .ok()
        .map(|group| group.as_raw_nonzero().get())
        == children.first().copied()
}

fn resident(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| {
            text.split_whitespace()
                .nth(1)
                .and_then(|word| word.parse::<u64>().ok())
        });
    pages.unwrap_or(0) * page_size()
}

fn proportional(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn cpu_ns(pid: i32) -> u64 {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0;
    };
    // The name may hold spaces and parentheses; the numbers follow its last one. Fields 14 to 17 are ticks.
    let Some((_, rest)) = text.rsplit_once(')') else {
        return 0;
    };
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_counted() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let usage = look(pid, u64::MAX);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(usage.processes >= 1 && usage.memory > 0, "{usage:?}");
    }
}
