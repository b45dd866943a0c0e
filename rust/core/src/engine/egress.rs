//! What the egress proxy asks of a policy beside decisions: where connections may go at all, how much of one has to be
//! read, and which limits it is charged to.

use super::Engine;
use super::network::{Target, port_fits, protocol_fits};
use crate::host::{Host, Network};
use crate::policy::{Action, Bucket, HostKind, Protocol, Rule};
use crate::request::Request;
use std::collections::BTreeSet;

/// How much of a connection the proxy reads (N8, N10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// The first bytes, for a server name or a host that must agree.
    Greeting,
    /// Every request of plain HTTP.
    Requests,
    /// Every request, inside TLS as well.
    Inspected,
}

/// What is charged to limits when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// A connection: its bytes, its place among those that are open, and where its requests are not read also rates.
    Connection,
    /// A request that is read: rates.
    Request,
}

/// A block of addresses that an allow rule names, with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    pub network: Network,
    pub ports: (u16, u16),
    pub protocol: Protocol,
}

impl Engine {
    /// How much of a connection to this host and port has to be read: if one rule that can match it inspects, everything.
    pub fn reading(&self, request: &Request<'_>) -> Reading {
        let Ok(host) = Host::parse(request.resource) else {
            return Reading::Greeting;
        };
        let readings = self
            .connect
            .matching(&self.compiled.rules, Target::Asked(&host))
            .into_iter()
            .map(|entry| &self.compiled.rules[entry as usize])
            .filter(|rule| protocol_fits(rule, request) && port_fits(rule, request))
            .map(reads);
        readings.max().unwrap_or(Reading::Greeting)
    }

    /// Whether TLS of some connection is read.
    pub fn inspects(&self) -> bool {
        self.connects().any(|rule| rule.inspect)
    }

    /// Indices of the buckets that something is charged to: those of all allow rules that match it, by name or by an
    /// address that it resolves to, and of the block (S9, N14).
    ///
    /// A connection of which no request is known yet is matched by every rule that one could match.
    pub fn charged(&self, charge: Charge, request: &Request<'_>) -> Vec<usize> {
        let counts = |bucket: &usize, is_read: bool| match self.compiled.buckets.get(*bucket) {
            Some(Bucket::Rate { .. }) => is_read == (charge == Charge::Request),
            _ => charge == Charge::Connection,
        };
        let is_read = self.reading(request) != Reading::Greeting;
        let of_block = self.compiled.blocks.network.iter();
        let mut buckets: BTreeSet<usize> = of_block
            .copied()
            .filter(|bucket| counts(bucket, is_read))
            .collect();
        for entry in self.entries_on_the_way(request) {
            let rule = &self.compiled.rules[entry as usize];
            if rule.effect.allows() {
                let is_read = reads(rule) != Reading::Greeting;
                buckets.extend(rule.limits.iter().filter(|bucket| counts(bucket, is_read)));
            }
        }
        buckets.into_iter().collect()
    }

    /// Ranges of TCP ports that some allow rule opens for a name or for `any`, sorted, without overlaps.
    pub fn name_ports(&self) -> Vec<(u16, u16)> {
        let names = self.connects().filter(|rule| rule.kind != Some(HostKind::Net));
        let mut ranges: Vec<(u16, u16)> = names
            .filter(|rule| rule.protocol != Some(Protocol::Udp))
            .flat_map(ports)
            .collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (low, high) in ranges {
            match joined.last_mut() {
                Some((_, last)) if low <= last.saturating_add(1) => *last = (*last).max(high),
                _ => joined.push((low, high)),
            }
        }
        joined
    }

    /// The addresses that allow rules open as such: blocks, and everything where a rule says `any`.
    pub fn literals(&self) -> Vec<Literal> {
        let mut literals = Vec::new();
        for rule in self.connects() {
            let networks: Vec<Network> = match (rule.kind, rule.pattern.as_deref()) {
                (Some(HostKind::Any), _) => ["0.0.0.0/0", "::/0"]
                    .into_iter()
                    .filter_map(|text| Network::parse(text).ok())
                    .collect(),
                (Some(HostKind::Net), Some(text)) => Network::parse(text).into_iter().collect(),
                _ => Vec::new(),
            };
            let protocol = rule.protocol.unwrap_or(Protocol::Tcp);
            for network in networks {
                literals.extend(ports(rule).map(|ports| Literal {
                    network,
                    ports,
                    protocol,
                }));
            }
        }
        literals
    }

    /// The single ports that an allow rule opens for the machine's `localhost`.
    pub fn localhost_ports(&self) -> Vec<(u16, u16)> {
        let localhost = self
            .connects()
            .filter(|rule| rule.pattern.as_deref() == Some("localhost"));
        localhost.flat_map(ports).collect()
    }

    fn connects(&self) -> impl Iterator<Item = &Rule> {
        let rules = self.compiled.rules.iter();
        rules.filter(|rule| rule.action == Action::Connect && rule.effect.allows())
    }
}

/// How much a rule wants to be read.
fn reads(rule: &Rule) -> Reading {
    match rule {
        Rule { inspect: true, .. } => Reading::Inspected,
        Rule {
            protocol: Some(Protocol::Http),
            ..
        } => Reading::Requests,
        _ => Reading::Greeting,
    }
}

fn ports(rule: &Rule) -> impl Iterator<Item = (u16, u16)> {
    rule.ports.iter().flatten().copied()
}
