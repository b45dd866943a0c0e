//! One run, from the launch description to the exit code.

use crate::amounts::{self, bound};
use crate::broker::late::{self, Masker, Names, Watched};
use crate::broker::{masks, syscalls};
use crate::description::{self, Description, Seen};
use crate::egress;
use crate::ending::{complaint, exit_code};
use crate::environment::{Caller, environment};
use crate::error::ShimError;
use crate::journal::Journal;
use crate::ledger::{self, Guarantee, State};
use crate::meter::Meter;
use crate::output::outputs;
use crate::policy::Policy;
use crate::prepare::{served, user, view};
use crate::record::Recorder;
use crate::report;
use crate::secrets::Secrets;
use crate::supervise::{self, Relay, SIGNALS, Watch};
use crate::uid_lease::Lease;
use replicante_core::seccomp::{self, Arch, Verdict};
use replicante_sandbox::cgroup::{self, Group};
use replicante_sandbox::error::StepError;
use replicante_sandbox::launch::{Facts, Message, Sandbox, Served, Spec, User, start};
use replicante_sandbox::limits::Limits;
use replicante_sandbox::view::{Layout, Node, View, Visibility};
use replicante_sandbox::{capabilities, landlock, sys, terminal};
use rustix::fs::{Mode, OFlags, open};
use rustix::thread::CapabilitySet;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the description on descriptor `launch_fd` to its end and gives the exit code of `policy-language.md` §14.
///
/// # Errors
/// Why nothing was started.
pub fn run(launch_fd: RawFd) -> Result<u8, ShimError> {
    let description = description::read(launch_fd)?;
    let run_dir = description.run_dir.clone();
    let result = to_its_end(description);
    let code = result.as_ref().map_or_else(ShimError::exit_code, |code| *code);
    let why = result.as_ref().err().map(ToString::to_string);
    mark_finished(&run_dir, &json!({"code": code, "refused": why}));
    result
}

/// What a run of the description on descriptor `launch_fd` would set up, as JSON; nothing is started, and the run's
/// directory is removed.
///
/// # Errors
/// Why nothing would be started.
pub fn plan(launch_fd: RawFd) -> Result<serde_json::Value, ShimError> {
    let description = description::read(launch_fd)?;
    let run_dir = description.run_dir.clone();
    let planned = planned(description);
    // It is empty; a run's directory that stays is removed with the old ones.
    let _ = rustix::fs::rmdir(run_dir.as_str());
    planned
}

fn planned(description: Description) -> Result<serde_json::Value, ShimError> {
    let policy = Arc::new(Policy::read(&description)?);
    let mut run = Run::prepare(description, policy)?;
    let (spec, _) = run.spec()?;
    let compiled = run.policy.compiled();
    Ok(json!({
        "schema": 1, "policy": compiled.name, "identity": compiled.identity,
        "argv": spec.argv, "cwd": spec.cwd, "environment": spec.env, "user": spec.user,
        "namespaces": ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"],
        "network": spec.network, "files": spec.view, "landlock": spec.landlock, "capabilities": compiled.capabilities, "no_new_privileges": true,
        "system_calls": {"instructions": spec.filter.len(), "allowed": run.allowed_calls()},
        "limits": spec.limits, "control_group": run.group_plan, "refused_names_are_events": run.fuse,
        "terminal": spec.terminal, "ledger": run.guarantees,
    }))
}

/// Writes `exit.json`, last, so that the run's directory may be removed when it is old. Without it the run counts as
/// unfinished, which is what it is to a reader who can't see how it ended.
fn mark_finished(run_dir: &str, ending: &serde_json::Value) {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = open(
        format!("{run_dir}/exit.json").as_str(),
        flags,
        Mode::from_raw_mode(0o600),
    );
    if let Ok(file) = opened {
        let _ = rustix::io::write(&file, ending.to_string().as_bytes());
    }
}

