//! The extension module `replicante._core`: conversions between Python and `replicante-core`, no logic.
#![forbid(unsafe_code)]
use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
