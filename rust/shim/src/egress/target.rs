//! Where a connection goes.

use crate::authority::split;
use replicante_core::host::Host;
use std::fmt;
use std::net::IpAddr;

/// What the agent connects to, as it named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: Host,
    pub port: u16,
    /// Whether it is the machine's `localhost`, which programs also name by its addresses.
    pub local: bool,
}

impl Target {
    pub fn new(host: Host, port: u16) -> Self {
        Self {
            host,
            port,
            local: false,
        }
    }

    pub fn of_name(name: &str, port: u16) -> Self {
        Self::new(Host::Name(name.to_owned()), port)
    }

    /// The target of an authority; without a port it is the scheme's.
    pub fn of_authority(authority: &str, default_port: u16) -> Option<Self> {
        let (host, port) = split(authority);
        let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
        Host::parse(host).ok().map(|host| Self::new(host, port))
    }

    pub fn localhost(port: u16) -> Self {
        Self {
            local: true,
            ..Self::of_name("localhost", port)
        }
    }

    /// Whether a server name or an HTTP authority (`HOST` or `HOST:PORT`) means this very target (N8).
    pub fn is_named_by(&self, authority: &str) -> bool {
        let (host, port) = split(authority);
        let same_port = port.is_none_or(|port| port.parse() == Ok(self.port));
        let same_host =
            Host::parse(host).is_ok_and(|host| host == self.host || (self.local && is_loopback(&host)));
        same_host && same_port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(six)) => write!(formatter, "[{six}]:{}", self.port),
            host => write!(formatter, "{host}:{}", self.port),
        }
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Address(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_name_names_it() {
        let target = Target::of_name("api.example.com", 8080);
        for same in ["api.example.com", "API.example.com.", "api.example.com:8080"] {
            assert!(target.is_named_by(same), "{same}");
        }
        for other in [
            "example.com",
            "api.example.com:80",
            "api.example.com:",
            "x@api.example.com",
            "",
            "api.example.com:8080:1",
        ] {
            assert!(!target.is_named_by(other), "{other}");
        }
        let address = Target::new(Host::parse("2606:4700::1").unwrap(), 443);
        assert!(address.is_named_by("[2606:4700::1]:443"));
        assert!(!address.is_named_by("[2606:4700::1]x"));
        assert!(Target::localhost(80).is_named_by("127.0.0.1"));
        assert!(!Target::of_name("localhost.example", 80).is_named_by("127.0.0.1"));
        assert_eq!(address.to_string(), "[2606:4700::1]:443");
    }
}
