//! The files that TLS is made of.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;

/// A file that a key of the configuration names.
pub(super) struct Pem {
    pub(super) key: &'static str,
    path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Pem {
    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn read((key, path): &(&'static str, PathBuf)) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|error| {
            let what = format!("{key}: {} cannot be read", path.display());
            Error::because(what, error)
        })?;
        Ok(Self {
            key,
            path: path.clone(),
            bytes,
        })
    }

    /// Its certificates: at least one.
    ///
    /// # Errors
    /// There is none, or the file is damaged.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.error("holds no certificate in PEM")),
            Ok(found) => Ok(found),
            Err(error) => Err(self.because("is damaged", error)),
        }
    }

    /// Its first private key.
    ///
    /// # Errors
    /// There is none that can be used, or the file is damaged.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        use rustls::pki_types::pem::Error as Damage;
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            Damage::NoItemsFound => self.error("holds no private key in PEM without a passphrase"),
            // The rest may quote what stands in the file.
            _ => self.error("is damaged"),
        })
    }

    /// A sentence about the file.
    pub(super) fn sentence(&self, text: &str) -> String {
        format!("{}: {} {text}", self.key, self.path.display())
    }

    pub(super) fn error(&self, text: &str) -> Error {
        Error::new(self.sentence(text))
    }

    pub(super) fn because(
        &self,
        text: &str,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        Error::because(self.sentence(text), error)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
