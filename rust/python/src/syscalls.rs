//! System call names and groups (C1).

use pyo3::prelude::*;
use replicante_core::seccomp::{Arch, group, group_names};
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
