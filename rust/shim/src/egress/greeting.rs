//! What a client says first: a TLS greeting or an HTTP request must name the host it was resolved for (N8).

use rustls::server::Acceptor;

/// Most bytes that are looked at: the largest handshake message that the TLS library takes.
pub const MOST_BYTES: usize = 64 * 1024;
/// Most header lines of a request.
const MOST_HEADERS: usize = 128;

/// What the first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// More is needed to say.
    Partial,
    /// TLS, with the server name that it asks for.
    Tls(Option<String>),
    /// The head of an HTTP/1 request with its authorities: the one `Host` header, and the target's where it has one.
    Http(Vec<String>),
    /// Neither.
    Opaque,
    /// It begins like TLS or HTTP, and nobody knows how a server would read it.
    Strange(&'static str),
}

/// Reads a greeting as it comes in.
#[derive(Default)]
pub struct Reader {
    bytes: Vec<u8>,
    tls: Acceptor,
    given: usize,
}

impl Reader {
    /// Takes more bytes in and says what all of them are.
    pub fn take(&mut self, more: &[u8]) -> Greeting {
        self.bytes.extend_from_slice(more);
        let greeting = self.read();
        if greeting == Greeting::Partial && self.bytes.len() >= MOST_BYTES {
            return Greeting::Strange("a greeting of over 64 KiB");
        }
        greeting
    }

    /// What came in so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn read(&mut self) -> Greeting {
        match self.bytes.as_slice() {
            [] | [0x16] => Greeting::Partial,
            [0x16, 0x03, ..] => self.read_tls(),
            // A greeting in the form of SSL 2, which some servers take and which has no server name (RFC 5246 E.2).
            [first, _, 0x01, 0x03, ..] if first & 0x80 != 0 => Greeting::Tls(None),
            bytes => read_http(bytes),
        }
    }

    fn read_tls(&mut self) -> Greeting {
        loop {
            match self.tls.accept() {
                Ok(Some(accepted)) => {
                    return Greeting::Tls(accepted.client_hello().server_name().map(str::to_owned));
                }
                Ok(None) => {}
                Err(_) => return Greeting::Strange("a TLS greeting that can't be read"),
            }
            let mut rest = &self.bytes[self.given..];
            if rest.is_empty() {
                return Greeting::Partial;
            }
            match self.tls.read_tls(&mut rest) {
                Ok(read) if read > 0 => self.given += read,
                _ => return Greeting::Strange("a TLS greeting that can't be read"),
            }
        }
    }
}

/// An HTTP/1 request begins with a token and a space (RFC 9112 §3); servers pass over empty lines before it.
fn read_http(bytes: &[u8]) -> Greeting {
    let start = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let line = &bytes[start..];
    let token = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(token) {
        None if token <= 32 => return Greeting::Partial,
        Some(b' ' | b'\t') if (1..=32).contains(&token) => {}
        _ => return Greeting::Opaque,
    }
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return Greeting::Partial;
    };
    let first = &line[..end];
    let has_version = first
        .windows(5)
        .any(|window| window.eq_ignore_ascii_case(b"HTTP/"));
    if !has_version {
        return if first[..token].eq_ignore_ascii_case(b"GET") {
            Greeting::Strange("a request without version")
        } else {
            Greeting::Opaque
        };
    }
    read_head(bytes)
}

fn read_head(bytes: &[u8]) -> Greeting {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Greeting::Partial,
        Err(_) => return Greeting::Strange("an HTTP request that can't be read"),
    }
    let (method, target) = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    );
    if method.eq_ignore_ascii_case("CONNECT") {
        return Greeting::Strange("CONNECT, where no proxy is");
    }
    if method == "PRI" {
        return Greeting::Strange("HTTP/2 without TLS, whose host can't be read");
    }
    let mut authorities = Vec::new();
    if let Some((_, rest)) = target.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authorities.push(authority.to_owned());
    }
    let mut hosts = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => authorities.push(String::from_utf8_lossy(host.value).trim().to_owned()),
        (None, _) => {}
        (Some(_), Some(_)) => return Greeting::Strange("two Host headers"),
    }
    Greeting::Http(authorities)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Greeting {
        Reader::default().take(bytes)
    }

    #[test]
    fn requests_tell_their_hosts() {
        let http = |hosts: &[&str]| Greeting::Http(hosts.iter().map(|host| (*host).to_owned()).collect());
        assert_eq!(
            whole(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            http(&["a.example"])
        );
        assert_eq!(
            whole(b"\r\nGET / HTTP/1.1\nhost:b.example:80\n\n"),
            http(&["b.example:80"])
        );
        assert_eq!(
            whole(b"GET http://c.example/x HTTP/1.1\r\nHost: d.example\r\n\r\n"),
            http(&["c.example", "d.example"])
        );
        assert_eq!(whole(b"GET / HTTP/1.0\r\n\r\n"), http(&[]));
        for partial in ["", "G", "GET / HT", "GET / HTTP/1.1\r\nHost: a", "\r\n"] {
            assert_eq!(whole(partial.as_bytes()), Greeting::Partial, "{partial:?}");
        }
    }

    #[test]
    fn what_two_servers_may_read_in_two_ways_is_strange() {
        for strange in [
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET /\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "get\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(
                matches!(whole(strange.as_bytes()), Greeting::Strange(_)),
                "{strange:?}"
            );
        }
        let long = format!("GET /{} ", "a".repeat(MOST_BYTES));
        assert!(matches!(whole(long.as_bytes()), Greeting::Strange(_)));
        assert!(matches!(
            whole(b"\x16\x03\x01\x00\x05hello"),
            Greeting::Strange(_)
        ));
    }

    #[test]
    fn other_protocols_pass() {
        for other in [
            &b"SSH-2.0-x\r\n"[..],
            b"EHLO me\r\n",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b"*1\r\n$4\r\nPING\r\n",
            b"set a 0 0 1\r\n",
        ] {
            assert_eq!(whole(other), Greeting::Opaque, "{other:?}");
        }
    }

    #[test]
    fn a_greeting_may_come_byte_by_byte() {
        let mut reader = Reader::default();
        let bytes = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let (last, before) = bytes.split_last().unwrap();
        for byte in before {
            assert_eq!(reader.take(&[*byte]), Greeting::Partial);
        }
        assert_eq!(reader.take(&[*last]), Greeting::Http(vec!["a.example".into()]));
        assert_eq!(reader.into_bytes(), bytes);
    }
}
