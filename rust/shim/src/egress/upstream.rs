//! The way out: names are resolved here, and what was checked is what is connected to (N7, N8).

use super::gate::Refusal;
use super::target::Target;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use replicante_core::host::{Host, unmapped};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long one address is tried alone before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long all of them may take.
const MOST_TIME: Duration = Duration::from_secs(60);

/// What a name stands for just now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    pub addresses: Vec<IpAddr>,
    /// Names on the way (CNAME), without the name itself.
    pub aliases: Vec<String>,
    /// Those of the addresses that are the machine's own.
    pub own: Vec<IpAddr>,
}

/// The machine's way to resolve names, read before the agent starts.
pub struct Settings {
    config: ResolverConfig,
    options: ResolverOpts,
    hosts: hickory_resolver::Hosts,
}

impl Settings {
    /// Reads `/etc/resolv.conf` and `/etc/hosts`. Without a usable one no name resolves but those of the other.
    pub fn read() -> Self {
        let (config, mut options) = hickory_resolver::system_conf::read_system_conf().unwrap_or_default();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Self {
            config,
            options,
            hosts: hickory_resolver::Hosts::from_system().unwrap_or_default(),
        }
    }
}

/// Resolves names as the machine does.
pub struct Upstream {
    resolver: TokioResolver,
}

impl Upstream {
    /// Inside of a runtime, for the resolver's own tasks.
    ///
    /// # Errors
    /// When the resolver can't be set up.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let mut builder =
            TokioResolver::builder_with_config(settings.config, TokioRuntimeProvider::default());
        *builder.options_mut() = settings.options;
        let mut resolver = builder.build().map_err(|error| error.to_string())?;
        resolver.set_hosts(Arc::new(settings.hosts));
        Ok(Self { resolver })
    }

    /// What a target stands for. An address stands for itself.
    ///
    /// # Errors
    /// When the name has no address, or nobody answers.
    pub async fn resolve(&self, target: &Target) -> Result<Resolved, Refusal> {
        let name = match &target.host {
            Host::Address(address) => return Ok(Resolved::new(vec![*address], Vec::new())),
            Host::Name(_) if target.local => {
                let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                return Ok(Resolved::new(addresses, Vec::new()));
            }
            Host::Name(name) => name,
        };
        // With the dot at its end no search domain is tried.
        let lookup = self
            .resolver
            .lookup_ip(format!("{name}."))
            .await
            .map_err(|error| Refusal::undecidable(&format!("the name does not resolve: {error}")))?;
        let addresses = lookup.iter().map(unmapped).collect();
        let aliases = lookup
            .as_lookup()
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::CNAME(alias) => {
                    let text = alias.0.to_ascii();
                    Some(text.strip_suffix('.').unwrap_or(&text).to_owned())
                }
                _ => None,
            });
        Ok(Resolved::new(addresses, aliases.collect()))
    }
}

impl Resolved {
    fn new(addresses: Vec<IpAddr>, aliases: Vec<String>) -> Self {
        let own = addresses
            .iter()
            .copied()
            .filter(|address| is_own(*address))
            .collect();
        Self {
            addresses,
            aliases,
            own,
        }
    }
}

/// Whether an address is one of this machine's own: a packet to it would leave from that very address.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        // Sends nothing: it only looks for the route.
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    source().is_ok_and(|source: SocketAddr| source.ip() == address)
}

/// Connects to the first of the addresses that answers, both families in turn (RFC 8305).
///
/// # Errors
/// That of the last address that was tried.
pub async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    timeout(MOST_TIME, race(addresses, port))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn race(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut waiting = in_turn(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    loop {
        match waiting.next() {
            Some(address) => {
                attempts.spawn_local(TcpStream::connect((address, port)));
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let patience = if waiting.len() > 0 { STAGGER } else { MOST_TIME };
        match timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(error))) => last = io::Error::other(error),
            Ok(None) | Err(_) => {}
        }
    }
}

/// The addresses, one of each family in turn, in the order in which they came.
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|address| address.is_ipv6());
    let longest = six.len().max(four.len());
    (0..longest)
        .flat_map(|at| [six.get(at), four.get(at)])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse =
            |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert_eq!(
            in_turn(&parse(&["1.1.1.1", "2.2.2.2", "::5"])),
            parse(&["::5", "1.1.1.1", "2.2.2.2"])
        );
    }

    #[test]
    fn the_machine_knows_its_own_addresses() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
