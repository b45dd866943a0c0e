//! The ruleset: what goes to the shim's listeners, and that everything else is refused at once and logged (`kernel.md` §1).
//! Sources: nft(8), `linux/netfilter/nf_tables.h`.
//!
//! Refusals are in the output hook: only there does a packet carry the agent's socket, so that its user is known, and a
//! reset reaches connect(2) at once.

use super::listen::Ports;
use super::netlink::{ACK, APPEND, Batch, CREATE, Socket};
use super::{DNS_PORT, GATEWAY6, NAMES4, NAMES6, PROXY_PORT, Plan, RESOLVER};
use crate::error::StepError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The group of the log.
pub const GROUP: u16 = 7;

const TABLE: &str = "r";
const OUT: &str = "out";
const PRE: &str = "pre";
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = (SUBSYSTEM << 8) | 2;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
/// `NFPROTO_INET`: both families.
const INET: [u8; 4] = [1, 0, 0, 0];
const HOOK_PREROUTING: u32 = 0;
const HOOK_OUTPUT: u32 = 3;
const MANGLE: i32 = -150;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;
/// Refused packets of a second that are logged; more are only counted.
const MOST_LOGGED: u64 = 1000;

/// Whether the table is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    New,
    Replaced,
}

/// Puts the ruleset in place, wholly or not at all.
///
/// # Errors
/// The kernel's answer, as where it lacks a kind of expression.
pub fn install(control: &Socket, plan: &Plan, ports: Ports, table: Table) -> Result<(), StepError> {
    let mut batch = Batch::default();
    // struct nfgenmsg, whose last field names the subsystem.
    let frame = [0, 0, 0, 10];
    batch.message(BATCH_BEGIN, 0, &frame);
    if table == Table::Replaced {
        batch.message(DELETE_TABLE, ACK, &INET);
        batch.put_text(1, TABLE);
    }
    batch.message(NEW_TABLE, ACK | CREATE, &INET);
    batch.put_text(1, TABLE);
    chain(&mut batch, OUT, HOOK_OUTPUT, 0);
    chain(&mut batch, PRE, HOOK_PREROUTING, MANGLE);
    let loopback4 = (Ipv4Addr::new(127, 0, 0, 0).into(), 8);
    let loopback6 = (Ipv6Addr::LOCALHOST.into(), 128);
    let resolver = (RESOLVER.into(), 32);
    for loopback in [loopback4, loopback6] {
        accept(&mut batch, OUT, loopback, None);
        accept(&mut batch, PRE, loopback, None);
    }
    for (protocol, port) in [(UDP, DNS_PORT), (TCP, DNS_PORT), (TCP, PROXY_PORT)] {
        accept(&mut batch, OUT, resolver, Some((protocol, (port, port))));
    }
    for ports in &plan.name_ports {
        for names in [(NAMES4.0.into(), NAMES4.1), (NAMES6.0.into(), NAMES6.1)] {
            accept(&mut batch, OUT, names, Some((TCP, *ports)));
        }
    }
    for literal in &plan.literals {
        accept(
            &mut batch,
            OUT,
            (literal.network, literal.prefix),
            Some((TCP, literal.ports)),
        );
    }
    refuse(&mut batch);
    accept(&mut batch, PRE, resolver, None);
    to_listener(&mut batch, RESOLVER.into(), ports.four);
    to_listener(&mut batch, GATEWAY6.into(), ports.six);
    batch.message(BATCH_END, 0, &frame);
    control.ask(batch, "filter the network", "nf_tables")
}

fn chain(batch: &mut Batch, name: &str, hook: u32, priority: i32) {
    batch.message(NEW_CHAIN, ACK | CREATE, &INET);
    batch.put_text(1, TABLE);
    batch.put_text(3, name);
    batch.nest(4, |hooked| {
        hooked.put(1, &hook.to_be_bytes());
        hooked.put(2, &priority.to_be_bytes());
    });
    batch.put(5, &DROP.to_be_bytes());
    batch.put_text(7, "filter");
}

/// Everything that no rule before has let through.
fn refuse(batch: &mut Batch) {
    let limited_log = |rule: &mut Batch, prefix: &str| {
        expression(rule, "limit", |limit| {
            limit.put(1, &MOST_LOGGED.to_be_bytes());
            limit.put(2, &1u64.to_be_bytes());
            limit.put(3, &1000u32.to_be_bytes());
        });
        expression(rule, "log", |log| {
            log.put(1, &GROUP.to_be_bytes());
            log.put_text(2, prefix);
        });
    };
    rule(batch, OUT, |rule| {
        transport_is(rule, TCP);
        limited_log(rule, "tcp");
    });
    rule(batch, OUT, |rule| {
        transport_is(rule, TCP);
        expression(rule, "counter", |_| {});
        // KERNEL: an ICMP error would be taken for a soft one and reach connect(2) only after a second.
        expression(rule, "reject", |reject| {
            reject.put(1, &1u32.to_be_bytes());
            reject.put(2, &[0]);
        });
    });
    rule(batch, OUT, |rule| limited_log(rule, "oth"));
    rule(batch, OUT, |rule| {
        expression(rule, "counter", |_| {});
        verdict(rule, DROP);
    });
}

