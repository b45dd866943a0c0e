//! The sandbox's network, seen from the kernel (`kernel.md` §1): a loopback device, routes that lead everything to it, a
//! ruleset that hands allowed destinations to the shim's listeners and refuses all others, and the log of what it refused.
//!
//! Nothing of ours stays inside: the listeners are opened there and handed out. The netlink messages are few and fixed, so
//! they are written here: the crates for `nf_tables` bind the C library or generate code from headers at build time.

mod listen;
mod log;
mod netlink;
mod routes;
mod ruleset;

pub use listen::Listeners;
pub use log::{Refused, Transport, parse as parse_log, refused};
pub use routes::loopback_up;

use crate::error::StepError;
use netlink::Socket;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The address of the resolver and the explicit proxy.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The address that stands for the transparent listener of IPv6.
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x5ca1, 0, 0, 0, 0, 0, 1);
/// The port of the resolver.
const DNS_PORT: u16 = 53;
/// The port of the explicit proxy, for programs that insist on one.
pub const PROXY_PORT: u16 = 3128;
/// Addresses that stand for names (RFC 2544, RFC 4193).
pub const NAMES4: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);
pub const NAMES6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0x5ca1, 0, 0, 0, 0, 0, 0), 64);

/// What of the network reaches the shim; everything else is refused by the kernel and logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Ports of the addresses that stand for names.
    pub name_ports: Vec<(u16, u16)>,
    /// TCP destinations by their addresses.
    pub literals: Vec<Literal>,
    /// Ports of the machine's `localhost` that the shim serves inside.
    pub local_ports: Vec<u16>,
}

/// A block of addresses with a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Literal {
    pub network: IpAddr,
    /// How many leading bits of the network count.
    pub prefix: u8,
    pub ports: (u16, u16),
}

/// Sets the network up in the caller's own namespace, which needs `CAP_NET_ADMIN` there, and shows by an attempt that it
/// refuses.
///
/// # Errors
/// The step that failed, as where the kernel lacks `nf_tables`, tproxy or the log.
pub fn set_up(plan: &Plan) -> Result<Listeners, StepError> {
    routes::set_up()?;
    let control = Socket::netfilter()?;
    let opened = listen::open(plan)?;
    ruleset::install(&control, plan, opened.ports(), ruleset::Table::New)?;
    verify()?;
    let log = log::open()?;
    Ok(opened.with(log, control))
}

/// Replaces the ruleset in one step, for a new generation of the policy. The caller must own the namespace's users.
///
/// # Errors
/// The kernel's answer; then the old ruleset stays.
pub fn replace(listeners: &Listeners, plan: &Plan) -> Result<(), StepError> {
    let control = Socket::over(&listeners.control)?;
    ruleset::install(&control, plan, listeners.ports, ruleset::Table::Replaced)
}

/// Sends to an address that no rule can open. KERNEL: a drop in the output hook is told to the sender of a datagram.
fn verify() -> Result<(), StepError> {
    const STEP: &str = "filter the network";
    let failed = |error: std::io::Error| StepError::because(STEP, "attempt", error.to_string());
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    match socket.send_to(&[], (RESOLVER, 1)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(StepError::because(
            STEP,
            "attempt",
            "a datagram left in spite of the ruleset",
        )),
    }
}
