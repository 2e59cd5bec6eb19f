//! Blocks of addresses.

use std::fmt;
use std::net::IpAddr;

/// A block of IPv4 or IPv6 addresses, written `10.0.0.0/8`, `2001:db8::/32`, or as one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads the CIDR notation; a lone address is a block of one. `None` for anything else, and
    /// for a block whose address has bits beyond its prefix (`10.0.0.1/8`), which is a slip. IPv4
    /// addresses written as IPv6 are a block of IPv4.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
        };
        let block = Self { address, prefix };
        let aligned = prefix <= width && bits(address) & !block.mask() == 0;
        aligned.then(|| block.canonical())
    }

    fn canonical(self) -> Self {
        let address = self.address.to_canonical();
        let shorter = width(self.address) - width(address);
        // A block that reaches beyond the mapped addresses has none of their bits.
        Self {
            address,
            prefix: self.prefix - shorter,
        }
    }

    /// Whether `address` is in the block. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`, as
    /// sockets that listen on both report it) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && bits(address) & self.mask() == bits(self.address)
    }

    fn mask(&self) -> u128 {
        let all = u128::MAX >> (128 - u32::from(width(self.address)));
        let beyond = all.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        all & !beyond
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_block() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.7",
            "::1",
            "2001:db8::/32",
            "::/0",
        ] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
        }
        let wrong = [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "localhost",
            "::/129",
            "10.0.0.0/8/8",
        ];
        for text in wrong {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_in_a_block() {
        let contains = |block: &str, address: &str| {
            Cidr::parse(block)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.1.2"));
        assert!(contains("10.0.0.0/8", "::ffff:10.255.1.2"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("::1", "::1"));
        assert!(contains("::/0", "::2"));
        for address in ["203.0.113.9", "::ffff:203.0.113.9"] {
            for block in [
                "203.0.113.9",
                "203.0.113.0/24",
                "0.0.0.0/0",
                "0:0:0:0:0:ffff::/96",
            ] {
                let mapped = block.replace("203", "::ffff:203").replace("/24", "/120");
                assert!(contains(block, address), "{block} {address}");
                assert!(contains(&mapped, address), "{mapped} {address}");
            }
        }
        assert!(!contains("::ffff:203.0.113.0/120", "203.0.114.9"));
    }
}