/// Accepts a block of addresses, by one protocol and a range of ports or wholly.
fn accept(batch: &mut Batch, chain: &str, block: (IpAddr, u8), ports: Option<(u8, (u16, u16))>) {
    rule(batch, chain, |rule| {
        destination_in(rule, block);
        if let Some((protocol, (low, high))) = ports {
            transport_is(rule, protocol);
            // The destination port: two bytes behind the source port.
            load_payload(rule, 2, 2, 2);
            if low == high {
                equals(rule, &low.to_be_bytes());
            } else {
                compare(rule, 5, &low.to_be_bytes());
                compare(rule, 3, &high.to_be_bytes());
            }
        }
        verdict(rule, ACCEPT);
    });
}

/// Hands TCP of one family to the listener.
fn to_listener(batch: &mut Batch, address: IpAddr, port: u16) {
    rule(batch, PRE, |rule| {
        family_is(rule, address);
        transport_is(rule, TCP);
        load_constant(rule, REGISTER, &octets(address));
        load_constant(rule, SECOND_REGISTER, &port.to_be_bytes());
        expression(rule, "tproxy", |tproxy| {
            tproxy.put(1, &u32::from(family(address)).to_be_bytes());
            tproxy.put(2, &REGISTER.to_be_bytes());
            tproxy.put(3, &SECOND_REGISTER.to_be_bytes());
        });
        verdict(rule, ACCEPT);
    });
}

fn rule(batch: &mut Batch, chain: &str, expressions: impl FnOnce(&mut Batch)) {
    batch.message(NEW_RULE, ACK | CREATE | APPEND, &INET);
    batch.put_text(1, TABLE);
    batch.put_text(2, chain);
    batch.nest(4, expressions);
}

fn expression(rule: &mut Batch, name: &str, data: impl FnOnce(&mut Batch)) {
    rule.nest(1, |element| {
        element.put_text(1, name);
        element.nest(2, data);
    });
}

fn destination_in(rule: &mut Batch, (network, prefix): (IpAddr, u8)) {
    family_is(rule, network);
    if prefix == 0 {
        return;
    }
    let (offset, bytes) = match network {
        IpAddr::V4(_) => (16, 4),
        IpAddr::V6(_) => (24, 16),
    };
    load_payload(rule, 1, offset, bytes);
    let mask: Vec<u8> = (0..bytes)
        .map(|byte| {
            let bits = u32::from(prefix).saturating_sub(byte * 8).min(8);
            u8::try_from(0xff00_u32 >> bits & 0xff).unwrap_or(0)
        })
        .collect();
    if mask.iter().any(|byte| *byte != 0xff) {
        expression(rule, "bitwise", |bitwise| {
            bitwise.put(1, &REGISTER.to_be_bytes());
            bitwise.put(2, &REGISTER.to_be_bytes());
            bitwise.put(3, &bytes.to_be_bytes());
            bitwise.nest(4, |data| data.put(1, &mask));
            bitwise.nest(5, |data| data.put(1, &vec![0; mask.len()]));
        });
    }
    equals(rule, &octets(network));
}

fn family_is(rule: &mut Batch, address: IpAddr) {
    load_meta(rule, 15);
    equals(rule, &[family(address)]);
}

fn transport_is(rule: &mut Batch, protocol: u8) {
    load_meta(rule, 16);
    equals(rule, &[protocol]);
}

fn load_meta(rule: &mut Batch, key: u32) {
    expression(rule, "meta", |meta| {
        meta.put(1, &REGISTER.to_be_bytes());
        meta.put(2, &key.to_be_bytes());
    });
}

/// `base`: 1 the network header, 2 the transport header.
fn load_payload(rule: &mut Batch, base: u32, offset: u32, bytes: u32) {
    expression(rule, "payload", |payload| {
        payload.put(1, &REGISTER.to_be_bytes());
        payload.put(2, &base.to_be_bytes());
        payload.put(3, &offset.to_be_bytes());
        payload.put(4, &bytes.to_be_bytes());
    });
}

fn load_constant(rule: &mut Batch, register: u32, value: &[u8]) {
    expression(rule, "immediate", |immediate| {
        immediate.put(1, &register.to_be_bytes());
        immediate.nest(2, |data| data.put(1, value));
    });
}

fn equals(rule: &mut Batch, value: &[u8]) {
    compare(rule, 0, value);
}

/// `operator`: 0 equal, 3 at most, 5 at least.
fn compare(rule: &mut Batch, operator: u32, value: &[u8]) {
    expression(rule, "cmp", |cmp| {
        cmp.put(1, &REGISTER.to_be_bytes());
        cmp.put(2, &operator.to_be_bytes());
        cmp.nest(3, |data| data.put(1, value));
    });
}

fn verdict(rule: &mut Batch, code: u32) {
    expression(rule, "immediate", |immediate| {
        // Register 0 holds the verdict.
        immediate.put(1, &0u32.to_be_bytes());
        immediate.nest(2, |data| {
            data.nest(2, |verdict| verdict.put(1, &code.to_be_bytes()));
        });
    });
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => NFPROTO_IPV4,
        IpAddr::V6(_) => NFPROTO_IPV6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}
