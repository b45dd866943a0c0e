//! The kernel's log of refused packets, whose payload is the agent's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_sandbox::net::{Transport, parse_log};

fuzz_target!(|bytes: &[u8]| {
    for refused in parse_log(bytes) {
        assert!(refused.port.is_none() || !matches!(refused.protocol, Transport::Other(_)));
    }
});
