//! The first process of a sandbox (pid 1): builds everything, starts the agent, reaps, and ends with it.
//!
//! Runs in a copy of the shim's address space, made while that had one thread, so it may allocate. It returns from
//! nothing: every way out is `leave`.

use crate::error::{During, StepError};
use crate::launch::{Facts, Opened, Served, Spec, tag};
use crate::sys::{self, Cloned};
use crate::{capabilities, landlock, limits, namespaces, net, terminal, title, view};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};
use rustix::thread::CapabilitySet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const SIGCHLD: i32 = 17;

/// Runs the sandbox's first process to its end.
pub fn run(spec: &Spec, channel: &OwnedFd, opened: Opened) -> ! {
    match set_up(spec, channel, opened) {
        Ok(agent) => watch(&agent, channel),
        Err(error) => {
            fail(channel, &error);
            sys::leave(125)
        }
    }
}

/// The agent's process, and the pipe that lets it go on to its program. Only this process reads the channel.
struct Agent {
    pid: Pid,
    gate: OwnedFd,
}

/// Everything up to the agent's own process, in the order of `kernel.md` §2.
fn set_up(spec: &Spec, channel: &OwnedFd, opened: Opened) -> Result<Agent, StepError> {
    expect(channel, tag::MAPPED)?;
    title::hide("init")?;
    if spec.group.is_some() {
        // KERNEL: the namespace made at birth begins at the parent's group, not at the one that was joined by birth.
        sys::begin_cgroup_namespace().during("make the namespaces", "cgroup")?;
    }
    let fuse = (spec.served != Served::Nothing).then(open_fuse).transpose()?;
    let trees = match opened {
        Some(trees) => trees,
        None => view::open_trees(&spec.view, None)?,
    };
    become_user(spec)?;
    // Nobody inside may look into this process, which has seen the host; exec gives the agent its own setting.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .during("hide from the agent", "init")?;
    // After the last change of credentials, which clears it; then look whether the parent died before it was set.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).during("tie to the shim", "init")?;
    let bounds = namespaces::Bounds::open()?;
    namespaces::name_host("sandbox")?;
    network(spec, channel)?;
    let mut start = |device: BorrowedFd<'_>, proc: BorrowedFd<'_>| {
        sys::send_with_fds(channel, &[tag::FUSE], &[device, proc]).during("serve the masks", "/dev/fuse")?;
        expect(channel, tag::SERVED)
    };
    let fuse = fuse.map(|device| view::Fuse {
        device,
        start: &mut start,
        uid: spec.user.uid,
        gid: spec.user.gid,
    });
    let built = view::build(&spec.view, &spec.layout, trees, fuse)?;
    if let Some(masks) = built.masks.filter(|_| spec.served == Served::Later) {
        sys::send_with_fds(channel, &[tag::MASKS], &[masks.as_fd()])
            .during("hand the masks out", "helper")?;
    }
    bounds.close(spec.served)?;
    let pair = if spec.terminal {
        Some(terminal::open_pair()?)
    } else {
        None
    };
    if let Some((master, _)) = &pair {
        sys::send_with_fds(channel, &[tag::TERMINAL], &[master.as_fd()])
            .during("hand the terminal out", "master")?;
    }
    let slave = pair.map(|(_, slave)| slave);
    let (waiting, gate) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during("start the agent", "pipe")?;
    match sys::fork().during("start the agent", "fork")? {
        Cloned::Child => {
            drop(gate);
            let ends = Ends {
                channel,
                slave,
                waiting,
            };
            let error = agent(spec, ends, built.gone);
            fail(channel, &error);
            sys::leave(125)
        }
        Cloned::Parent { pid, .. } => {
            capabilities::restrict(CapabilitySet::empty())?;
            Ok(Agent { pid, gate })
        }
    }
}

/// Sets the network up, and hands out what is served from outside.
fn network(spec: &Spec, channel: &OwnedFd) -> Result<(), StepError> {
    let Some(plan) = &spec.network else {
        return net::loopback_up();
    };
    let listeners = net::set_up(plan)?;
    let (bytes, fds) = listeners.packed();
    let fds: Vec<BorrowedFd<'_>> = fds.into_iter().map(AsFd::as_fd).collect();
    let message = [&[tag::NETWORK][..], &bytes].concat();
    sys::send_with_fds(channel, &message, &fds).during("hand the network out", "listeners")
}

