//! How a run ended, as the exit code of `policy-language.md` §14 and in words.

use crate::record::printable;
use crate::supervise::Ending;
use replicante_sandbox::launch::Exit;

/// A time limit of L1 was reached.
const TIME_SPENT: u8 = 124;

/// The code to end with, whose it is, and how the run ended in words.
pub fn exit_code(ending: &Ending) -> (u8, &'static str, String) {
    match ending {
        Ending::Agent(Exit::Code(code)) => (
            u8::try_from(*code).unwrap_or(255),
            "agent",
            format!("code {code}"),
        ),
        Ending::Agent(Exit::Signal(signal)) => (
            u8::try_from(128 + signal).unwrap_or(255),
            "agent",
            format!("signal {signal}"),
        ),
        Ending::NotExecuted(2) => (127, "replicante", "program not found".into()),
        Ending::NotExecuted(errno) => (126, "replicante", format!("program not executed, errno {errno}")),
        Ending::Time(key) => (TIME_SPENT, "replicante", format!("{key} spent")),
        Ending::Failed(why) => (crate::NOT_SET_UP, "replicante", why.clone()),
    }
}

/// What to tell the caller beside the code, where the program does not speak for itself.
pub fn complaint(ending: &Ending, program: &str) -> Option<String> {
    let program = printable(program);
    match ending {
        Ending::NotExecuted(2) => Some(format!(
            "replicante: {program}: not found inside the sandbox; see `replicante policy show`"
        )),
        Ending::NotExecuted(errno) => {
            let why = rustix::io::Errno::from_raw_os_error(*errno);
            Some(format!(
                "replicante: {program}: may not be executed inside the sandbox: {why}"
            ))
        }
        Ending::Failed(why) => Some(format!("replicante: the run was ended: {why}")),
        Ending::Agent(_) | Ending::Time(_) => None,
    }
}
