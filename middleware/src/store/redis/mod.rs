//! Sessions that several servers share, in Redis, over logs that each server keeps beside its bytes.
//!
//! 1. The logs are the truth. Redis holds an index of them: how every upload stands, whose it is,
//!    which chunks are there. All of it may be lost at any moment; each server tells it again.
//! 2. An upload belongs to the server with its bytes. Where two have them, because a state directory
//!    was copied, the server that began later has it: every statement carries a fence, and the
//!    claim of a hand-off is granted to the highest one only.
//! 3. What is told is durable before. What cannot be told does not undo what is on record.
//! 4. While Redis cannot be used, nothing is begun: requests are refused until it can.
//! 5. One script for every verb, each of which changes nothing when it is run again after its reply
//!    was lost. One round trip for a chunk.

mod check;
mod forget;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identity;
mod index;
mod keys;
mod link;
mod log;
mod peers;
mod pulse;
mod record;
mod scripts;
mod told;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::Identity;
use keys::Keys;
use link::Link;
use log::SharedLog;
use pulse::Pulse;
use scripts::Scripts;
use told::Tellings;

use super::{BoxFuture, Listed, Opened, Peer, Peers, Store, StoreError};
use crate::upload::{Header, Record, Timestamp, UploadKey};

/// What is kept in Redis longer than it is wanted, in case its server comes back.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Redis counts in milliseconds, and not for ever: a hundred years.
const KEEP_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Sessions that several servers share.
#[derive(Clone)]
pub struct Redis {
    local: Arc<dyn Store>,
    shared: Arc<Shared>,
}

/// How a server shares its sessions.
#[derive(Clone)]
pub struct Settings {
    /// `redis://…`, `rediss://…` or `unix://…`: may hold a password.
    pub url: String,
    /// What every name in Redis begins with.
    pub prefix: String,
    /// This server's name; `None`: one that is made of its state directory's id.
    pub name: Option<String>,
    /// Where clients reach this server.
    pub advertise: Option<String>,
    /// When this process began, by the clock that says when uploads expire.
    pub began: Timestamp,
    /// How long an upload that nothing happens to is kept, or an answer, whichever is longer.
    pub keep: Duration,
    /// Tells servers with different secrets apart, and says nothing of the secret.
    pub secret_print: String,
}

struct Shared {
    link: Link,
    keys: Keys,
    scripts: Scripts,
    identity: Identity,
    me: Peer,
    secret_print: String,
    /// How long Redis keeps what nobody asks for.
    keep: Duration,
    tellings: Tellings,
    pulse: tokio::sync::Mutex<Pulse>,
}

impl Redis {
    /// Shares the sessions in `local`, whose state directory is `dir`: this process alone has it.
    /// Redis is asked whether it can be used, and need not answer.
    ///
    /// # Errors
    /// A sentence: the URL means nothing, or Redis answered and is not fit for this.
    pub async fn open(
        settings: &Settings,
        dir: &Path,
        local: Arc<dyn Store>,
    ) -> Result<Self, String> {
        let link = Link::new(&settings.url)?;
        let identity = Identity::take(dir, settings.began).map_err(|error| {
            format!("this server has no identity in {}: {error}", dir.display())
        })?;
        let made = || format!("s-{}", identity.id);
        let me = Peer {
            name: settings.name.clone().unwrap_or_else(made),
            url: settings.advertise.clone(),
        };
        let shared = Shared {
            link,
            keys: Keys::new(&settings.prefix),
            scripts: Scripts::default(),
            identity,
            me,
            secret_print: settings.secret_print.clone(),
            keep: settings.keep,
            tellings: Tellings::default(),
            pulse: tokio::sync::Mutex::default(),
        };
        let this = Self {
            local,
            shared: Arc::new(shared),
        };
        this.begin().await?;
        if this.local.list().await.is_ok_and(|all| all.is_empty()) {
            this.note_all_told(this.generation());
            this.say_all_told().await;
        }
        Ok(this)
    }

    /// Why Redis cannot be used, if it cannot.
    #[must_use]
    pub fn why_down(&self) -> Option<String> {
        let link = &self.shared.link;
        (!link.is_up()).then(|| link.why_down())
    }

    /// This server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.me.name
    }

    /// For how long Redis keeps what it is told, in milliseconds.
    fn time_to_live(&self) -> u64 {
        let keep = self.shared.keep.min(KEEP_MAX) + GRACE;
        u64::try_from(keep.as_millis()).unwrap_or(u64::MAX)
    }

    async fn make(&self, key: UploadKey, header: Arc<Header>) -> Result<(), StoreError> {
        if !self.is_reachable() {
            return Err(StoreError::Unavailable);
        }
        self.local.create(key, Arc::clone(&header)).await?;
        self.note_deadline(key).await;
        let record = Record::new(header);
        let now = self.telling(record.revision);
        let told = self.register(key, &record, &[]).await;
        // What Redis may have heard all the same is taken back.
        self.note_told(key, now, &told);
        if told.is_err()
            && let Err(error) = self.local.remove(key).await
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%key, error, "what was begun of an upload stays until it expires");
        }
        told
    }
}

impl Store for Redis {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.make(key, header))
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.local.read(key)
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        Box::pin(async move {
            let opened = self.local.open(key).await?;
            Ok(opened.map(|Opened { record, log }| Opened {
                record,
                log: Box::new(SharedLog::new(self.clone(), key, log)),
            }))
        })
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // What cannot be removed there now is removed when its time has come.
            self.unregister(key).await;
            self.local.remove(key).await
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        self.local.list()
    }

    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>> {
        self.local.delivering()
    }

    fn delivered(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.local.delivered(key)
    }

    fn peers(&self) -> Option<&dyn Peers> {
        Some(self)
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The link holds a password.
        f.debug_struct("Redis")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
