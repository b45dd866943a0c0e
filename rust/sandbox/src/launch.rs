//! Starting a sandbox, as the shim sees it: fork, map the user, serve what the first process asks for, let it run.
//!
//! The messages between shim and first process go over one socket pair of datagrams. The first byte says which it is; a
//! description follows where there is one, descriptors ride along. The order is `kernel.md` §2.

use crate::error::{During, StepError};
use crate::helper::Helper;
use crate::init;
use crate::landlock;
use crate::limits::Limits;
use crate::namespaces;
use crate::net;
use crate::sys::{self, Cloned};
use crate::view::{Layout, Trees, View, open_trees};
use replicante_core::seccomp::Instruction;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Everything that is decided before the sandbox starts.
pub struct Spec {
    pub argv: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    pub cwd: String,
    pub view: View,
    pub layout: Layout,
    pub served: Served,
    /// What the helper keeps open to its end. KERNEL: the last close of an inotify descriptor waits some 10 ms, which would
    /// be the launcher's own end.
    pub kept: Option<OwnedFd>,
    pub landlock: landlock::Plan,
    /// Whether the policy accepts the mounts alone where there is no Landlock.
    pub accept_no_landlock: bool,
    pub filter: Vec<Instruction>,
    pub limits: Limits,
    pub keep: CapabilitySet,
    pub user: User,
    pub terminal: bool,
    /// What of the network reaches the shim; `None`: a loopback device alone.
    pub network: Option<net::Plan>,
    /// The control group in which the sandbox is born; `None`: the caller's own.
    pub group: Option<OwnedFd>,
    /// What the agent gets as standard output and error; `None`: the terminal, else the caller's own.
    pub output: [Option<OwnedFd>; 2],
}

/// What the FUSE server answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Nothing: masks are plain objects of mode 000, and attempts are not seen.
    Nothing,
    /// The layout.
    Layout,
    /// The layout and masks that are placed while the agent runs.
    Later,
}

/// Who the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Owner of files on disk that the agent's user stands for, where root starts the sandbox.
    pub owner: Option<(u32, u32)>,
}

/// What was set up, as read back: the facts behind the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub landlock: String,
    /// Names of the view that vanished between plan and build.
    pub gone: Vec<String>,
}

/// How the agent's program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// One message of the first process.
#[derive(Debug)]
pub enum Message {
    /// `/dev/fuse` of the masks: serve it, then answer `served`. With it the sandbox's `/proc`.
    Fuse {
        device: OwnedFd,
        proc: OwnedFd,
    },
    /// The root of the served file system, from which the helper takes masks.
    Masks(OwnedFd),
    Terminal(OwnedFd),
    /// What was opened in the sandbox's network, for the egress proxy.
    Network(net::Listeners),
    /// The filter is on: its notifications.
    Listener(OwnedFd),
    /// All is in force; waits for `Go`.
    Ready(Facts),
    Failed(StepError),
    /// The program could not be executed.
    NotExecuted(i32),
    Ended(Exit),
    /// The first process is gone.
    Closed,
}

pub(crate) mod tag {
    pub const MAPPED: u8 = b'M';
    pub const FUSE: u8 = b'U';
    pub const SERVED: u8 = b'S';
    pub const MASKS: u8 = b'D';
    pub const NETWORK: u8 = b'I';
    pub const TERMINAL: u8 = b'P';
    pub const LISTENER: u8 = b'L';
    pub const READY: u8 = b'R';
    pub const GO: u8 = b'G';
    pub const FAILED: u8 = b'F';
    pub const NOT_EXECUTED: u8 = b'N';
    pub const CODE: u8 = b'C';
    pub const SIGNAL: u8 = b'K';
    pub const FORWARD: u8 = b'>';
}

/// A sandbox whose first process runs.
pub struct Sandbox {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// Places masks while the agent runs, where that was asked for.
    pub helper: Option<Helper>,
    channel: OwnedFd,
}

/// Forks the sandbox's first process and maps its user. The caller must have one thread.
///
/// # Errors
/// The step that failed; then no process is left.
pub fn start(spec: &Spec) -> Result<Sandbox, StepError> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .during("start", "socket pair")?;
    if spec.user.owner.is_some() {
        // A user namespace keeps supplementary groups, unmapped but able to open files: root's must not stay.
        rustix::thread::set_thread_groups(&[]).during("drop supplementary groups", "shim")?;
    }
    // As root trees are opened with the caller's rights and mapped to the agent's user; else in the new namespace.
    let opened = match spec.user.owner {
        Some(owner) => {
            let mapping = owner_mapping(owner, (spec.user.uid, spec.user.gid))?;
            Some(open_trees(&spec.view, Some(mapping.as_fd()))?)
        }
        None => None,
    };
    let group = spec.group.as_ref().map(AsFd::as_fd);
    match sys::clone_sandbox(group)
        .during("make the namespaces", "user, mount, pid, net, ipc, uts, cgroup")?
    {
        Cloned::Child => {
            drop(ours);
            init::run(spec, &theirs, opened)
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            drop(opened);
            let mut sandbox = Sandbox {
                pid,
                pidfd,
                helper: None,
                channel: ours,
            };
            if spec.served == Served::Later {
                // Its first process waits for its mapping and hides only after that.
                let helper = Helper::fork(pid, spec.user, spec.kept.as_ref().map(OwnedFd::as_fd))
                    .inspect_err(|_| sandbox.kill())?;
                sandbox.helper = Some(helper);
            }
            let user = (spec.user.uid, spec.user.gid);
            namespaces::map_user(pid.as_raw_nonzero().get(), user, user)
                .and_then(|()| sandbox.send(tag::MAPPED, &[]))
                .inspect_err(|_| sandbox.kill())?;
            Ok(sandbox)
        }
    }
}

