//! The loopback device and routes that lead every address to it. Source: rtnetlink(7).
//!
//! With the default routes a packet to any address reaches the output hook, where it is refused and logged; without them
//! it would fail unseen.

use super::netlink::{ACK, Batch, CREATE, EXCLUSIVE, Socket};
use super::{NAMES4, NAMES6};
use crate::error::StepError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NEW_LINK: u16 = 16;
const NEW_ROUTE: u16 = 24;
const IFF_UP: u32 = 1;
const LOOPBACK: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_BOOT: u8 = 3;
const TYPE_LOCAL: u8 = 2;
const SCOPE_HOST: u8 = 254;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;

/// Sets `lo` up, so that the agent's own processes reach each other.
///
/// # Errors
/// The kernel's answer.
pub fn loopback_up() -> Result<(), StepError> {
    let mut batch = Batch::default();
    link_up(&mut batch);
    Socket::route()?.ask(batch, "set the loopback device up", "lo")
}

/// Sets `lo` up and leads everything to it.
///
/// # Errors
/// The kernel's answer.
pub fn set_up() -> Result<(), StepError> {
    let mut batch = Batch::default();
    link_up(&mut batch);
    let routes: [(IpAddr, u8); 4] = [
        (NAMES4.0.into(), NAMES4.1),
        (Ipv4Addr::UNSPECIFIED.into(), 0),
        (NAMES6.0.into(), NAMES6.1),
        (Ipv6Addr::UNSPECIFIED.into(), 0),
    ];
    for (network, prefix) in routes {
        route(&mut batch, network, prefix);
    }
    Socket::route()?.ask(batch, "lead the network to the loopback device", "routes")
}

fn link_up(batch: &mut Batch) {
    // struct ifinfomsg: family, type, index, flags, change.
    let mut head = vec![0; 4];
    head.extend(LOOPBACK.to_ne_bytes());
    head.extend(IFF_UP.to_ne_bytes());
    head.extend(IFF_UP.to_ne_bytes());
    batch.message(NEW_LINK, ACK, &head);
}

fn route(batch: &mut Batch, network: IpAddr, prefix: u8) {
    let (family, scope) = match network {
        IpAddr::V4(_) => (AF_INET, SCOPE_HOST),
        IpAddr::V6(_) => (AF_INET6, 0),
    };
    // struct rtmsg: family, length of the destination and of the source, tos, table, protocol, scope, type, flags.
    let head = [
        family,
        prefix,
        0,
        0,
        TABLE_LOCAL,
        PROTOCOL_BOOT,
        scope,
        TYPE_LOCAL,
        0,
        0,
        0,
        0,
    ];
    batch.message(NEW_ROUTE, ACK | CREATE | EXCLUSIVE, &head);
    if prefix > 0 {
        match network {
            IpAddr::V4(four) => batch.put(RTA_DST, &four.octets()),
            IpAddr::V6(six) => batch.put(RTA_DST, &six.octets()),
        }
    }
    batch.put(RTA_OIF, &LOOPBACK.to_ne_bytes());
    if network.is_ipv4() {
        // Else the source is the destination, and a connection could meet itself.
        batch.put(RTA_PREFSRC, &Ipv4Addr::LOCALHOST.octets());
    }
}
