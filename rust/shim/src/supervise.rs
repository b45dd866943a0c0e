//! The shim's main loop while the agent runs: relays output and terminal, passes signals on, keeps time and amounts.

use crate::clock;
use crate::meter::{Hit, Meter};
use crate::record::Recorder;
use crate::stand_in;
use replicante_core::policy::Resources;
use replicante_sandbox::launch::{Exit, Message, Sandbox};
use replicante_sandbox::{sys, terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
const SIGWINCH: i32 = 28;
/// Signals that the loop reads from a descriptor; all but the last are passed on to the agent.
pub const SIGNALS: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH];

const TICK_NS: u64 = 100_000_000;
const GRACE_NS: u64 = 2_000_000_000;
/// Bytes that a pipe takes without blocking once it is ready (`PIPE_BUF`).
const SLICE: usize = 4096;

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Agent(Exit),
    NotExecuted(i32),
    /// A time limit of L1, by its key.
    Time(&'static str),
    /// Our own failure: the journal, or the sandbox's first process died.
    Failed(String),
}

/// Output of the agent on its way to the caller.
pub struct Relay {
    pub from: OwnedFd,
    /// 1 or 2.
    pub to: i32,
}

/// Everything the loop watches.
pub struct Watch<'a> {
    pub sandbox: &'a Sandbox,
    pub signals: OwnedFd,
    pub recorder: &'a Recorder,
    pub limits: &'a Resources,
    pub meter: Meter,
    pub relays: Vec<Relay>,
    pub terminal: Option<OwnedFd>,
    /// The caller's terminal in raw mode, while the agent has its own.
    pub raw: Option<terminal::Raw>,
}

struct Pump {
    from: Option<OwnedFd>,
    to: i32,
    waiting: Vec<u8>,
}

/// Runs until the agent's program ends and its output is passed on.
pub fn run(watch: Watch<'_>) -> Ending {
    Loop::new(watch).run()
}

struct Loop<'a> {
    watch: Watch<'a>,
    pumps: Vec<Pump>,
    started_ns: u64,
    active_ns: u64,
    looked_ns: u64,
    written: u64,
    dropped: u64,
    warned: bool,
    /// Set once a time limit was reached: when to stop waiting for the agent to end by itself.
    ending: Option<(&'static str, u64)>,
    stdin_open: bool,
}

impl<'a> Loop<'a> {
    fn new(mut watch: Watch<'a>) -> Self {
        let relays = std::mem::take(&mut watch.relays);
        let pumps = relays.into_iter().map(|relay| Pump {
            from: Some(relay.from),
            to: relay.to,
            waiting: Vec::new(),
        });
        let now = clock::boot_ns();
        Self {
            pumps: pumps.collect(),
            stdin_open: watch.terminal.is_some(),
            watch,
            started_ns: now,
            active_ns: now,
            looked_ns: now,
            written: 0,
            dropped: 0,
            warned: false,
            ending: None,
        }
    }

    fn run(mut self) -> Ending {
        loop {
            let ready = self.wait();
            for kind in &ready {
                match kind {
                    Kind::Signal => self.signals(),
                    Kind::Terminal => self.read_terminal(),
                    Kind::Stdin => self.feed_terminal(),
                    Kind::In(index) => self.fill(*index),
                    Kind::Out(index) => self.empty(*index),
                    Kind::Channel => {}
                }
            }
            if let Some(ending) = self.amounts() {
                self.watch.sandbox.kill();
                return self.drained(ending);
            }
            if ready.contains(&Kind::Channel) {
                let ending = match self.watch.sandbox.next() {
                    Ok(Message::Ended(exit)) => match self.ending {
                        Some((key, _)) => Ending::Time(key),
                        None => Ending::Agent(exit),
                    },
                    Ok(Message::NotExecuted(errno)) => Ending::NotExecuted(errno),
                    Ok(Message::Closed) => match self.ending {
                        Some((key, _)) => Ending::Time(key),
                        None => Ending::Failed("the sandbox's first process was killed".into()),
                    },
                    Ok(other) => Ending::Failed(format!("unexpected message {other:?}")),
                    Err(error) => Ending::Failed(error.to_string()),
                };
                // Everything that the agent left in the background ends with its first process.
                self.watch.sandbox.kill();
                return self.drained(ending);
            }
        }
    }

