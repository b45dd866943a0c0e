//! Paths, hosts and their patterns.

use crate::error;
use pyo3::prelude::*;
use replicante_core::host::{self, Host, Network};
use replicante_core::path::{self, NormalPath};
use replicante_core::{glob, host::HostPattern as CoreHostPattern};

/// The canonical form of a path, which is the path itself (F4).
#[pyfunction]
#[pyo3(signature = (path, /))]
pub(crate) fn normalize_path<'a>(py: Python<'_>, path: &'a str) -> PyResult<&'a str> {
    path::normalize_path(path).map_err(|error| error::path(py, error))
}

/// The canonical form of a host name or address (N4, N5).
#[pyfunction]
#[pyo3(signature = (host, /))]
pub(crate) fn normalize_host(py: Python<'_>, host: &str) -> PyResult<String> {
    host::normalize_host(host).map_err(|error| error::host(py, error))
}

/// Checks a path pattern whose variables are bound (F3).
#[pyfunction]
#[pyo3(signature = (pattern, /))]
pub(crate) fn check_path_pattern(py: Python<'_>, pattern: &str) -> PyResult<()> {
    glob::Glob::parse(pattern)
        .map(|_| ())
        .map_err(|error| error::pattern(py, &error))
}

/// Checks a host pattern (N2).
#[pyfunction]
#[pyo3(signature = (pattern, /))]
pub(crate) fn check_host_pattern(py: Python<'_>, pattern: &str) -> PyResult<()> {
    CoreHostPattern::parse(pattern)
        .map(|_| ())
        .map_err(|error| error::pattern(py, &error))
}

/// Whether a name is itself a public suffix (N3).
#[pyfunction]
#[pyo3(signature = (name, /))]
pub(crate) fn is_public_suffix(name: &str) -> bool {
    host::is_public_suffix(name)
}

/// Which public suffix list is built in.
#[pyfunction]
pub(crate) fn public_suffix_date() -> &'static str {
    host::PUBLIC_SUFFIX_DATE
}

/// The canonical text of an address or block (N5).
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn parse_cidr(py: Python<'_>, text: &str) -> PyResult<String> {
    Network::parse(text)
        .map(|network| network.to_string())
        .map_err(|error| error::network(py, &error))
}

/// A path pattern.
#[pyclass(frozen, module = "replicante")]
pub(crate) struct Glob {
    text: String,
    glob: glob::Glob,
}

#[pymethods]
impl Glob {
    #[new]
    #[pyo3(signature = (pattern, /))]
    fn new(py: Python<'_>, pattern: &str) -> PyResult<Self> {
        let glob = glob::Glob::parse(pattern).map_err(|error| error::pattern(py, &error))?;
        Ok(Self {
            text: pattern.to_owned(),
            glob,
        })
    }

    /// Whether the pattern matches exactly this path.
    #[pyo3(signature = (path, /))]
    fn matches(&self, py: Python<'_>, path: &str) -> PyResult<bool> {
        let path = NormalPath::parse(path.as_bytes()).map_err(|error| error::path(py, error))?;
        Ok(self.glob.matches(path))
    }

    fn __repr__(&self) -> String {
        format!("Glob({:?})", self.text)
    }
}

/// A host pattern.
#[pyclass(frozen, module = "replicante")]
pub(crate) struct HostPattern {
    text: String,
    pattern: CoreHostPattern,
}

#[pymethods]
impl HostPattern {
    #[new]
    #[pyo3(signature = (pattern, /))]
    fn new(py: Python<'_>, pattern: &str) -> PyResult<Self> {
        let parsed = CoreHostPattern::parse(pattern).map_err(|error| error::pattern(py, &error))?;
        Ok(Self {
            text: pattern.to_owned(),
            pattern: parsed,
        })
    }

    /// Whether the pattern matches exactly this name or address.
    #[pyo3(signature = (host, /))]
    fn matches(&self, py: Python<'_>, host: &str) -> PyResult<bool> {
        let host = Host::parse(host).map_err(|error| error::host(py, error))?;
        Ok(self.pattern.matches(&host, false))
    }

    fn __repr__(&self) -> String {
        format!("HostPattern({:?})", self.text)
    }
}
