//! The app at the other end of a hand-off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::engine::{Deliver, Delivered, Delivery};
use crate::store::BoxFuture;
use crate::upload::tests::sample::answer;
use crate::upload::{Algorithm, Crc32c, Hasher, UploadKey};

/// What the handler does with its next call.
#[derive(Debug)]
pub(super) enum Step {
    Answer(u16),
    /// Answers when the test says what; drops the call when the test drops the sender.
    Wait(oneshot::Receiver<u16>),
    Panic,
    /// Panics before there is a future to poll.
    PanicAtOnce,
    Break,
    /// Never answers; tells when it is dropped.
    Never(oneshot::Sender<()>),
}

/// A call the handler got.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) key: UploadKey,
    pub(super) bytes: Bytes,
    pub(super) wants_sha256: bool,
    pub(super) at: Instant,
}

/// Does as it is told, and answers 200 when it was told nothing.
#[derive(Debug, Default)]
pub(super) struct Handler {
    steps: Mutex<VecDeque<Step>>,
    calls: Arc<watch::Sender<Vec<Call>>>,
}

impl Handler {
    pub(super) fn will(&self, step: Step) {
        self.steps.lock().unwrap().push_back(step);
    }

    pub(super) fn will_answer(&self, statuses: impl IntoIterator<Item = u16>) {
        statuses
            .into_iter()
            .for_each(|status| self.will(Step::Answer(status)));
    }

    /// The next call waits for a status.
    pub(super) fn will_wait(&self) -> oneshot::Sender<u16> {
        let (sender, receiver) = oneshot::channel();
        self.will(Step::Wait(receiver));
        sender
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    pub(super) async fn called(&self, times: usize) {
        self.calls
            .subscribe()
            .wait_for(|calls| calls.len() >= times)
            .await
            .unwrap();
    }
}

impl Deliver for Handler {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Delivered> {
        let step = self
            .steps
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Step::Answer(200));
        let calls = Arc::clone(&self.calls);
        if matches!(step, Step::PanicAtOnce) {
            panic!("the handler panics, as it was told");
        }
        Box::pin(async move {
            let total = usize::try_from(delivery.header.declaration.total).unwrap();
            let read = delivery.blob.read(0, total).await;
            let bytes = read.unwrap_or_default();
            if !is_intact(&bytes, &delivery) {
                delivery.damage.report();
            }
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&bytes);
            let (key, wants_sha256, at) = (delivery.key, delivery.wants_sha256, Instant::now());
            calls.send_modify(|calls| {
                calls.push(Call {
                    key,
                    bytes,
                    wants_sha256,
                    at,
                });
            });
            let status = match step {
                Step::Answer(status) => status,
                Step::Wait(status) => status.await.unwrap(),
                Step::Break => return Delivered::Broken,
                Step::Panic | Step::PanicAtOnce => panic!("the handler panics, as it was told"),
                Step::Never(dropped) => {
                    let _tell = Tell(Some(dropped));
                    std::future::pending().await
                }
            };
            let sha256 = wants_sha256.then(|| hasher.finish().to_hex());
            Delivered::Answered {
                answer: answer(status),
                sha256,
            }
        })
    }
}

/// Looks at the bytes as every reader of a hand-off does.
fn is_intact(bytes: &Bytes, delivery: &Delivery) -> bool {
    let at = |offset| usize::try_from(offset).unwrap();
    bytes.len() == at(delivery.header.declaration.total)
        && delivery
            .pieces
            .iter()
            .all(|(span, piece)| Crc32c::of(&bytes[at(span.start)..at(span.end())]) == piece.crc)
}

struct Tell(Option<oneshot::Sender<()>>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}
