use std::time::{Duration, Instant};

use super::Redis;
use super::index::{Whole, unavailable};
use super::record::{self, Held};
use super::told::Stated;
use crate::store::{
    self, Bound, BoxFuture, Cancel, News, Once, Peers, Seen, Share, Spent, StoreError,
};
use crate::upload::{Owner, Record, Timestamp, UploadKey};

/// How long a server is waited for that is away and has not told of all its uploads.
const EXPECTED_FOR: Duration = Duration::from_secs(600);
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

/// What is known of this server: under which fence, and the loss that it is to hear of.
type Own = (Option<u64>, Option<u64>);
/// What is known of another one: whether it has told all, in which run of Redis, when it was there.
type Other = (Option<String>, Option<String>, Option<i64>);

impl Redis {
    async fn told_by_another(
        &self,
        key: UploadKey,
        home: Option<&str>,
    ) -> Result<Option<store::Told>, StoreError> {
        let mut held = self.held(key).await?;
        if held.is_none() && home != Some(self.name()) {
            if !self.is_all_known(home).await? {
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

    /// Whether the server called `home`, or every other one, has told of all its uploads: what is not
    /// known then is nowhere. One that is away when Redis has lost everything is waited for.
    async fn is_all_known(&self, home: Option<&str>) -> Result<bool, StoreError> {
        let (link, keys) = (&self.shared.link, &self.shared.keys);
        let mut asked = redis::pipe();
        asked.hmget(keys.server(self.name()), &["fence", "lost"]);
        asked.smembers(keys.servers());
        asked.cmd("TIME");
        let asked = link.send(&asked).await.map_err(unavailable)?;
        let (own, names, (now, _)): (Own, Vec<String>, (i64, i64)) = asked;
        let (fence, lost) = own;
        // All is lost, and this server is to find out.
        if fence.is_none() || lost.is_some_and(|lost| lost >= self.generation()) {
            return Ok(false);
        }
        let names = home.map_or(names, |home| vec![home.to_owned()]);
        let others = names.iter().filter(|name| *name != self.name());
        let mut servers = redis::pipe();
        servers.cmd("PING").ignore();
        for name in others {
            servers.hmget(keys.server(name), &["told", "run", "seen"]);
        }
        let servers = link.send(&servers).await.map_err(unavailable)?;
        let servers: Vec<Other> = servers;
        let run = self.run();
        let is_known = |(told, of_run, seen): &Other| {
            let has_told = told.as_deref() == Some("1") && of_run.as_ref() == Some(&run);
            let is_expected = seen.is_some_and(|seen| now - seen < EXPECTED_FOR.as_secs() as i64);
            has_told || !(is_expected || self.has_lost_all(EXPECTED_FOR))
        };
        // Without a name, those who have not come back are not even known by theirs.
        let is_complete = home.is_some() || !self.has_lost_all(EXPECTED_FOR);
        Ok(is_complete && servers.iter().all(is_known))
    }

    pub(super) async fn last_seen(&self, name: &str) -> Result<Option<Seen>, StoreError> {
        let mut asked = redis::pipe();
        asked.hmget(self.shared.keys.server(name), &["seen", "fence"]);
        let asked = self.shared.link.send(&asked).await.map_err(unavailable)?;
        let ((seen, fence),): ((Option<u64>, Option<u64>),) = asked;
        Ok(seen.zip(fence).map(|(seconds, fence)| Seen {
            at: Timestamp(seconds.saturating_mul(1_000)),
            since: Timestamp(fence),
        }))
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

    async fn use_up(&self, once: Once) -> Result<Spent, StoreError> {
        let keys = &self.shared.keys;
        // A Redis of which nobody knows what it has lost tells nothing.
        let run = self.sure_run().ok_or(StoreError::Unavailable)?;
        let mut call = self.shared.scripts.spend.prepare_invoke();
        call.key(keys.spending()).key(keys.spent(once.print));
        call.arg(&run).arg(once.patience.as_secs()).arg(once.made);
        let spent: Result<(u64, bool), _> = self.shared.link.run(&call).await;
        let (since, is_new) = spent.map_err(unavailable)?;
        match self.sure_run() == Some(run) {
            true => Ok(Spent { is_new, since }),
            false => Err(StoreError::Unavailable),
        }
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
        call.arg(u8::from(self.has_told_all()));
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

    fn find<'a>(
        &'a self,
        key: UploadKey,
        home: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<store::Told>, StoreError>> {
        Box::pin(self.told_by_another(key, home))
    }

    fn seen<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Seen>, StoreError>> {
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

    fn tell_later(&self, key: UploadKey) {
        self.note_behind(key);
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

    fn spend(&self, once: Once) -> BoxFuture<'_, Result<Spent, StoreError>> {
        Box::pin(self.use_up(once))
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
