use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use super::pem::Pem;
use crate::error::Error;

/// What a server shows of itself, and asks of its clients.
pub(crate) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// Tells the contents of its files apart.
    print: [u8; 32],
    doubts: Vec<String>,
}

impl Identity {
    /// Makes it of the files that [`tls_files`](crate::config::Server::tls_files) names; without
    /// any there is no TLS.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn open(files: &[(&'static str, PathBuf)]) -> Result<Option<Self>, Error> {
        let read: Result<Vec<_>, _> = files.iter().map(Pem::read).collect();
        let read = read?;
        let of = |key| read.iter().find(|file| file.key == key);
        match (of("server.tls_cert"), of("server.tls_key")) {
            (Some(cert), Some(key)) => {
                let client_ca = of("server.tls_client_ca");
                Self::new(cert, key, client_ca, print(&read)).map(Some)
            }
            _ if read.is_empty() => Ok(None),
            _ => Err(Error::new(
                "TLS needs both server.tls_cert and server.tls_key",
            )),
        }
    }

    fn new(cert: &Pem, key: &Pem, client_ca: Option<&Pem>, print: [u8; 32]) -> Result<Self, Error> {
        let provider = provider();
        let chain = cert.certificates()?;
        let private = key.private_key()?;
        let doubts = [exposed(key), out_of_date(cert, &chain, &provider)];
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::because("this process has no cryptography for TLS", error))?;
        let builder = match client_ca {
            Some(file) => builder.with_client_cert_verifier(verifier(file, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, private).map_err(|error| {
            let text = format!("and the certificate in {} do not go", cert.path().display());
            key.because(&format!("{text} together"), error)
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        resume(&mut config, client_ca.is_some())?;
        Ok(Self {
            config: Arc::new(config),
            print,
            doubts: doubts.into_iter().flatten().collect(),
        })
    }

    /// Whether it is made of the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.print == other.print
    }

    /// What is to be said about its files, which can be used all the same.
    pub(crate) fn doubts(&self) -> &[String] {
        &self.doubts
    }
}

/// What the app has chosen for its process, else `ring`. Nothing is installed: an app may yet choose.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let chosen = CryptoProvider::get_default().cloned();
    chosen.unwrap_or_else(|| Arc::new(ring::default_provider()))
}

fn verifier(
    file: &Pem,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in file.certificates()? {
        let added = roots.add(authority);
        added.map_err(|error| file.because("holds a certificate of no authority", error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| file.because("cannot be used", error))
}

/// Settles how sessions are resumed. The keys are this identity's own and end with it.
fn resume(config: &mut ServerConfig, is_mutual: bool) -> Result<(), Error> {
    // Tickets take the place of what would be remembered of each client.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if is_mutual {
        config.send_tls13_tickets = 0;
        return Ok(());
    }
    config.ticketer = ring::Ticketer::new()
        .map_err(|error| Error::because("there are no keys for TLS sessions", error))?;
    Ok(())
}

fn print(files: &[Pem]) -> [u8; 32] {
    let mut print = Sha256::new();
    for file in files {
        print.update(file.key);
        print.update((file.bytes.len() as u64).to_be_bytes());
        print.update(&file.bytes);
    }
    print.finalize().into()
}

/// Whether more than its owner can read a private key.
fn exposed(key: &Pem) -> Option<String> {
    let mode = mode(key.path())?;
    (mode & 0o077 != 0).then(|| {
        let text = format!("can be used by others than its owner (mode {mode:o}): chmod 600");
        key.sentence(&text)
    })
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Option<u32> {
    None
}

/// Whether clients will refuse a chain for its age.
fn out_of_date(
    cert: &Pem,
    chain: &[CertificateDer<'_>],
    provider: &CryptoProvider,
) -> Option<String> {
    let (own, others) = chain.split_first()?;
    let own = ParsedCertificate::try_from(own).ok()?;
    // Nobody is trusted here, so this always fails; and times are looked at first.
    let verdict = verify_server_cert_signed_by_trust_anchor(
        &own,
        &RootCertStore::empty(),
        others,
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    );
    let Err(rustls::Error::InvalidCertificate(error)) = verdict else {
        return None;
    };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            let text = format!("expired at {}: clients refuse it", show(not_after));
            Some(cert.sentence(&text))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let text = format!("is valid from {} only", show(not_before));
            Some(cert.sentence(&text))
        }
        _ => None,
    }
}

fn show(time: UnixTime) -> impl std::fmt::Display {
    let time = UNIX_EPOCH + Duration::from_secs(time.as_secs());
    humantime::format_rfc3339_seconds(time)
}
