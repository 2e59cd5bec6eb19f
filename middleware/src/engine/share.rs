//! What servers that share their sessions have of each other's uploads: how they stand, whose they
//! are, and that somebody wants them cancelled.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::active::Active;
use super::command::{Create, Created};
use super::create::same_file;
use super::steps::Steps;
use super::{Engine, Gaps, Refusal, View};
use crate::config::{Durability as Level, UploadConfig};
use crate::store::{Bound, BoxFuture, Cancel, News, Once, Peers, Share, Spent, StoreError, Told};
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
    pub(super) async fn absent(&self, id: &SessionId) -> Refusal {
        match self.find(id).await {
            Ok(Some(told)) => Refusal::Elsewhere(told.peer),
            Ok(None) => Refusal::NoSession,
            Err(refusal) => refusal,
        }
    }

    async fn find(&self, id: &SessionId) -> Result<Option<Told>, Refusal> {
        let Some(peers) = self.store.peers() else {
            return Ok(None);
        };
        let found = peers.find(id.key(), id.server_name()).await;
        found.map_err(|error| self.refusal(id.key(), &error))
    }

    /// An upload that another server keeps, how it stands, unless it has expired: nothing expires
    /// while its server is away, or soon after.
    async fn find_alive(&self, id: &SessionId) -> Result<Option<(Told, View)>, Refusal> {
        let (Some(peers), Some(told)) = (self.store.peers(), self.find(id).await?) else {
            return Ok(None);
        };
        let view = self.view_of(id.key(), &told, told.since);
        if view.expires > self.clock.now() {
            return Ok(Some((told, view)));
        }
        let seen = peers.seen(&told.peer.name).await;
        let seen = seen.map_err(|error| self.refusal(id.key(), &error))?;
        let Some(seen) = seen else {
            return Ok(Some((told, view)));
        };
        let view = self.view_of(id.key(), &told, told.since.max(seen.since));
        let has_expired = view.expires <= self.clock.now() && view.expires < seen.at;
        Ok((!has_expired).then_some((told, view)))
    }

    /// How an upload stands that a server keeps which began at `since`.
    fn view_of(&self, key: UploadKey, told: &Told, since: Timestamp) -> View {
        let deadlines = Deadlines {
            since,
            ..self.deadlines()
        };
        View::new(key, &told.record, &deadlines, deadlines.now)
    }

    /// Uses up what may be used once, where other servers have a say in it.
    ///
    /// # Errors
    /// Nobody can tell whether it was used.
    pub fn spend(&self, once: Once) -> Option<BoxFuture<'_, Result<Spent, StoreError>>> {
        Some(self.store.peers()?.spend(once))
    }

    /// How an upload stands that another server keeps.
    pub(super) async fn status_elsewhere(&self, id: &SessionId) -> Result<(View, Gaps), Refusal> {
        let found = self.find_alive(id).await?;
        let (told, view) = found.ok_or(Refusal::NoSession)?;
        Ok((view, Gaps::new(&told.record, super::status::RANGES_MAX)))
    }

    /// Has an upload given up that another server keeps.
    pub(super) async fn cancel_elsewhere(&self, id: &SessionId) -> Result<(), Refusal> {
        let (Some(peers), Some(told)) = (self.store.peers(), self.find(id).await?) else {
            return Err(Refusal::NoSession);
        };
        let answer = peers.ask_to_cancel(id.key()).await;
        match answer.map_err(|error| self.refusal(id.key(), &error))? {
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
            if let Some(view) = self.find_made(&id).await? {
                return made(create, id, view).map(Some);
            }
            gone = Some(server);
        }
        Err(Refusal::Busy)
    }

    /// An upload that another server has made, or is just making.
    async fn find_made(&self, id: &SessionId) -> Result<Option<View>, Refusal> {
        let asked = tokio::time::Instant::now();
        while self.find(id).await?.is_none() {
            if asked.elapsed() >= MADE_WITHIN {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(self.find_alive(id).await?.map(|(_, view)| view))
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
        self.store.peers().and_then(|_| bound(&self.config.now()))
    }

    /// Does what other servers ask for, and tells them what they have to be told. Never ends, where
    /// there are any.
    pub async fn attend(self: &Arc<Self>) {
        if let Some(peers) = self.store.peers() {
            tokio::join!(self.follow(peers), self.share_changes(peers));
        }
    }

    /// Waits for news whatever there is to do: whoever does not is taken for gone.
    async fn follow(self: &Arc<Self>, peers: &dyn Peers) {
        // It ends with this future.
        let mut work = Work::default();
        // What was begun when this future ended before is begun anew.
        if self.follows.swap(true, Ordering::AcqRel) {
            work.begin(self, News::Forgotten);
        }
        let mut news = peers.news();
        loop {
            tokio::select! {
                heard = &mut news => {
                    news = peers.news();
                    work.begin(self, heard);
                }
                Some(done) = work.tasks.join_next() => {
                    // A panic ends this future, which is begun anew.
                    let done = done.unwrap_or_else(|error| resume_unwind(error.into_panic()));
                    work.end(self, &done);
                }
            }
        }
    }

    async fn heed(self: &Arc<Self>, news: &News) {
        let Some(peers) = self.store.peers() else {
            return;
        };
        match news {
            News::Forgotten => self.tell_all(peers).await,
            News::Behind(keys) => {
                for &key in keys {
                    self.tell_again(peers, key).await;
                }
            }
            &News::Cancel(key) => {
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
        let Some(listed) = self.list_all().await else {
            return;
        };
        tracing::info!(
            uploads = listed.len(),
            "telling the other servers of every upload"
        );
        let mut steps = Steps::default();
        for upload in listed {
            // All of it is to be told once more.
            if peers.epoch() != epoch {
                return;
            }
            let revision = self.tell_again(peers, upload.key).await;
            steps.log(revision).await;
        }
        peers.all_is_told(epoch);
        self.budget.note_changes();
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
            Err(_) => {
                peers.tell_later(key);
                None
            }
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
            && self.config.now().durability() == Level::Power;
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

/// What is being done for other servers.
#[derive(Default)]
struct Work {
    tasks: JoinSet<News>,
    /// Uploads that somebody wants cancelled.
    wishes: HashSet<UploadKey>,
    /// Whether something is being told, and whether all is to be told after that.
    is_telling: bool,
    all_again: bool,
}

impl Work {
    /// Begins what news asks for, unless it is being done. News of wishes, and of uploads that have
    /// changed, comes again until there is nothing to do.
    fn begin(&mut self, engine: &Arc<Engine>, news: News) {
        let begins = match &news {
            News::Cancel(key) => self.wishes.insert(*key),
            News::Behind(_) => !self.is_telling,
            News::Forgotten => {
                self.all_again = self.is_telling;
                !self.is_telling
            }
        };
        if !begins {
            return;
        }
        self.is_telling |= !matches!(news, News::Cancel(_));
        let engine = Arc::clone(engine);
        self.tasks.spawn(async move {
            engine.heed(&news).await;
            news
        });
    }

    /// Something was done.
    fn end(&mut self, engine: &Arc<Engine>, done: &News) {
        match done {
            News::Cancel(key) => drop(self.wishes.remove(key)),
            News::Behind(_) | News::Forgotten => {
                self.is_telling = false;
                if std::mem::take(&mut self.all_again) {
                    self.begin(engine, News::Forgotten);
                }
            }
        }
    }
}

fn made(create: &Create, id: SessionId, view: View) -> Result<Created, Refusal> {
    let same = same_file(&view.header.declaration, &create.declaration);
    if !same || view.header.owner != create.owner {
        return Err(Refusal::IdempotencyMismatch);
    }
    Ok(Created { id, view })
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
