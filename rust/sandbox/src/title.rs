//! What the command line of a process of ours says to those who can see it: nothing of the host.

use crate::error::{During, StepError};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// Fields of `/proc/PID/stat` behind the command's name (proc(5)): where the arguments begin and end in memory.
const ARG_START: usize = 45;
const ARG_END: usize = 46;

/// Overwrites the command line of this process, which inherited the shim's: it names a path of the host.
///
/// # Errors
/// When `/proc` does not tell where the arguments are, or they can't be written.
pub fn hide(name: &str) -> Result<(), StepError> {
    const STEP: &str = "hide the shim's place";
    let wrong = || StepError::because(STEP, "/proc/self/stat", "not as in proc(5)");
    let text = std::fs::read_to_string("/proc/self/stat")
        .map_err(|error| StepError::because(STEP, "/proc/self/stat", error.to_string()))?;
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .ok_or_else(wrong)?
        .1
        .split_whitespace()
        .collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    let (start, end) = field(ARG_START).zip(field(ARG_END)).ok_or_else(wrong)?;
    let length = usize::try_from(end.saturating_sub(start)).map_err(|_| wrong())?;
    let mut title = name.as_bytes().to_vec();
    title.resize(length, 0);
    let memory = openat(
        CWD,
        "/proc/self/mem",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .during(STEP, "/proc/self/mem")?;
    rustix::io::pwrite(&memory, &title, start).during(STEP, "/proc/self/mem")?;
    rustix::thread::set_name(&std::ffi::CString::new(name).unwrap_or_default()).during(STEP, "name")
}
