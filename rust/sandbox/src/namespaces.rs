//! User mapping and names of a new sandbox. Source: `user_namespaces`(7).

use crate::error::{During, StepError};
use crate::launch::Served;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::write;
use std::os::fd::OwnedFd;

/// Maps one user and one group into the namespace of a waiting child.
///
/// # Errors
/// `EPERM` where user namespaces are restricted (`AppArmor` on Ubuntu 24.04).
pub fn map_user(pid: i32, inside: (u32, u32), outside: (u32, u32)) -> Result<(), StepError> {
    put(&format!("/proc/{pid}/setgroups"), "deny", "map the user")?;
    put(
        &format!("/proc/{pid}/gid_map"),
        &format!("{} {} 1", inside.1, outside.1),
        "map the group",
    )?;
    put(
        &format!("/proc/{pid}/uid_map"),
        &format!("{} {} 1", inside.0, outside.0),
        "map the user",
    )
}

/// Maps the owner `from` of files on disk to the agent's user, for an idmapped mount of a root-started sandbox.
///
/// # Errors
/// As for `map_user`.
pub fn map_owner(pid: i32, from: (u32, u32), to: (u32, u32)) -> Result<(), StepError> {
    put(
        &format!("/proc/{pid}/gid_map"),
        &format!("{} {} 1", from.1, to.1),
        "map the owner",
    )?;
    put(
        &format!("/proc/{pid}/uid_map"),
        &format!("{} {} 1", from.0, to.0),
        "map the owner",
    )
}

/// The kernel's bounds on further namespaces, opened while `/proc` can still be written.
///
/// They are closed only after the view is built: detached mounts count as mount namespaces while they have no place.
pub struct Bounds(Vec<(&'static str, OwnedFd)>);

impl Bounds {
    /// # Errors
    /// The key that can't be opened.
    pub fn open() -> Result<Self, StepError> {
        const KINDS: [&str; 8] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];
        let mut bounds = Vec::new();
        for kind in KINDS {
            let path = format!("/proc/sys/user/max_{kind}_namespaces");
            match openat(
                CWD,
                path.as_str(),
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
            ) {
                Ok(fd) => bounds.push((kind, fd)),
                // `max_time_namespaces` came with Linux 5.6.
                Err(rustix::io::Errno::NOENT) if kind == "time" => {}
                Err(errno) => return Err(StepError::new("forbid further namespaces", path, errno)),
            }
        }
        Ok(Self(bounds))
    }

    /// Makes further namespaces impossible from now on, even where a filter were missed. Where masks are placed later,
    /// which takes a detached mount each time, one more mount namespace is let through: it needs a capability that nobody
    /// inside has, and that no user namespace could give.
    ///
    /// # Errors
    /// The bound that could not be set.
    pub fn close(self, later: Served) -> Result<(), StepError> {
        self.0.iter().try_for_each(|(kind, fd)| {
            // The sandbox's own counts where its user made it.
            let most: &[u8] = if *kind == "mnt" && later == Served::Later {
                b"2"
            } else {
                b"0"
            };
            write(fd, most)
                .during("forbid further namespaces", kind)
                .map(drop)
        })
    }
}

/// Sets the host name inside.
///
/// # Errors
/// As sethostname(2).
pub fn name_host(name: &str) -> Result<(), StepError> {
    rustix::system::sethostname(name.as_bytes()).during("name the sandbox", name)
}

fn put(path: &str, text: &str, step: &str) -> Result<(), StepError> {
    let fd = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).during(step, path)?;
    write(&fd, text.as_bytes()).during(step, path).map(drop)
}