    fn wait(&self) -> Vec<Kind> {
        let stdin = rustix::stdio::stdin();
        let mut entries = vec![
            PollFd::from_borrowed_fd(self.watch.sandbox.channel(), PollFlags::IN),
            PollFd::new(&self.watch.signals, PollFlags::IN),
        ];
        let mut kinds = vec![Kind::Channel, Kind::Signal];
        if let Some(master) = &self.watch.terminal {
            entries.push(PollFd::new(master, PollFlags::IN));
            kinds.push(Kind::Terminal);
            if self.stdin_open {
                entries.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
                kinds.push(Kind::Stdin);
            }
        }
        for (index, pump) in self.pumps.iter().enumerate() {
            if !pump.waiting.is_empty() {
                entries.push(PollFd::from_borrowed_fd(stream(pump.to), PollFlags::OUT));
                kinds.push(Kind::Out(index));
            } else if let Some(from) = &pump.from {
                entries.push(PollFd::new(from, PollFlags::IN));
                kinds.push(Kind::In(index));
            }
        }
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(TICK_NS).unwrap_or(0),
        };
        if poll(&mut entries, Some(&timeout)).is_err() {
            return Vec::new();
        }
        let ready = entries
            .iter()
            .zip(kinds)
            .filter(|(entry, _)| !entry.revents().is_empty());
        ready.map(|(_, kind)| kind).collect()
    }

    fn signals(&self) {
        while let Some(signal) = sys::next_signal(&self.watch.signals) {
            if signal == SIGWINCH {
                if let Some(master) = &self.watch.terminal {
                    // The window may be gone; the next signal tells.
                    let _ = terminal::resize(master.as_fd());
                }
            } else {
                // A first process that is gone is seen on the channel.
                let _ = self.watch.sandbox.forward(signal);
            }
        }
    }

    fn read_terminal(&mut self) {
        let Some(master) = &self.watch.terminal else {
            return;
        };
        let mut buffer = [0u8; 16 * 1024];
        // EIO: no process has the terminal open just now.
        let Ok(length) = rustix::io::read(master, &mut buffer[..]) else {
            return;
        };
        self.active_ns = clock::boot_ns();
        self.emit(1, &buffer[..length]);
    }

    fn feed_terminal(&mut self) {
        let Some(master) = &self.watch.terminal else {
            return;
        };
        let mut buffer = [0u8; SLICE];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(0) => self.stdin_open = false,
            Ok(length) if self.suspends(&buffer[..length]) => self.suspend(),
            Ok(length) => {
                let mut rest = &buffer[..length];
                while let Ok(written) = rustix::io::write(master, rest) {
                    rest = &rest[written..];
                    if rest.is_empty() {
                        break;
                    }
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.stdin_open = false,
        }
    }

    /// Whether this input is the suspend character, meant for the agent's own program. Its process group is orphaned, so
    /// the kernel would drop the signal; groups below it (jobs of a shell inside) are stopped by the kernel as usual.
    fn suspends(&self, input: &[u8]) -> bool {
        let Some(master) = &self.watch.terminal else {
            return false;
        };
        terminal::is_suspend(master.as_fd(), input) && stand_in::leads(self.watch.sandbox.pid, master.as_fd())
    }

    /// Stops the agent and then ourselves, with the terminal as the caller had it; goes on at SIGCONT.
    fn suspend(&mut self) {
        // A first process that is gone is seen on the channel; a terminal that is gone, at the next read.
        let _ = self.watch.sandbox.forward(SIGSTOP);
        self.watch.raw = None;
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        self.watch.raw = terminal::Raw::enter().ok();
        let _ = self.watch.sandbox.forward(SIGCONT);
    }

    fn fill(&mut self, index: usize) {
        let mut buffer = vec![0u8; 64 * 1024];
        let Some(from) = &self.pumps[index].from else {
            return;
        };
        match rustix::io::read(from, &mut buffer[..]) {
            Ok(0) => self.pumps[index].from = None,
            Ok(length) => {
                self.active_ns = clock::boot_ns();
                let allowed = self.allowed(length);
                self.pumps[index].waiting.extend(&buffer[..allowed]);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.pumps[index].from = None,
        }
    }

    fn empty(&mut self, index: usize) {
        let pump = &mut self.pumps[index];
        let slice = &pump.waiting[..pump.waiting.len().min(SLICE)];
        match rustix::io::write(stream(pump.to), slice) {
            Ok(written) => {
                pump.waiting.drain(..written);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => {
                // The reader is gone: the agent gets its SIGPIPE as it would without us.
                pump.waiting.clear();
                pump.from = None;
            }
        }
    }

    /// How many of `length` bytes the `output` limit lets through.
    fn allowed(&mut self, length: usize) -> usize {
        let left = self.watch.limits.output.saturating_sub(self.written);
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        self.written += allowed as u64;
        self.dropped += (length - allowed) as u64;
        allowed
    }

    /// Writes terminal output at once; a terminal that blocks holds the agent up, as it would without us.
    fn emit(&mut self, to: i32, bytes: &[u8]) {
        let allowed = self.allowed(bytes.len());
        let mut rest = &bytes[..allowed];
        while !rest.is_empty() {
            match rustix::io::write(stream(to), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }

    /// Time limits and stand-ins; gives an ending when the run must end now.
    fn amounts(&mut self) -> Option<Ending> {
        let now = clock::boot_ns();
        if let Some((key, deadline)) = self.ending {
            return (now >= deadline).then_some(Ending::Time(key));
        }
        if now.saturating_sub(self.looked_ns) < TICK_NS {
            return None;
        }
        self.looked_ns = now;
        self.watch.recorder.tick();
        if let Some(why) = self.watch.recorder.failure() {
            return Some(Ending::Failed(why));
        }
        let limits = self.watch.limits;
        let (cpu_ns, hits) = self.watch.meter.look();
        for hit in hits {
            self.watch.recorder.limit(&hit);
        }
        let ran = now - self.started_ns;
        if !self.warned && ran >= limits.wall_time / 10 * 9 {
            self.warned = true;
            let left = (limits.wall_time - ran.min(limits.wall_time)) / 1_000_000_000;
            say(&format!("replicante: wall-time ends in {left} s"));
        }
        let spent = [
            ("wall-time", ran, limits.wall_time),
            ("cpu-time", cpu_ns, limits.cpu_time),
            ("idle-time", now.saturating_sub(self.active_ns), limits.idle_time),
        ];
        if let Some((key, used, limit)) = spent.into_iter().find(|(_, used, limit)| used >= limit) {
            self.watch.recorder.limit(&Hit {
                key,
                used,
                limit,
                count: 1,
            });
            say(&format!("replicante: {key} is spent, the run ends"));
            // A process that is gone already is seen on the channel.
            let _ = self.watch.sandbox.forward(SIGTERM);
            self.ending = Some((key, now + GRACE_NS));
        }
        None
    }

    /// Passes on what is left in the pipes; everything that could write to them is dead.
    fn drained(mut self, ending: Ending) -> Ending {
        for hit in self.watch.meter.rest() {
            self.watch.recorder.limit(&hit);
        }
        self.read_terminal();
        for index in 0..self.pumps.len() {
            while self.pumps[index].from.is_some() || !self.pumps[index].waiting.is_empty() {
                if self.pumps[index].waiting.is_empty() {
                    self.fill(index);
                } else {
                    self.empty(index);
                }
            }
        }
        if self.dropped > 0 {
            say(&format!(
                "replicante: {} bytes of output were dropped (limit `output`)",
                self.dropped
            ));
            let fields = serde_json::json!({"bytes": self.dropped});
            // As above.
            let _ = self.watch.recorder.life("output.lost", &fields);
        }
        ending
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Channel,
    Signal,
    Terminal,
    Stdin,
    In(usize),
    Out(usize),
}

fn stream(number: i32) -> BorrowedFd<'static> {
    if number == 2 {
        rustix::stdio::stderr()
    } else {
        rustix::stdio::stdout()
    }
}

fn say(line: &str) {
    // A closed standard error is the caller's choice.
    let _ = writeln!(std::io::stderr(), "{line}");
}
