//! Hosts, blocks and host patterns: one spelling for each, and a pattern means what it was made of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_core::host::{Host, HostPattern, Network, normalize_host, parse_address, unmapped};

fuzz_target!(|text: &str| {
    if let Ok(once) = normalize_host(text) {
        assert_eq!(normalize_host(&once).as_ref(), Ok(&once), "{text:?}");
        let host = Host::parse(text);
        assert_eq!(host, Host::parse(&once), "{text:?}");
        let Ok(host) = host else { return };
        match &host {
            Host::Name(name) => {
                assert!(name.len() <= 253 && !name.ends_with('.'), "{name:?}");
                assert!(
                    name.bytes()
                        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')),
                    "{name:?}"
                );
                // What a resolver would take for an address is never let through as a name.
                assert!(once.parse::<std::net::IpAddr>().is_err(), "{text:?}");
                assert_eq!(normalize_host(&format!("{name}.")).as_ref(), Ok(name));
                assert_eq!(normalize_host(&name.to_ascii_uppercase()).as_ref(), Ok(name));
            }
            Host::Address(address) => {
                assert_eq!(*address, unmapped(*address), "{text:?}");
                assert_eq!(parse_address(&once), Some(*address), "{text:?}");
            }
        }
        let own = HostPattern::parse(&once);
        assert!(
            own.is_ok_and(|own| own.matches(&host, false) && own.matches(&host, true)),
            "{text:?}"
        );
    }
    match HostPattern::parse(text) {
        Ok(pattern) => {
            let base = Host::parse(pattern.labels());
            let below = Host::parse(&format!("below.{}", pattern.labels()));
            if let (None, Ok(base), Ok(below)) = (pattern.network(), base, below) {
                // A wildcard stands for at least one label; a restriction reaches below, a grant does not.
                let wild = pattern.wildcard_base().is_some();
                assert_eq!(pattern.matches(&base, false), !wild, "{text:?}");
                assert_eq!(pattern.matches(&below, false), wild, "{text:?}");
                assert!(pattern.matches(&below, true), "{text:?}");
            }
        }
        Err(error) => assert!(
            error.offset <= text.len() && error.code.starts_with('P'),
            "{text:?}"
        ),
    }
    if let Ok(network) = Network::parse(text) {
        assert_eq!(Network::parse(&network.to_string()), Ok(network), "{text:?}");
        let first = text.split('/').next().and_then(parse_address);
        assert!(first.is_some_and(|first| network.contains(first)), "{text:?}");
    }
});
