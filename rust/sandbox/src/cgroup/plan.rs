//! What is written into a run's group, and that the kernel took it.

use super::{Controller, Group};
use crate::error::StepError;
use crate::view::join;
use serde::Serialize;
use std::fs;

/// Microseconds over which the processor time of a quota is counted.
const PERIOD_US: u64 = 100_000;
/// The longest period that the kernel takes, for quotas below its least one of a millisecond.
const LONG_PERIOD_US: u64 = 1_000_000;
/// The largest number of processes that `pids.max` takes (`PID_MAX_LIMIT`).
const MOST_TASKS: u64 = 4 << 20;

/// The amounts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub swap: u64,
    /// Processes and threads, the sandbox's first process included.
    pub tasks: u64,
    /// Thousandths of a core.
    pub cpu: u64,
    pub io: Option<Io>,
}

/// Traffic with one disk, bytes in a second; `None`: not bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io {
    pub disk: (u32, u32),
    pub read: Option<u64>,
    pub write: Option<u64>,
}

/// All that will be written, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub group: String,
    pub settings: Vec<Setting>,
}

/// One file of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub file: &'static str,
    pub value: String,
    /// What one line of the file must be afterwards.
    pub shows: String,
}

/// What the controllers of `group` are told.
pub fn plan(group: &Group, amounts: &Amounts) -> Plan {
    let mut settings = Vec::new();
    let mut set = |file, value: String, shows: String| settings.push(Setting { file, value, shows });
    for controller in &group.controllers {
        match controller {
            Controller::Memory => {
                for (file, bytes) in [("memory.max", amounts.memory), ("memory.swap.max", amounts.swap)] {
                    let (value, shows) = pages(bytes);
                    // Only a kernel without swap lacks the second.
                    if file == "memory.max" || fs::metadata(join(group.directory(), file)).is_ok() {
                        set(file, value, shows);
                    }
                }
                set("memory.oom.group", "0".into(), "0".into());
            }
            Controller::Pids => {
                let most = amounts.tasks.min(MOST_TASKS).to_string();
                set("pids.max", most.clone(), most);
            }
            Controller::Cpu => {
                let period = if amounts.cpu < 10 {
                    LONG_PERIOD_US
                } else {
                    PERIOD_US
                };
                let quota = format!("{} {period}", amounts.cpu.saturating_mul(period) / 1000);
                set("cpu.max", quota.clone(), quota);
            }
            Controller::Io => {
                if let Some(Io { disk, read, write }) = amounts.io {
                    let word =
                        |rate: Option<u64>| rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string());
                    let (major, minor) = disk;
                    let rates = format!("{major}:{minor} rbps={} wbps={}", word(read), word(write));
                    set("io.max", rates.clone(), format!("{rates} riops=max wiops=max"));
                }
            }
        }
    }
    Plan {
        group: group.directory().to_owned(),
        settings,
    }
}

/// A size as it is written and as the kernel then shows it: in whole pages, and `max` from its largest on.
fn pages(bytes: u64) -> (String, String) {
    let page = rustix::param::page_size() as u64;
    if bytes >= i64::MAX.unsigned_abs() / page * page {
        return ("max".into(), "max".into());
    }
    (bytes.to_string(), (bytes / page * page).to_string())
}

impl Plan {
    /// Writes everything and reads it back.
    ///
    /// # Errors
    /// The file that can't be written, or that shows something else.
    pub fn apply(&self) -> Result<(), StepError> {
        for setting in &self.settings {
            let path = join(&self.group, setting.file);
            let failed = |why: String| StepError::because("limit the run's group", path.clone(), why);
            fs::write(&path, &setting.value)
                .map_err(|error| failed(format!("{}: {error}", setting.value)))?;
            let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
            if !text.lines().any(|line| line == setting.shows) {
                return Err(failed(format!(
                    "reading back shows `{}` and not `{}`",
                    text.trim(),
                    setting.shows
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn sizes_are_whole_pages() {
        assert_eq!(pages(1_000_000), ("1000000".into(), "999424".into()));
        assert_eq!(pages(u64::MAX).1, "max");
        assert_eq!(pages(0).1, "0");
    }
}
