//! What the ruleset refused, as the kernel tells it. Source: `linux/netfilter/nfnetlink_log.h`.

use super::netlink::{ACK, Batch, Socket, attributes, messages};
use super::ruleset::GROUP;
use crate::error::{During, StepError};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

const STEP: &str = "log refused packets";
const SUBSYSTEM: u16 = 4 << 8;
const PACKET: u16 = SUBSYSTEM;
const CONFIG: u16 = SUBSYSTEM | 1;
const CFG_CMD: u16 = 1;
const CFG_MODE: u16 = 2;
const CFG_THRESHOLD: u16 = 5;
const CMD_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// Enough of a packet for addresses and ports.
const COPIED: u32 = 128;
const PAYLOAD: u16 = 9;
const UID: u16 = 11;
/// struct nfgenmsg.
const GENERIC: usize = 4;

/// How a packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
    /// Another protocol, by its number.
    Other(u8),
}

/// A packet that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub destination: IpAddr,
    /// `None` for protocols without ports.
    pub port: Option<u16>,
    pub protocol: Transport,
    /// The sender's user inside.
    pub uid: Option<u32>,
}

/// Opens the log.
///
/// # Errors
/// The kernel's answer, as where it has no such log.
pub fn open() -> Result<Socket, StepError> {
    let socket = Socket::netfilter()?;
    let mut batch = Batch::default();
    let [high, low] = GROUP.to_be_bytes();
    let head = [0, 0, high, low];
    batch.message(CONFIG, ACK, &head);
    batch.put(CFG_CMD, &[CMD_BIND]);
    batch.message(CONFIG, ACK, &head);
    batch.put(CFG_MODE, &[&COPIED.to_be_bytes()[..], &[COPY_PACKET, 0]].concat());
    batch.put(CFG_THRESHOLD, &1u32.to_be_bytes());
    socket.ask(batch, STEP, "nfnetlink_log")?;
    rustix::io::ioctl_fionbio(&socket, true).during(STEP, "nfnetlink_log")?;
    Ok(socket)
}

/// Takes what waits on the log's descriptor, without waiting; empty when nothing does.
///
/// # Errors
/// When the log is broken.
pub fn refused(log: BorrowedFd<'_>) -> Result<Vec<Refused>, StepError> {
    let mut buffer = vec![0u8; 16 * 1024];
    match recv(log, &mut buffer[..], RecvFlags::empty()) {
        Ok((length, _)) => Ok(parse(&buffer[..length])),
        // NOBUFS: more was refused than could be told; the next ones are.
        Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(Vec::new()),
        Err(errno) => Err(StepError::new(STEP, "nfnetlink_log", errno)),
    }
}

/// The packets of one datagram of the log. A packet whose addresses can't be read is left out.
pub fn parse(bytes: &[u8]) -> Vec<Refused> {
    messages(bytes)
        .filter(|(kind, _)| *kind == PACKET)
        .filter_map(|(_, body)| {
            let mut packet = None;
            let mut uid = None;
            for (kind, value) in attributes(body.get(GENERIC..)?) {
                match kind {
                    PAYLOAD => packet = destination(value),
                    UID => uid = value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
                    _ => {}
                }
            }
            packet.map(|refused| Refused { uid, ..refused })
        })
        .collect()
}

/// RFC 791, RFC 8200. Extension headers of IPv6 are other protocols.
fn destination(packet: &[u8]) -> Option<Refused> {
    let (destination, number, transport): (IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let length = usize::from(packet[0] & 0xf) * 4;
            (
                Ipv4Addr::from(octets).into(),
                packet[9],
                packet.get(length..).unwrap_or_default(),
            )
        }
        6 => {
            let octets: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (
                Ipv6Addr::from(octets).into(),
                packet[6],
                packet.get(40..).unwrap_or_default(),
            )
        }
        _ => return None,
    };
    let port = transport
        .get(2..4)
        .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let (protocol, port) = match number {
        6 => (Transport::Tcp, port),
        17 => (Transport::Udp, port),
        other => (Transport::Other(other), None),
    };
    Some(Refused {
        destination,
        port,
        protocol,
        uid: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(payload: &[u8]) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 7];
        for (kind, value) in [(UID, &[0, 0, 3, 0xe8][..]), (PAYLOAD, payload)] {
            let length = u16::try_from(value.len() + 4).unwrap();
            body.extend(length.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(PACKET.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_packet_tells_where_it_was_for() {
        let mut four = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 8, 8, 4, 4];
        four.extend([0x90, 0x00, 0x01, 0xbb]);
        let expected = Refused {
            destination: "8.8.4.4".parse().unwrap(),
            port: Some(443),
            protocol: Transport::Tcp,
            uid: Some(1000),
        };
        let twice = [message(&four), message(&four)].concat();
        assert_eq!(parse(&twice), [expected.clone(), expected]);
        let mut six = vec![0x60, 0, 0, 0, 0, 8, 58, 64];
        six.extend(Ipv6Addr::LOCALHOST.octets());
        six.extend("2001:4860::8".parse::<Ipv6Addr>().unwrap().octets());
        let found = parse(&message(&six));
        assert_eq!((found[0].protocol, found[0].port), (Transport::Other(58), None));
        assert_eq!(found[0].destination.to_string(), "2001:4860::8");
    }

    proptest! {
        #[test]
        fn nothing_that_the_log_holds_stops_it(payload in prop::collection::vec(any::<u8>(), 0..80), raw in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&message(&payload));
            let _ = parse(&raw);
        }
    }
}
