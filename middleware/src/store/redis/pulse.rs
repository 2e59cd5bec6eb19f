//! Keeps this server known to the others, hears what they wish, and finds out when Redis is back or
//! has lost what it was told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::index::unavailable;
use super::link::{COMMAND_TIMEOUT, LOOK_TIMEOUT};
use super::scripts::Scripts;
use super::{Redis, check};
use crate::store::{News, StoreError};
use crate::upload::{Timestamp, UploadKey};

/// How often this server says that it is there.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often Redis is tried while it cannot be used.
const TRY_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether uploads of servers that are gone are to be forgotten, and at how
/// many of them.
const CLEAR_EVERY: Duration = Duration::from_secs(60);
const CLEAR_MAX: isize = 100;
/// What another server keeps is its own to forget, for this long after it has expired.
const CLEAR_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// What is to be told next.
#[derive(Default)]
pub(super) struct Pulse {
    news: VecDeque<News>,
    /// Whether to look at Redis as if it were another: it has lost what it was told.
    looks: bool,
    cleared: Option<Instant>,
    /// Why Redis is not fit for this, as it was said last.
    unfit: Option<String>,
}

/// What a beat is answered.
enum Beat {
    /// Redis knew this server.
    Known,
    /// It had not heard of this process.
    New,
    /// Another process has this server's name, and began later.
    Taken,
}

/// What a server hears when it says that it is there.
struct Heard {
    beat: Beat,
    /// What others want cancelled.
    wishes: Vec<UploadKey>,
    /// Who is there.
    servers: Vec<String>,
}

impl Redis {
    /// Makes the first contact.
    ///
    /// # Errors
    /// A sentence: Redis answers, and is not fit for this.
    pub(super) async fn begin(&self) -> Result<(), String> {
        let mut unfit = None;
        for _ in 0..2 {
            let checked = self.contact(true, &mut unfit).await;
            match (checked, unfit.take()) {
                (_, Some(sentence)) => return Err(sentence),
                (
                    Ok(Heard {
                        beat: Beat::Taken, ..
                    }),
                    _,
                ) => return Err(self.is_taken()),
                (Ok(heard), _) => {
                    self.note_servers(&heard.servers);
                    return Ok(());
                }
                (Err(_), _) => {}
            }
        }
        Ok(())
    }

    fn is_taken(&self) -> String {
        format!(
            "another server with the name {} began later; each needs its own server.name",
            self.name()
        )
    }

    pub(super) async fn next_news(&self) -> News {
        let mut pulse = self.shared.pulse.lock().await;
        loop {
            if let Some(news) = pulse.news.pop_front() {
                return news;
            }
            let is_up = self.shared.link.is_up();
            tokio::time::sleep(if is_up { BEAT_EVERY } else { TRY_EVERY }).await;
            self.beat(&mut pulse).await;
        }
    }

    async fn beat(&self, pulse: &mut Pulse) {
        let mut unfit = None;
        let look = !self.shared.link.is_up() || pulse.looks;
        let beat = self.contact(look, &mut unfit).await;
        pulse.looks &= beat.is_err();
        if let Some(sentence) = unfit
            && pulse.unfit.as_ref() != Some(&sentence)
        {
            tracing::error!("{sentence}");
            pulse.unfit = Some(sentence);
        }
        let Ok(heard) = beat else { return };
        pulse.unfit = None;
        match heard.beat {
            Beat::Known => {}
            Beat::New => {
                self.forget_all_told();
                pulse.looks = true;
                pulse.news.push_back(News::Forgotten);
            }
            Beat::Taken => {
                tracing::error!("{}: this one takes no more uploads", self.is_taken());
                self.shared.link.shut();
                return;
            }
        }
        let behind = self.behind();
        if !behind.is_empty() {
            pulse.news.push_back(News::Behind(behind));
        }
        self.note_servers(&heard.servers);
        pulse
            .news
            .extend(heard.wishes.into_iter().map(News::Cancel));
        if pulse.cleared.is_none_or(|at| at.elapsed() >= CLEAR_EVERY) {
            pulse.cleared = Some(Instant::now());
            // What was not cleared is cleared next time.
            let _ = self.clear().await;
            let _ = self.clear_servers(&heard.servers).await;
        }
    }

