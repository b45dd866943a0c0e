//! The agent's standard output and error: pipes that the main loop relays.

use crate::error::ShimError;
use crate::supervise::Relay;
use replicante_sandbox::error::StepError;
use replicante_sandbox::launch::User;
use std::os::fd::OwnedFd;

/// Pipes for the agent's output, and our ends of them. Standard streams on the terminal go through the pty instead;
/// where output and error are one file they share a pipe, so that their order stays.
pub fn outputs(on_terminal: bool, user: User) -> Result<([Option<OwnedFd>; 2], Vec<Relay>), ShimError> {
    let streams = [rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut output = [None, None];
    let mut relays = Vec::new();
    let identity = |index: usize| {
        rustix::fs::fstat(streams[index])
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino))
    };
    let failed = |errno| StepError::new("relay the output", "pipe", errno);
    for index in 0..2 {
        if on_terminal && rustix::termios::isatty(streams[index]) {
            continue;
        }
        if index == 1
            && identity(0).is_some()
            && identity(0) == identity(1)
            && let Some(first) = &output[0]
        {
            output[1] = Some(rustix::io::fcntl_dupfd_cloexec(first, 3).map_err(failed)?);
            continue;
        }
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
        // The agent may open its standard streams by name (`/dev/stderr`), as their owner.
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(user.uid),
            rustix::fs::Gid::from_raw(user.gid),
        );
        rustix::fs::fchown(&write, Some(uid), Some(gid)).map_err(failed)?;
        relays.push(Relay {
            from: read,
            to: if index == 0 { 1 } else { 2 },
        });
        output[index] = Some(write);
    }
    Ok((output, relays))
}
