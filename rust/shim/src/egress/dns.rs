//! The resolver inside: allowed names get reserved addresses, all others do not exist, and nothing is asked upstream (N11).

use super::gate::{Gate, Refusal};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use replicante_core::host::Host;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Seconds that a client may keep an answer.
const TTL: u32 = 60;
/// The largest datagram that is sent (DNS flag day 2020).
const MOST_DATAGRAM: u16 = 1232;
/// Queries by TCP that are served at once, and how long one may take.
pub(super) const MOST_STREAMS: usize = 64;
const STREAM_TIME: Duration = Duration::from_secs(10);
/// Characters of a name that can't be one, in an event.
const MOST_SHOWN: usize = 300;

/// Answers datagrams for ever.
pub async fn serve_udp(gate: Rc<Gate>, socket: UdpSocket) {
    let mut buffer = vec![0u8; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(answer) = answer(&buffer[..length], &|query| records(&gate, query)) {
            // A client that is gone needs no answer.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Answers the queries of one stream (RFC 7766). A client that is too slow or sends no query is let go.
pub(super) async fn serve_stream(gate: Rc<Gate>, stream: TcpStream) {
    let _ = tokio::time::timeout(STREAM_TIME, converse(&gate, stream)).await;
}

async fn converse(gate: &Gate, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0u8; usize::from(length)];
        stream.read_exact(&mut query).await?;
        let Some(answer) = answer(&query, &|query| records(gate, query)) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).unwrap_or(0);
        stream
            .write_all(&[&length.to_be_bytes()[..], &answer].concat())
            .await?;
    }
}

/// The answer to one message, with what `records` has for its question; `None` where there is nobody who waits for one.
pub fn answer(
    bytes: &[u8],
    records: &dyn Fn(&Query) -> Result<Vec<Record>, ResponseCode>,
) -> Option<Vec<u8>> {
    let Ok(query) = Message::from_vec(bytes) else {
        // Without two bytes of an id there is nothing to answer to.
        let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
        return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)
            .to_vec()
            .ok();
    };
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MOST_DATAGRAM);
        answer.set_edns(edns);
    }
    answer.metadata.response_code = match (query.metadata.op_code, query.queries.as_slice()) {
        (OpCode::Query, [one]) if one.query_class() == DNSClass::IN => match records(one) {
            Ok(records) => {
                answer.add_answers(records);
                ResponseCode::NoError
            }
            Err(code) => code,
        },
        (OpCode::Query, [_]) => ResponseCode::Refused,
        (OpCode::Query, _) => ResponseCode::FormErr,
        _ => ResponseCode::NotImp,
    };
    answer.to_vec().ok()
}

fn records(gate: &Gate, query: &Query) -> Result<Vec<Record>, ResponseCode> {
    let data = if query.query_type() == RecordType::PTR {
        vec![RData::PTR(PTR(pointed(gate, query)?))]
    } else {
        let (four, six) = addresses(gate, query)?;
        match query.query_type() {
            RecordType::A => vec![RData::A(A(four))],
            RecordType::AAAA => vec![RData::AAAA(AAAA(six))],
            // The name exists and has nothing of the kind, keys of ECH and hints at QUIC included.
            _ => Vec::new(),
        }
    };
    let record = |data| Record::from_rdata(query.name().clone(), TTL, data);
    Ok(data.into_iter().map(record).collect())
}

fn addresses(gate: &Gate, query: &Query) -> Result<(Ipv4Addr, Ipv6Addr), ResponseCode> {
    let text = query.name().to_ascii();
    let asked = text.strip_suffix('.').unwrap_or(&text);
    // Labels of services stand before the name of the host (RFC 8552).
    let host = after_services(asked);
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok((Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST));
    }
    let refused = |refusal: Refusal| {
        let shown: String = asked.chars().take(MOST_SHOWN).collect();
        gate.refused_name(&shown, &query.query_type().to_string(), &refusal);
        ResponseCode::NXDomain
    };
    let Ok(Host::Name(name)) = Host::parse(host) else {
        return Err(refused(Refusal::undecidable("no name")));
    };
    gate.may_resolve(&name).map_err(refused)?;
    gate.names.borrow_mut().reserve(&name).ok_or_else(|| {
        gate.refused_name(&name, "A", &Refusal::undecidable("no reserved address is left"));
        ResponseCode::ServFail
    })
}

fn after_services(name: &str) -> &str {
    let mut rest = name;
    while let Some(label) = rest.strip_prefix('_') {
        match label.split_once('.') {
            Some((_, after)) => rest = after,
            None => return "",
        }
    }
    rest
}

/// The name of one of the reserved addresses, or of the loopback.
fn pointed(gate: &Gate, query: &Query) -> Result<Name, ResponseCode> {
    let address: Option<IpAddr> = query.name().parse_arpa_name().ok().map(|net| net.addr());
    let name = match address {
        Some(address) if address.is_loopback() => Some("localhost".to_owned()),
        Some(address) => gate.names.borrow().name(address).map(str::to_owned),
        None => None,
    };
    let known = name.and_then(|name| Name::from_ascii(format!("{name}.")).ok());
    known.ok_or_else(|| {
        gate.refused_name(
            &query.name().to_ascii(),
            "PTR",
            &Refusal::silent("no name of the sandbox"),
        );
        ResponseCode::NXDomain
    })
}
