//! Listeners that are opened in the sandbox's network and served from outside.

use super::netlink::Socket;
use super::{DNS_PORT, GATEWAY6, PROXY_PORT, Plan, RESOLVER};
use crate::error::{During, StepError};
use crate::sys;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

const STEP: &str = "listen in the sandbox's network";
/// Connections that wait to be taken; the kernel bounds it further (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// What was opened inside. All descriptors are close-on-exec and don't block.
#[derive(Debug)]
pub struct Listeners {
    pub dns_udp: OwnedFd,
    pub dns_tcp: OwnedFd,
    /// Every destination that is let through; a connection's own address is the one that was asked for.
    pub tcp4: OwnedFd,
    pub tcp6: OwnedFd,
    /// The explicit proxy.
    pub proxy: OwnedFd,
    /// What was refused; see `refused`.
    pub log: OwnedFd,
    /// By which the ruleset is replaced.
    pub control: OwnedFd,
    /// Ports of `localhost` with their listeners of both families.
    pub local: Vec<(u16, OwnedFd, OwnedFd)>,
    pub(super) ports: Ports,
}

/// The ports of the transparent listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub four: u16,
    pub six: u16,
}

/// Listeners without log and control.
pub struct Opened {
    dns_udp: OwnedFd,
    dns_tcp: OwnedFd,
    tcp4: OwnedFd,
    tcp6: OwnedFd,
    proxy: OwnedFd,
    local: Vec<(u16, OwnedFd, OwnedFd)>,
    ports: Ports,
}

/// Opens all of them.
///
/// # Errors
/// The one that could not be opened.
pub fn open(plan: &Plan) -> Result<Opened, StepError> {
    let (tcp4, four) = transparent(RESOLVER.into())?;
    let (tcp6, six) = transparent(GATEWAY6.into())?;
    let local = plan.local_ports.iter().map(|port| {
        let four = stream((Ipv4Addr::LOCALHOST, *port).into())?;
        let six = stream((Ipv6Addr::LOCALHOST, *port).into())?;
        Ok((*port, four, six))
    });
    let dns = SocketAddr::from((RESOLVER, DNS_PORT));
    let dns_udp = socket(dns, SocketType::DGRAM)?;
    bind(&dns_udp, &dns).during(STEP, "resolver")?;
    Ok(Opened {
        dns_udp,
        dns_tcp: stream(dns)?,
        tcp4,
        tcp6,
        proxy: stream((RESOLVER, PROXY_PORT).into())?,
        local: local.collect::<Result<_, StepError>>()?,
        ports: Ports { four, six },
    })
}

impl Opened {
    pub fn ports(&self) -> Ports {
        self.ports
    }

    pub fn with(self, log: Socket, control: Socket) -> Listeners {
        Listeners {
            dns_udp: self.dns_udp,
            dns_tcp: self.dns_tcp,
            tcp4: self.tcp4,
            tcp6: self.tcp6,
            proxy: self.proxy,
            log: log.into_fd(),
            control: control.into_fd(),
            local: self.local,
            ports: self.ports,
        }
    }
}

/// How listeners are told over the channel: the ports of the transparent ones, then those of `localhost`.
impl Listeners {
    pub(crate) fn packed(&self) -> (Vec<u8>, Vec<&OwnedFd>) {
        let own = [self.ports.four, self.ports.six].into_iter();
        let ports = own.chain(self.local.iter().map(|(port, _, _)| *port));
        let bytes = ports.flat_map(u16::to_ne_bytes).collect();
        let fixed = [
            &self.dns_udp,
            &self.dns_tcp,
            &self.tcp4,
            &self.tcp6,
            &self.proxy,
            &self.log,
            &self.control,
        ];
        let local = self.local.iter().flat_map(|(_, four, six)| [four, six]);
        (bytes, fixed.into_iter().chain(local).collect())
    }

    pub(crate) fn unpack(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Self> {
        let mut ports = bytes.as_chunks().0.iter().map(|pair| u16::from_ne_bytes(*pair));
        let own = Ports {
            four: ports.next()?,
            six: ports.next()?,
        };
        let mut fds = fds.into_iter();
        let mut next = || fds.next();
        let (dns_udp, dns_tcp, tcp4, tcp6) = (next()?, next()?, next()?, next()?);
        let (proxy, log, control) = (next()?, next()?, next()?);
        let local = ports.map(|port| Some((port, fds.next()?, fds.next()?)));
        let local = local.collect::<Option<_>>()?;
        Some(Self {
            dns_udp,
            dns_tcp,
            tcp4,
            tcp6,
            proxy,
            log,
            control,
            local,
            ports: own,
        })
    }
}

/// A listener that takes connections to any address which the ruleset hands to it.
fn transparent(address: IpAddr) -> Result<(OwnedFd, u16), StepError> {
    let any_port = SocketAddr::from((address, 0));
    let socket = socket(any_port, SocketType::STREAM)?;
    sys::set_transparent(&socket, address.is_ipv6()).during(STEP, "transparent")?;
    let socket = listening(socket, any_port)?;
    let bound = getsockname(&socket).during(STEP, "transparent")?;
    let bound = SocketAddr::try_from(bound).during(STEP, "transparent")?;
    Ok((socket, bound.port()))
}

fn stream(address: SocketAddr) -> Result<OwnedFd, StepError> {
    let socket = socket(address, SocketType::STREAM)?;
    listening(socket, address)
}

fn listening(socket: OwnedFd, address: SocketAddr) -> Result<OwnedFd, StepError> {
    let named = address.to_string();
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).during(STEP, &named)?;
    }
    bind(&socket, &address).during(STEP, &named)?;
    listen(&socket, BACKLOG).during(STEP, &named)?;
    Ok(socket)
}

fn socket(address: SocketAddr, kind: SocketType) -> Result<OwnedFd, StepError> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, kind, flags, None).during(STEP, &address.to_string())
}
