//! A client's body, byte by byte as a test wants it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::engine::{Source, SourceError};

/// The body of a request, as the engine reads it.
pub(super) struct Feed {
    bytes: mpsc::UnboundedReceiver<Result<Bytes, SourceError>>,
    given: usize,
    ended: bool,
    progress: watch::Sender<Progress>,
    left: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How far the engine has come with a body.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    is_read: bool,
    /// Pieces after which it asked for more.
    taken: usize,
    /// Whether it asked again after the end, which not every body can stand.
    asked_after_end: bool,
}

/// The client at the other end. When it is dropped, the body ends.
pub(super) struct Client {
    bytes: mpsc::UnboundedSender<Result<Bytes, SourceError>>,
    progress: watch::Receiver<Progress>,
    here: DropGuard,
}

/// A body that ends when its client is dropped.
pub(super) fn body() -> (Client, Feed) {
    let (sender, bytes) = mpsc::unbounded_channel();
    let (told, progress) = watch::channel(Progress::default());
    let here = CancellationToken::new();
    let left = Box::pin(here.clone().cancelled_owned());
    (
        Client {
            bytes: sender,
            progress,
            here: here.drop_guard(),
        },
        Feed {
            bytes,
            given: 0,
            ended: false,
            progress: told,
            left,
        },
    )
}

/// A body that is all here, in pieces of three bytes.
pub(super) fn whole(bytes: &[u8]) -> Feed {
    let (client, feed) = body();
    bytes.chunks(3).for_each(|piece| client.send(piece));
    feed
}

impl Client {
    pub(super) fn send(&self, bytes: &[u8]) {
        let _ = self.bytes.send(Ok(Bytes::copy_from_slice(bytes)));
    }

    /// The connection breaks.
    pub(super) fn break_off(self) {
        let _ = self.bytes.send(Err(SourceError::Broken));
    }

    /// Waits until the engine has taken `pieces` pieces and asks for more.
    pub(super) async fn gave(&mut self, pieces: usize) {
        let arrived = |progress: &Progress| progress.is_read && progress.taken >= pieces;
        self.progress.wait_for(arrived).await.unwrap();
    }

    /// Pieces after which the engine asked for more.
    pub(super) fn taken(&self) -> usize {
        self.progress.borrow().taken
    }

    /// Ends the body, and stays until what this answers is dropped.
    pub(super) fn finish(self) -> DropGuard {
        self.here
    }

    /// Ends the body; what is left tells whether the engine asked for more afterwards.
    pub(super) fn end(self) -> impl Fn() -> bool {
        let Self {
            bytes,
            progress,
            here,
        } = self;
        drop((bytes, here));
        move || progress.borrow().asked_after_end
    }

    /// Whether the engine has begun to read.
    pub(super) fn is_read(&self) -> bool {
        self.progress.borrow().is_read
    }
}

impl Source for Feed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        self.progress.send_modify(|progress| {
            progress.is_read = true;
            progress.taken = self.given;
            progress.asked_after_end |= self.ended;
        });
        let next = self.bytes.poll_recv(cx);
        self.given += usize::from(next.is_ready());
        self.ended |= matches!(next, Poll::Ready(None));
        next
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.left.as_mut().poll(cx)
    }
}