    /// Says that this server is there. Where it is to `look` whether Redis is fit for this, `unfit`
    /// says why not.
    async fn contact(
        &self,
        look: bool,
        unfit: &mut Option<String>,
    ) -> Result<Heard, super::link::Down> {
        let (mut run, mut is_another) = (None, false);
        let work = async |connection: &mut MultiplexedConnection| {
            if look {
                run = check::look(&self.shared, connection, unfit).await?;
                Scripts::load(connection).await?;
                is_another = self.is_another_run(run.as_deref());
            }
            self.say(connection, is_another).await
        };
        let timeout = if look { LOOK_TIMEOUT } else { COMMAND_TIMEOUT };
        let beat = self.shared.link.probe(timeout, work).await;
        self.shared.link.bar(unfit.is_some());
        if look && beat.is_ok() {
            self.note_run(run);
        }
        beat
    }

    async fn say(
        &self,
        connection: &mut MultiplexedConnection,
        is_another: bool,
    ) -> Result<Heard, RedisError> {
        let shared = &self.shared;
        let mut call = shared.scripts.beat.prepare_invoke();
        call.key(shared.keys.server(self.name()));
        call.key(shared.keys.wishes(self.name()));
        call.key(shared.keys.servers());
        call.arg(shared.identity.fence)
            .arg(shared.identity.id.as_str());
        call.arg(shared.me.url.as_deref().unwrap_or_default());
        call.arg(shared.secret_print.as_str())
            .arg(self.time_to_live());
        let (has_told, has_said) = self.has_told_all();
        call.arg(u8::from(has_told)).arg(u8::from(has_said));
        call.arg(u8::from(is_another)).arg(self.name());
        let reply: (Vec<String>, Vec<String>, Vec<String>) = call.invoke_async(connection).await?;
        let (state, wishes, servers) = reply;
        let beat = match state.first().map(String::as_str) {
            Some("known") => Beat::Known,
            Some("taken") => Beat::Taken,
            _ => Beat::New,
        };
        self.note_said();
        let wishes = wishes.iter().filter_map(|key| key.parse().ok()).collect();
        Ok(Heard {
            beat,
            wishes,
            servers,
        })
    }

    /// Forgets uploads that expired long ago and whose server has not done so.
    async fn clear(&self) -> Result<(), StoreError> {
        let deadlines = self.shared.keys.deadlines();
        let now = self.time().await?;
        let mut due = redis::pipe();
        due.zrangebyscore_limit(&deadlines, "-inf", now.0, 0, CLEAR_MAX);
        let due = self.shared.link.send(&due).await;
        let (due,): (Vec<String>,) = due.map_err(unavailable)?;
        for key in due.iter().filter_map(|key| key.parse().ok()) {
            let next = match self.held(key).await {
                // What cannot be read holds up nothing else.
                Err(_) => Some(now.after(CLEAR_EVERY)),
                Ok(None) => None,
                Ok(Some(held)) => {
                    let end = held.record.ended.unwrap_or(held.record.last_activity);
                    let end = end.after(self.shared.keep);
                    let is_mine = held.peer.name == self.name();
                    let gone = is_mine && self.local.read(key).await?.is_none();
                    let forgotten = gone || end.after(CLEAR_AFTER) <= now;
                    (!forgotten).then(|| end.max(now.after(CLEAR_EVERY)))
                }
            };
            let mut commands = redis::pipe();
            match next {
                Some(next) => commands.zadd(&deadlines, key.to_string(), next.0).ignore(),
                None => commands
                    .del(self.shared.keys.upload(key))
                    .ignore()
                    .del(self.shared.keys.chunks(key))
                    .ignore()
                    .zrem(&deadlines, key.to_string())
                    .ignore(),
            };
            let () = self
                .shared
                .link
                .send(&commands)
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }

    /// The time by Redis' clock, which is the same for all servers.
    async fn time(&self) -> Result<Timestamp, StoreError> {
        let mut time = redis::pipe();
        time.cmd("TIME");
        let time = self.shared.link.send(&time).await;
        let ((seconds, micros),): ((u64, u64),) = time.map_err(unavailable)?;
        Ok(Timestamp(seconds * 1_000 + micros / 1_000))
    }

    /// Forgets the names of servers that have not been there for long.
    async fn clear_servers(&self, names: &[String]) -> Result<(), StoreError> {
        let (link, keys) = (&self.shared.link, &self.shared.keys);
        for name in names {
            let mut look = redis::pipe();
            look.exists(keys.server(name));
            let (is_there,): (bool,) = link.send(&look).await.map_err(unavailable)?;
            if !is_there {
                let mut remove = redis::pipe();
                remove.srem(keys.servers(), name).ignore();
                let () = link.send(&remove).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }
}
