//! Puts bugs ([`Bug`](crate::sabotage::Bug)) around the filesystem, the store and the handler, to see
//! which test finds them. Not part of ordinary builds.

mod deliver;
mod files;
mod log;

use std::sync::Arc;

use crate::engine::Deliver;
use crate::store::Store;
use crate::volume::Filesystem;

/// The filesystem, with bugs.
pub fn files(inner: Arc<dyn Filesystem>) -> Arc<dyn Filesystem> {
    Arc::new(files::Files(inner))
}

/// The store, with bugs.
pub fn store(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(log::Logs(inner))
}

/// The handler, with bugs.
pub fn deliver(inner: Arc<dyn Deliver>) -> Arc<dyn Deliver> {
    Arc::new(deliver::Twice(inner))
}
