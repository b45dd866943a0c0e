//! The agent's own terminal: a pty inside, relayed by the shim. Sources: pty(7), termios(3).

use crate::error::{During, StepError};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Whether the caller's standard input is a terminal.
pub fn on_terminal() -> bool {
    isatty(rustix::stdio::stdin())
}

/// Opens a terminal pair in the sandbox's own devpts.
///
/// # Errors
/// When `/dev/ptmx` can't be opened inside.
pub fn open_pair() -> Result<(OwnedFd, OwnedFd), StepError> {
    let step = "open a terminal inside";
    let master = openat(
        CWD,
        "/dev/ptmx",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .during(step, "/dev/ptmx")?;
    grantpt(&master).during(step, "/dev/ptmx")?;
    unlockpt(&master).during(step, "/dev/ptmx")?;
    let slave = ioctl_tiocgptpeer(
        &master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )
    .during(step, "/dev/pts")?;
    Ok((master, slave))
}

/// Makes `slave` the controlling terminal and the standard streams of this session leader. Streams that the caller had
/// redirected stay as they are.
///
/// # Errors
/// As `TIOCSCTTY` and dup2(2).
pub fn adopt(slave: &OwnedFd) -> Result<(), StepError> {
    let step = "take the terminal";
    rustix::process::ioctl_tiocsctty(slave).during(step, "slave")?;
    rustix::stdio::dup2_stdin(slave).during(step, "stdin")?;
    if isatty(rustix::stdio::stdout()) {
        rustix::stdio::dup2_stdout(slave).during(step, "stdout")?;
    }
    if isatty(rustix::stdio::stderr()) {
        rustix::stdio::dup2_stderr(slave).during(step, "stderr")?;
    }
    Ok(())
}

/// Whether `input` is the terminal's suspend character, and the terminal makes a signal of it (`ISIG`, termios(3)).
pub fn is_suspend(master: BorrowedFd<'_>, input: &[u8]) -> bool {
    let Ok(modes) = tcgetattr(master) else {
        return false;
    };
    let suspend = modes.special_codes[rustix::termios::SpecialCodeIndex::VSUSP];
    modes.local_modes.contains(rustix::termios::LocalModes::ISIG) && input == [suspend]
}

/// The caller's terminal in raw mode; its old modes come back when this is dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// # Errors
    /// As tcsetattr(3).
    pub fn enter() -> Result<Self, StepError> {
        let before = tcgetattr(rustix::stdio::stdin()).during("read the terminal's modes", "stdin")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)
            .during("set the terminal's modes", "stdin")?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone by now; there is nobody left to tell.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Gives the inner terminal the size and modes of the caller's.
///
/// # Errors
/// As the ioctls of termios(3).
pub fn resemble(master: BorrowedFd<'_>, modes: Option<&Raw>) -> Result<(), StepError> {
    if let Some(raw) = modes {
        tcsetattr(master, OptionalActions::Now, &raw.before).during("set the terminal's modes", "inner")?;
    }
    resize(master)
}

/// Passes the window's size on.
///
/// # Errors
/// As `TIOCSWINSZ`.
pub fn resize(master: BorrowedFd<'_>) -> Result<(), StepError> {
    let size: Winsize =
        tcgetwinsize(rustix::stdio::stdin().as_fd()).during("read the window's size", "stdin")?;
    tcsetwinsize(master, size).during("set the window's size", "inner")
}
