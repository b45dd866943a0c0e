//! Netlink messages: building them and hearing the kernel's answers. Sources: netlink(7), `linux/netlink.h`.

use crate::error::{During, StepError};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use std::os::fd::{BorrowedFd, OwnedFd};

pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const EXCLUSIVE: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const ERROR: u16 = 2;

/// Messages that are sent at once.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    start: usize,
    sequence: u32,
    /// How many of them are acknowledged.
    acknowledged: usize,
}

impl Batch {
    /// Begins a message; the one before is whole.
    pub fn message(&mut self, kind: u16, flags: u16, head: &[u8]) {
        self.finish();
        self.start = self.bytes.len();
        self.sequence += 1;
        self.acknowledged += usize::from(flags & ACK != 0);
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(head);
    }

    /// Adds an attribute to the message.
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend(value);
        self.close(start);
    }

    /// Adds a text with its zero byte.
    pub fn put_text(&mut self, kind: u16, text: &str) {
        self.put(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// Adds an attribute that holds what `inner` adds.
    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        let start = self.open(kind | NESTED);
        inner(self);
        self.close(start);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        // INVARIANT: what is nested here is some hundred bytes long.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let length = u32::try_from(self.bytes.len() - self.start).unwrap_or(u32::MAX);
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// A socket to one part of the kernel.
pub struct Socket(OwnedFd);

impl Socket {
    /// Routes, addresses and devices: rtnetlink(7).
    ///
    /// # Errors
    /// As socket(2).
    pub fn route() -> Result<Self, StepError> {
        Self::to(None)
    }

    /// `nf_tables` and its log.
    ///
    /// # Errors
    /// As socket(2), where the kernel has none of it.
    pub fn netfilter() -> Result<Self, StepError> {
        Self::to(Some(netlink::NETFILTER))
    }

    /// Another handle of a socket that was handed out.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn over(handed: impl AsFd) -> Result<Self, StepError> {
        rustix::io::fcntl_dupfd_cloexec(handed, 3)
            .map(Self)
            .during("reach the network's rules", "netlink")
    }

    fn to(protocol: Option<rustix::net::Protocol>) -> Result<Self, StepError> {
        let flags = SocketFlags::CLOEXEC;
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
            .map(Self)
            .during("set the network up", "netlink")
    }

    /// Sends the messages and waits for the kernel's word on each.
    ///
    /// # Errors
    /// The first message that was refused.
    pub fn ask(&self, mut batch: Batch, step: &str, object: &str) -> Result<(), StepError> {
        batch.finish();
        send(&self.0, &batch.bytes, SendFlags::empty()).during(step, object)?;
        let mut answer = vec![0u8; 16 * 1024];
        let mut heard = 0;
        while heard < batch.acknowledged {
            let (length, _) = recv(&self.0, &mut answer[..], RecvFlags::empty()).during(step, object)?;
            for (kind, body) in messages(&answer[..length]) {
                if kind != ERROR {
                    continue;
                }
                let code = body.first_chunk().map_or(-5, |bytes| i32::from_ne_bytes(*bytes));
                if code != 0 {
                    return Err(StepError::new(step, object, Errno::from_raw_os_error(-code)));
                }
                heard += 1;
            }
        }
        Ok(())
    }

    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The messages of one datagram: kind and body. What is not whole is left out.
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes([*rest.get(4)?, *rest.get(5)?]);
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The attributes of a body: kind and value.
pub fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes([*rest.get(2)?, *rest.get(3)?]) & !NESTED;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}
