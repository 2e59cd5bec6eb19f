use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Extensions, Request};

use crate::address::{self, PeerAddr, Unknown};
use crate::admission::Origin;
use crate::config::UploadConfig;
use crate::engine::Refusal;
use crate::layer::Shared;
use crate::protocol::{Code, Problem};

/// Lets requests in by where they come from.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// That an address is not known was told, by why.
    told: [AtomicBool; 2],
}

impl Shared {
    /// Lets a request in, for our routes or to a protected path, before anything else of it is
    /// looked at: neither a signature nor a body costs anything yet. It is marked with where it
    /// comes from.
    ///
    /// # Errors
    /// `forbidden_address`, or `rate_limited`; `internal` where TLS is configured and the app is
    /// served without.
    pub(crate) fn enter<B>(
        &self,
        config: &UploadConfig,
        request: &mut Request<B>,
    ) -> Result<(), Problem> {
        if config.server.tls_cert.is_some() && !is_secure(request.extensions()) {
            let detail = "The server is to be reached by TLS only, and was not.";
            return Err(Problem::new(Code::INTERNAL, detail));
        }
        if !goes_by_address(config) {
            return Ok(());
        }
        let peer = request.extensions().get::<PeerAddr>().copied();
        let trusted = &config.server.trusted_proxies;
        let address = address::client(peer, request.headers(), trusted);
        let address = address.inspect_err(|why| self.door.tell(*why)).ok();
        if !may_enter(config, address) {
            let detail = "Requests from this address are not taken here.";
            return Err(Problem::new(Code::FORBIDDEN_ADDRESS, detail));
        }
        let origin = address.map(Origin::of).unwrap_or_default();
        let counted = self.engine.rates().check(&origin.into());
        counted.map_err(|wait| Refusal::RateLimited { wait })?;
        request.extensions_mut().insert(origin);
        Ok(())
    }
}

/// Whether a request came over TLS, as far as is known.
#[cfg(feature = "serve")]
pub(crate) fn is_secure(extensions: &Extensions) -> bool {
    extensions.get::<crate::serve::Tls>().is_some()
}

#[cfg(not(feature = "serve"))]
pub(crate) fn is_secure(_: &Extensions) -> bool {
    false
}

/// Whether it makes a difference where a request comes from.
fn goes_by_address(config: &UploadConfig) -> bool {
    let (security, limits) = (&config.security, &config.limits);
    !security.allow.is_empty()
        || !security.deny.is_empty()
        || limits.requests_per_second > 0
        || limits.bandwidth > 0
}

/// Whether `security.allow` and `deny` let this address in. One that nobody knows is let in where
/// there are no lists.
fn may_enter(config: &UploadConfig, address: Option<IpAddr>) -> bool {
    let (allow, deny) = (&config.security.allow, &config.security.deny);
    match address {
        None => allow.is_empty() && deny.is_empty(),
        Some(address) => {
            !address::is_in(deny, address) && (allow.is_empty() || address::is_in(allow, address))
        }
    }
}

