//! What the kernel refused by itself, told as it comes, and to the last packet when the agent has ended.

use super::by_address;
use super::gate::Gate;
use replicante_sandbox::net;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::net::unix::pipe;

/// How long the end of a run waits for what was refused last.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log of the sandbox's network.
pub struct Log(UnixDatagram);

/// The proxy's side of the question for what was refused last.
pub struct Last {
    asked: OwnedFd,
    told: SyncSender<()>,
}

/// By which the end of a run asks for it.
pub struct Rest {
    ask: OwnedFd,
    told: Receiver<()>,
}

/// Both sides of the question.
///
/// # Errors
/// When no descriptor is left.
pub fn last() -> io::Result<(Rest, Last)> {
    let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
    let (asked, ask) = rustix::pipe::pipe_with(flags)?;
    let (tell, told) = sync_channel(1);
    Ok((Rest { ask, told }, Last { asked, told: tell }))
}

impl Rest {
    /// Waits until all that was refused so far is recorded.
    pub fn wait(self) {
        drop(self.ask);
        // A proxy that is gone has ended the run, and one that can't keep up must not hold it.
        let _ = self.told.recv_timeout(PATIENCE);
    }
}

impl Log {
    pub fn new(log: OwnedFd) -> io::Result<Self> {
        // A netlink socket; of this type only the waiting for readiness is used.
        UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(log)).map(Self)
    }

    /// Records what is refused, for ever.
    ///
    /// # Errors
    /// When the log breaks.
    pub async fn tell(&self, gate: &Gate) -> io::Result<()> {
        loop {
            let some = || {
                if self.take(gate)? {
                    Ok(())
                } else {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            };
            self.0.async_io(Interest::READABLE, some).await?;
        }
    }

    /// Records the rest once that is asked for.
    ///
    /// # Errors
    /// When the log breaks.
    pub async fn end(&self, gate: &Gate, last: Last) -> io::Result<()> {
        let asked = pipe::Receiver::from_owned_fd(last.asked)?;
        asked.readable().await?;
        while self.take(gate)? {}
        // Nobody may wait any more.
        let _ = last.told.try_send(());
        Ok(())
    }

    /// Records what waits; whether there was something.
    fn take(&self, gate: &Gate) -> io::Result<bool> {
        let refused = net::refused(self.0.as_fd()).map_err(io::Error::other)?;
        for packet in &refused {
            let port = packet.port.unwrap_or(0);
            let target = by_address(gate, packet.destination, port).unwrap_or_else(|(target, _)| target);
            gate.refused_packet(&target, packet.protocol);
        }
        Ok(!refused.is_empty())
    }
}
