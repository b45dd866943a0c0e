//! The extension module `replicante._core`: conversions between Python and `replicante-core`, no logic.
//!
//! Every class is frozen and shares what is behind it; nothing here calls back into Python but to make exceptions and
//! numbers.
#![forbid(unsafe_code)]

mod context;
mod engine;
mod error;
mod explanation;
mod forms;
mod journal;
mod json;
mod patterns;
mod rate;
mod syscalls;

#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::engine::{Decision, Engine};
    #[pymodule_export]
    use crate::explanation::{Explanation, NearestAllow, RuleRef};
    #[pymodule_export]
    use crate::forms::{contains_home, pack_policy, policy_identity, variable_problem};
    #[pymodule_export]
    use crate::journal::JournalReader;
    #[pymodule_export]
    use crate::json::parse_json;
    #[pymodule_export]
    use crate::patterns::{
        Glob, HostPattern, check_host_pattern, check_path_pattern, is_public_suffix, normalize_host,
        normalize_path, parse_cidr, public_suffix_date,
    };
    #[pymodule_export]
    use crate::rate::RateLimit;
    #[pymodule_export]
    use crate::syscalls::{seccomp_program, syscall_groups, syscall_names};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
