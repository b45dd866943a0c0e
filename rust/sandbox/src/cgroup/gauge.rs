//! What a group's files say: processor time used, processes killed for memory, forks refused.

use crate::view::join;
use std::fs;

/// Reads the files of one group.
#[derive(Clone, Debug)]
pub struct Gauge {
    directory: String,
}

/// Sums since the group was made. A file that is absent, because its controller is, counts as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Processor time of living and dead processes, nanoseconds.
    pub cpu_ns: u64,
    /// Processes that the kernel killed at `memory.max`.
    pub killed: u64,
    /// The most bytes of memory at any time (Linux 5.19), else those at this moment.
    pub memory: u64,
    /// Forks and new threads that `pids.max` refused.
    pub refused: u64,
    pub tasks: u64,
}

impl Gauge {
    pub(super) fn of(directory: &str) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    pub fn read(&self) -> Use {
        let peak = self.number("memory.peak");
        Use {
            cpu_ns: self.field("cpu.stat", "usage_usec").saturating_mul(1000),
            killed: self.field("memory.events", "oom_kill"),
            memory: peak.or_else(|| self.number("memory.current")).unwrap_or(0),
            refused: self.field("pids.events", "max"),
            tasks: self.number("pids.current").unwrap_or(0),
        }
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(join(&self.directory, file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    fn field(&self, file: &str, key: &str) -> u64 {
        let text = self.text(file).unwrap_or_default();
        let value = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(name, value)| (name == key).then(|| value.trim().parse().ok()));
        value.flatten().unwrap_or(0)
    }
}
