//! Compiled forms outside of an engine: packing, identity, and the values that variables can have.

use crate::error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use replicante_core::policy::{self, Form};
use std::collections::BTreeMap;

/// The packed form of a compiled form: what the shim reads.
#[pyfunction]
#[pyo3(signature = (compiled, /))]
pub(crate) fn pack_policy<'py>(py: Python<'py>, compiled: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    py.detach(|| Form::parse(compiled).and_then(|form| form.pack()))
        .map(|packed| PyBytes::new(py, &packed))
        .map_err(|error| error::compiled_form(py, &error.into()))
}

/// The identity of a bound policy (D2), from its trust digest and the values that it mentions.
#[pyfunction]
#[pyo3(signature = (trust_digest, variables, /))]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a Python argument is converted to it"
)]
pub(crate) fn policy_identity(trust_digest: &str, variables: BTreeMap<String, String>) -> String {
    policy::identity(trust_digest, &variables)
}

/// What is wrong with the value of a variable (T6), or `None`.
#[pyfunction]
#[pyo3(signature = (name, value, /))]
pub(crate) fn variable_problem(name: &str, value: &str) -> Option<String> {
    policy::value_problem(name, value)
}

/// Whether a workspace is `/`, the home directory or above it (P041).
#[pyfunction]
#[pyo3(signature = (workspace, home, /))]
pub(crate) fn contains_home(workspace: &str, home: Option<&str>) -> bool {
    policy::contains_home(workspace, home)
}
