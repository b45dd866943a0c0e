//! Reading a run's journal.

use crate::error;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use replicante_core::journal::{Frame, JournalError, Position, decode};
use std::sync::{Mutex, PoisonError};

/// Verifies the frames of one journal, from its start on.
#[pyclass(frozen, module = "replicante._core")]
pub(crate) struct JournalReader(Mutex<Position>);

#[pymethods]
impl JournalReader {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Position::default()))
    }

    /// Reads the whole frames at the start of `data`: their lines, and how many bytes they take.
    ///
    /// The reader stands where it stood if anything is wrong.
    #[pyo3(signature = (data, /))]
    fn read<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<(Bound<'py, PyList>, usize)> {
        let start = *self.position();
        let (lines, length, end) = py.detach(|| frames(start, data)).map_err(error::journal)?;
        *self.position() = end;
        Ok((
            PyList::new(py, lines.into_iter().map(|line| PyBytes::new(py, line)))?,
            length,
        ))
    }
}

impl JournalReader {
    fn position(&self) -> std::sync::MutexGuard<'_, Position> {
        // A position is assigned whole, so a panic leaves none half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Read<'a> = (Vec<&'a [u8]>, usize, Position);

fn frames(mut position: Position, data: &[u8]) -> Result<Read<'_>, JournalError> {
    let (mut lines, mut length) = (Vec::new(), 0);
    while length < data.len() {
        match decode(&mut position, &data[length..]) {
            Ok(Frame {
                lines: of_frame,
                length: of_this,
                ..
            }) => {
                lines.extend(of_frame);
                length += of_this;
            }
            Err(JournalError::Torn) => break,
            Err(error) => return Err(error),
        }
    }
    Ok((lines, length, position))
}
