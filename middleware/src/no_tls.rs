//! What stands for TLS where the feature `tls` is off: nothing can be asked for.

use std::convert::Infallible;
use std::path::PathBuf;

use crate::error::Error;

/// There is none.
pub(crate) struct Identity(Infallible);

impl Identity {
    /// # Errors
    /// There are `files`, which nobody can use.
    pub(crate) fn open(files: &[(&'static str, PathBuf)]) -> Result<Option<Self>, Error> {
        match files.first() {
            None => Ok(None),
            Some((key, _)) => Err(Error::new(format!(
                "{key} needs the feature \"tls\" of this library"
            ))),
        }
    }

    pub(crate) fn is_same(&self, _: &Self) -> bool {
        match self.0 {}
    }

    pub(crate) fn doubts(&self) -> &[String] {
        match self.0 {}
    }

    #[cfg(feature = "serve")]
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn greet<T>(&self, _: T, _: &crate::serve::Terms) -> Option<T> {
        match self.0 {}
    }
}
