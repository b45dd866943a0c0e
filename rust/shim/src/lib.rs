//! The shim: reads a launch description, sets the sandbox up, answers for it, keeps its journal, and ends with it.
//!
//! Usage: `replicante-shim run|plan --launch-fd N` · `probe` · `leftovers RUNS` (the directory of all runs) · `--version`.
//! People use `replicante run`, which writes the description (`docs/reference/compiled-form.md`) and becomes the shim.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod amounts;
mod authority;
mod broker;
mod clock;
pub mod description;
pub mod egress;
mod ending;
mod environment;
pub mod error;
mod journal;
mod launch;
mod ledger;
mod meter;
mod output;
mod policy;
mod prepare;
mod record;
mod report;
mod secrets;
mod stand_in;
mod supervise;
mod uid_lease;

use std::io::Write as _;
use std::os::fd::RawFd;
use std::process::ExitCode;

/// The version that package and shim must share.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The exit code of our own failures (`policy-language.md` §14).
pub(crate) const NOT_SET_UP: u8 = 125;

/// Lets an error that nobody foresaw end the process in one line, from whatever thread: with it ends the agent.
pub fn end_at_a_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let owned = payload.downcast_ref::<String>().map(String::as_str);
        let what = payload.downcast_ref().copied().or(owned).unwrap_or("no words");
        let at = panic
            .location()
            .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        complain(&error::ShimError::Internal(record::printable(&format!(
            "{what}{at}"
        ))));
        // The other threads must not go on without this one.
        #[allow(clippy::exit)]
        std::process::exit(NOT_SET_UP.into());
    }));
}

/// Runs the command line; `args` without the program's name.
pub fn main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", "--launch-fd", number] => with_description(number, |fd| launch::run(fd).map(ExitCode::from)),
        ["plan", "--launch-fd", number] => with_description(number, |fd| {
            let plan = launch::plan(fd)?;
            say(&plan.to_string());
            Ok(ExitCode::SUCCESS)
        }),
        ["probe"] => {
            let findings = replicante_sandbox::probe::all();
            let text = serde_json::to_string(&findings).unwrap_or_default();
            say(&text);
            ExitCode::SUCCESS
        }
        ["leftovers", lock] => match replicante_sandbox::cgroup::remove_leftovers(lock) {
            Ok(removed) => {
                say(&serde_json::to_string(&removed).unwrap_or_default());
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(&error.into());
                ExitCode::from(NOT_SET_UP)
            }
        },
        ["--version"] => {
            say(VERSION);
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

/// Does a task with the description on a descriptor.
fn with_description(
    number: &str,
    task: impl FnOnce(RawFd) -> Result<ExitCode, error::ShimError>,
) -> ExitCode {
    let Ok(launch_fd) = number.parse() else {
        return usage();
    };
    task(launch_fd).unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(error.exit_code())
    })
}

fn say(line: &str) {
    // A closed standard output is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(error: &error::ShimError) {
    // In one piece, so that it is whole or not there; a closed standard error leaves the exit code to speak.
    let line = format!("{error}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn usage() -> ExitCode {
    // As above.
    let _ = writeln!(
        std::io::stderr(),
        "usage: replicante-shim run|plan --launch-fd N | probe | leftovers RUNS | --version"
    );
    ExitCode::from(4)
}
