//! System call names and groups (C1), and the filter of a policy.

use crate::engine::Engine;
use crate::error;
use pyo3::prelude::*;
use replicante_core::seccomp::{Arch, assemble, group, group_names, verdicts};
use std::collections::{BTreeMap, BTreeSet};

/// The closed set of groups: name with `@`, then its calls, sorted.
#[pyfunction]
pub(crate) fn syscall_groups() -> BTreeMap<&'static str, Vec<&'static str>> {
    group_names()
        .map(|name| (name, group(name).into_iter().collect()))
        .collect()
}

/// The names of all calls of every architecture that runs agents, sorted.
#[pyfunction]
pub(crate) fn syscall_names() -> Vec<&'static str> {
    let mut names: BTreeSet<&'static str> = group_names().flat_map(group).collect();
    for arch in [Arch::X86_64, Arch::Aarch64] {
        names.extend(arch.names());
    }
    names.into_iter().collect()
}

/// The filter that a run under this policy gets on this machine's processor: classic BPF, `(code, jt, jf, k)`.
#[pyfunction]
#[pyo3(signature = (engine, /))]
pub(crate) fn seccomp_program(py: Python<'_>, engine: &Engine) -> PyResult<Vec<(u16, u8, u8, u32)>> {
    let arch = Arch::native().ok_or_else(|| error::value("agents can't run on this processor"))?;
    let engine = engine.core();
    let program = py.detach(|| assemble(arch, &verdicts(arch, |call| engine.ruling(call))));
    let instructions = program.iter();
    Ok(instructions
        .map(|one| (one.code, one.jt, one.jf, one.k))
        .collect())
}
