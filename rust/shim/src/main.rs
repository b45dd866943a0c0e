//! `replicante-shim`: the process that stands over one agent. If it dies, the agent dies.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    replicante_shim::end_at_a_panic();
    replicante_shim::main(&std::env::args().skip(1).collect::<Vec<_>>())
}
