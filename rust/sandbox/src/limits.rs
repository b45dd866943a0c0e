//! Amounts by rlimits: descriptors, file size, core dumps, and the stand-ins for processes and processor time.
//! Source: getrlimit(2); `RLIMIT_NPROC` counts for each user namespace since Linux 5.14.

use crate::error::{During, StepError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// The limits of one process of the agent. `None`: as the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    pub open_files: Option<u64>,
    /// Bytes.
    pub file_size: Option<u64>,
    /// Processes and threads of the agent's user in this user namespace.
    pub processes: Option<u64>,
    /// Seconds of processor time of each process.
    pub cpu_seconds: Option<u64>,
    /// Added to the niceness, 0 for none.
    pub nice: i32,
}

/// Seconds that a process has beyond its share of processor time. The sum over all processes is looked at ten times a
/// second and ends the run by name; `RLIMIT_CPU` kills without a word, so it comes later, for the case that nobody looks.
const CPU_GRACE_S: u64 = 3;

/// Sets the limits on this process and reads them back.
///
/// # Errors
/// The limit that could not be set.
pub fn apply(limits: &Limits) -> Result<(), StepError> {
    let all = [
        (Resource::Nofile, "open files", limits.open_files),
        (Resource::Fsize, "file size", limits.file_size),
        (Resource::Nproc, "processes", limits.processes),
        (
            Resource::Cpu,
            "processor time",
            limits.cpu_seconds.map(|seconds| seconds + CPU_GRACE_S),
        ),
        // KERNEL: only 1 also stops a `core_pattern` pipe, a program of the host that would run as root (`kernel.md` §2).
        (Resource::Core, "core dumps", Some(1)),
    ];
    for (resource, name, value) in all {
        let Some(value) = value else { continue };
        let hard = getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        let limit = Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        };
        setrlimit(resource, limit).during("limit", name)?;
        if getrlimit(resource).current != Some(hard) {
            return Err(StepError::because(
                "limit",
                name,
                "reading back shows another value",
            ));
        }
    }
    if limits.nice != 0 {
        rustix::process::nice(limits.nice).during("limit", "niceness")?;
    }
    Ok(())
}
