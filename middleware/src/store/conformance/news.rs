use std::convert::Infallible;

use tokio::sync::Semaphore;

use super::super::{Cancel, News, Store};
use super::patient::PAUSE;
use crate::upload::UploadKey;

/// What a server answers whom others ask to give uploads up.
pub(super) struct Answers {
    /// What of which upload; of others it knows nothing.
    pub(super) given: Vec<(UploadKey, Cancel)>,
    /// Closed for as long as the server does not get around to answering.
    pub(super) gate: Semaphore,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            given: Vec::new(),
            gate: Semaphore::new(1),
        }
    }
}

/// Does `work` while `store` hears the news, where there are any.
pub(super) async fn with_news<T>(
    store: &dyn Store,
    answers: &Answers,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        done = work => done,
        never = attend(store, answers) => match never {},
    }
}

async fn attend(store: &dyn Store, answers: &Answers) -> Infallible {
    let Some(peers) = store.peers() else {
        return std::future::pending().await;
    };
    loop {
        match peers.news().await {
            News::Cancel(key) => {
                let _turn = answers.gate.acquire().await;
                let given = answers.given.iter().find(|(of, _)| *of == key);
                let answer = given.map_or(Cancel::Unknown, |(_, answer)| *answer);
                // One that gets lost is asked for again.
                let _ = peers.answer(key, answer).await;
            }
            // A check tells until it could, by itself.
            News::Forgotten | News::Behind(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
