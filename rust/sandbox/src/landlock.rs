//! Landlock: the second line under the mounts (`kernel.md` §4). Source: landlock(7); ABI 7 is Linux 6.15.

use crate::error::StepError;
use crate::fuse::Kind;
use crate::view::{Layout, Node, Part, Rights, View};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use serde::Serialize;
use std::os::fd::BorrowedFd;

/// The newest level that this code was tested with.
const NEWEST: ABI = ABI::V7;

/// What Landlock is to allow: rights below paths of the sandbox, and ports to listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub paths: Vec<(String, Rights)>,
    /// Directories whose listing and files whose use the FUSE server refuses: Landlock comes first and refuses without a
    /// trace, so it must let these through.
    pub partial: Vec<String>,
    pub refused: Vec<String>,
    /// Devices and terminals also need their ioctls.
    pub devices: Vec<String>,
    /// `None`: binding isn't restricted here (the namespace's `ip_unprivileged_port_start` does it).
    pub listen: Option<Vec<u16>>,
}

/// What the kernel made of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforced {
    Fully,
    /// An older ABI: some rights are governed by the mounts alone.
    Partly,
    Not,
}

/// The plan that follows from a view.
pub fn plan(view: &View, served: Option<&Layout>, listen: Option<Vec<u16>>) -> Plan {
    let mut plan = Plan {
        listen,
        ..Plan::default()
    };
    if let Some(layout) = served {
        plan.partial.clone_from(&layout.partial);
        let entries = view.items.iter().zip(&layout.parts).filter(|(item, part)| {
            **part == Part::Answered && matches!(item.node, Node::Mask { kind: Kind::File, .. })
        });
        plan.refused.extend(entries.map(|(item, _)| item.path.clone()));
    }
    if view.root.has(Rights::READ) {
        plan.paths.push(("/".into(), Rights::READ));
    }
    let everything = Rights::READ.with(Rights::CHANGES);
    for item in &view.items {
        let path = item.path.clone();
        match &item.node {
            Node::Bind { rights, .. } => plan.paths.push((path, *rights)),
            Node::Tmpfs { exec, .. } => {
                plan.paths.push((
                    path,
                    if *exec {
                        everything.with(Rights::EXECUTE)
                    } else {
                        everything
                    },
                ));
            }
            Node::Proc => plan.paths.push((path, Rights::READ.with(Rights::WRITE))),
            Node::Devices => {
                plan.paths.push((path.clone(), Rights::READ.with(Rights::WRITE)));
                plan.paths.push((format!("{path}/shm"), everything));
                plan.devices.push(path);
            }
            Node::File { .. } => plan.paths.push((path, Rights::READ)),
            Node::Stub | Node::Link { .. } | Node::Mask { .. } | Node::Absent { .. } => {}
        }
    }
    plan
}

/// Restricts the calling thread and all that comes from it. Paths that are gone are skipped: nothing is there to allow.
///
/// # Errors
/// When the kernel refuses the ruleset. Whether it enforces all of it is the result's to say, not an error.
pub fn restrict(plan: &Plan) -> Result<Enforced, StepError> {
    let failed = |error: &dyn std::fmt::Display| {
        StepError::because("restrict by Landlock", "ruleset", error.to_string())
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .map_err(|error| failed(&error))?;
    if plan.listen.is_some() {
        ruleset = ruleset
            .handle_access(AccessNet::BindTcp)
            .map_err(|error| failed(&error))?;
    }
    let mut created = ruleset.create().map_err(|error| failed(&error))?;
    for (path, rights) in &plan.paths {
        created = allow(created, path, access(*rights)).map_err(|error| failed(&error))?;
    }
    for path in &plan.partial {
        // What is shown below may be read anyway.
        created = allow(created, path, AccessFs::ReadDir.into()).map_err(|error| failed(&error))?;
    }
    for path in &plan.refused {
        let attempts = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Execute | AccessFs::Truncate;
        created = allow(created, path, attempts).map_err(|error| failed(&error))?;
    }
    for path in &plan.devices {
        created = allow(created, path, AccessFs::IoctlDev.into()).map_err(|error| failed(&error))?;
    }
    for port in plan.listen.iter().flatten() {
        created = created
            .add_rule(NetPort::new(*port, AccessNet::BindTcp))
            .map_err(|error| failed(&error))?;
    }
    let status = created.restrict_self().map_err(|error| failed(&error))?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Enforced::Fully,
        RulesetStatus::PartiallyEnforced => Enforced::Partly,
        RulesetStatus::NotEnforced => Enforced::Not,
    })
}

