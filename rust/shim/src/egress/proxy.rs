//! The explicit proxy, for programs that insist on one: the same verdicts by another way (RFC 9110 §9.3.6).
//!
//! `CONNECT` leads to where a connection to that very name and port would; a whole address is a request to its host.

use super::connection::{self, Way};
use super::requests::{self, Aim, Scheme};
use super::target::Target;
use super::{PAUSE, relay};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the head of the first request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Most bytes and header lines of that head.
const MOST_BYTES: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// What a client asks the proxy for.
enum Asked {
    /// A way to a target, by a head of so many bytes.
    Way(Target, usize),
    /// Requests by whole addresses.
    Requests,
}

/// Serves one client.
pub async fn serve(way: Rc<Way>, mut client: TcpStream) {
    // Who is silent, too slow or gone gets nothing.
    let Ok(Ok(asked)) = timeout(HEAD_TIME, asked(&client)).await else {
        return relay::reset(&client);
    };
    match asked {
        Some(Asked::Requests) => drop(requests::serve(way, client, Aim::Named, Scheme::Http).await),
        Some(Asked::Way(target, head)) => {
            if let Err(refusal) = way.gate.may_connect(&target) {
                way.gate.refused(&target, &refusal);
                let text = way.gate.explained(&target.to_string(), &refusal);
                return answer(&client, "403 Forbidden", &text).await;
            }
            let mut taken = vec![0; head];
            if client.read_exact(&mut taken).await.is_ok()
                && relay::write_all(&client, b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await
                    .is_ok()
            {
                connection::serve(way, client, target).await;
            }
        }
        None => {
            let text = "replicante: no request that a proxy can read\n";
            answer(&client, "400 Bad Request", text).await;
        }
    }
}

/// What the first head asks for, left to be read; `None` where it can't be read.
async fn asked(client: &TcpStream) -> io::Result<Option<Asked>> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut seen = 0;
    loop {
        client.readable().await?;
        let length = client.peek(&mut bytes).await?;
        if length == 0 || length == MOST_BYTES {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes[..length]) {
            Ok(httparse::Status::Complete(head)) => {
                let (method, path) = (
                    request.method.unwrap_or_default(),
                    request.path.unwrap_or_default(),
                );
                return Ok(match method {
                    "CONNECT" => Target::of_authority(path, 443).map(|target| Asked::Way(target, head)),
                    _ => Some(Asked::Requests),
                });
            }
            Ok(httparse::Status::Partial) if length > seen => seen = length,
            // More is still on its way; what is there stays readable.
            Ok(httparse::Status::Partial) => tokio::time::sleep(PAUSE).await,
            Err(_) => return Ok(None),
        }
    }
}

async fn answer(client: &TcpStream, status: &str, text: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    // A client that is gone needs no answer.
    let _ = relay::write_all(client, format!("{head}{text}").as_bytes()).await;
}