fn to_its_end(description: Description) -> Result<u8, ShimError> {
    let policy = Arc::new(Policy::read(&description)?);
    let mut run = Run::prepare(description, policy)?;
    let journal = Journal::create(&run.description.run_dir)?;
    let recorder = Arc::new(Recorder::new(journal, run.description.explain)?);
    let signals = sys::signal_fd(&SIGNALS).map_err(|errno| StepError::new("watch signals", "shim", errno))?;
    let (mut spec, relays) = run.spec()?;
    let mut sandbox = start(&spec)?;
    if let Err(error) = run.group.as_ref().map_or(Ok(()), Group::born) {
        sandbox.kill();
        return Err(error.into());
    }
    // The agent's ends of the pipes are its own now.
    spec.output = [None, None];
    spec.kept = None;
    let ready = match run.bring_up(&sandbox, &spec, &recorder) {
        Ok(ready) => ready,
        Err(error) => {
            sandbox.kill();
            return Err(error);
        }
    };
    let raw = ready.terminal.as_ref().and_then(|master| {
        let raw = terminal::Raw::enter().ok()?;
        // A window without size is a terminal all the same.
        let _ = terminal::resemble(master.as_fd(), Some(&raw));
        Some(raw)
    });
    if let (Some(names), Some(helper)) = (run.late.take(), sandbox.helper.take()) {
        let masker = Masker {
            names,
            helper,
            table: spec.layout.table.clone(),
            policy: Arc::clone(&run.policy),
            recorder: Arc::clone(&recorder),
        };
        thread("late masks", Files::Listed, move || late::serve(masker))?;
    }
    ready.in_force.store(true, Ordering::Release);
    sandbox.go()?;
    let keeper = Arc::clone(&recorder);
    thread("journal", Files::None, move || keeper.keep_on_disk())?;
    let limits = run.policy.compiled().resources.clone();
    let ending = supervise::run(Watch {
        sandbox: &sandbox,
        signals,
        recorder: &recorder,
        limits: &limits,
        meter: Meter::new(
            sandbox.pid.as_raw_nonzero().get(),
            run.group.as_ref().map(amounts::measured),
            &limits,
        ),
        relays,
        terminal: ready.terminal,
        raw,
    });
    if let Some(refused) = ready.refused {
        refused.wait();
    }
    let (code, whose, words) = exit_code(&ending);
    let totals = recorder.finish("run.exit", &json!({"code": code, "whose": whose, "why": words}))?;
    if let Some(line) = complaint(&ending, &run.description.argv[0]) {
        // A closed standard error leaves the exit code to speak.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    }
    report::write(
        run.description.report,
        &run.policy,
        &totals,
        &words,
        &run.description.run,
    );
    // The process ends now: the kernel frees the policy's many small pieces in one go.
    std::mem::forget(Arc::clone(&run.policy));
    Ok(code)
}

/// What is decided before anything starts.
struct Run {
    description: Description,
    policy: Arc<Policy>,
    arch: Arch,
    /// Of every call; the filter is made from them and the broker answers by them.
    verdicts: BTreeMap<u32, Verdict>,
    user: User,
    /// Of the user's id, where it is nobody's else.
    _lease: Option<Lease>,
    view: View,
    layout: Layout,
    late: Option<Names>,
    /// Where the policy inspects TLS.
    inspection: Option<egress::Inspection>,
    secrets: Secrets,
    fuse: bool,
    limits: Limits,
    /// Ends with this, after everything that is in it.
    group: Option<Group>,
    group_plan: Option<cgroup::Plan>,
    guarantees: Vec<Guarantee>,
}

struct Ready {
    terminal: Option<OwnedFd>,
    /// Asks for the packets that were refused last.
    refused: Option<egress::Rest>,
    /// Tells the server of refused names that from now on it is the agent who asks.
    in_force: Arc<AtomicBool>,
}

impl Run {
    fn prepare(mut description: Description, policy: Arc<Policy>) -> Result<Self, ShimError> {
        // Who may write there leaves the group that bounds it, and a delegated group belongs to the agent's own user.
        description.read_only.extend(cgroup::mounts());
        let arch = Arch::native().ok_or_else(|| ShimError::Refused {
            what: "agents run on x86_64 and aarch64 alone".into(),
            help: "use the container image on such a machine".into(),
        })?;
        let compiled = policy.compiled();
        let mut guarantees = ledger::pending(compiled)?;
        let (user, lease) = user(&description)?;
        let usable = rustix::fs::access(
            "/dev/fuse",
            rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
        )
        .is_ok();
        let visibility = match (usable, description.visibility) {
            (true, Seen::Usual) => Visibility::Usual,
            (true, Seen::Whole) => Visibility::Whole,
            (false, Seen::Usual) => Visibility::Nowhere,
            (false, Seen::Whole) => {
                return Err(ShimError::Refused {
                    what: "/dev/fuse can't be used, so not every refused name can be seen".into(),
                    help: "chmod 0666 /dev/fuse, or start without --visibility whole".into(),
                });
            }
        };
        let inspection = if policy.engine().inspects() {
            let made = egress::Inspection::new(&description.run);
            Some(made.map_err(|why| StepError::because("make the run's authority", "key", why))?)
        } else {
            None
        };
        let secrets = Secrets::read(&policy, &std::env::vars().collect())?;
        if !secrets.variables.is_empty() {
            let by =
                "placeholders inside; the egress proxy puts the values into requests to their hosts alone";
            guarantees.push(ledger::held("secrets", by));
        }
        let made = inspection
            .as_ref()
            .map(egress::Inspection::files)
            .unwrap_or_default();
        let mut view =
            view(&description, &policy, user, visibility, made).map_err(|what| ShimError::Refused {
                what,
                help: "change the rule, or wait for the file broker".into(),
            })?;
        for why in &secrets.missing {
            // A closed standard error leaves the ledger to say so.
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("replicante: {why}\n").as_bytes());
        }
        view.notes.extend(secrets.missing.iter().cloned());
        let layout = served(&view, &policy, user);
        let watch = if usable {
            Names::watch(&view, &layout, &policy)?
        } else {
            Watched::Needless
        };
        let late = match watch {
            Watched::Names(names) => Some(names),
            Watched::Needless => None,
            Watched::Spent => {
                guarantees.push(ledger::not_watched());
                None
            }
        };
        let by_name = ledger::late_names(compiled, &view, late.as_ref(), description.no_weaker)?;
        guarantees.push(by_name);
        if !usable {
            let by = "denied reads are enforced but not visible";
            guarantees.push(ledger::weaker(
                compiled,
                description.no_weaker,
                "read-events",
                "/dev/fuse can't be used",
                by,
            )?);
        }
        let bounds = bound(&description, compiled, policy.max_file())?;
        guarantees.extend(bounds.guarantees);
        if let Some(group) = &bounds.group {
            amounts::show_own_group(&mut view, group);
        }
        Ok(Self {
            fuse: usable && !layout.table.nodes.is_empty(),
            layout,
            late,
            inspection,
            secrets,
            description,
            verdicts: policy.verdicts(arch),
            policy,
            arch,
            user,
            _lease: lease,
            view,
            limits: bounds.limits,
            group: bounds.group,
            group_plan: bounds.plan,
            guarantees,
        })
    }

    fn spec(&mut self) -> Result<(Spec, Vec<Relay>), ShimError> {
        let compiled = self.policy.compiled();
        let mut keep = CapabilitySet::empty();
        for name in &compiled.capabilities {
            keep |= capabilities::by_name(name)
                .ok_or_else(|| ShimError::Policy(format!("unknown capability {name}")))?;
        }
        let on_terminal = terminal::on_terminal();
        let (output, relays) = outputs(on_terminal, self.user)?;
        let group = self
            .group
            .as_ref()
            .map(|group| group.descriptor().try_clone_to_owned())
            .transpose()
            .map_err(|error| StepError::because("start", "the run's group", error.to_string()))?;
        let places = &self.description.bindings;
        let caller = Caller {
            all: std::env::vars().collect(),
            home: &places["home"],
            user: &places["user"],
            tmp: &places["tmp"],
            told: self
                .inspection
                .iter()
                .flat_map(|_| egress::VARIABLES.map(|name| (name, egress::BUNDLE)))
                .collect(),
            secrets: &self.secrets.variables,
        };
        let visible = |directory: &str| {
            self.view
                .covering(directory)
                .is_some_and(|item| match &item.node {
                    Node::Link { .. } => true,
                    Node::Bind { ours, .. } => !ours && rustix::fs::stat(directory).is_ok(),
                    _ => false,
                })
        };
        let spec = Spec {
            argv: self.description.argv.clone(),
            env: environment(&compiled.environment, &caller, &visible),
            cwd: self.description.cwd.clone(),
            landlock: landlock::plan(
                &self.view,
                self.fuse.then_some(&self.layout),
                self.policy.listen_ports()?,
            ),
            layout: std::mem::take(&mut self.layout),
            kept: self.late.as_ref().map(Names::handle).transpose()?,
            served: match (self.fuse, &self.late) {
                (false, _) => Served::Nothing,
                (true, None) => Served::Layout,
                (true, Some(_)) => Served::Later,
            },
            accept_no_landlock: !self.description.no_weaker
                && compiled.accept.iter().any(|name| name == "landlock"),
            filter: seccomp::assemble(self.arch, &self.verdicts),
            limits: self.limits,
            group,
            keep,
            user: self.user,
            terminal: on_terminal,
            network: Some(self.policy.network()?),
            view: std::mem::take(&mut self.view),
            output,
        };
        Ok((spec, relays))
    }

    /// The names of the system calls that are never refused, whatever their arguments.
    fn allowed_calls(&self) -> Vec<&'static str> {
        let allowed = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::Allow);
        allowed
            .filter_map(|(number, _)| self.arch.name(*number))
            .collect()
    }

    /// Serves what the sandbox's first process asks for until everything is in force and the ledger is on disk.
    fn bring_up(
        &mut self,
        sandbox: &Sandbox,
        spec: &Spec,
        recorder: &Arc<Recorder>,
    ) -> Result<Ready, ShimError> {
        let mut ready = Ready {
            terminal: None,
            refused: None,
            in_force: Arc::default(),
        };
        loop {
            match sandbox.next()? {
                Message::Fuse { device, proc } => {
                    let names = Files::of_processes(&proc)?;
                    let server = masks::Server {
                        device,
                        table: spec.layout.table.clone(),
                        policy: Arc::clone(&self.policy),
                        recorder: Arc::clone(recorder),
                        proc,
                        in_force: Arc::clone(&ready.in_force),
                    };
                    thread("masks", names, move || masks::serve(&server))?;
                    sandbox.served()?;
                }
                Message::Masks(masks) => {
                    if let Some(helper) = &sandbox.helper {
                        helper.enter(masks.as_fd())?;
                    }
                }
                Message::Network(listeners) => {
                    let (rest, last) = egress::last()
                        .map_err(|error| StepError::because("start a broker", "egress", error.to_string()))?;
                    ready.refused = Some(rest);
                    let server = egress::Server {
                        listeners,
                        settings: egress::Settings::read(),
                        inspection: self.inspection.take(),
                        secrets: std::mem::take(&mut self.secrets.brokered),
                        last,
                        policy: Arc::clone(&self.policy),
                        recorder: Arc::clone(recorder),
                    };
                    thread("egress", Files::NoneButConnections, move || egress::serve(server))?;
                }
                Message::Terminal(master) => ready.terminal = Some(master),
                Message::Listener(listener) => {
                    let path = "/proc";
                    let proc = open(
                        path,
                        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                        Mode::empty(),
                    )
                    .map_err(|errno| StepError::new("watch the sandbox", path, errno))?;
                    let names = Files::of_processes(&proc)?;
                    let server = syscalls::Server {
                        listener,
                        arch: self.arch,
                        verdicts: std::mem::take(&mut self.verdicts),
                        policy: Arc::clone(&self.policy),
                        recorder: Arc::clone(recorder),
                        proc,
                    };
                    thread("syscalls", names, move || syscalls::serve(&server))?;
                }
                Message::Ready(facts) => {
                    self.write_ledger(recorder, &facts, &spec.view)?;
                    return Ok(ready);
                }
                Message::Failed(error) => return Err(error.into()),
                Message::NotExecuted(_) | Message::Ended(_) | Message::Closed => {
                    let why = "the sandbox's first process ended before everything was in force";
                    return Err(StepError::because("start", "sandbox", why).into());
                }
            }
        }
    }

    fn write_ledger(&mut self, recorder: &Recorder, facts: &Facts, view: &View) -> Result<(), ShimError> {
        let compiled = self.policy.compiled();
        let mut guarantees = vec![
            ledger::held(
                "namespaces",
                "user, mount, pid, network, IPC, UTS, cgroup; no further ones",
            ),
            ledger::held("files", "read-only root of the allowed trees alone"),
            ledger::held("capabilities", "none but those kept, read back"),
            ledger::held("system calls", "seccomp filter with notification"),
            ledger::held(
                "network by name",
                "a namespace of its own, whose only way out is the egress proxy",
            ),
        ];
        guarantees.push(match facts.landlock.as_str() {
            "fully" => ledger::held("landlock", "newest ABI known here"),
            "partly" => ledger::held("landlock", "an older ABI; the mounts hold the rest"),
            _ => Guarantee {
                name: "landlock".into(),
                state: State::Weaker,
                by: "the mounts alone".into(),
            },
        });
        if self.fuse {
            guarantees.push(ledger::held(
                "denied reads are visible",
                "FUSE masks over denied names, absent names in partial directories",
            ));
        }
        guarantees.append(&mut self.guarantees);
        let mut notes: Vec<String> = view.notes.iter().chain(&facts.gone).cloned().collect();
        let groups = rustix::process::getgroups().unwrap_or_default();
        let own = rustix::process::getegid();
        let others: Vec<String> = groups
            .iter()
            .filter(|group| **group != own)
            .map(|group| group.as_raw().to_string())
            .collect();
        if !others.is_empty() {
            notes.push(format!(
                "supplementary groups stay, for files that the view shows: {}",
                others.join(" ")
            ));
        }
        let invisible = ledger::invisible(view, self.fuse);
        recorder.life(
            "run.ledger",
            &json!({
                "run": self.description.run, "policy": compiled.name, "identity": compiled.identity,
                "variables": compiled.bindings,
                "guarantees": guarantees, "invisible": invisible, "notes": notes, "generation": 1,
            }),
        )
    }
}

