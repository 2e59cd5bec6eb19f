//! The tables of the file. Each module says everything about one of them: its keys as fields with
//! their meaning and unit, their defaults, and how each is read.

use super::key::Key;

mod deduplication;
mod delivery;
mod dialects;
mod limits;
mod logging;
mod metrics;
mod network;
mod security;
mod server;
mod sessions;
mod storage;
mod timeouts;
mod uploads;
mod workers;

pub use deduplication::{Deduplication, Method, Times};
pub use delivery::{Delivery, Form, Mode, OnConflict, OnUnknown};
pub use dialects::{Dialects, Rufh104};
pub use limits::Limits;
pub use logging::{LogFormat, Logging};
pub use metrics::Metrics;
pub use network::Network;
pub use security::{Scheme, Security, SecurityKey};
pub use server::Server;
pub use sessions::{SessionStore, Sessions};
pub use storage::{Backend, Storage};
pub use timeouts::Timeouts;
pub use uploads::{Durability, Uploads};
pub use workers::Workers;

/// The whole configuration, validated. One field per table of the file, one field of that per key;
/// sizes are bytes, paths are as written.
///
/// [`UploadConfig::default`] is what an empty file would say.
#[derive(Debug, Clone, Default)]
pub struct UploadConfig {
    /// `[server]`
    pub server: Server,
    /// `[uploads]`
    pub uploads: Uploads,
    /// `[dialects]`
    pub dialects: Dialects,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[security]`
    pub security: Security,
    /// `[sessions]`
    pub sessions: Sessions,
    /// `[storage]`
    pub storage: Storage,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[workers]`
    pub workers: Workers,
    /// `[network]`
    pub network: Network,
    /// `[deduplication]`
    pub deduplication: Deduplication,
    /// `[limits]`
    pub limits: Limits,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[logging]`
    pub logging: Logging,
}

impl UploadConfig {
    /// Whether sessions are kept on disk, and not in memory only.
    #[must_use]
    pub fn keeps_sessions(&self) -> bool {
        self.sessions.store != SessionStore::Memory && self.uploads.resumable_uploads_enabled
    }

    /// Whether the chunked dialect is spoken.
    #[must_use]
    pub fn speaks_chunked(&self) -> bool {
        self.dialects.chunked && self.uploads.chunked_uploads_enabled
    }

    /// What acknowledgements of new uploads survive; those of sessions in memory no power cut,
    /// whatever was asked for.
    #[must_use]
    pub fn durability(&self) -> Durability {
        if self.keeps_sessions() {
            self.uploads.durability
        } else {
            Durability::Process
        }
    }
}

/// Every key there is, in the order of the file.
pub(super) fn keys() -> Vec<Key> {
    let tables: [fn() -> Vec<Key>; 14] = [
        server::keys,
        uploads::keys,
        dialects::keys,
        delivery::keys,
        security::keys,
        sessions::keys,
        storage::keys,
        timeouts::keys,
        workers::keys,
        network::keys,
        deduplication::keys,
        limits::keys,
        metrics::keys,
        logging::keys,
    ];
    tables.into_iter().flat_map(|keys| keys()).collect()
}