/// The user of the sandbox, keeping the namespace's capabilities for the mounts to come.
fn become_user(spec: &Spec) -> Result<(), StepError> {
    let (uid, gid) = (
        rustix::process::Uid::from_raw(spec.user.uid),
        rustix::process::Gid::from_raw(spec.user.gid),
    );
    rustix::thread::set_thread_res_gid(gid, gid, gid).during("become the agent's user", "gid")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during("become the agent's user", "uid")
}

fn open_fuse() -> Result<OwnedFd, StepError> {
    // KERNEL: opened in the new user namespace, else the mount is refused (EINVAL).
    openat(CWD, "/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .during("serve the masks", "/dev/fuse")
}

/// Becomes the agent; returns only the error.
fn agent(spec: &Spec, ends: Ends<'_>, gone: Vec<String>) -> StepError {
    match confine(spec, ends, gone) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

enum Never {}

/// What the agent's process has of the others: where to report, its terminal, and the pipe at which it waits.
struct Ends<'a> {
    channel: &'a OwnedFd,
    slave: Option<OwnedFd>,
    waiting: OwnedFd,
}

fn confine(spec: &Spec, ends: Ends<'_>, gone: Vec<String>) -> Result<Never, StepError> {
    let Ends {
        channel,
        slave,
        waiting,
    } = ends;
    rustix::process::setsid().during("start a session", "agent")?;
    if let Some(slave) = slave {
        terminal::adopt(&slave)?;
    }
    if let Some(stdout) = &spec.output[0] {
        rustix::stdio::dup2_stdout(stdout).during("take the output", "stdout")?;
    }
    if let Some(stderr) = &spec.output[1] {
        rustix::stdio::dup2_stderr(stderr).during("take the output", "stderr")?;
    }
    rustix::process::chdir(spec.cwd.as_str()).during("enter the working directory", &spec.cwd)?;
    sys::close_on_exec_from(3).during("close inherited descriptors", "agent")?;
    limits::apply(&spec.limits)?;
    sys::default_signals();
    capabilities::restrict(spec.keep)?;
    rustix::thread::set_no_new_privs(true).during("forbid new privileges", "agent")?;
    let enforced = landlock::restrict(&spec.landlock)?;
    if enforced == landlock::Enforced::Not && !spec.accept_no_landlock {
        return Err(StepError::because(
            "restrict by Landlock",
            "kernel",
            "this kernel has no Landlock; boot with lsm=landlock or let the policy say `accept weaker landlock`",
        ));
    }
    let argv = strings(&spec.argv)?;
    let env = strings(&spec.env)?;
    let program = program(spec)?;
    let facts = Facts {
        landlock: format!("{enforced:?}").to_lowercase(),
        gone,
    };
    let listener = sys::install_filter(&spec.filter).during("install the filter", "seccomp")?;
    sys::send_with_fds(channel, &[tag::LISTENER], &[listener.as_fd()])
        .during("hand the filter out", "listener")?;
    drop(listener);
    send_json(channel, tag::READY, &facts)?;
    let mut go = [0u8; 1];
    if rustix::io::retry_on_intr(|| rustix::io::read(&waiting, &mut go[..])) != Ok(1) {
        return Err(StepError::because("hear the shim", "pipe", "the shim is gone"));
    }
    let mut last = rustix::io::Errno::NOENT;
    for path in &program {
        last = sys::exec(path, &argv, &env);
        // As execvp(3): a directory that lacks the program or may not be looked into is passed over.
        if last != rustix::io::Errno::NOENT
            && last != rustix::io::Errno::NOTDIR
            && last != rustix::io::Errno::ACCESS
        {
            break;
        }
        if last == rustix::io::Errno::ACCESS && rustix::fs::lstat(path.as_c_str()).is_ok() {
            break;
        }
    }
    let mut bytes = vec![tag::NOT_EXECUTED];
    bytes.extend(last.raw_os_error().to_ne_bytes());
    // The shim may be gone; this process ends either way.
    let _ = sys::send_with_fds(channel, &bytes, &[]);
    sys::leave(if last == rustix::io::Errno::NOENT {
        127
    } else {
        126
    })
}

/// The places where the program may stand: as given, or along the sandbox's own PATH.
fn program(spec: &Spec) -> Result<Vec<CString>, StepError> {
    let name = spec.argv.first().map_or("", String::as_str);
    if name.contains('/') {
        return strings(&[name.to_owned()]);
    }
    let path = spec
        .env
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or("/usr/bin:/bin");
    let places: Vec<String> = path
        .split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| view::join(directory, name))
        .collect();
    strings(&places)
}

