//! The one host normaliser (N4), strict addresses (N5), address classes (N7), host patterns (N2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

mod pattern;

pub use pattern::HostPattern;

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("empty")]
    Empty,
    #[error("longer than 253 bytes, or a label longer than 63")]
    TooLong,
    #[error("an empty label")]
    EmptyLabel,
    #[error("not a valid name (UTS 46, IDNA 2008)")]
    Invalid,
    #[error("looks like an address, but is none in strict form")]
    AddressLike,
}

/// A normalised host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A-labels, lower case, without trailing dot.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// The only constructor: N4 for names, N5 for addresses.
    ///
    /// # Errors
    /// Why it is neither.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(address) = parse_address(text) {
            return Ok(Self::Address(address));
        }
        name(text).map(Self::Name)
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

/// The canonical form of a host.
///
/// # Errors
/// Why it has none.
pub fn normalize_host(text: &str) -> Result<String, HostError> {
    Host::parse(text).map(|host| host.to_string())
}

fn name(text: &str) -> Result<String, HostError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if text.contains(|c: char| {
        c == ':' || c == '/' || c == '\\' || c == '%' || c == '@' || c.is_control() || c.is_whitespace()
    }) {
        return Err(HostError::Invalid);
    }
    let ascii = idna::uts46::Uts46::new()
        .to_ascii(
            text.as_bytes(),
            idna::AsciiDenyList::STD3,
            idna::uts46::Hyphens::Check,
            idna::uts46::DnsLength::Ignore,
        )
        .map_err(|_| HostError::Invalid)?
        .into_owned();
    if ascii.len() > 253 {
        return Err(HostError::TooLong);
    }
    for label in ascii.split('.') {
        match label.len() {
            0 => return Err(HostError::EmptyLabel),
            1..=63 => {}
            _ => return Err(HostError::TooLong),
        }
    }
    let last = ascii.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err(HostError::AddressLike);
    }
    Ok(ascii)
}

/// A strict address: four decimal parts without leading zeros, or IPv6 without zone; mapped addresses are IPv4.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    Some(unmapped(address))
}

/// `::ffff:a.b.c.d` is `a.b.c.d` (N5).
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address inside a NAT64 address (`64:ff9b::/96`, RFC 6052).
pub fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(six) = address else { return None };
    let parts = six.segments();
    if parts[..6] != [0x64, 0xff9b, 0, 0, 0, 0] {
        return None;
    }
    let octets = six.octets();
    Some(Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]))
}

/// A CIDR block; an address alone is its own block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("not an address or block in strict form")]
    Malformed,
    #[error("host bits are set; the block is {0}")]
    HostBits(String),
}

impl Network {
    /// Parses `ADDRESS` or `ADDRESS/BITS`.
    ///
    /// # Errors
    /// `HostBits` names the right block.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits == "0" || !bits.starts_with('0') => (address, Some(bits)),
            Some(_) => return Err(NetworkError::Malformed),
            None => (text, None),
        };
        let parsed: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let widest = if parsed.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= widest)
                .ok_or(NetworkError::Malformed)?,
            Some(_) => return Err(NetworkError::Malformed),
            None => widest,
        };
        let block = Self {
            address: masked(parsed, bits),
            bits,
        };
        if block.address != parsed {
            return Err(NetworkError::HostBits(block.to_string()));
        }
        // A block of mapped addresses is the IPv4 block.
        match (unmapped(parsed), bits) {
            (four @ IpAddr::V4(_), 96..) if parsed.is_ipv6() => Ok(Self {
                address: four,
                bits: bits - 96,
            }),
            _ => Ok(block),
        }
    }

    /// The lowest address of the block.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(four.to_bits() & mask))
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & mask))
        }
    }
}

/// Classes of addresses (N7); a lower row of its table wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    Public,
    Private,
    Loopback,
    /// Link-local and metadata services.
    LinkLocal,
    Special,
}

/// Blocks of each class, the strongest class first.
const BLOCKS: &[(AddressClass, &[&str])] = &[
    (
        AddressClass::Special,
        &[
            "0.0.0.0/8",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "::/128",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "ff00::/8",
        ],
    ),
    (
        AddressClass::LinkLocal,
        &[
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::254/128",
            "100.100.100.200/32",
        ],
    ),
    (AddressClass::Loopback, &["127.0.0.0/8", "::1/128"]),
    (
        AddressClass::Private,
        &[
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
        ],
    ),
];

