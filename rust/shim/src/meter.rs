//! What a run uses and which amounts it has reached: by its control group, and by stand-ins for what that does not hold.

use crate::clock;
use crate::stand_in;
use replicante_core::policy::Resources;
use replicante_sandbox::cgroup::{Controller, Gauge};

/// Equal limits reached within this are one event with a count: a flood of forks must not flood the journal.
const FOLD_NS: u64 = 1_000_000_000;

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The resource's key.
    pub key: &'static str,
    pub used: u64,
    pub limit: u64,
    /// How often since the event before.
    pub count: u64,
}

/// The group of a run, as far as it is measured.
pub struct Held {
    pub gauge: Gauge,
    pub controllers: Vec<Controller>,
}

/// Looks at one run.
pub struct Meter {
    init: i32,
    held: Option<Held>,
    memory: u64,
    processes: u64,
    killed: Counter,
    refused: Counter,
}

/// A count of the kernel, and how much of it was told.
#[derive(Default)]
struct Counter {
    told: u64,
    told_ns: u64,
}

impl Counter {
    /// What is new in `total`, once a second and at the end.
    fn news(&mut self, total: u64, now: u64, last: bool) -> u64 {
        let news = total.saturating_sub(self.told);
        if news == 0 || (!last && self.told > 0 && now.saturating_sub(self.told_ns) < FOLD_NS) {
            return 0;
        }
        (self.told, self.told_ns) = (total, now);
        news
    }
}

impl Meter {
    /// Measures the sandbox whose first process is `init`.
    pub fn new(init: i32, held: Option<Held>, limits: &Resources) -> Self {
        Self {
            init,
            held,
            memory: limits.memory,
            processes: limits.processes.min(limits.threads),
            killed: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// Processor time so far in nanoseconds, and the limits reached since the last look. Where memory is sampled, the
    /// largest process is ended by this.
    pub fn look(&mut self) -> (u64, Vec<Hit>) {
        let by_group = self.by_group(false);
        if self.holds(Controller::Memory)
            && let Some(known) = by_group
        {
            return known;
        }
        let usage = stand_in::look(self.init, self.memory);
        let (cpu_ns, mut hits) = by_group.unwrap_or((usage.cpu_ns, Vec::new()));
        if usage.memory > self.memory {
            stand_in::kill_largest(&usage);
            hits.push(Hit {
                key: "memory",
                used: usage.memory,
                limit: self.memory,
                count: 1,
            });
        }
        (cpu_ns, hits)
    }

    /// What was reached since the last look, when every process is gone.
    pub fn rest(&mut self) -> Vec<Hit> {
        self.by_group(true).map_or_else(Vec::new, |(_, hits)| hits)
    }

    fn holds(&self, controller: Controller) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| held.controllers.contains(&controller))
    }

    fn by_group(&mut self, last: bool) -> Option<(u64, Vec<Hit>)> {
        let usage = self.held.as_ref()?.gauge.read();
        let now = clock::boot_ns();
        let reached = [
            (
                "memory",
                usage.memory,
                self.memory,
                self.killed.news(usage.killed, now, last),
            ),
            (
                "processes",
                usage.tasks,
                self.processes,
                self.refused.news(usage.refused, now, last),
            ),
        ];
        let hits = reached
            .into_iter()
            .filter(|(.., count)| *count > 0)
            .map(|(key, used, limit, count)| Hit {
                key,
                used,
                limit,
                count,
            });
        Some((usage.cpu_ns, hits.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_told_at_once_then_once_a_second_and_at_the_end() {
        let mut counter = Counter::default();
        assert_eq!(counter.news(0, 5, false), 0);
        assert_eq!(counter.news(3, 10, false), 3);
        assert_eq!(counter.news(7, 20, false), 0);
        assert_eq!(counter.news(9, 10 + FOLD_NS, false), 6);
        assert_eq!(counter.news(10, 11 + FOLD_NS, false), 0);
        assert_eq!(counter.news(10, 12 + FOLD_NS, true), 1);
        assert_eq!(counter.news(10, 13 + FOLD_NS, true), 0);
    }
}
