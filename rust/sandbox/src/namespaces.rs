//! User mapping, names and the loopback device of a new sandbox. Sources: `user_namespaces`(7), rtnetlink(7).

use crate::error::{During, StepError};
use crate::launch::Served;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::write;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
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

/// Sets `lo` up, so that the agent's own processes reach each other.
///
/// # Errors
/// The kernel's answer to the netlink message.
pub fn loopback_up() -> Result<(), StepError> {
    let step = "set the loopback device up";
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )
    .during(step, "lo")?;
    // Protocol 0 is NETLINK_ROUTE. struct nlmsghdr, then struct ifinfomsg: RTM_NEWLINK (16), NLM_F_REQUEST | NLM_F_ACK (5), interface 1, IFF_UP (1).
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes());
    message.extend(16u16.to_ne_bytes());
    message.extend(5u16.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend([0u8; 4]);
    message.extend(1i32.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    send(&socket, &message, SendFlags::empty()).during(step, "lo")?;
    let mut answer = [0u8; 256];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).during(step, "lo")?;
    // NLMSG_ERROR (2) carries the negative errno behind the header; 0 is the acknowledgement.
    let code = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(-5, i32::from_ne_bytes);
    if length < 20 || code != 0 {
        return Err(StepError::new(
            step,
            "lo",
            rustix::io::Errno::from_raw_os_error(-code),
        ));
    }
    Ok(())
}

fn put(path: &str, text: &str, step: &str) -> Result<(), StepError> {
    let fd = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).during(step, path)?;
    write(&fd, text.as_bytes()).during(step, path).map(drop)
}