/// `BLOCKS` as networks, in the same order.
static PARSED_BLOCKS: LazyLock<Vec<(AddressClass, Network)>> = LazyLock::new(|| {
    let blocks = BLOCKS
        .iter()
        .flat_map(|(class, blocks)| blocks.iter().map(|block| (*class, Network::parse(block))));
    // INVARIANT: every text of the constant is a block; a test counts them.
    blocks
        .filter_map(|(class, block)| Some((class, block.ok()?)))
        .collect()
});

/// The class of an address. A NAT64 address has the class of the one inside, unless that is public.
pub fn class(address: IpAddr) -> AddressClass {
    let address = unmapped(address);
    if let Some(inner) = embedded(address) {
        return class(IpAddr::V4(inner));
    }
    let blocks = &*PARSED_BLOCKS;
    if let Some((class, _)) = blocks.iter().find(|(_, block)| block.contains(address)) {
        return *class;
    }
    AddressClass::Public
}

/// The release of the `psl` crate, which carries the list; the crate gives no date.
#[cfg(feature = "public-suffix")]
pub const PUBLIC_SUFFIX_DATE: &str = "psl 2.1.247";

/// Whether a name is itself a public suffix, by either section of the list (N3).
#[cfg(feature = "public-suffix")]
pub fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts() {
        let cases = [
            ("X.Example.", Ok("x.example")),
            ("bücher.example", Ok("xn--bcher-kva.example")),
            ("XN--BCHER-KVA.Example.", Ok("xn--bcher-kva.example")),
            ("xn--bcher-kva.example..", Err(HostError::EmptyLabel)),
            ("a..b", Err(HostError::EmptyLabel)),
            ("", Err(HostError::Empty)),
            ("10.1.2.3", Ok("10.1.2.3")),
            ("012.1.2.3", Err(HostError::AddressLike)),
            ("10.1", Err(HostError::AddressLike)),
            ("167837955", Err(HostError::AddressLike)),
            ("x.0x7f", Err(HostError::AddressLike)),
            ("::ffff:10.1.2.3", Ok("10.1.2.3")),
            ("fe80::1%eth0", Err(HostError::Invalid)),
            ("a_b.example", Err(HostError::Invalid)),
            ("a b.example", Err(HostError::Invalid)),
        ];
        for (text, want) in cases {
            assert_eq!(normalize_host(text), want.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn no_block_of_a_class_is_lost() {
        let written: usize = BLOCKS.iter().map(|(_, blocks)| blocks.len()).sum();
        assert_eq!(PARSED_BLOCKS.len(), written);
    }

    #[test]
    fn classes() {
        let cases = [
            ("93.184.215.14", AddressClass::Public),
            ("10.0.0.5", AddressClass::Private),
            ("::ffff:192.168.0.1", AddressClass::Private),
            ("127.9.9.9", AddressClass::Loopback),
            ("169.254.169.254", AddressClass::LinkLocal),
            ("fd00:ec2::254", AddressClass::LinkLocal),
            ("fd00::1", AddressClass::Private),
            ("64:ff9b::a00:5", AddressClass::Private),
            ("64:ff9b::5db8:d70e", AddressClass::Public),
            ("198.18.0.1", AddressClass::Special),
            ("2606:4700::1", AddressClass::Public),
        ];
        for (text, want) in cases {
            assert_eq!(class(text.parse().unwrap()), want, "{text}");
        }
    }

    #[test]
    fn blocks() {
        assert_eq!(
            Network::parse("10.0.0.1/8"),
            Err(NetworkError::HostBits("10.0.0.0/8".into()))
        );
        for text in ["10.0.0.0/33", "10.0.0.0/08", "10.0.0/8", "x/8", "10.0.0.0/"] {
            assert_eq!(Network::parse(text), Err(NetworkError::Malformed), "{text}");
        }
        assert!(
            Network::parse("0.0.0.0/0")
                .unwrap()
                .contains("1.2.3.4".parse().unwrap())
        );
        assert!(
            !Network::parse("0.0.0.0/0")
                .unwrap()
                .contains("::1".parse().unwrap())
        );
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[a-zA-Z0-9.ü\\-:]{0,20}") {
            if let Ok(once) = normalize_host(&text) {
                prop_assert_eq!(normalize_host(&once), Ok(once.clone()));
            }
        }
    }
}