/// A user namespace that maps `owner` on disk to `user`; its process ends at once, the descriptor keeps it.
fn owner_mapping(owner: (u32, u32), user: (u32, u32)) -> Result<OwnedFd, StepError> {
    let step = "map the owner";
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .during(step, "socket pair")?;
    match sys::clone_user_namespace().during(step, "user namespace")? {
        Cloned::Child => {
            drop(ours);
            // Waits until the parent has what it wants; then the end of file ends this process.
            let _ = sys::receive_with_fds(&theirs, 1);
            sys::leave(0)
        }
        Cloned::Parent { pid, .. } => {
            drop(theirs);
            let raw = pid.as_raw_nonzero().get();
            let opened = namespaces::map_owner(raw, owner, user).and_then(|()| {
                let path = format!("/proc/{raw}/ns/user");
                let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
                rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty()).during(step, &path)
            });
            drop(ours);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            opened
        }
    }
}

impl Sandbox {
    /// Waits for the next message. Blocks.
    ///
    /// # Errors
    /// When a message can't be understood: the first process is not what it should be.
    pub fn next(&self) -> Result<Message, StepError> {
        let (bytes, mut fds) =
            sys::receive_with_fds(&self.channel, 16 * 1024).during("hear the sandbox", "channel")?;
        let Some((kind, body)) = bytes.split_first() else {
            return Ok(Message::Closed);
        };
        let strange = || {
            StepError::because(
                "hear the sandbox",
                "channel",
                format!("unexpected message {kind}"),
            )
        };
        let number = || body.try_into().ok().map(i32::from_ne_bytes).ok_or_else(strange);
        Ok(match *kind {
            tag::FUSE => {
                let proc = fds.pop().ok_or_else(strange)?;
                Message::Fuse {
                    device: fds.pop().ok_or_else(strange)?,
                    proc,
                }
            }
            tag::MASKS => Message::Masks(fds.pop().ok_or_else(strange)?),
            tag::NETWORK => Message::Network(net::Listeners::unpack(body, fds).ok_or_else(strange)?),
            tag::TERMINAL => Message::Terminal(fds.pop().ok_or_else(strange)?),
            tag::LISTENER => Message::Listener(fds.pop().ok_or_else(strange)?),
            tag::READY => Message::Ready(serde_json::from_slice(body).map_err(|_| strange())?),
            tag::FAILED => Message::Failed(serde_json::from_slice(body).map_err(|_| strange())?),
            tag::NOT_EXECUTED => Message::NotExecuted(number()?),
            tag::CODE => Message::Ended(Exit::Code(number()?)),
            tag::SIGNAL => Message::Ended(Exit::Signal(number()?)),
            _ => return Err(strange()),
        })
    }

    /// Tells the first process that the masks are served.
    ///
    /// # Errors
    /// When it is gone.
    pub fn served(&self) -> Result<(), StepError> {
        self.send(tag::SERVED, &[])
    }

    /// Lets the agent run: its ledger is on disk.
    ///
    /// # Errors
    /// When the first process is gone.
    pub fn go(&self) -> Result<(), StepError> {
        self.send(tag::GO, &[])
    }

    /// Passes a signal on to the agent's process group.
    ///
    /// # Errors
    /// When the first process is gone.
    pub fn forward(&self, signal: i32) -> Result<(), StepError> {
        self.send(tag::FORWARD, &signal.to_ne_bytes())
    }

    /// Ends every process of the sandbox at once.
    pub fn kill(&self) {
        // Fails only when the process has ended already, which is what is wanted.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// The descriptor that becomes readable when there is a message.
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    fn send(&self, kind: u8, body: &[u8]) -> Result<(), StepError> {
        let mut bytes = vec![kind];
        bytes.extend(body);
        sys::send_with_fds(&self.channel, &bytes, &[]).during("tell the sandbox", "channel")
    }
}

/// The trees that were opened by the caller, if it was root.
pub(crate) type Opened = Option<Trees>;
