//! The only place that makes Python exceptions: those of `replicante.errors`, and built-in ones for wrong arguments.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use replicante_core::error::PatternError;
use replicante_core::host::{HostError, NetworkError};
use replicante_core::journal::JournalError;
use replicante_core::json::JsonError;
use replicante_core::path::PathError;
use replicante_core::policy::BindError;

static POLICY_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static PATH_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static HOST_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static PATTERN_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Makes an exception of `replicante.errors`; if that can't be had, the failure itself is the exception.
fn raised(
    py: Python<'_>,
    class: &PyOnceLock<Py<PyType>>,
    name: &str,
    message: &str,
    details: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let keywords = PyDict::new(py);
        details(&keywords)?;
        let instance = class
            .import(py, "replicante.errors", name)?
            .call((message,), Some(&keywords))?;
        Ok(PyErr::from_value(instance))
    };
    made().unwrap_or_else(|failure| failure)
}

/// A path that is not canonical.
pub(crate) fn path(py: Python<'_>, error: PathError) -> PyErr {
    raised(py, &PATH_ERROR, "PathError", &error.to_string(), |_| Ok(()))
}

/// A text that is no host.
pub(crate) fn host(py: Python<'_>, error: HostError) -> PyErr {
    let code = if error == HostError::AddressLike {
        "P038"
    } else {
        "P037"
    };
    raised(py, &HOST_ERROR, "HostError", &error.to_string(), |details| {
        details.set_item("code", code)
    })
}

/// A text that is no pattern.
pub(crate) fn pattern(py: Python<'_>, error: &PatternError) -> PyErr {
    raised(py, &PATTERN_ERROR, "PatternError", &error.message, |details| {
        details.set_item("code", error.code)?;
        details.set_item("offset", error.offset)
    })
}

/// A text that is no address or block.
pub(crate) fn network(py: Python<'_>, error: &NetworkError) -> PyErr {
    raised(
        py,
        &PATTERN_ERROR,
        "PatternError",
        &error.to_string(),
        |details| details.set_item("code", "P038"),
    )
}

/// Bytes that are no compiled form, or values that it can't be bound to.
pub(crate) fn compiled_form(py: Python<'_>, error: &BindError) -> PyErr {
    let message = match error {
        BindError::Form(error) => format!("not a compiled form: {error}"),
        other => other.to_string(),
    };
    raised(py, &POLICY_ERROR, "PolicyError", &message, |details| {
        error.code().map_or(Ok(()), |code| details.set_item("code", code))
    })
}

/// Bytes that do not continue a journal.
pub(crate) fn journal(error: JournalError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A text that is not JSON as we read it.
pub(crate) fn json(error: &JsonError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// An argument of the right type whose value has no meaning.
pub(crate) fn value(message: impl Into<String>) -> PyErr {
    PyValueError::new_err(message.into())
}

/// An argument of a wrong type or name.
pub(crate) fn argument(message: impl Into<String>) -> PyErr {
    PyTypeError::new_err(message.into())
}
