//! Rate limits.

use crate::error;
use pyo3::prelude::*;
use replicante_core::rate::RateLimit as CoreRateLimit;
use std::sync::{Mutex, PoisonError};

const SECOND_NS: u64 = 1_000_000_000;

/// A token bucket by the generic cell rate algorithm (D4).
#[pyclass(frozen, module = "replicante")]
pub(crate) struct RateLimit(Mutex<CoreRateLimit>);

#[pymethods]
impl RateLimit {
    #[new]
    fn new(count: u64, per_seconds: u64, burst: u64) -> PyResult<Self> {
        if [count, per_seconds, burst].contains(&0) {
            return Err(error::value("count, per_seconds and burst are at least 1"));
        }
        let unit_ns = per_seconds
            .checked_mul(SECOND_NS)
            .ok_or_else(|| error::value("per_seconds is too long"))?;
        Ok(Self(Mutex::new(CoreRateLimit::new(count, unit_ns, burst))))
    }

    /// Takes `n` tokens if they are there at `now_ns` and tells whether they were.
    #[pyo3(signature = (now_ns, n=1))]
    fn check(&self, now_ns: u64, n: u64) -> bool {
        // A bucket has no state that a panic could leave half changed.
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .check(now_ns, n)
    }
}
