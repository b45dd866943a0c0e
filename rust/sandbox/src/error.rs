//! What went wrong while a sandbox was being set up: the step, the object and the kernel's answer.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// A step of the launch that could not be done. Nothing of the agent has run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{step}: {object}: {why}")]
pub struct StepError {
    /// What was being done, in a few words.
    pub step: String,
    /// To what: a path, a name, a limit.
    pub object: String,
    /// The kernel's answer or the reason, in words.
    pub why: String,
    /// The kernel's answer as a number; 0 if it was not a system call that failed.
    pub errno: i32,
}

impl StepError {
    pub fn new(step: &str, object: impl Into<String>, errno: Errno) -> Self {
        Self {
            step: step.into(),
            object: object.into(),
            why: errno.to_string(),
            errno: errno.raw_os_error(),
        }
    }

    pub fn because(step: &str, object: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            object: object.into(),
            why: why.into(),
            errno: 0,
        }
    }
}

/// Names the step and object of a failed system call.
pub(crate) trait During<T> {
    fn during(self, step: &str, object: &str) -> Result<T, StepError>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, step: &str, object: &str) -> Result<T, StepError> {
        self.map_err(|errno| StepError::new(step, object, errno))
    }
}
