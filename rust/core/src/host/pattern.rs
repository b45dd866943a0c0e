//! Host patterns (N2): a name, a name with `*` or `**` as its first label, an address or a block.

use super::{Host, Network, NetworkError};
use crate::error::PatternError;
use std::net::IpAddr;

/// What stands before the fixed labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Fixed,
    /// `*`: exactly one label.
    One,
    /// `**`: one label or more.
    Many,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Name { first: First, labels: String },
    Network(Network),
}

/// A parsed host pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(Kind);

impl HostPattern {
    /// # Errors
    /// P035 for wildcards elsewhere, P036 for `*` and `**` alone, P037 for an invalid name, P038 for a strange address
    /// or block.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (first, rest) = match text.split_once('.') {
            _ if text == "*" || text == "**" => {
                return Err(PatternError::new("P036", 0, "every name at once: write `any`"));
            }
            Some(("*", rest)) => (First::One, rest),
            Some(("**", rest)) => (First::Many, rest),
            _ => (First::Fixed, text),
        };
        if let Some(at) = rest.find('*') {
            let message = "a wildcard stands for whole labels and only first";
            return Err(PatternError::new("P035", text.len() - rest.len() + at, message));
        }
        if first == First::Fixed && (text.contains('/') || text.contains(':') || looks_like_address(text)) {
            return match Network::parse(text) {
                Ok(network) => Ok(Self(Kind::Network(network))),
                Err(NetworkError::HostBits(right)) => Err(PatternError::new(
                    "P038",
                    0,
                    format!("host bits are set; the block is `{right}`"),
                )),
                Err(NetworkError::Malformed) => Err(PatternError::new(
                    "P038",
                    0,
                    "not an address or block in strict form",
                )),
            };
        }
        match Host::parse(rest) {
            Ok(Host::Name(labels)) => Ok(Self(Kind::Name { first, labels })),
            Ok(Host::Address(_)) => Err(PatternError::new(
                "P035",
                0,
                "an address has no labels for a wildcard",
            )),
            Err(error) => Err(PatternError::new(
                "P037",
                text.len() - rest.len(),
                error.to_string(),
            )),
        }
    }

    /// The name behind a leading wildcard, for the public suffix check (N3).
    pub fn wildcard_base(&self) -> Option<&str> {
        match &self.0 {
            Kind::Name {
                first: First::One | First::Many,
                labels,
            } => Some(labels),
            _ => None,
        }
    }

    /// The fixed labels of a name pattern; empty for a block.
    pub fn labels(&self) -> &str {
        match &self.0 {
            Kind::Name { labels, .. } => labels,
            Kind::Network(_) => "",
        }
    }

    /// The block, if the pattern is one.
    pub fn network(&self) -> Option<Network> {
        match &self.0 {
            Kind::Network(network) => Some(*network),
            Kind::Name { .. } => None,
        }
    }

    /// Whether the pattern matches the host, or with `downward` also a subdomain of what it matches.
    pub fn matches(&self, host: &Host, downward: bool) -> bool {
        match (&self.0, host) {
            (Kind::Network(network), Host::Address(address)) => {
                network.contains(*address)
                    || super::embedded(*address).is_some_and(|inner| network.contains(IpAddr::V4(inner)))
            }
            (Kind::Name { first, labels }, Host::Name(name)) => {
                let Some(before) = name.strip_suffix(labels.as_str()) else {
                    return false;
                };
                match first {
                    First::Fixed => before.is_empty() || (downward && before.ends_with('.')),
                    First::Many => before.len() > 1 && before.ends_with('.'),
                    First::One => {
                        let label = before.strip_suffix('.').unwrap_or_default();
                        !label.is_empty() && (downward || !label.contains('.'))
                    }
                }
            }
            _ => false,
        }
    }
}

fn looks_like_address(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_n2() {
        let cases = [
            ("x.example", "X.Example.", false, true),
            ("x.example", "a.x.example", false, false),
            ("x.example", "a.x.example", true, true),
            ("x.example", "notx.example", true, false),
            ("*.x.example", "a.x.example", false, true),
            ("*.x.example", "b.a.x.example", false, false),
            ("*.x.example", "x.example", false, false),
            ("**.x.example", "b.a.x.example", false, true),
            ("**.x.example", "x.example", true, false),
            ("**.x.example", "evilx.example", false, false),
            ("10.0.0.0/8", "10.1.2.3", false, true),
            ("10.0.0.0/8", "64:ff9b::a01:203", false, true),
            ("10.0.0.0/8", "x.example", false, false),
        ];
        for (pattern, host, downward, want) in cases {
            let pattern_ = HostPattern::parse(pattern).unwrap();
            assert_eq!(
                pattern_.matches(&Host::parse(host).unwrap(), downward),
                want,
                "{pattern} {host}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let cases = [
            ("a*.x.example", "P035"),
            ("x.*.example", "P035"),
            ("*", "P036"),
            ("**", "P036"),
            ("a_b.example", "P037"),
            ("10.0.0.1/8", "P038"),
            ("012.1.1.1", "P038"),
            ("fe80::1%1", "P038"),
        ];
        for (pattern, code) in cases {
            assert_eq!(HostPattern::parse(pattern).unwrap_err().code, code, "{pattern}");
        }
    }
}
