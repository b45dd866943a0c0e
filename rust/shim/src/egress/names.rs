//! Reserved addresses: each allowed name that is asked for gets one of each family for the whole run (`kernel.md` §1).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first address that stands for a name; those below are the resolver's own.
const FIRST: u32 = 256;
/// 198.18.0.0/15 without its ends (RFC 2544: never routed).
const LAST: u32 = (1 << 17) - 2;
const BASE4: u32 = 0xc612_0000;
const BASE6: u128 = 0xfd00_5ca1_0000_0000_0000_0000_0000_0000;

/// Names by their addresses and addresses by their names. An address is never given to another name.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    /// The addresses of a normalised name; `None` when all are taken.
    pub fn reserve(&mut self, name: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
        let number = if let Some(number) = self.numbers.get(name) {
            *number
        } else {
            let number = FIRST + u32::try_from(self.names.len()).ok()?;
            if number > LAST {
                return None;
            }
            self.numbers.insert(name.to_owned(), number);
            self.names.push(name.to_owned());
            number
        };
        Some((
            Ipv4Addr::from_bits(BASE4 + number),
            Ipv6Addr::from_bits(BASE6 + u128::from(number)),
        ))
    }

    /// The name that an address stands for.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        let number = match address {
            IpAddr::V4(four) => four.to_bits().checked_sub(BASE4)?,
            IpAddr::V6(six) => u32::try_from(six.to_bits().checked_sub(BASE6)?).ok()?,
        };
        let at = usize::try_from(number.checked_sub(FIRST)?).ok()?;
        self.names.get(at).map(String::as_str)
    }
}

/// Whether an address is one of those that stand for names, given out or not.
pub fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.to_bits() >> 17 == BASE4 >> 17,
        IpAddr::V6(six) => six.to_bits() >> 64 == BASE6 >> 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_addresses_and_no_other_gets_them() {
        let mut names = Names::default();
        let first = names.reserve("a.example").unwrap();
        let second = names.reserve("b.example").unwrap();
        assert_eq!(first.0, Ipv4Addr::new(198, 18, 1, 0));
        assert_ne!(first, second);
        assert_eq!(names.reserve("a.example"), Some(first));
        assert_eq!(names.name(first.0.into()), Some("a.example"));
        assert_eq!(names.name(second.1.into()), Some("b.example"));
        for other in ["198.18.0.1", "198.18.1.2", "1.1.1.1", "fd00:5ca1::1", "::1"] {
            assert_eq!(names.name(other.parse().unwrap()), None);
        }
        assert!(is_reserved("198.19.255.255".parse().unwrap()));
        assert!(!is_reserved("198.20.0.0".parse().unwrap()));
        assert!(is_reserved(first.1.into()));
    }

    #[test]
    fn the_last_address_is_the_last() {
        let mut names = Names::default();
        let count = LAST - FIRST + 1;
        assert!((0..count).all(|number| names.reserve(&number.to_string()).is_some()));
        assert_eq!(names.reserve("one.more"), None);
        assert!(names.reserve("0").is_some());
        assert_eq!(
            names.name("198.19.255.254".parse().unwrap()),
            Some((count - 1).to_string().as_str())
        );
    }
}
