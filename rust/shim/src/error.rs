//! Why a run was not started or could not go on: code, what, why, what to do.

use crate::record::printable;
use replicante_core::policy::{BindError, Expectation};
use replicante_core::request::Outcome;
use replicante_sandbox::error::StepError;
use replicante_sandbox::probe::apparmor_restricts;

/// A failure of the launch. The codes are those of `docs/errors/`.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    #[error(
        "error[L001]: the shim and the package are of different versions: {shim} and {package}; reinstall replicante"
    )]
    Version { shim: String, package: String },
    #[error(
        "error[L002]: the launch description can't be read: {0}; start agents by `replicante run` of this installation"
    )]
    Description(String),
    #[error("error[L003]: the compiled policy can't be used: {0}")]
    Policy(String),
    #[error("error[{code}]: not started: {what}; {help}")]
    Value {
        code: &'static str,
        what: String,
        help: &'static str,
    },
    #[error("error[L010]: not started: {0}; {help}", help = help(.0))]
    Step(#[from] StepError),
    #[error("error[L011]: not started: {what}; {help}")]
    Refused { what: String, help: String },
    #[error("error[L012]: the journal can't be written: {what}: {why}; free space in the state directory")]
    Journal { what: String, why: String },
    #[error("error[L013]: the shim met an error of its own and ends with the agent: {0}; please report it")]
    Internal(String),
}

impl ShimError {
    /// Why a policy can't be bound to the values of this run.
    pub fn policy(error: &BindError) -> Self {
        let Some(code) = error.code() else {
            return Self::Policy(error.to_string());
        };
        Self::Value {
            code,
            what: error.to_string(),
            help: match error {
                BindError::ContainsHome(_) => "name a directory below the home with --workspace DIR",
                _ => "name another workspace, or set the variable with --set NAME=VALUE",
            },
        }
    }

    /// A test of the policy that fails with the values of this run (R1).
    pub fn failed_test(expectation: &Expectation, outcome: Outcome) -> Self {
        Self::Value {
            code: "P070",
            what: format!(
                "test `{}` of the policy ({}) expects {} of {} {}, but the answer is {}",
                printable(&expectation.test),
                expectation.place,
                expectation.expect.word(),
                expectation.action.word(),
                printable(&expectation.resource),
                outcome.word()
            ),
            help: "its rules mean something else with this workspace: name another, or mend the policy",
        }
    }

    /// 122 where the policy is at fault, else 125 (`policy-language.md` §14).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Policy(_) | Self::Value { .. } => 122,
            _ => crate::NOT_SET_UP,
        }
    }
}

/// What helps against a step that failed.
fn help(error: &StepError) -> &'static str {
    match (error.step.as_str(), error.errno) {
        // ENOSYS: only clone3(2) can make a process inside of a group, and some containers refuse that call.
        ("make the namespaces", 38) => {
            "let the container's seccomp profile pass clone3, or start where no control group is delegated"
        }
        ("make the run's group" | "limit the run's group", _) => {
            "start it in a group that is given to you as a whole, or where none is; `replicante doctor` names it"
        }
        ("make the namespaces" | "map the user" | "map the group" | "separate mounts", _)
            if apparmor_restricts() =>
        {
            "AppArmor restricts user namespaces here: load the profile whose command `replicante doctor --fix` prints"
        }
        ("make the namespaces" | "map the user" | "map the group", _) => {
            "this machine restricts user namespaces: run `replicante doctor` for the one change that helps"
        }
        ("make a file system", _) if error.object == "proc" => {
            "a container hides parts of /proc: start it with an unmasked /proc, see docs/guides/containers.md"
        }
        ("filter the network" | "log refused packets", _) => {
            "the kernel needs nf_tables with tproxy, reject and log: load nft_tproxy, nft_reject_inet, nft_log, nfnetlink_log"
        }
        ("enter the working directory", _) => "choose a directory that the policy shows, with --workspace",
        ("serve the masks", _) => {
            "make /dev/fuse usable (chmod 0666 /dev/fuse) or let the policy accept weaker read-events"
        }
        _ => "run `replicante doctor` to see what this machine can enforce",
    }
}
