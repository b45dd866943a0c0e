//! One connection from its acceptance to its end.

use super::gate::{Gate, Refusal};
use super::greeting::{Greeting, Reader};
use super::inspect::Inspection;
use super::relay;
use super::requests::{self, Aim, Scheme};
use super::reveal::Brokered;
use super::target::Target;
use super::upstream::{self, Upstream};
use replicante_core::engine::Reading;
use replicante_core::host::Host;
use replicante_core::limits::Direction;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{LazyConfigAcceptor, server};

/// How long a greeting may take once it has begun.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// The first byte of a TLS greeting (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a greeting that are read at once.
const CHUNK: usize = 4096;

/// What connections need to get out.
pub struct Way {
    pub gate: Rc<Gate>,
    pub upstream: Upstream,
    /// Where the policy inspects TLS.
    pub inspection: Option<Inspection>,
    pub secrets: Brokered,
}

/// How a connection ended before its time.
#[derive(Debug)]
enum Broken {
    Refused(Refusal),
    /// One of its ends broke; nobody refused anything.
    End,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::End
    }
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Serves one connection. What is refused or breaks ends by a reset.
pub async fn serve(way: Rc<Way>, client: TcpStream, target: Target) {
    let reading = match way.gate.may_connect(&target) {
        Ok(reading) => reading,
        Err(refusal) => {
            way.gate.refused(&target, &refusal);
            return relay::reset(&client);
        }
    };
    match reading {
        Reading::Greeting => {
            if let Err(broken) = converse(&way, &client, &target).await {
                if let Broken::Refused(refusal) = &broken {
                    way.gate.refused(&target, refusal);
                }
                relay::reset(&client);
            }
        }
        // A client that breaks its own connection is nobody's refusal.
        Reading::Requests => drop(requests::serve(way, client, Aim::Fixed(target), Scheme::Http).await),
        Reading::Inspected => inspected(way, client, target).await,
    }
}

/// Ends TLS, where the client begins it, and reads what is inside.
async fn inspected(way: Rc<Way>, client: TcpStream, target: Target) {
    let mut first = [0];
    match client.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => {}
        Ok(_) => return drop(requests::serve(way, client, Aim::Fixed(target), Scheme::Http).await),
        Err(_) => return,
    }
    match ended(&way, client, &target).await {
        Ok(inside) => drop(requests::serve(way, inside, Aim::Fixed(target), Scheme::Https).await),
        Err(Broken::Refused(refusal)) => way.gate.refused(&target, &refusal),
        Err(Broken::End) => {}
    }
}

/// The inside of a client's TLS, whose greeting must name the target.
async fn ended(
    way: &Way,
    client: TcpStream,
    target: &Target,
) -> Result<server::TlsStream<TcpStream>, Broken> {
    let inspection = way
        .inspection
        .as_ref()
        .ok_or_else(|| Refusal::undecidable("no authority"))?;
    let greeting = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), client);
    let late = |_| Refusal::misnamed("its greeting is not whole after 10 s");
    let greeting = timeout(GREETING_TIME, greeting).await.map_err(late)??;
    let name = greeting.client_hello().server_name().map(str::to_owned);
    agrees(&Greeting::Tls(name), target)?;
    let config = inspection.authority.server(&target.host.to_string());
    let config = config.map_err(|why| Refusal::undecidable(&why))?;
    Ok(timeout(GREETING_TIME, greeting.into_stream(config))
        .await
        .map_err(late)??)
}

async fn converse(way: &Way, client: &TcpStream, target: &Target) -> Result<(), Broken> {
    let resolved = way.upstream.resolve(target).await?;
    let addresses = way.gate.admitted(target, &resolved)?;
    let charged = way.gate.charged(target, &addresses);
    let share = way.gate.budget.open(charged).await?;
    let server = upstream::connect(&addresses, target.port).await?;
    // Small writes of either side must not wait for each other.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let up = async {
        let meter = share.meter(Direction::Upload);
        let first = greeting(client, target).await?;
        relay::send(&server, &first, &meter).await?;
        Ok(relay::pass(client, &server, &meter).await?)
    };
    let down = async { Ok(relay::pass(&server, client, &share.meter(Direction::Download)).await?) };
    let ended: Result<_, Broken> = futures_util::future::try_join(up, down).await;
    if ended.is_err() {
        relay::reset(&server);
    }
    ended.map(|_| ())
}

/// Reads what the client says first until it is known to agree with the target; gives these bytes.
async fn greeting(client: &TcpStream, target: &Target) -> Result<Vec<u8>, Broken> {
    let mut reader = Reader::default();
    // Where the server speaks first the client may be silent for as long as it likes.
    client.readable().await?;
    let end = Instant::now() + GREETING_TIME;
    let mut chunk = [0u8; CHUNK];
    loop {
        let length = match client.try_read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                timeout_at(end, client.readable())
                    .await
                    .map_err(|_| Refusal::misnamed("its greeting is not whole after 10 s"))??;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            // A client that says nothing, or no whole greeting, asks for nothing.
            return Ok(Vec::new());
        }
        let greeting = reader.take(&chunk[..length]);
        if agrees(&greeting, target)? {
            return Ok(reader.into_bytes());
        }
    }
}

/// Whether a greeting is whole and names the target (N8).
fn agrees(greeting: &Greeting, target: &Target) -> Result<bool, Refusal> {
    let literal = target.local || matches!(target.host, Host::Address(_));
    let named = |said: &String| {
        if target.is_named_by(said) {
            Ok(true)
        } else {
            Err(Refusal::misnamed(&format!(
                "it asks for `{}`",
                said.chars().take(253).collect::<String>()
            )))
        }
    };
    match greeting {
        Greeting::Partial => Ok(false),
        Greeting::Opaque => Ok(true),
        Greeting::Strange(what) => Err(Refusal::misnamed(what)),
        Greeting::Tls(Some(name)) => named(name),
        Greeting::Tls(None) if literal => Ok(true),
        Greeting::Tls(None) => Err(Refusal::misnamed("its TLS greeting has no server name")),
        Greeting::Http(authorities) if authorities.is_empty() && !literal => {
            Err(Refusal::misnamed("its request has no host"))
        }
        Greeting::Http(authorities) => authorities.iter().try_fold(true, |_, said| named(said)),
    }
}