/// What a thread of the shim that reads what an agent wrote may still reach of the file system.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    Nothing,
    /// Reading files below a directory.
    FilesBelow(BorrowedFd<'a>),
    /// Listing directories, wherever they are.
    Directories,
    /// Making TCP connections, and random numbers.
    Connections,
}

/// Takes the calling thread, and no other, everything but `reach`: opening files, TCP, signals, abstract sockets.
/// Descriptors that are open stay so. Where the kernel has no Landlock nothing is taken.
///
/// # Errors
/// When the kernel refuses: the thread must not serve.
pub fn confine(reach: Reach<'_>) -> Result<(), StepError> {
    let failed =
        |error: &dyn std::fmt::Display| StepError::because("confine a broker", "Landlock", error.to_string());
    rustix::thread::set_no_new_privs(true).map_err(|error| failed(&error))?;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| match reach {
            Reach::Connections => rules.handle_access(AccessNet::BindTcp),
            _ => rules.handle_access(AccessNet::from_all(NEWEST)),
        })
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|error| failed(&error))?;
    let rules = match reach {
        Reach::Nothing => rules,
        // Where a static program can't tell whether the C library has getrandom(2), it reads the devices.
        Reach::Connections => ["/dev/random", "/dev/urandom"]
            .into_iter()
            .try_fold(rules, |rules, device| {
                allow(rules, device, AccessFs::ReadFile.into())
            })
            .map_err(|error| failed(&error))?,
        Reach::FilesBelow(directory) => rules
            .add_rule(PathBeneath::new(directory, AccessFs::ReadFile))
            .map_err(|error| failed(&error))?,
        Reach::Directories => allow(rules, "/", AccessFs::ReadDir.into()).map_err(|error| failed(&error))?,
    };
    rules.restrict_self().map_err(|error| failed(&error))?;
    Ok(())
}

fn allow(
    rules: landlock::RulesetCreated,
    path: &str,
    access: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, landlock::RulesetError> {
    let Ok(fd) = PathFd::new(path) else {
        return Ok(rules);
    };
    let file = rustix::fs::fstat(&fd).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory
    });
    let access = if file {
        access & AccessFs::from_file(NEWEST)
    } else {
        access
    };
    if access.is_empty() {
        return Ok(rules);
    }
    rules.add_rule(PathBeneath::new(fd, access))
}

fn access(rights: Rights) -> BitFlags<AccessFs> {
    let mut access = BitFlags::EMPTY;
    if rights.has(Rights::READ) {
        access |= AccessFs::ReadFile | AccessFs::ReadDir;
    }
    if rights.has(Rights::EXECUTE) {
        access |= AccessFs::Execute;
    }
    if rights.has(Rights::WRITE) {
        access |= AccessFs::WriteFile | AccessFs::Truncate;
    }
    if rights.has(Rights::CREATE) {
        access |= AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSym
            | AccessFs::MakeFifo
            | AccessFs::MakeSock;
    }
    if rights.has(Rights::DELETE) {
        access |= AccessFs::RemoveFile | AccessFs::RemoveDir;
    }
    if rights.has(Rights::CREATE) && rights.has(Rights::DELETE) {
        // Without REFER every rename between directories fails.
        access |= AccessFs::Refer;
    }
    access
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd as _;

    /// Whether files in `directory` and elsewhere can be read, and whether a directory can be listed, in a confined thread.
    fn within(directory: &std::path::Path, reach: fn(BorrowedFd<'_>) -> Reach<'_>) -> [bool; 3] {
        let opened = fs::File::open(directory).unwrap();
        let inside = directory.join("file");
        let thread = std::thread::spawn(move || {
            confine(reach(opened.as_fd())).unwrap();
            let others = fs::File::open("/etc/passwd").is_ok();
            [fs::read(inside).is_ok(), others, fs::read_dir("/etc").is_ok()]
        });
        thread.join().unwrap()
    }

    fn files_below(opened: BorrowedFd<'_>) -> Reach<'_> {
        Reach::FilesBelow(opened)
    }

    #[test]
    fn a_confined_thread_reaches_what_it_was_left_and_the_others_everything() {
        let directory = std::env::temp_dir().join(format!("replicante-reach-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), "x").unwrap();
        let has_landlock = crate::probe::all()
            .iter()
            .any(|finding| finding.mechanism == "landlock" && finding.present);
        let expected = |with_landlock| if has_landlock { with_landlock } else { [true; 3] };
        assert_eq!(
            within(&directory, |_| Reach::Nothing),
            expected([false, false, false])
        );
        assert_eq!(within(&directory, files_below), expected([true, false, false]));
        assert_eq!(
            within(&directory, |_| Reach::Directories),
            expected([false, false, true])
        );
        assert!(fs::read(directory.join("file")).is_ok());
        fs::remove_dir_all(&directory).unwrap();
    }
}
