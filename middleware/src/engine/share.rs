//! What servers that share their sessions have of each other's uploads: how they stand, whose they
//! are, and that somebody wants them cancelled.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::active::Active;
use super::command::{Create, Created};
use super::create::same_file;
use super::steps::Steps;
use super::{Engine, Gaps, Refusal, View};
use crate::config::{Durability as Level, UploadConfig};
use crate::store::{Bound, Cancel, News, Peers, Share, StoreError, Told};
use crate::upload::{Deadlines, Durability, Owner, Record, SessionId, Timestamp, UploadKey};

/// The wait before a hand-off is tried again whose claim could not be asked for. It does not grow:
/// nothing is wrong with the upload.
pub(super) const UNREACHABLE_DELAY: Duration = Duration::from_millis(500);

/// How long another server may take to make an upload that it has begun to make, and how often it is
/// looked whether it has.
const MADE_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many servers may, one after the other, have made it and have it no more.
const MAKERS_MAX: usize = 8;

/// How often it is stated what the uploads of an owner take.
const SHARE_EVERY: Duration = Duration::from_secs(1);

impl Engine {
    /// Refuses what is begun while the servers cannot reach what they share.
    pub(super) fn check_reachable(&self) -> Result<(), Refusal> {
        match self.store.peers() {
            Some(peers) if !peers.is_reachable() => Err(Refusal::Unreachable),
            _ => Ok(()),
        }
    }

    /// Why an upload is not here: another server keeps it, or nobody does. Whether it has expired its
    /// own server knows best.
    pub(super) async fn absent(&self, key: UploadKey) -> Refusal {
        match self.find(key).await {
            Ok(Some(told)) => Refusal::Elsewhere(told.peer),
            Ok(None) => Refusal::NoSession,
            Err(refusal) => refusal,
        }
    }

    async fn find(&self, key: UploadKey) -> Result<Option<Told>, Refusal> {
        let Some(peers) = self.store.peers() else {
            return Ok(None);
        };
        let found = peers.find(key).await;
        found.map_err(|error| self.refusal(key, &error))
    }

    /// When the server that keeps an upload was last there.
    async fn seen(&self, key: UploadKey, told: &Told) -> Result<Option<Timestamp>, Refusal> {
        let Some(peers) = self.store.peers() else {
            return Ok(None);
        };
        let seen = peers.seen(&told.peer.name).await;
        seen.map_err(|error| self.refusal(key, &error))
    }

    /// How long another server keeps an upload, if it keeps them as long as this one.
    fn deadlines_of(&self, told: &Told) -> Deadlines {
        Deadlines {
            since: told.since,
            ..self.deadlines()
        }
    }

    fn view_of(&self, key: UploadKey, told: &Told) -> View {
        let deadlines = self.deadlines_of(told);
        View::new(key, &told.record, &deadlines, deadlines.now)
    }

    /// How an upload stands that another server keeps. Nothing expires while its server is away.
    pub(super) async fn status_elsewhere(&self, key: UploadKey) -> Result<(View, Gaps), Refusal> {
        let told = self.find(key).await?.ok_or(Refusal::NoSession)?;
        let view = self.view_of(key, &told);
        if view.expires <= self.clock.now() && self.seen(key, &told).await? > Some(view.expires) {
            return Err(Refusal::NoSession);
        }
        Ok((view, Gaps::new(&told.record, super::status::RANGES_MAX)))
    }

    /// Has an upload given up that another server keeps.
    pub(super) async fn cancel_elsewhere(&self, key: UploadKey) -> Result<(), Refusal> {
        let told = self.find(key).await?.ok_or(Refusal::NoSession)?;
        let Some(peers) = self.store.peers() else {
            return Err(Refusal::NoSession);
        };
        let answer = peers.ask_to_cancel(key).await;
        match answer.map_err(|error| self.refusal(key, &error))? {
            Some(Cancel::Done) => Ok(()),
            Some(Cancel::Finishing) => Err(Refusal::Finishing),
            Some(Cancel::Completed) => Err(Refusal::Completed),
            Some(Cancel::Unknown) => Err(Refusal::NoSession),
            Some(Cancel::Failed) | None => Err(Refusal::NoAnswer(told.peer)),
        }
    }

