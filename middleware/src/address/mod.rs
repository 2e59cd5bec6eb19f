//! The address that a request comes from, and what proxies say of it.
//!
//! 1. Without `server.trusted_proxies` it is the other end of the connection ([`PeerAddr`]).
//! 2. A header is read only where that end is a trusted proxy: `Forwarded` (RFC 7239) or
//!    `X-Forwarded-For`. Each proxy adds whom it was asked by at the right, so the client is the
//!    rightmost address that is not a trusted proxy itself. What is left of it the client wrote.
//! 3. Where all are trusted, it is the leftmost: a proxy asks for itself.
//! 4. A proxy that sets one of the two headers passes on the other as its client wrote it. So where
//!    both are there, both must say the same.
//! 5. Everything else (a hop that is `unknown` or hidden, what is no list of addresses, two headers
//!    that differ) is nobody's address. It is not the proxy's: a client could write nonsense to be
//!    taken for a machine of the operator's.

mod forwarded;
mod peer;

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use crate::config::Cidr;
pub use peer::PeerAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Why nobody knows the address of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The app's server does not tell whom it is connected to.
    Peer,
    /// A trusted proxy does not tell whom it was asked by.
    Client,
}

/// The address of the client that a request comes from.
pub(crate) fn client(
    peer: Option<PeerAddr>,
    headers: &HeaderMap,
    trusted: &[Cidr],
) -> Result<IpAddr, Unknown> {
    let peer = peer.ok_or(Unknown::Peer)?.ip();
    if !is_in(trusted, peer) {
        return Ok(peer);
    }
    let said = |name, hops: fn(&str) -> Option<Vec<Option<IpAddr>>>| {
        let list = list(headers, &name)?;
        let hops = list.and_then(|list| hops(&list)).ok_or(Unknown::Client);
        Some(hops.and_then(|hops| asked_by(peer, &hops, trusted)))
    };
    match (
        said(FORWARDED, forwarded::standard),
        said(X_FORWARDED_FOR, forwarded::usual),
    ) {
        (None, None) => Ok(peer),
        (Some(client), None) | (None, Some(client)) => client,
        (Some(one), Some(other)) if one == other => one,
        _ => Err(Unknown::Client),
    }
}

/// The whole list of a header, whose lines are one list; the inner `None` if it is not text.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Option<String>> {
    let lines = headers.get_all(name).iter();
    let lines: Option<Vec<_>> = lines.map(|line| line.to_str().ok()).collect();
    match lines {
        Some(lines) if lines.is_empty() => None,
        lines => Some(lines.map(|lines| lines.join(","))),
    }
}

/// The rightmost of `hops` that is no trusted proxy, or else the leftmost.
fn asked_by(peer: IpAddr, hops: &[Option<IpAddr>], trusted: &[Cidr]) -> Result<IpAddr, Unknown> {
    let mut client = peer;
    for hop in hops.iter().rev() {
        client = hop.ok_or(Unknown::Client)?;
        if !is_in(trusted, client) {
            break;
        }
    }
    Ok(client)
}

/// Whether one of `blocks` holds `address`.
pub(crate) fn is_in(blocks: &[Cidr], address: IpAddr) -> bool {
    blocks.iter().any(|block| block.contains(address))
}

#[cfg(test)]
mod tests;
