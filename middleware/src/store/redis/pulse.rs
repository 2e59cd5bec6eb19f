//! Keeps this server known to the others, hears what they wish, and finds out when Redis is back or
//! has lost what it was told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::link::{COMMAND_TIMEOUT, LOOK_TIMEOUT};
use super::scripts::Scripts;
use super::{Redis, check};
use crate::store::News;
use crate::upload::UploadKey;

/// How often this server says that it is there.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often Redis is tried while it cannot be used.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether uploads of servers that are gone are to be forgotten.
const CLEAR_EVERY: Duration = Duration::from_secs(60);

/// What is to be told next.
#[derive(Default)]
pub(super) struct Pulse {
    news: VecDeque<News>,
    /// Whether to look at Redis as if it were another: it has lost what it was told.
    looks: bool,
    cleared: Option<Instant>,
    clearing: JoinSet<()>,
    /// Why Redis is not fit for this, as it was said last.
    unfit: Option<String>,
}

/// What a beat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    /// Redis knew this server.
    Known,
    /// It had not heard of this process.
    New,
    /// It has lost what it was told, or comes back with something older.
    Lost,
    /// Another process has this server's name, and began later.
    Taken,
}

/// What a server hears when it says that it is there.
struct Heard {
    beat: Beat,
    /// How long ago it lost everything, in seconds.
    lost_ago: Option<u64>,
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
                    self.note_beat(&heard);
                    return Ok(());
                }
                (Err(_), _) => {}
            }
        }
        Ok(())
    }

    /// Says at once that there is nothing to be told.
    pub(super) async fn say_all_told(&self) {
        if self.shared.link.is_up() {
            // Where this fails it is said with the next beat.
            let _ = self.contact(false, &mut None).await;
        }
    }

    fn note_beat(&self, heard: &Heard) {
        self.note_met(heard.lost_ago.map(Duration::from_secs));
        if heard.beat == Beat::Lost {
            self.forget_all_told();
        }
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
            tokio::time::sleep(if is_up { BEAT_EVERY } else { RETRY_EVERY }).await;
            self.beat(&mut pulse).await;
        }
    }

    async fn beat(&self, pulse: &mut Pulse) {
        let mut unfit = None;
        let look = !self.shared.link.is_up() || pulse.looks || self.sure_run().is_none();
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
        self.note_beat(&heard);
        match heard.beat {
            Beat::Known | Beat::New => {}
            Beat::Lost => {
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
        pulse
            .news
            .extend(heard.wishes.into_iter().map(News::Cancel));
        if pulse.cleared.is_none_or(|at| at.elapsed() >= CLEAR_EVERY) && pulse.clearing.is_empty() {
            pulse.cleared = Some(Instant::now());
            let this = self.clone();
            // What was not cleared is cleared next time.
            pulse
                .clearing
                .spawn(async move { drop(this.clear(&heard.servers).await) });
        }
        while pulse.clearing.try_join_next().is_some() {}
    }

    /// Says that this server is there. Where it is to `look` whether Redis is fit for this, `unfit`
    /// says why not.
    async fn contact(
        &self,
        look: bool,
        unfit: &mut Option<String>,
    ) -> Result<Heard, super::link::Down> {
        let work = async |connection: &mut MultiplexedConnection, number| {
            if look {
                let run = check::look(&self.shared, connection, unfit).await?;
                self.note_run(run, number);
                Scripts::load(connection).await?;
            }
            self.say(connection).await
        };
        let timeout = if look { LOOK_TIMEOUT } else { COMMAND_TIMEOUT };
        let beat = self.shared.link.probe(timeout, work).await;
        self.shared.link.bar(unfit.is_some());
        beat
    }

    async fn say(&self, connection: &mut MultiplexedConnection) -> Result<Heard, RedisError> {
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
        call.arg(u8::from(self.has_told_all())).arg(self.run());
        call.arg(self.generation()).arg(self.name());
        call.arg(u8::from(self.had_something()));
        let reply: (Vec<String>, Vec<String>, Vec<String>) = call.invoke_async(connection).await?;
        let (state, wishes, servers) = reply;
        let beat = match state.first().map(String::as_str) {
            Some("known") => Beat::Known,
            Some("taken") => Beat::Taken,
            Some("new") => Beat::New,
            _ => Beat::Lost,
        };
        let wishes = wishes.iter().filter_map(|key| key.parse().ok()).collect();
        Ok(Heard {
            beat,
            lost_ago: state.get(1).and_then(|seconds| seconds.parse().ok()),
            wishes,
            servers,
        })
    }
}
