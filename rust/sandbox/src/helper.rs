//! The helper: a process that places masks over names that appear while the sandbox runs (`visible-denials.md` §6).
//!
//! It joins the sandbox's user and mount namespaces and not its pid namespace: no process inside has a number for it. It
//! is forked before the launcher has threads and then waits; it ends when the launcher's end of the channel is closed, which
//! nobody else has.

use crate::error::{During, StepError};
use crate::launch::User;
use crate::sys::{self, Cloned};
use crate::view::parent;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, fstat, openat2, statat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{DumpableBehavior, Pid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, LinkNameSpaceType, move_into_link_name_space, set_capabilities,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const STEP: &str = "start the helper";
/// Longest message: a node's number and a path.
const MOST: usize = 8 * 1024;

/// The helper, as its launcher sees it.
pub struct Helper {
    channel: OwnedFd,
}

struct Namespaces {
    user: OwnedFd,
    mount: OwnedFd,
}

impl Helper {
    /// Forks it for the sandbox whose first process this is. The caller must have one thread, and the first process must
    /// not yet hide from it. It keeps `kept` open to its end.
    ///
    /// # Errors
    /// The step that failed; then no process is left.
    pub(crate) fn fork(sandbox: Pid, user: User, kept: Option<BorrowedFd<'_>>) -> Result<Self, StepError> {
        let kind = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, kind.0, kind.1, None).during(STEP, "socket pair")?;
        let namespaces = Namespaces::open(sandbox)?;
        match sys::fork().during(STEP, "fork")? {
            Cloned::Child => run(&theirs, &namespaces, user, kept),
            Cloned::Parent { .. } => Ok(Self { channel: ours }),
        }
    }

    /// Has it enter the sandbox, whose view is built. `masks` is the root of the server's file system.
    ///
    /// # Errors
    /// What it could not do; then no mask can be placed.
    pub fn enter(&self, masks: BorrowedFd<'_>) -> Result<(), StepError> {
        sys::send_with_fds(&self.channel, b"enter", &[masks]).during(STEP, "channel")?;
        self.answer().and_then(|answer| answer.during(STEP, "namespaces"))
    }

    /// Has it mount node `number` of the server over `path`, if no mask is there.
    ///
    /// # Errors
    /// When it is gone. The inner result is the kernel's answer: `ENOENT` when there is no such name any more.
    pub fn place(&self, number: usize, path: &str) -> Result<Result<(), Errno>, StepError> {
        let message = format!("{number} {path}");
        sys::send_with_fds(&self.channel, message.as_bytes(), &[]).during("place a mask", path)?;
        self.answer()
    }

    fn answer(&self) -> Result<Result<(), Errno>, StepError> {
        let (bytes, _) = sys::receive_with_fds(&self.channel, MOST).during("hear the helper", "channel")?;
        let errno = bytes
            .try_into()
            .map(i32::from_ne_bytes)
            .map_err(|_| StepError::because("hear the helper", "channel", "the helper is gone"))?;
        Ok(match errno {
            0 => Ok(()),
            errno => Err(Errno::from_raw_os_error(errno)),
        })
    }
}

impl Namespaces {
    fn open(sandbox: Pid) -> Result<Self, StepError> {
        let open = |kind: &str| {
            let path = format!("/proc/{}/ns/{kind}", sandbox.as_raw_nonzero());
            rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .during(STEP, &path)
        };
        Ok(Self {
            user: open("user")?,
            mount: open("mnt")?,
        })
    }
}

/// The helper's own life. Everything that it inherited and does not need is closed first: a pipe of the agent's output
/// that it held would never end.
fn run(channel: &OwnedFd, namespaces: &Namespaces, user: User, kept: Option<BorrowedFd<'_>>) -> ! {
    let own = [channel.as_fd(), namespaces.user.as_fd(), namespaces.mount.as_fd()];
    let needed: Vec<BorrowedFd<'_>> = own.into_iter().chain(kept).collect();
    if sys::close_all_but(&needed).is_err() {
        sys::leave(125);
    }
    let Ok((_, mut fds)) = sys::receive_with_fds(channel, MOST) else {
        sys::leave(125)
    };
    // No message: the launch has ended.
    let Some(masks) = fds.pop() else { sys::leave(0) };
    let entered = enter(namespaces, user);
    let device = entered.and_then(|()| fstat(&masks)).map(|stat| stat.st_dev);
    if reply(channel, device.map(drop)).is_err() {
        sys::leave(0);
    }
    let Ok(device) = device else { sys::leave(125) };
    while let Ok((bytes, _)) = sys::receive_with_fds(channel, MOST) {
        let message = std::str::from_utf8(&bytes).ok();
        let Some((number, path)) = message.and_then(|message| message.split_once(' ')) else {
            break;
        };
        if reply(channel, place(&masks, device, number, path)).is_err() {
            break;
        }
    }
    sys::leave(0)
}

fn reply(channel: &OwnedFd, result: Result<(), Errno>) -> Result<(), Errno> {
    let errno = result.err().map_or(0, Errno::raw_os_error);
    sys::send_with_fds(channel, &errno.to_ne_bytes(), &[])
}

/// Becomes the agent's user in the sandbox's user and mount namespaces, with the one capability that mounts need.
fn enter(namespaces: &Namespaces, user: User) -> Result<(), Errno> {
    move_into_link_name_space(namespaces.user.as_fd(), Some(LinkNameSpaceType::User))?;
    let (uid, gid) = (
        rustix::process::Uid::from_raw(user.uid),
        rustix::process::Gid::from_raw(user.gid),
    );
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    move_into_link_name_space(namespaces.mount.as_fd(), Some(LinkNameSpaceType::Mount))?;
    let keep = CapabilitySet::SYS_ADMIN;
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Mounts a node of the server over a name, whose directory is reached by no link: what the agent puts in the way is
/// never followed.
fn place(masks: &OwnedFd, device: u64, number: &str, path: &str) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let directory = openat2(CWD, parent(path), flags, Mode::empty(), resolve)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    if statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_dev == device) {
        return Ok(());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let mask = open_tree(masks, number, flags)?;
    move_mount(
        &mask,
        "",
        &directory,
        name,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}