fn strings(list: &[String]) -> Result<Vec<CString>, StepError> {
    list.iter()
        .map(|item| {
            CString::new(item.as_str())
                .map_err(|_| StepError::because("start the agent", "arguments", "a NUL byte"))
        })
        .collect()
}

/// Reaps until the agent ends, passes signals on, and dies with the shim.
fn watch(agent: &Agent, channel: &OwnedFd) -> ! {
    let Ok(signals) = sys::signal_fd(&[SIGCHLD]) else {
        sys::leave(125)
    };
    // It may have ended before its signal was awaited.
    reap_all(agent, channel);
    loop {
        let mut ready = [
            PollFd::new(&signals, PollFlags::IN),
            PollFd::new(channel, PollFlags::IN),
        ];
        if let Err(error) = poll(&mut ready, None)
            && error != rustix::io::Errno::INTR
        {
            sys::leave(125);
        }
        let [child, message] = ready.map(|entry| entry.revents());
        if !child.is_empty() {
            while sys::next_signal(&signals).is_some() {}
            reap_all(agent, channel);
        }
        if !message.is_empty() {
            match sys::receive_with_fds(channel, 16) {
                Ok((bytes, _)) => pass_on(agent, &bytes),
                Err(_) => sys::leave(125),
            }
        }
    }
}

fn reap_all(agent: &Agent, channel: &OwnedFd) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == agent.pid {
            finish(channel, status);
        }
    }
}

/// A message of the shim; an empty one says that it is gone, and then so is everything here.
fn pass_on(agent: &Agent, bytes: &[u8]) {
    match bytes {
        [] => sys::leave(137),
        [tag::GO] => {
            // An agent that is gone is seen by its signal.
            let _ = rustix::io::write(&agent.gate, &[tag::GO]);
        }
        [tag::FORWARD, number @ ..] => {
            let signal = number
                .try_into()
                .ok()
                .map(i32::from_ne_bytes)
                .and_then(Signal::from_named_raw);
            if let Some(signal) = signal {
                // The agent may have ended meanwhile.
                let _ = rustix::process::kill_process_group(agent.pid, signal);
            }
        }
        _ => {}
    }
}

fn finish(channel: &OwnedFd, status: WaitStatus) -> ! {
    let (kind, number) = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (tag::CODE, code),
        (None, Some(signal)) => (tag::SIGNAL, signal),
        (None, None) => (tag::CODE, 125),
    };
    let mut bytes = vec![kind];
    bytes.extend(number.to_ne_bytes());
    // When the shim is gone there is nobody to tell.
    let _ = sys::send_with_fds(channel, &bytes, &[]);
    sys::leave(0)
}

fn expect(channel: &OwnedFd, kind: u8) -> Result<(), StepError> {
    let (bytes, _) = sys::receive_with_fds(channel, 16).during("hear the shim", "channel")?;
    if bytes.first() == Some(&kind) {
        Ok(())
    } else {
        Err(StepError::because("hear the shim", "channel", "the shim is gone"))
    }
}

fn send_json(channel: &OwnedFd, kind: u8, body: &impl serde::Serialize) -> Result<(), StepError> {
    let mut bytes = vec![kind];
    let json = serde_json::to_vec(body)
        .map_err(|error| StepError::because("tell the shim", "facts", error.to_string()))?;
    bytes.extend(json);
    sys::send_with_fds(channel, &bytes, &[]).during("tell the shim", "channel")
}

fn fail(channel: &OwnedFd, error: &StepError) {
    // When the shim is gone there is nobody to tell.
    let _ = send_json(channel, tag::FAILED, error);
}