    /// The upload that an earlier request with the same idempotency key made on another server.
    pub(super) async fn made_elsewhere(&self, create: &Create) -> Result<Option<Created>, Refusal> {
        let Some(peers) = self.store.peers() else {
            return Ok(None);
        };
        let name = create.id.unnamed().key();
        let refused = |error: StoreError| self.refusal(create.id.key(), &error);
        let mut gone = None;
        for _ in 0..MAKERS_MAX {
            let maker = peers.maker(name, gone.as_deref()).await;
            let Some(server) = maker.map_err(refused)? else {
                return Ok(None);
            };
            let id = create.id.of(&server);
            if let Some(told) = self.find_made(id.key()).await? {
                return self.made(create, id, &told).map(Some);
            }
            gone = Some(server);
        }
        Err(Refusal::Busy)
    }

    /// An upload that another server has made, or is just making.
    async fn find_made(&self, key: UploadKey) -> Result<Option<Told>, Refusal> {
        let asked = tokio::time::Instant::now();
        loop {
            if let Some(told) = self.find(key).await? {
                let has_expired = self.deadlines_of(&told).has_expired(&told.record);
                return Ok(Some(told).filter(|_| !has_expired));
            }
            if asked.elapsed() >= MADE_WITHIN {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn made(&self, create: &Create, id: SessionId, told: &Told) -> Result<Created, Refusal> {
        let header = &told.record.header;
        let same = same_file(&header.declaration, &create.declaration);
        if !same || header.owner != create.owner {
            return Err(Refusal::IdempotencyMismatch);
        }
        let view = self.view_of(id.key(), told);
        Ok(Created { id, view })
    }

    /// Counts what an owner's uploads take on all servers, where that is bounded.
    pub(super) async fn share(&self, key: UploadKey, owner: &Owner) -> Result<(), Refusal> {
        let (Some(peers), Some(bound)) = (self.store.peers(), self.bound()) else {
            return Ok(());
        };
        let shared = peers.share(owner, self.share_of(owner), Some(bound)).await;
        match shared.map_err(|error| self.refusal(key, &error))? {
            true => Ok(()),
            false => Err(Refusal::TooManySessions),
        }
    }

    /// States anew what the uploads of owners take, where that has changed.
    async fn share_changes(&self, peers: &dyn Peers) {
        while self.bound().is_some() {
            tokio::time::sleep(SHARE_EVERY).await;
            for owner in self.budget.changed() {
                let shared = peers.share(&owner, self.share_of(&owner), None).await;
                if shared.is_err() {
                    self.budget.note_change(&owner);
                }
            }
        }
    }

    fn share_of(&self, owner: &Owner) -> Share {
        let taken = self.budget.taken(owner);
        Share {
            sessions: taken.sessions as u64,
            bytes: taken.bytes,
            version: taken.version,
        }
    }

    /// What one owner may take on all servers, where that is bounded.
    pub(super) fn bound(&self) -> Option<Bound> {
        self.store.peers().and_then(|_| bound(&self.config))
    }

    /// Does what other servers ask for, and tells them what they have to be told. Never ends, where
    /// there are any.
    pub async fn attend(self: &Arc<Self>) {
        if let Some(peers) = self.store.peers() {
            tokio::join!(self.follow(peers), self.share_changes(peers));
        }
    }

    /// Waits for news and for nothing else: whoever does not is taken for gone.
    async fn follow(self: &Arc<Self>, peers: &dyn Peers) {
        // It ends with this future.
        let mut work = JoinSet::new();
        let mut heeded = HashSet::new();
        loop {
            let news = peers.news().await;
            while let Some(done) = work.try_join_next() {
                // A panic ends this future, which is begun anew.
                let done: Option<_> =
                    done.unwrap_or_else(|error| resume_unwind(error.into_panic()));
                done.map(|key| heeded.remove(&key));
            }
            let wish = match news {
                News::Cancel(key) => Some(key),
                News::Forgotten | News::Behind(_) => None,
            };
            // A wish comes again until it is answered.
            if wish.is_some_and(|key| !heeded.insert(key)) {
                continue;
            }
            let engine = Arc::clone(self);
            work.spawn(async move {
                engine.heed(news).await;
                wish
            });
        }
    }

    async fn heed(self: &Arc<Self>, news: News) {
        let Some(peers) = self.store.peers() else {
            return;
        };
        match news {
            News::Forgotten => self.tell_all(peers).await,
            News::Behind(keys) => {
                for key in keys {
                    self.tell_again(peers, key).await;
                }
            }
            News::Cancel(key) => {
                let answer = self.cancel_for_another(key).await;
                if peers.answer(key, answer).await.is_err() {
                    tracing::debug!(%key, "an answer to another server got lost; it asks again");
                }
            }
        }
    }

    async fn cancel_for_another(self: &Arc<Self>, key: UploadKey) -> Cancel {
        tracing::debug!(%key, "another server asks for an upload to be given up");
        match self.cancel_here(key).await {
            Ok(()) => Cancel::Done,
            Err(Refusal::Finishing) => Cancel::Finishing,
            Err(Refusal::Completed) => Cancel::Completed,
            Err(Refusal::NoSession | Refusal::Elsewhere(_)) => Cancel::Unknown,
            Err(_) => Cancel::Failed,
        }
    }

    /// Tells of every upload of this server's, at an even pace.
    async fn tell_all(&self, peers: &dyn Peers) {
        let epoch = peers.epoch();
        self.budget.note_changes();
        let mut steps = Steps::default();
        let listed = self.store.list().await;
        let Ok(listed) = listed.inspect_err(super::recover::warn_unlisted) else {
            return;
        };
        tracing::info!(
            uploads = listed.len(),
            "telling the other servers of every upload"
        );
        for upload in listed {
            let revision = self.tell_again(peers, upload.key).await;
            steps.log(revision).await;
        }
        peers.all_is_told(epoch);
    }

    /// Tells of one upload, open or not; answers its revision, or 0.
    async fn tell_again(&self, peers: &dyn Peers, key: UploadKey) -> u64 {
        let _nobody_makes_it = self.creates.turn(key).await;
        let unopened = async || match self.store.read(key).await {
            Ok(Some(record)) => Some(record),
            Ok(None) | Err(StoreError::Lost) => {
                peers.untell(key).await;
                None
            }
            Err(_) => None,
        };
        match self.table.unopened(key, unopened).await {
            Ok(Some(record)) => {
                self.tell_of(peers, key, &record).await;
                record.revision
            }
            Ok(None) => 0,
            Err(active) => {
                // What could not be told is told later.
                let _ = active.tell().await;
                0
            }
        }
    }

    /// Tells of an upload that was read and is not open.
    pub(super) async fn tell_of(&self, peers: &dyn Peers, key: UploadKey, record: &Record) {
        if self.is_to_be_proven(record) {
            // Opening it proves it, and tells of it.
            drop(self.active(key).await);
            self.table.close_unused(key);
        } else if let Err(error @ StoreError::Elsewhere(_)) = peers.tell(key, record).await {
            self.refusal(key, &error);
        }
    }

    /// Whether bytes of an upload may be gone that its log claims.
    fn is_to_be_proven(&self, record: &Record) -> bool {
        let flushes = record.header.durability == Durability::Power
            && self.config.durability() == Level::Power;
        flushes && record.ended.is_none() && !record.is_proven && !self.is_undecided(record)
    }

    /// Tells that an upload is lost: nobody is to believe what was told of it.
    pub(super) async fn untell(&self, key: UploadKey) {
        if let Some(peers) = self.store.peers() {
            peers.untell(key).await;
        }
    }

    /// Tells of an upload that was opened just now.
    pub(super) async fn tell_opened(&self, active: &Active) -> Result<(), Refusal> {
        match active.tell().await {
            Ok(()) | Err(StoreError::Unavailable) => Ok(()),
            Err(error) => Err(self.refusal(active.key, &error)),
        }
    }
}

/// What one owner may take, where that is bounded.
pub(super) fn bound(config: &UploadConfig) -> Option<Bound> {
    let uploads = &config.uploads;
    let bound = Bound {
        sessions: uploads.max_sessions_per_owner as u64,
        bytes: uploads.max_reserved_per_owner,
    };
    (bound != Bound::default()).then_some(bound)
}