/// What a broker may open.
enum Files {
    None,
    /// Files of this `/proc`, for the names of processes.
    Below(OwnedFd),
    /// Directories alone.
    Listed,
    /// None, but TCP connections may be made.
    NoneButConnections,
}

impl Files {
    fn of_processes(proc: &OwnedFd) -> Result<Self, StepError> {
        proc.try_clone()
            .map(Self::Below)
            .map_err(|error| StepError::because("start a broker", "/proc", error.to_string()))
    }

    fn reach(&self) -> landlock::Reach<'_> {
        match self {
            Self::None => landlock::Reach::Nothing,
            Self::Below(directory) => landlock::Reach::FilesBelow(directory.as_fd()),
            Self::Listed => landlock::Reach::Directories,
            Self::NoneButConnections => landlock::Reach::Connections,
        }
    }
}

fn thread(name: &str, files: Files, body: impl FnOnce() + Send + 'static) -> Result<(), ShimError> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    // A broker needs little stack: its buffers are on the heap. What is not touched costs nothing.
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 * 1024)
        .spawn(move || {
            // What an agent wrote is read with no rights that it could win. A broker that keeps some does not serve.
            let given_up = capabilities::give_up().and_then(|()| landlock::confine(files.reach()));
            let serves = given_up.is_ok();
            if tell.send(given_up).is_ok() && serves {
                body();
            }
        })
        .map_err(|error| StepError::because("start a broker", name, error.to_string()))?;
    told.recv()
        .map_err(|error| StepError::because("start a broker", name, error.to_string()))?
        .map_err(ShimError::from)
}
