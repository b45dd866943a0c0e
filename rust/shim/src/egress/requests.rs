//! HTTP/1 that is read: each request of a connection is decided anew, and what goes on is written from what was read (N10).
//!
//! hyper reads and writes; nothing of a request's own bytes is passed on. Bodies are passed on as they come.

use super::connection::Way;
use super::gate::Refusal;
use super::inspect;
use super::metered::Metered;
use super::reveal::{self, Mask, Masked};
use super::target::Target;
use super::upstream;
use crate::record::Verdict;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the head of a request may take, and how long a connection is kept without one.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Bytes of a head, and of a body that wait for the other side.
const MOST_BUFFERED: usize = 64 * 1024;

/// Whether the agent speaks TLS on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Whom the requests of a connection are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The one that the connection was opened for.
    Fixed(Target),
    /// Whom each request names by itself, as to a proxy.
    Named,
}

/// What is sent on or back.
type Passed = Either<Masked<Incoming>, Full<Bytes>>;

/// Serves the requests of one connection until it ends.
///
/// # Errors
/// When it breaks.
pub async fn serve<S>(way: Rc<Way>, stream: S, aim: Aim, scheme: Scheme) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gate = Rc::clone(&way.gate);
    let opened_for = match &aim {
        Aim::Fixed(target) => format!("{}://{target}", scheme.word()),
        Aim::Named => "a request to the proxy".to_owned(),
    };
    let carrier = Rc::new(Carrier {
        way,
        aim,
        scheme,
        server: RefCell::new(None),
    });
    let service = service_fn(move |request| {
        let carrier = Rc::clone(&carrier);
        async move { Ok::<_, Infallible>(carrier.answer(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    // hyper has answered 400 and ended the connection.
    if let Err(error) = &served
        && error.is_parse()
    {
        gate.refused_request(
            &opened_for,
            &Refusal::undecidable(&format!("a request can't be read: {error}")),
        );
    }
    served
}

/// One connection of the agent, and the one to the server that its last request went to.
struct Carrier {
    way: Rc<Way>,
    aim: Aim,
    scheme: Scheme,
    server: RefCell<Option<Server>>,
}

struct Server {
    target: Target,
    sender: SendRequest<Incoming>,
}

/// Why a request gets an answer of ours.
enum Unpassed {
    Refused(Refusal),
    /// It can't be read in one way only.
    Malformed(&'static str),
    /// The server can't be reached or does not answer.
    Failed(String),
    /// The server can't show that it is the one.
    Unverified(String),
}

impl From<Refusal> for Unpassed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<hyper::Error> for Unpassed {
    fn from(error: hyper::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Carrier {
    async fn answer(&self, request: Request<Incoming>) -> Response<Passed> {
        let named = self.named(&request);
        match self.pass(request).await {
            Ok(response) => response.map(Either::Left),
            Err(Unpassed::Refused(refusal)) => {
                self.way.gate.refused_request(&named, &refusal);
                let status = match refusal.verdict {
                    Verdict::Denied => StatusCode::FORBIDDEN,
                    Verdict::Limited => StatusCode::TOO_MANY_REQUESTS,
                };
                own(status, &self.way.gate.explained(&named, &refusal))
            }
            Err(Unpassed::Malformed(what)) => {
                self.way.gate.refused_request(&named, &Refusal::undecidable(what));
                own(
                    StatusCode::BAD_REQUEST,
                    &format!("replicante: not passed on: {what}\n"),
                )
            }
            Err(Unpassed::Failed(why)) => own(
                StatusCode::BAD_GATEWAY,
                &format!("replicante: no answer: {why}\n"),
            ),
            Err(Unpassed::Unverified(why)) => {
                self.way.gate.refused_request(&named, &Refusal::unverified(&why));
                own(
                    StatusCode::BAD_GATEWAY,
                    &format!("replicante: not sent: the server's certificate is not accepted: {why}\n"),
                )
            }
        }
    }

    /// The request as events and reports name it, without what a query may hold.
    fn named(&self, request: &Request<Incoming>) -> String {
        let authority = match &self.aim {
            Aim::Fixed(target) => target.to_string(),
            Aim::Named => request
                .uri()
                .authority()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        let (method, path) = (request.method(), request.uri().path());
        format!("{method} {}://{authority}{path}", self.scheme.word())
    }

    /// Decides a request and gives the server's answer.
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Masked<Incoming>>, Unpassed> {
        let target = self.target(&request)?;
        let gate = &self.way.gate;
        let buckets = gate.may_request(
            &target,
            self.scheme,
            request.method().as_str(),
            request.uri().path(),
        )?;
        let mut masks = self.way.secrets.masks(&target);
        if !masks.is_empty() && websocket(&request) {
            let why = "a WebSocket to a host that gets a secret can't be kept free of it";
            return Err(Refusal::undecidable(why).into());
        }
        let upgraded = websocket(&request).then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let mut sent = Request::new(());
        *sent.method_mut() = parts.method;
        *sent.uri_mut() = in_origin_form(&parts.uri)?;
        *sent.headers_mut() = end_to_end(parts.headers, upgraded.is_some());
        if !sent.headers().contains_key(header::HOST) {
            let authority = HeaderValue::from_str(&target.to_string());
            sent.headers_mut().insert(
                header::HOST,
                authority.map_err(|_| Unpassed::Malformed("its host"))?,
            );
        }
        let url = parts.uri.to_string();
        masks.extend(reveal::put_in(
            self.way.secrets.all(),
            &target,
            self.scheme,
            &url,
            sent.headers_mut(),
        )?);
        if !masks.is_empty() {
            // What is encoded can't be looked through for the value.
            sent.headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            // Nor can what is cut by the client, so that each part has a piece of it.
            sent.headers_mut().remove(header::RANGE);
        }
        let mut sender = self.server(&target).await?;
        if let Err(refusal) = gate.budget.charge(&buckets).await {
            self.keep(target, sender);
            return Err(refusal.into());
        }
        let mut response = sender.send_request(sent.map(|()| body)).await?;
        self.keep(target, sender);
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match upgraded {
            Some(client) if switched => {
                let server = hyper::upgrade::on(&mut response);
                tokio::task::spawn_local(async move {
                    if let (Ok(client), Ok(server)) = futures_util::join!(client, server) {
                        // An end of either side that is not clean ends both.
                        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
                let headers = std::mem::take(response.headers_mut());
                *response.headers_mut() = end_to_end(headers, true);
                return Ok(response.map(|body| Masked::new(body, masks)));
            }
            _ if switched => return Err(Unpassed::Failed("the server changed the protocol unasked".into())),
            _ => {}
        }
        let headers = std::mem::take(response.headers_mut());
        *response.headers_mut() = end_to_end(headers, false);
        *response.version_mut() = Version::HTTP_11;
        if !masks.is_empty() {
            clean(&mut response, &masks)?;
        }
        Ok(response.map(|body| Masked::new(body, masks)))
    }

    /// Whom a request is for, if it says so in one way.
    fn target(&self, request: &Request<Incoming>) -> Result<Target, Unpassed> {
        if request.method() == Method::CONNECT {
            return Err(Unpassed::Malformed("CONNECT, where no proxy is"));
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.to_str().map_err(|_| Unpassed::Malformed("its host"))?),
            (None, _) => None,
            (Some(_), Some(_)) => return Err(Unpassed::Malformed("two Host headers")),
        };
        let authority = request.uri().authority().map(hyper::http::uri::Authority::as_str);
        let target = match (&self.aim, authority) {
            (Aim::Fixed(target), _) => target.clone(),
            (Aim::Named, Some(authority)) if request.uri().scheme_str() == Some("http") => {
                Target::of_authority(authority, 80).ok_or(Unpassed::Malformed("its host"))?
            }
            (Aim::Named, _) => return Err(Unpassed::Malformed("a proxy is asked for whole http addresses")),
        };
        if host.is_none() && authority.is_none() {
            return Err(Unpassed::Malformed("no host"));
        }
        for said in [host, authority].into_iter().flatten() {
            if !target.is_named_by(said) {
                return Err(Refusal::misnamed(&format!("it asks for `{said}`")).into());
            }
        }
        Ok(target)
    }

    /// A connection to the target: the one that is open, or a new one.
    async fn server(&self, target: &Target) -> Result<SendRequest<Incoming>, Unpassed> {
        let open = self
            .server
            .borrow_mut()
            .take()
            .filter(|server| server.target == *target);
        if let Some(Server { mut sender, .. }) = open
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        self.way.gate.may_connect(target)?;
        let resolved = self.way.upstream.resolve(target).await?;
        let addresses = self.way.gate.admitted(target, &resolved)?;
        let charged = self.way.gate.charged(target, &addresses);
        let share = self.way.gate.budget.open(charged).await?;
        let failed = |error: std::io::Error| Unpassed::Failed(error.to_string());
        let stream = upstream::connect(&addresses, target.port).await.map_err(failed)?;
        // A request that is whole must not wait for the answer to the one before.
        let _ = stream.set_nodelay(true);
        let sender = match self.scheme {
            Scheme::Http => handshake(Metered::new(stream, share)).await?,
            Scheme::Https => {
                let inspection = self.way.inspection.as_ref().ok_or(Unpassed::Malformed("TLS"))?;
                let stream = inspection.connect(target, stream).await.map_err(|error| {
                    if inspect::is_unverified(&error) {
                        Unpassed::Unverified(error.to_string())
                    } else {
                        failed(error)
                    }
                })?;
                handshake(Metered::new(stream, share)).await?
            }
        };
        Ok(sender)
    }

    fn keep(&self, target: Target, sender: SendRequest<Incoming>) {
        *self.server.borrow_mut() = Some(Server { target, sender });
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MOST_BUFFERED)
        .handshake(TokioIo::new(stream))
        .await?;
    // How it ends is told to whoever waits for an answer.
    tokio::task::spawn_local(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// Whether a request asks for a WebSocket (RFC 6455 §4.1).
fn websocket(request: &Request<Incoming>) -> bool {
    let asks = |name: HeaderName, word: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
    };
    request.method() == Method::GET
        && asks(header::CONNECTION, "upgrade")
        && asks(header::UPGRADE, "websocket")
}

/// The headers that are not of one connection alone (RFC 9110 §7.6.1).
fn end_to_end(mut headers: HeaderMap, upgrades: bool) -> HeaderMap {
    let of_connection: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let trailers = headers
        .get(header::TE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    for name in of_connection {
        // Host, length and the like are no matter of the connection, whatever a client says.
        let end_to_end = [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION].contains(&name);
        if !end_to_end && (name != header::UPGRADE || !upgrades) {
            headers.remove(name);
        }
    }
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "transfer-encoding",
    ] {
        headers.remove(name);
    }
    headers.remove(header::CONNECTION);
    if upgrades {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers
}

/// Takes the values of secrets out of an answer's head, whose body then is looked through.
fn clean(response: &mut Response<Incoming>, masks: &[Rc<Mask>]) -> Result<(), Unpassed> {
    // A phrase of the server's own could have the value.
    response.extensions_mut().remove::<ReasonPhrase>();
    let headers = response.headers_mut();
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        let why = "it is encoded, though a host that gets a secret was asked for plain text";
        return Err(Unpassed::Failed(why.into()));
    }
    reveal::take_out(masks, headers);
    if !masks.iter().all(|mask| mask.keeps_length()) {
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(())
}

/// The target of a request without scheme and host.
fn in_origin_form(uri: &Uri) -> Result<Uri, Unpassed> {
    let path = uri
        .path_and_query()
        .map_or("/", hyper::http::uri::PathAndQuery::as_str);
    path.parse().map_err(|_| Unpassed::Malformed("its target"))
}

fn own(status: StatusCode, text: &str) -> Response<Passed> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::copy_from_slice(text.as_bytes()))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
