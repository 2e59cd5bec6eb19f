//! What is asked of the index of uploads.

use std::sync::Arc;
use std::time::SystemTime;

use redis::{Cmd, ScriptInvocation};

use super::link::Down;
use super::record::{self, Fields, Held};
use super::{Redis, Shared};
use crate::store::{Peer, StoreError};
use crate::upload::{Entry, Record, Span, Timestamp, UploadKey};

/// What a server is told that states something of an upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is so.
    Stated,
    /// Nothing is known of the upload, or not what it was before.
    Unknown,
    /// It belongs to another server.
    Elsewhere(Peer),
}

impl Verdict {
    fn read(reply: &[String]) -> Self {
        match reply {
            [word, name, url] if word == "elsewhere" => Self::Elsewhere(Peer {
                name: name.clone(),
                url: Some(url.clone()).filter(|url| !url.is_empty()),
            }),
            [word] if word == "ok" => Self::Stated,
            _ => Self::Unknown,
        }
    }
}

/// What is to be told of additions to an upload.
pub(super) struct Update {
    before: u64,
    revision: u64,
    last_chunk: u64,
    fields: Fields,
    chunks: Vec<(u64, bool)>,
}

impl Update {
    /// What `new` made of an upload that was told of at revision `before`.
    pub(super) fn new(before: u64, record: &Record, new: &[Entry]) -> Self {
        let total = record.header.declaration.total;
        Self {
            before,
            revision: record.revision,
            last_chunk: crate::upload::total_chunks(total, record.chunk_size).saturating_sub(1),
            fields: record::changed(record, new),
            chunks: record::changed_chunks(record, new),
        }
    }
}

/// All that is to be told of an upload.
pub(super) struct Whole {
    revision: u64,
    fields: Fields,
    chunks: Vec<u8>,
}

impl Redis {
    /// All that is to be told of an upload but for the pieces in `without`.
    pub(super) fn whole(&self, record: &Record, without: &[Span]) -> Whole {
        Whole {
            revision: record.revision,
            fields: record::all(record, self.shared.me.url.as_deref()),
            chunks: record::chunks(record, without),
        }
    }

    /// Tells all of an upload.
    pub(super) async fn register(
        &self,
        key: UploadKey,
        record: &Record,
        without: &[Span],
    ) -> Result<(), StoreError> {
        let whole = self.whole(record, without);
        self.register_whole(key, &whole).await
    }

    pub(super) async fn register_whole(
        &self,
        key: UploadKey,
        whole: &Whole,
    ) -> Result<(), StoreError> {
        let mut call = self.shared.stating(&self.shared.scripts.register);
        call.key(self.shared.keys.upload(key));
        call.key(self.shared.keys.chunks(key));
        call.arg(whole.revision).arg(self.time_to_live());
        call.arg(whole.chunks.as_slice());
        for (name, value) in &whole.fields {
            call.arg(*name).arg(value.as_slice());
        }
        match self.shared.state(&call).await? {
            Verdict::Elsewhere(peer) => Err(StoreError::Elsewhere(peer)),
            Verdict::Stated | Verdict::Unknown => Ok(()),
        }
    }

    /// Tells what was added.
    pub(super) async fn update(
        &self,
        key: UploadKey,
        update: &Update,
    ) -> Result<Verdict, StoreError> {
        let mut call = self.shared.stating(&self.shared.scripts.update);
        call.key(self.shared.keys.upload(key));
        call.key(self.shared.keys.chunks(key));
        call.arg(update.before).arg(update.revision);
        call.arg(self.time_to_live()).arg(update.last_chunk);
        call.arg(update.fields.len() * 2);
        for (name, value) in &update.fields {
            call.arg(*name).arg(value.as_slice());
        }
        for (chunk, held) in &update.chunks {
            call.arg(*chunk).arg(u8::from(*held));
        }
        self.shared.state(&call).await
    }

    /// Claims the hand-off of an upload.
    pub(super) async fn claim(&self, key: UploadKey) -> Result<Verdict, StoreError> {
        let mut call = self.shared.stating(&self.shared.scripts.claim);
        call.key(self.shared.keys.upload(key));
        self.shared.state(&call).await
    }

    /// What is told of an upload, by whomever.
    pub(super) async fn held(&self, key: UploadKey) -> Result<Option<Held>, StoreError> {
        let mut call = self.shared.scripts.find.prepare_invoke();
        call.key(self.shared.keys.upload(key));
        call.key(self.shared.keys.chunks(key));
        let found = self.shared.link.run(&call).await;
        let (fields, chunks): (Vec<(String, Vec<u8>)>, Vec<u8>) = found.map_err(unavailable)?;
        if fields.is_empty() {
            return Ok(None);
        }
        record::read(&fields, &chunks).map(Some).map_err(|field| {
            tracing::error!(%key, field, "what Redis holds of an upload cannot be read");
            StoreError::Unavailable
        })
    }

    /// Tells that there is no such upload any more; where that fails, its deadline does.
    pub(super) async fn unregister(&self, key: UploadKey) {
        let mut call = self.shared.stating(&self.shared.scripts.remove);
        call.key(self.shared.keys.upload(key));
        call.key(self.shared.keys.chunks(key));
        match self.shared.state(&call).await {
            // It is looked at again, and is not there.
            Err(_) => self.note_behind(key),
            Ok(verdict) => {
                self.forget_told(key);
                // Its deadline is that of whoever has it.
                if !matches!(verdict, Verdict::Elsewhere(_)) {
                    let _ = self.forget_deadline(key).await;
                }
            }
        }
    }

    /// Notes when to look whether an upload is to be forgotten: not before it can have expired.
    pub(super) async fn note_deadline(&self, key: UploadKey) {
        let due = Timestamp::from(SystemTime::now()).after(self.shared.keep);
        let deadlines = self.shared.keys.deadlines();
        let mut command = Cmd::zadd(deadlines, key.to_string(), due.0);
        // Without it Redis forgets the upload by itself, much later.
        let _ = self.shared.send(&mut command).await;
    }

    /// Tells of an upload as its log has it, which nobody else adds to meanwhile.
    pub(super) async fn register_from_log(&self, key: UploadKey) -> Result<(), StoreError> {
        match self.local.read(key).await? {
            Some(record) => self.register(key, &record, &[]).await,
            None => Ok(()),
        }
    }
}

impl Shared {
    /// A call that begins with who makes it.
    fn stating<'a>(&self, script: &'a redis::Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.arg(self.identity.fence).arg(self.me.name.as_str());
        call
    }

    async fn state(self: &Arc<Self>, call: &ScriptInvocation<'_>) -> Result<Verdict, StoreError> {
        let reply: Result<Vec<String>, Down> = self.link.run(call).await;
        Ok(Verdict::read(&reply.map_err(unavailable)?))
    }

    async fn send(&self, command: &mut Cmd) -> Result<(), Down> {
        let mut commands = redis::pipe();
        commands.add_command(std::mem::take(command)).ignore();
        self.link.send(&commands).await
    }
}

pub(super) fn unavailable(_: Down) -> StoreError {
    StoreError::Unavailable
}