impl Door {
    /// Says once why requests have no address.
    fn tell(&self, why: Unknown) {
        if self.told[why as usize].swap(true, Ordering::Relaxed) {
            return;
        }
        let what =
            "with security.allow or deny they are refused, and for limits they are one client";
        match why {
            Unknown::Peer => tracing::warn!(
                "requests come without a PeerAddr, so nobody knows their addresses: {what}. Put \
                 steadfast::PeerAddr into their extensions where the app accepts connections, or \
                 use steadfast::serve"
            ),
            Unknown::Client => tracing::warn!(
                "a proxy of server.trusted_proxies does not tell the address of a client, or tells \
                 two: {what}. It has to set one of Forwarded and X-Forwarded-For, and to remove the \
                 other"
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::SteadfastLayer;
    use crate::config::Cidr;

    struct Rig {
        layer: SteadfastLayer,
        config: UploadConfig,
        _dir: tempfile::TempDir,
    }

    fn blocks(blocks: &[&str]) -> Vec<Cidr> {
        let block = |text: &&str| Cidr::parse(text).unwrap();
        blocks.iter().map(block).collect()
    }

    impl Rig {
        async fn new(adapt: impl FnOnce(&mut UploadConfig)) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut config = UploadConfig::default();
            config.uploads.state_dir = dir.path().join("state");
            config.server.trusted_proxies = blocks(&["10.0.0.5"]);
            adapt(&mut config);
            let (layer, _driver) = SteadfastLayer::from_config(config.clone()).await.unwrap();
            Self {
                layer,
                config,
                _dir: dir,
            }
        }

        /// The code of the answer to a request, where there is one.
        fn enter(&self, peer: Option<&str>, forwarded_for: Option<&str>) -> Option<&'static str> {
            let mut request = Request::new(());
            if let Some(peer) = peer {
                let peer = PeerAddr(peer.parse().unwrap());
                request.extensions_mut().insert(peer);
            }
            if let Some(list) = forwarded_for {
                let list = list.parse().unwrap();
                request.headers_mut().insert("x-forwarded-for", list);
            }
            let entered = self.layer.shared.enter(&self.config, &mut request);
            entered.err().map(|problem| problem.code().name)
        }
    }

    const FORBIDDEN: Option<&str> = Some("forbidden_address");
    const LIMITED: Option<&str> = Some("rate_limited");

    #[tokio::test]
    async fn deny_wins_and_an_empty_allow_is_everyone() {
        // (allow, deny, address, answer)
        for (allow, deny, address, answer) in [
            (&[][..], &[][..], "203.0.113.9", None),
            (&["203.0.113.0/24"], &[], "203.0.113.9", None),
            (&["203.0.113.0/24"], &[], "203.0.112.9", FORBIDDEN),
            (&["203.0.113.0/24"], &[], "2001:db8::1", FORBIDDEN),
            (&[], &["203.0.113.0/24"], "203.0.113.9", FORBIDDEN),
            (&[], &["203.0.113.0/24"], "::ffff:203.0.113.9", FORBIDDEN),
            (&[], &["203.0.113.0/24"], "203.0.112.9", None),
            (
                &["0.0.0.0/0", "::/0"],
                &["203.0.113.9"],
                "203.0.113.9",
                FORBIDDEN,
            ),
            (&["203.0.113.9"], &["0.0.0.0/0"], "203.0.113.9", FORBIDDEN),
        ] {
            let rig = Rig::new(|config| {
                config.security.allow = blocks(allow);
                config.security.deny = blocks(deny);
            });
            let rig = rig.await;
            let peer = format!("[{address}]:1");
            let peer = peer
                .parse::<std::net::SocketAddr>()
                .map_or(format!("{address}:1"), |_| peer);
            assert_eq!(
                rig.enter(Some(&peer), None),
                answer,
                "{allow:?} {deny:?} {address}"
            );
            let proxied = rig.enter(Some("10.0.0.5:1"), Some(address));
            assert_eq!(proxied, answer, "{allow:?} {deny:?} {address}");
        }
    }

    #[tokio::test]
    async fn where_there_is_a_list_nobody_enters_without_an_address() {
        let rig = Rig::new(|config| config.security.deny = blocks(&["203.0.113.9"])).await;
        assert_eq!(rig.enter(None, None), FORBIDDEN);
        assert_eq!(rig.enter(None, Some("192.0.2.1")), FORBIDDEN);
        assert_eq!(rig.enter(Some("10.0.0.5:1"), Some("unknown")), FORBIDDEN);
        let rig = Rig::new(|config| config.security.allow = blocks(&["10.0.0.0/8"])).await;
        // Not as the proxy, which is allowed.
        assert_eq!(
            rig.enter(Some("10.0.0.5:1"), Some("10.0.0.9, unknown")),
            FORBIDDEN
        );
        assert_eq!(rig.enter(Some("10.0.0.5:1"), None), None);
        let rig = Rig::new(|_| {}).await;
        assert_eq!(rig.enter(None, None), None);
    }

    #[tokio::test]
    async fn requests_are_counted_by_address() {
        let adapt = |config: &mut UploadConfig| {
            config.limits.requests_per_second = 1;
            config.limits.burst = 2;
        };
        let rig = Rig::new(adapt).await;
        let proxied = |client| rig.enter(Some("10.0.0.5:1"), Some(client));
        let answers = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"].map(proxied);
        assert_eq!(answers, [None, None, None, LIMITED]);
        // All that nobody knows are one.
        let answers = [None, Some("10.0.0.5:1"), None].map(|peer| rig.enter(peer, Some("unknown")));
        assert_eq!(answers, [None, None, LIMITED]);
        let answers = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(proxied);
        assert_eq!(answers, [None, None, LIMITED]);
    }
}
