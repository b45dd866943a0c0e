//! Amounts by cgroup v2: where a group can be made, the group of one run, and what it says of its use.
//!
//! `find` looks and changes nothing; `Group::make` makes the run's group; `plan` says what is written into it, `apply`
//! writes it and reads it back; `Gauge` reads what was used. Source: Documentation/admin-guide/cgroup-v2.rst;
//! `CLONE_INTO_CGROUP` since Linux 5.7, `cgroup.kill` since 5.14.

mod gauge;
mod group;
mod place;
mod plan;

pub use gauge::{Gauge, Use};
pub use group::{Group, remove_leftovers};
pub use place::{Place, disk_of, find, mounts};
pub use plan::{Amounts, Io, Plan, Setting, plan};

use serde::Serialize;

/// What the kernel limits for a group as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    Memory,
    Pids,
    Cpu,
    Io,
}

impl Controller {
    pub const ALL: [Self; 4] = [Self::Memory, Self::Pids, Self::Cpu, Self::Io];

    /// The kernel's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Io => "io",
        }
    }

    /// Those that a file such as `cgroup.controllers` names.
    fn listed(text: &str) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|controller| text.split_whitespace().any(|word| word == controller.word()))
            .collect()
    }
}
