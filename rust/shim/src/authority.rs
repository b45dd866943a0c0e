//! `HOST:PORT`, as connections and HTTP requests are named.

/// Host and port of an authority; an IPv6 address stands in brackets (RFC 3986 §3.2).
pub fn split(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            // Nothing that follows a bracket but a port: no host at all.
            None => ("", None),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}
