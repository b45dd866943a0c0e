//! Messages with descriptors over a socket pair (unix(7), `SCM_RIGHTS`), by rustix; an option of sockets that it lacks.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// The most descriptors in one message: seven listeners of the network, and two for each of 64 ports.
const MOST_FDS: usize = 7 + 2 * 64;

/// Lets a socket bind to, and take connections for, addresses that are not the machine's: `IP_TRANSPARENT` (ip(7)) or
/// `IPV6_TRANSPARENT`. Needs `CAP_NET_ADMIN` in the network namespace.
///
/// # Errors
/// As setsockopt(2).
pub fn set_transparent(socket: impl AsFd, six: bool) -> Result<(), Errno> {
    let (level, option) = if six {
        (libc::SOL_IPV6, libc::IPV6_TRANSPARENT)
    } else {
        (libc::SOL_IP, libc::IP_TRANSPARENT)
    };
    let on: libc::c_int = 1;
    // INVARIANT: an int has four bytes.
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the descriptor is open while it is borrowed, and the option is an int that lives through the call.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(super::last_errno())
    }
}

/// Sends one message with descriptors.
///
/// # Errors
/// As sendmsg(2); `EPIPE` when the other end is closed.
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    rustix::io::retry_on_intr(|| {
        sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Receives one message of at most `limit` bytes; empty when the other end is closed. Descriptors arrive CLOEXEC.
///
/// # Errors
/// As recvmsg(2).
pub fn receive_with_fds(socket: impl AsFd, limit: usize) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut bytes = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    bytes.truncate(message.bytes);
    let mut fds = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = item {
            fds.extend(received);
        }
    }
    Ok((bytes, fds))
}
