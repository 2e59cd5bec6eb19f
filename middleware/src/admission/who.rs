use std::net::{IpAddr, Ipv6Addr};

use crate::config::Security;
use crate::upload::Owner;

/// Where a request comes from, as limits count it: one IPv4 address, or the first 64 bits of an IPv6
/// address, since whoever has one has all that begin with these. By default nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin(Option<IpAddr>);

impl Origin {
    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        }))
    }
}

/// Whose limits a request counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody with a name.
    Owner(Owner),
    /// Whoever is there.
    Origin(Origin),
}

impl Who {
    /// The owner, where that is somebody: a lone secret is everybody's, and so names nobody.
    #[must_use]
    pub fn named(owner: &Owner, security: &Security) -> Option<Self> {
        let is_everybody = security.keys.is_empty() && owner.0 == Security::LONE_KEY;
        let is_somebody = !owner.0.is_empty() && !is_everybody;
        is_somebody.then(|| Self::Owner(owner.clone()))
    }
}

impl From<Origin> for Who {
    fn from(origin: Origin) -> Self {
        Self::Origin(origin)
    }
}
