//! A network that loses half of all questions, or the answers to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::{
    Bound, BoxFuture, Cancel, Listed, Log, News, Once, Opened, Peers, Seen, Share, Spent, Store,
    StoreError, Told,
};
use crate::upload::{Entry, Header, Owner, Record, UploadKey};

/// A store behind such a network. What cannot be done twice is lost before it is done.
pub(super) struct Flaky<S> {
    inner: S,
    asked: Arc<AtomicU64>,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl<S> Flaky<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            asked: Arc::default(),
        }
    }

    /// One of four numbers, each as often, in an order that no pattern of questions keeps step with.
    fn turn(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62
    }

    /// Loses one of four questions, and the answer to another.
    fn lossy<'a, T: Send + 'a>(&self, ask: impl FnOnce() -> Answer<'a, T>) -> Answer<'a, T> {
        let number = self.turn();
        let asked = (number != 0).then(ask);
        Box::pin(async move {
            let answer = match asked {
                Some(asked) => asked.await?,
                None => return Err(StoreError::Unavailable),
            };
            match number {
                2 => Err(StoreError::Unavailable),
                _ => Ok(answer),
            }
        })
    }

    /// Loses every second question.
    fn refusing<'a, T: Send + 'a>(&self, ask: impl FnOnce() -> Answer<'a, T>) -> Answer<'a, T> {
        if self.turn() < 2 {
            return Box::pin(std::future::ready(Err(StoreError::Unavailable)));
        }
        ask()
    }
}

impl<S: Store> Store for Flaky<S> {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> Answer<'_, ()> {
        self.refusing(|| self.inner.create(key, header))
    }

    fn read(&self, key: UploadKey) -> Answer<'_, Option<Record>> {
        self.lossy(|| self.inner.read(key))
    }

    fn open(&self, key: UploadKey) -> Answer<'_, Option<Opened>> {
        self.lossy(|| {
            Box::pin(async move {
                let opened = self.inner.open(key).await?;
                Ok(opened.map(|Opened { record, log }| Opened {
                    record,
                    log: Box::new(Flaky {
                        inner: log,
                        asked: Arc::clone(&self.asked),
                    }),
                }))
            })
        })
    }

    fn remove(&self, key: UploadKey) -> Answer<'_, ()> {
        self.lossy(|| self.inner.remove(key))
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        self.lossy(|| self.inner.list())
    }

    fn delivering(&self) -> Answer<'_, Vec<UploadKey>> {
        self.lossy(|| self.inner.delivering())
    }

    fn delivered(&self, key: UploadKey) -> Answer<'_, ()> {
        self.lossy(|| self.inner.delivered(key))
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.inner.peers().is_some().then_some(self)
    }
}

impl Log for Flaky<Box<dyn Log>> {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> Answer<'_, ()> {
        self.refusing(|| self.inner.append(revision, entries))
    }

    fn flush(&self) -> Answer<'_, ()> {
        self.lossy(|| self.inner.flush())
    }

    fn publish(&self, record: &Record, new: &[Entry]) -> Answer<'_, ()> {
        self.lossy(|| self.inner.publish(record, new))
    }
}

impl<S: Store> Flaky<S> {
    fn others(&self) -> &dyn Peers {
        self.inner.peers().unwrap()
    }
}

impl<S: Store> Peers for Flaky<S> {
    fn is_reachable(&self) -> bool {
        self.others().is_reachable()
    }

    fn find<'a>(&'a self, key: UploadKey, home: Option<&'a str>) -> Answer<'a, Option<Told>> {
        self.lossy(|| self.others().find(key, home))
    }

    fn seen<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Seen>> {
        self.lossy(|| self.others().seen(name))
    }

    fn tell(&self, key: UploadKey, record: &Record) -> Answer<'_, ()> {
        self.lossy(|| self.others().tell(key, record))
    }

    fn tell_later(&self, key: UploadKey) {
        self.others().tell_later(key);
    }

    fn ask_to_cancel(&self, key: UploadKey) -> Answer<'_, Option<Cancel>> {
        self.lossy(|| self.others().ask_to_cancel(key))
    }

    fn answer(&self, key: UploadKey, answer: Cancel) -> Answer<'_, ()> {
        self.lossy(|| self.others().answer(key, answer))
    }

    fn maker<'a>(&'a self, name: UploadKey, gone: Option<&'a str>) -> Answer<'a, Option<String>> {
        self.lossy(|| self.others().maker(name, gone))
    }

    fn spend(&self, once: Once) -> Answer<'_, Spent> {
        self.lossy(|| self.others().spend(once))
    }

    fn share(&self, owner: &Owner, share: Share, bound: Option<Bound>) -> Answer<'_, bool> {
        self.lossy(|| self.others().share(owner, share, bound))
    }

    fn untell(&self, key: UploadKey) -> BoxFuture<'_, ()> {
        self.others().untell(key)
    }

    fn epoch(&self) -> u64 {
        self.others().epoch()
    }

    fn all_is_told(&self, epoch: u64) {
        self.others().all_is_told(epoch);
    }

    fn news(&self) -> BoxFuture<'_, News> {
        self.others().news()
    }
}
