//! The least that servers in one process need to share what they know: what the checks of sharing
//! are themselves checked against.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use crate::store::{
    Bound, BoxFuture, Cancel, Listed, Log, Memory, News, Once, Opened, Peer, Peers, Seen, Share,
    Spent, Store, StoreError, Told,
};
use crate::upload::{Entry, Header, Owner, Record, Timestamp, UploadKey};

const NAME: &str = "server-";
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// What all servers see.
#[derive(Default)]
pub(super) struct Board {
    notes: Mutex<Notes>,
    changed: Notify,
}

#[derive(Default)]
struct Notes {
    told: HashMap<UploadKey, (usize, Record)>,
    makers: HashMap<UploadKey, usize>,
    shares: HashMap<Owner, HashMap<usize, Share>>,
    wishes: VecDeque<(usize, UploadKey)>,
    answers: HashMap<UploadKey, Cancel>,
    used: HashSet<[u8; 16]>,
    patience: Option<Duration>,
    since: u64,
}

/// One server; those started later have higher numbers.
#[derive(Clone)]
pub(super) struct Server {
    board: Arc<Board>,
    number: usize,
    local: Memory,
}

fn name(number: usize) -> String {
    format!("{NAME}{number}")
}

impl Server {
    pub(super) fn start(board: &Arc<Board>, number: usize) -> Self {
        Self {
            board: Arc::clone(board),
            number,
            local: Memory::default(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.board.notes.lock().unwrap()
    }

    /// Takes an upload for this server's, unless it is that of one started later.
    fn claim(&self, notes: &Notes, key: UploadKey) -> Result<(), StoreError> {
        match notes.told.get(&key) {
            Some((keeper, _)) if *keeper > self.number => Err(StoreError::Elsewhere(Peer {
                name: name(*keeper),
                url: None,
            })),
            _ => Ok(()),
        }
    }

    fn put(&self, key: UploadKey, record: &Record) -> Result<(), StoreError> {
        let mut notes = self.notes();
        self.claim(&notes, key)?;
        notes.told.insert(key, (self.number, record.clone()));
        Ok(())
    }

    fn answer_of(&self, key: UploadKey) -> Option<Cancel> {
        self.notes().answers.remove(&key)
    }

    fn state(&self, owner: &Owner, share: Share, bound: Option<Bound>) -> bool {
        let mut notes = self.notes();
        let shares = notes.shares.entry(owner.clone()).or_default();
        let mine = shares.get(&self.number).copied().unwrap_or_default();
        if share.version <= mine.version {
            return true;
        }
        let others = |of: fn(&Share) -> u64| -> u64 {
            let others = shares.iter().filter(|(number, _)| **number != self.number);
            others.map(|(_, share)| of(share)).sum()
        };
        let sessions = share.sessions + others(|share| share.sessions);
        let bytes = share.bytes + others(|share| share.bytes);
        let above = |all, max| max != 0 && all > max;
        if bound.is_some_and(|b| above(sessions, b.sessions) || above(bytes, b.bytes)) {
            return false;
        }
        shares.insert(self.number, share);
        true
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}

impl Store for Server {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.local.create(key, header)
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.local.read(key)
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        Box::pin(async move {
            let opened = self.local.open(key).await?;
            Ok(opened.map(|Opened { record, log }| Opened {
                record,
                log: Box::new(ServerLog {
                    server: self.clone(),
                    key,
                    log,
                }),
            }))
        })
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut notes = self.notes();
        if notes.told.get(&key).is_some_and(|(n, _)| *n == self.number) {
            notes.told.remove(&key);
        }
        self.local.remove(key)
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

struct ServerLog {
    server: Server,
    key: UploadKey,
    log: Box<dyn Log>,
}

impl Log for ServerLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        let begins = |entry: &Entry| matches!(entry, Entry::HandoffBegun { .. });
        Box::pin(async move {
            if entries.iter().any(begins) {
                self.server.claim(&self.server.notes(), self.key)?;
            }
            self.log.append(revision, entries).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.log.flush()
    }

    fn publish(&self, record: &Record, _: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.server.put(self.key, record))
    }
}

impl Peers for Server {
    fn is_reachable(&self) -> bool {
        true
    }

    fn find<'a>(
        &'a self,
        key: UploadKey,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Told>, StoreError>> {
        let notes = self.notes();
        let others = notes.told.get(&key).filter(|(n, _)| *n != self.number);
        let told = others.map(|(number, record)| Told {
            record: record.clone(),
            peer: Peer {
                name: name(*number),
                url: None,
            },
            since: Timestamp(0),
        });
        ready(Ok(told))
    }

    fn seen<'a>(&'a self, of: &'a str) -> BoxFuture<'a, Result<Option<Seen>, StoreError>> {
        let seen = Seen {
            at: SystemTime::now().into(),
            since: Timestamp(0),
        };
        ready(Ok(of.starts_with(NAME).then_some(seen)))
    }

    fn tell(&self, key: UploadKey, record: &Record) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut proven = record.clone();
        for span in &record.unproven {
            proven.ranges.withdraw(*span);
        }
        ready(self.put(key, &proven))
    }

    fn tell_later(&self, _: UploadKey) {}

    fn spend(&self, once: Once) -> BoxFuture<'_, Result<Spent, StoreError>> {
        let mut notes = self.notes();
        let is_new = notes.used.insert(once.print);
        let patience = notes.patience.get_or_insert(once.patience);
        let now = Timestamp::from(SystemTime::now());
        let grown = once.patience > *patience;
        let since = if grown {
            now.before(*patience).0 / 1_000
        } else {
            0
        };
        *patience = once.patience.max(*patience);
        notes.since = notes.since.max(since);
        let since = notes.since;
        ready(Ok(Spent { is_new, since }))
    }

    fn ask_to_cancel(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Cancel>, StoreError>> {
        Box::pin(async move {
            {
                let mut notes = self.notes();
                let Some(&(keeper, _)) = notes.told.get(&key) else {
                    return Ok(Some(Cancel::Unknown));
                };
                notes.wishes.push_back((keeper, key));
            }
            self.board.changed.notify_waiters();
            let answered = async {
                loop {
                    let changed = self.board.changed.notified();
                    if let Some(answer) = self.answer_of(key) {
                        return answer;
                    }
                    changed.await;
                }
            };
            Ok(tokio::time::timeout(ANSWER_MAX, answered).await.ok())
        })
    }

    fn answer(&self, key: UploadKey, answer: Cancel) -> BoxFuture<'_, Result<(), StoreError>> {
        self.notes().answers.insert(key, answer);
        self.board.changed.notify_waiters();
        ready(Ok(()))
    }

    fn maker<'a>(
        &'a self,
        name_of: UploadKey,
        gone: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        let mut notes = self.notes();
        let maker = notes.makers.entry(name_of).or_insert(self.number);
        if gone == Some(name(*maker).as_str()) {
            *maker = self.number;
        }
        ready(Ok((*maker != self.number).then(|| name(*maker))))
    }

    fn share(
        &self,
        owner: &Owner,
        share: Share,
        bound: Option<Bound>,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        ready(Ok(self.state(owner, share, bound)))
    }

    fn untell(&self, _: UploadKey) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn epoch(&self) -> u64 {
        0
    }

    fn all_is_told(&self, _: u64) {}

    fn news(&self) -> BoxFuture<'_, News> {
        Box::pin(async move {
            loop {
                let changed = self.board.changed.notified();
                {
                    let wishes = &mut self.notes().wishes;
                    let mine = wishes.iter().position(|(n, _)| *n == self.number);
                    if let Some((_, key)) = mine.and_then(|at| wishes.remove(at)) {
                        return News::Cancel(key);
                    }
                }
                changed.await;
            }
        })
    }
}
