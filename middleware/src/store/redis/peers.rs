use std::time::{Duration, Instant};

use super::index::{Whole, unavailable};
use super::record::{self, Held};
use super::told::Stated;
use super::{Redis, check};
use crate::store::{self, Bound, BoxFuture, Cancel, News, Peers, Share, StoreError};
use crate::upload::{Owner, Record, Timestamp, UploadKey};

/// How long somebody waits for what another server is asked, and how often they look.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an answer is kept for those who asked, milliseconds.
const ANSWER_KEPT: u64 = 10_000;

const ANSWERS: [(&str, Cancel); 5] = [
    ("done", Cancel::Done),
    ("finishing", Cancel::Finishing),
    ("completed", Cancel::Completed),
    ("unknown", Cancel::Unknown),
    ("failed", Cancel::Failed),
];

impl Redis {
    async fn told_by_another(&self, key: UploadKey) -> Result<Option<store::Told>, StoreError> {
        let mut held = self.held(key).await?;
        if held.is_none() {
            if !self.is_all_known().await? {
                return Err(StoreError::Unavailable);
            }
            // It may have been told between the two.
            held = self.held(key).await?;
        }
        let held = held.filter(|held| held.peer.name != self.name());
        let told = |held: Held| store::Told {
            record: held.record,
            peer: held.peer,
            since: held.since,
        };
        Ok(held.map(told))
    }

    /// Whether every server that is there has told of all its uploads: what is not known then is
    /// nowhere. After Redis has lost everything that takes a moment.
    async fn is_all_known(&self) -> Result<bool, StoreError> {
        let (link, keys) = (&self.shared.link, &self.shared.keys);
        let mut asked = redis::pipe();
        asked.hget(keys.server(self.name()), "fence");
        asked.smembers(keys.servers());
        asked.cmd("TIME");
        let asked = link.send(&asked).await.map_err(unavailable)?;
        let (fence, names, (now, _)): (Option<u64>, Vec<String>, (i64, i64)) = asked;
        if fence.is_none() || self.has_just_lost_all() {
            return Ok(false);
        }
        if self.is_one_missing(&names) {
            return Ok(false);
        }
        let others: Vec<_> = names.iter().filter(|name| *name != self.name()).collect();
        if others.is_empty() {
            return Ok(true);
        }
        let mut servers = redis::pipe();
        for name in others {
            servers.hmget(keys.server(name), &["told", "seen"]);
        }
        let servers = link.send(&servers).await.map_err(unavailable)?;
        let servers: Vec<(Option<u8>, Option<i64>)> = servers;
        let is_telling = |(told, seen): &(Option<u8>, Option<i64>)| {
            *told == Some(0) && seen.is_some_and(|seen| now - seen < check::GONE_AFTER)
        };
        Ok(!servers.iter().any(is_telling))
    }

    async fn last_seen(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        let mut asked = redis::pipe();
        asked.hget(self.shared.keys.server(name), "seen");
        let asked = self.shared.link.send(&asked).await.map_err(unavailable)?;
        let (seen,): (Option<u64>,) = asked;
        Ok(seen.map(|seconds| Timestamp(seconds.saturating_mul(1_000))))
    }

    async fn tell_of(&self, key: UploadKey, now: Stated, whole: Whole) -> Result<(), StoreError> {
        let told = self.register_whole(key, &whole).await;
        self.note_told(key, now, &told);
        told
    }

