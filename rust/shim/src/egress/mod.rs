//! The egress proxy: the one way out of a sandbox's network (N1, `kernel.md` §1).
//!
//! One thread serves the listeners that were opened inside: the resolver gives allowed names reserved addresses, so each
//! connection arrives with the name that it is for; it is decided by the policy, resolved and connected from outside, and its
//! first bytes must agree with the name. What the kernel refused by itself is told by its log.

mod budget;
mod certificates;
mod connection;
pub mod dns;
mod gate;
pub mod greeting;
mod inspect;
mod log;
mod metered;
mod names;
mod proxy;
mod relay;
mod requests;
mod reveal;
mod target;
mod upstream;

use crate::policy::Policy;
use crate::record::Recorder;
use crate::secrets::Secret;
use connection::Way;
use gate::{Gate, Refusal};
pub use inspect::{BUNDLE, Inspection, VARIABLES};
use log::Log;
pub use log::{Last, Rest, last};
use replicante_core::host::{Host, unmapped};
use replicante_sandbox::net::Listeners;
use reveal::Brokered;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use target::Target;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};
pub use upstream::Settings;

/// Most connections at once; more wait to be taken, so that a flood holds up the agent alone.
const MOST_CONNECTIONS: u64 = 4096;
/// Each listener waits with one of the places, and `localhost` may have 128.
const FEWEST_CONNECTIONS: u64 = 256;
/// Descriptors that are left to everything else.
const OTHER_DESCRIPTORS: u64 = 128;
/// How long no connection is taken when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(20);

/// What the proxy of one run serves with.
pub struct Server {
    pub listeners: Listeners,
    pub settings: Settings,
    /// Where the policy inspects TLS.
    pub inspection: Option<Inspection>,
    pub secrets: Vec<Secret>,
    pub last: Last,
    pub policy: Arc<Policy>,
    pub recorder: Arc<Recorder>,
}

/// Serves until the process ends. A proxy that can't be set up ends the run.
pub fn serve(server: Server) {
    let recorder = Arc::clone(&server.recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, run(server))
    });
    if let Err(why) = ended {
        recorder.fail(format!("the egress proxy stopped: {why}"));
    }
}

async fn run(server: Server) -> Result<(), String> {
    let Listeners {
        dns_udp,
        dns_tcp,
        tcp4,
        tcp6,
        proxy,
        log,
        local,
        ..
    } = server.listeners;
    let failed = |error: std::io::Error| error.to_string();
    let gate = Rc::new(Gate::new(server.policy, server.recorder));
    let way = Rc::new(Way {
        gate: Rc::clone(&gate),
        upstream: upstream::Upstream::new(server.settings)?,
        inspection: server.inspection,
        secrets: Brokered::new(server.secrets),
    });
    let places = Arc::new(Semaphore::new(most_connections()));
    let udp = UdpSocket::from_std(std::net::UdpSocket::from(dns_udp)).map_err(failed)?;
    spawn_local(dns::serve_udp(Rc::clone(&gate), udp));
    let dns_places = Arc::new(Semaphore::new(dns::MOST_STREAMS));
    let of_gate = Rc::clone(&gate);
    spawn_local(take(
        dns_places,
        listener(dns_tcp).map_err(failed)?,
        move |stream| dns::serve_stream(Rc::clone(&of_gate), stream),
    ));
    for fd in [tcp4, tcp6] {
        let way = Rc::clone(&way);
        let serve = move |client| transparent(Rc::clone(&way), client);
        spawn_local(take(Arc::clone(&places), listener(fd).map_err(failed)?, serve));
    }
    let of_proxy = Rc::clone(&way);
    let serve = move |client| proxy::serve(Rc::clone(&of_proxy), client);
    spawn_local(take(Arc::clone(&places), listener(proxy).map_err(failed)?, serve));
    for (port, four, six) in local {
        for fd in [four, six] {
            let way = Rc::clone(&way);
            let serve = move |client| connection::serve(Rc::clone(&way), client, Target::localhost(port));
            spawn_local(take(Arc::clone(&places), listener(fd).map_err(failed)?, serve));
        }
    }
    let log = Log::new(log).map_err(failed)?;
    let end = log.end(&gate, server.last);
    futures_util::future::try_join(log.tell(&gate), end)
        .await
        .map_err(failed)?;
    Ok(())
}

/// As many connections as there are descriptors for, two for each.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // The agent's own limit was set before; where the soft limit can't be raised it is the one that counts.
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    let most = if raised.is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    let connections = most.map_or(MOST_CONNECTIONS, |most| {
        most.saturating_sub(OTHER_DESCRIPTORS) / 2
    });
    usize::try_from(connections.clamp(FEWEST_CONNECTIONS, MOST_CONNECTIONS)).unwrap_or(1)
}

fn listener(fd: OwnedFd) -> std::io::Result<TcpListener> {
    TcpListener::from_std(std::net::TcpListener::from(fd))
}

/// Takes connections for ever, as many at once as there are places, and has each served.
async fn take<S>(places: Arc<Semaphore>, listener: TcpListener, serve: S)
where
    S: AsyncFn(TcpStream) + Clone + 'static,
{
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((client, _)) => {
                let serve = serve.clone();
                spawn_local(async move {
                    // Made where it is awaited: a future that is moved in lies in the task twice.
                    serve(client).await;
                    drop(place);
                });
            }
            // No descriptor is left: connections end, and then there are some.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Serves a connection that the ruleset handed over.
async fn transparent(way: Rc<Way>, client: TcpStream) {
    match meant(&way.gate, &client) {
        Ok(target) => connection::serve(way, client, target).await,
        Err((target, refusal)) => {
            way.gate.refused(&target, &refusal);
            relay::reset(&client);
        }
    }
}

/// What a connection is for, by the address that its client asked for.
fn meant(gate: &Gate, client: &TcpStream) -> Result<Target, (Target, Refusal)> {
    let unknown = |_| {
        (
            literal(std::net::Ipv4Addr::UNSPECIFIED.into(), 0),
            Refusal::undecidable("it is gone"),
        )
    };
    let asked = client.local_addr().map_err(unknown)?;
    by_address(gate, asked.ip(), asked.port())
}

fn by_address(gate: &Gate, address: IpAddr, port: u16) -> Result<Target, (Target, Refusal)> {
    let address = unmapped(address);
    if let Some(name) = gate.names.borrow().name(address) {
        return Ok(Target::of_name(name, port));
    }
    if names::is_reserved(address) {
        return Err((
            literal(address, port),
            Refusal::silent("an address that stands for no name"),
        ));
    }
    Ok(literal(address, port))
}

fn literal(address: IpAddr, port: u16) -> Target {
    Target::new(Host::Address(address), port)
}
