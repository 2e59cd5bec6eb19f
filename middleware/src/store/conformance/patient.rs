use std::sync::Arc;
use std::time::Duration;

use super::super::{
    BoxFuture, Cancel, Listed, Log, Once, Opened, Peers, Seen, Share, Spent, Store, StoreError,
    Told,
};
use crate::store::Bound;
use crate::upload::{Entry, Header, Owner, Record, UploadKey};

/// How often something is asked.
const TRIES_MAX: usize = 50;
/// The waits before it is asked again grow up to this: a store may take a while to find out that
/// its network is back.
pub(super) const PAUSE: Duration = Duration::from_millis(160);
/// How often a server is asked that gives no answer in time.
const ASKS_MAX: usize = 10;

/// A store that is asked again what it answers with [`StoreError::Unavailable`], as a client does.
#[derive(Clone, Copy)]
pub(super) struct Patient<'a>(pub(super) &'a dyn Store);

/// The same for an open log.
pub(super) struct PatientLog<'a> {
    store: Patient<'a>,
    key: UploadKey,
    log: Box<dyn Log>,
}

async fn pause(tried: usize) {
    let first = PAUSE / 32;
    tokio::time::sleep(PAUSE.min(first * (1 << tried.min(8)))).await;
}

async fn patiently<'a, T>(
    mut ask: impl FnMut() -> BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    for tried in 1..TRIES_MAX {
        match ask().await {
            Err(StoreError::Unavailable) => pause(tried).await,
            answer => return answer,
        }
    }
    ask().await
}

impl<'a> Patient<'a> {
    pub(super) async fn create(
        self,
        key: UploadKey,
        header: Arc<Header>,
    ) -> Result<(), StoreError> {
        patiently(|| self.0.create(key, Arc::clone(&header))).await
    }

    pub(super) async fn read(self, key: UploadKey) -> Option<Record> {
        patiently(|| self.0.read(key)).await.unwrap()
    }

    pub(super) async fn find_open(self, key: UploadKey) -> Option<(Record, PatientLog<'a>)> {
        let opened = patiently(|| self.0.open(key)).await.unwrap();
        let log = |log| PatientLog {
            store: self,
            key,
            log,
        };
        opened.map(|opened: Opened| (opened.record, log(opened.log)))
    }

    /// Opens an upload that is there.
    pub(super) async fn open(self, key: UploadKey) -> (Record, PatientLog<'a>) {
        self.find_open(key).await.unwrap()
    }

    pub(super) async fn remove(self, key: UploadKey) {
        patiently(|| self.0.remove(key)).await.unwrap();
    }

    pub(super) async fn list(self) -> Vec<Listed> {
        patiently(|| self.0.list()).await.unwrap()
    }

    pub(super) async fn delivering(self) -> Vec<UploadKey> {
        patiently(|| self.0.delivering()).await.unwrap()
    }

    pub(super) async fn delivered(self, key: UploadKey) {
        patiently(|| self.0.delivered(key)).await.unwrap();
    }

    fn peers(self) -> &'a dyn Peers {
        self.0.peers().expect("a store that shares what it knows")
    }

    pub(super) async fn find(self, key: UploadKey) -> Option<Told> {
        patiently(|| self.peers().find(key, None)).await.unwrap()
    }

    pub(super) async fn seen(self, name: &str) -> Option<Seen> {
        patiently(|| self.peers().seen(name)).await.unwrap()
    }

    pub(super) async fn tell(self, key: UploadKey, record: &'a Record) -> Result<(), StoreError> {
        patiently(|| self.peers().tell(key, record)).await
    }

    /// What another server answers, which may need to be asked more than once.
    pub(super) async fn has_cancelled(self, key: UploadKey) -> Cancel {
        for _ in 1..ASKS_MAX {
            if let Some(answer) = self.ask_to_cancel(key).await {
                return answer;
            }
        }
        self.ask_to_cancel(key).await.expect("an answer")
    }

    pub(super) async fn ask_to_cancel(self, key: UploadKey) -> Option<Cancel> {
        patiently(|| self.peers().ask_to_cancel(key)).await.unwrap()
    }

    pub(super) async fn maker(self, name: UploadKey, gone: Option<&str>) -> Option<String> {
        patiently(|| self.peers().maker(name, gone)).await.unwrap()
    }

    pub(super) async fn spend(self, once: Once) -> Spent {
        patiently(|| self.peers().spend(once)).await.unwrap()
    }

    pub(super) async fn share(self, owner: &'a Owner, share: Share, bound: Option<Bound>) -> bool {
        let stated = patiently(|| self.peers().share(owner, share, bound));
        stated.await.unwrap()
    }
}

impl PatientLog<'_> {
    /// Adds entries. What is asked again must have changed nothing before.
    pub(super) async fn append(&self, revision: u64, entries: &[Entry]) -> Result<(), StoreError> {
        for tried in 1..TRIES_MAX {
            let before = self.store.read(self.key).await;
            match self.try_append(revision, entries).await {
                Err(StoreError::Unavailable) => {}
                answer => return answer,
            }
            let after = self.store.read(self.key).await;
            let revisions = [before, after].map(|record| record.map(|record| record.revision));
            assert_eq!(revisions[0], revisions[1], "nothing was added");
            pause(tried).await;
        }
        self.try_append(revision, entries).await
    }

    /// The same, asked once.
    pub(super) async fn try_append(
        &self,
        revision: u64,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        self.log.append(revision, entries.to_vec()).await
    }

    pub(super) async fn flush(&self) {
        patiently(|| self.log.flush()).await.unwrap();
    }

    /// Tells how the upload stands. What could not be told is told later, as a whole.
    pub(super) async fn publish(&self, record: &Record, new: &[Entry]) -> Result<(), StoreError> {
        match self.log.publish(record, new).await {
            Err(StoreError::Unavailable) => {
                pause(1).await;
                patiently(|| self.log.publish(record, &[])).await
            }
            answer => answer,
        }
    }
}