    async fn wish(&self, key: UploadKey) -> Result<Option<Cancel>, StoreError> {
        let Some(held) = self.held(key).await? else {
            return Ok(Some(Cancel::Unknown));
        };
        let (shared, answer) = (&self.shared, self.shared.keys.answer(key));
        let wishes = shared.keys.wishes(&held.peer.name);
        let mut wish = redis::pipe();
        wish.del(&answer).ignore();
        wish.sadd(&wishes, key.to_string()).ignore();
        wish.cmd("PEXPIRE")
            .arg(&wishes)
            .arg(self.time_to_live())
            .ignore();
        let () = shared.link.send(&wish).await.map_err(unavailable)?;
        let asked = Instant::now();
        while asked.elapsed() < ANSWER_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut look = redis::pipe();
            look.get(&answer);
            let (word,): (Option<String>,) = shared.link.send(&look).await.map_err(unavailable)?;
            let known = |word: String| ANSWERS.iter().find(|(known, _)| *known == word);
            if let Some((_, answer)) = word.and_then(known) {
                return Ok(Some(*answer));
            }
        }
        Ok(None)
    }

    async fn answer_wish(&self, key: UploadKey, answer: Cancel) -> Result<(), StoreError> {
        let shared = &self.shared;
        let word = ANSWERS.iter().find(|(_, known)| *known == answer);
        let word = word.map_or("failed", |(word, _)| word);
        let mut commands = redis::pipe();
        commands
            .pset_ex(shared.keys.answer(key), word, ANSWER_KEPT)
            .ignore();
        commands
            .srem(shared.keys.wishes(self.name()), key.to_string())
            .ignore();
        shared.link.send(&commands).await.map_err(unavailable)
    }

    async fn find_maker(
        &self,
        name: UploadKey,
        gone: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let mut call = self.shared.scripts.maker.prepare_invoke();
        call.key(self.shared.keys.maker(name));
        call.arg(self.name()).arg(self.time_to_live());
        call.arg(gone.unwrap_or_default());
        let found: Result<(String,), _> = self.shared.link.run(&call).await;
        let (maker,) = found.map_err(unavailable)?;
        Ok(Some(maker).filter(|maker| maker != self.name()))
    }

    async fn state_share(
        &self,
        owner: &Owner,
        share: Share,
        bound: Option<Bound>,
    ) -> Result<bool, StoreError> {
        let bound = bound.unwrap_or_default();
        let keep = u64::try_from(self.shared.keep.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.shared.scripts.share.prepare_invoke();
        call.key(self.shared.keys.owner(owner));
        call.arg(self.name()).arg(self.shared.identity.fence);
        call.arg(share.version).arg(share.sessions).arg(share.bytes);
        call.arg(bound.sessions).arg(bound.bytes).arg(keep);
        call.arg(u8::from(self.has_told_all().0));
        let reply: Result<(String,), _> = self.shared.link.run(&call).await;
        let (word,) = reply.map_err(unavailable)?;
        match word.as_str() {
            "ok" => Ok(true),
            "full" => Ok(false),
            // It is known in a moment.
            _ => Err(StoreError::Unavailable),
        }
    }
}

impl Peers for Redis {
    fn is_reachable(&self) -> bool {
        self.shared.link.is_usable()
    }

    fn find(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<store::Told>, StoreError>> {
        Box::pin(self.told_by_another(key))
    }

    fn seen<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Timestamp>, StoreError>> {
        Box::pin(self.last_seen(name))
    }

    fn tell(&self, key: UploadKey, record: &Record) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.revision_told(key) == Some(record.revision) {
            return Box::pin(std::future::ready(Ok(())));
        }
        let now = self.telling(record.revision);
        let whole = self.whole(record, record::unproven(record));
        Box::pin(self.tell_of(key, now, whole))
    }

    fn ask_to_cancel(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Cancel>, StoreError>> {
        Box::pin(self.wish(key))
    }

    fn answer(&self, key: UploadKey, answer: Cancel) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.answer_wish(key, answer))
    }

    fn maker<'a>(
        &'a self,
        name: UploadKey,
        gone: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(self.find_maker(name, gone))
    }

    fn share(
        &self,
        owner: &Owner,
        share: Share,
        bound: Option<Bound>,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let owner = owner.clone();
        Box::pin(async move { self.state_share(&owner, share, bound).await })
    }

    fn untell(&self, key: UploadKey) -> BoxFuture<'_, ()> {
        Box::pin(self.unregister(key))
    }

    fn epoch(&self) -> u64 {
        self.generation()
    }

    fn all_is_told(&self, epoch: u64) {
        self.note_all_told(epoch);
    }

    fn news(&self) -> BoxFuture<'_, News> {
        Box::pin(self.next_news())
    }
}
