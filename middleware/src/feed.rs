//! The events of one upload as a response body: `text/event-stream`.
//!
//! A stream begins with the status and keeps no history: who did not keep up, or comes again, gets
//! the status again. It ends with its upload, also where that is lost, and when the server is asked
//! to end. It holds one of
//! the places for streams, which is free again as soon as its connection is gone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::OnUnknown;
use crate::engine::{Engine, Gaps, View};
use crate::event::{Change, Event, Missed, Watch, What};
use crate::protocol::chunked;
use crate::upload::{SessionId, State};

/// The shortest time between two events that only tell of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// What is told of an upload as it happens.
pub(crate) struct Feed {
    engine: Arc<Engine>,
    id: SessionId,
    on_unknown: OnUnknown,
    watch: Watch,
    ending: CancellationToken,
    /// What is to be sent first.
    first: Option<Bytes>,
    /// How the upload stands, as far as the client knows.
    last: Change,
    paused: bool,
    /// Progress that the client does not know yet, and when it may.
    held: Option<Change>,
    progress_due: Instant,
    is_over: bool,
}

impl Feed {
    /// Goes on from how the upload stands.
    pub(crate) fn new(
        engine: Arc<Engine>,
        id: SessionId,
        on_unknown: OnUnknown,
        (watch, view, gaps): (Watch, &View, &Gaps),
    ) -> Self {
        let mut feed = Self {
            ending: engine.ending(),
            engine,
            on_unknown,
            watch,
            first: None,
            last: change(view),
            paused: false,
            held: None,
            progress_due: Instant::now(),
            is_over: false,
            id,
        };
        feed.first = Some(feed.begin(view, gaps));
        feed
    }

    /// The next part of the body; `None` at its end.
    async fn next(mut self) -> (Option<Bytes>, Self) {
        if let Some(first) = self.first.take() {
            return (Some(first), self);
        }
        let heartbeat = Instant::now() + HEARTBEAT_EVERY;
        while !self.is_over {
            let (ending, due) = (self.ending.clone(), self.progress_due);
            // A timer may be late by the time it takes to be told what makes progress old news.
            if self.held.is_some() && due <= Instant::now() {
                let progress = self.progress();
                return (progress, self);
            }
            let happened = tokio::select! {
                biased;
                () = ending.cancelled() => break,
                () = sleep_until(due), if self.held.is_some() => {
                    let progress = self.progress();
                    return (progress, self);
                }
                happened = self.watch.next() => happened,
                () = sleep_until(heartbeat) => return (Some(chunked::HEARTBEAT), self),
            };
            let told = match happened {
                Some(Ok(Event::Upload(change))) => self.heed(change).await,
                Some(Ok(Event::Paused)) => self.pause(true),
                Some(Ok(Event::Resumed)) => self.pause(false),
                Some(Err(Missed(_))) => self.begin_anew().await,
                None => break,
            };
            if told.is_some() {
                return (told, self);
            }
        }
        (None, self)
    }

    /// The status as the first event.
    fn begin(&mut self, view: &View, gaps: &Gaps) -> Bytes {
        (self.last, self.paused, self.held) = (change(view), view.paused, None);
        self.is_over = view.state.is_final();
        chunked::snapshot(&self.id, view, gaps, self.on_unknown)
    }

    /// The same, where the client has missed something; nothing where there is no upload any more.
    async fn begin_anew(&mut self) -> Option<Bytes> {
        match self.engine.standing(&self.id).await {
            Ok((view, gaps)) => Some(self.begin(&view, &gaps)),
            Err(_) => {
                self.is_over = true;
                None
            }
        }
    }

    async fn heed(&mut self, change: Change) -> Option<Bytes> {
        let is_known = change.revision <= self.last.revision && change.what != What::Expired;
        if is_known {
            return None;
        }
        if change.what == What::Progress {
            self.held = Some(change);
            return None;
        }
        // It says all that was held back.
        (self.last, self.held) = (change, None);
        self.is_over = change.what.is_final();
        if self.is_over
            && let Ok((view, gaps)) = self.engine.standing(&self.id).await
            // It may be being handed over again by now.
            && What::reached(view.state) == change.what
        {
            let (what, id) = (change.what, &self.id);
            return Some(chunked::whole(what, id, &view, &gaps, self.on_unknown));
        }
        Some(chunked::changed(&change, self.paused, self.on_unknown))
    }

    fn progress(&mut self) -> Option<Bytes> {
        let change = self.held.take()?;
        self.last = change;
        self.progress_due = Instant::now() + PROGRESS_EVERY;
        Some(chunked::changed(&change, self.paused, self.on_unknown))
    }

    /// Tells that the upload waits or goes on, unless that is known, or is nothing to it.
    fn pause(&mut self, paused: bool) -> Option<Bytes> {
        if std::mem::replace(&mut self.paused, paused) == paused {
            return None;
        }
        let last = self.held.take().unwrap_or(self.last);
        self.last = last;
        let waits = last.state == State::Receiving;
        waits.then(|| chunked::pause(&last, paused, self.on_unknown))
    }
}

fn change(view: &View) -> Change {
    Change::new(
        view.key,
        What::reached(view.state),
        (view.state, view.revision),
        (view.uploaded, view.header.declaration.total),
    )
}

type Next = Pin<Box<dyn Future<Output = (Option<Bytes>, Feed)> + Send>>;

/// A feed as a body. Nothing of it lives on when it is dropped.
pub(crate) struct FeedBody {
    /// Locked by nobody: it makes what can be sent between threads shareable, as bodies of apps
    /// may have to be.
    next: Option<Mutex<Next>>,
}

impl FeedBody {
    pub(crate) fn new(feed: Feed) -> Self {
        let next: Next = Box::pin(feed.next());
        Self {
            next: Some(Mutex::new(next)),
        }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let next = next.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (bytes, feed) = ready!(next.as_mut().poll(cx));
        match &bytes {
            Some(_) => *next = Box::pin(feed.next()),
            None => self.next = None,
        }
        Poll::Ready(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use http_body_util::{BodyExt as _, Full};
    use tower::ServiceExt as _;
    use tower_layer::Layer as _;

    use super::*;
    use crate::upload::UploadKey;
    use crate::{RequestBody, ResponseBody, SteadfastLayer, UploadConfig};

    type Answer = Response<ResponseBody<Full<Bytes>>>;

    struct Rig {
        layer: SteadfastLayer,
        id: String,
        _dir: tempfile::TempDir,
    }

    impl Rig {
        /// A layer with an upload of a hundred bytes.
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut config = UploadConfig::default();
            config.security.enabled = false;
            config.uploads.resumable_uploads_enabled = false;
            config.uploads.min_free_space = 0;
            config.uploads.state_dir = dir.path().join("state");
            let (layer, _) = SteadfastLayer::from_config(config).await.unwrap();
            let mut rig = Self {
                layer,
                id: String::new(),
                _dir: dir,
            };
            let create = Request::post("/upload/chunked").header("x-filename", "a");
            let answer = rig.ask(create.header("x-total-size", "100")).await;
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            body["session_id"].as_str().unwrap().clone_into(&mut rig.id);
            rig
        }

        async fn ask(&self, request: http::request::Builder) -> Answer {
            let app = |_: Request<RequestBody<Full<Bytes>>>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            };
            let request = request.body(Full::default()).unwrap();
            let service = self.layer.layer(tower::service_fn(app));
            service.oneshot(request).await.unwrap()
        }

        async fn open(&self) -> Answer {
            let target = format!("/upload/events?session_id={}", self.id);
            self.ask(Request::get(target)).await
        }

        fn key(&self) -> UploadKey {
            SessionId::parse(&self.id).unwrap().key()
        }

        fn tell_progress(&self, revision: u64) {
            self.tell(What::Progress, State::Receiving, revision);
        }

        fn tell(&self, what: What, state: State, revision: u64) {
            let change = Change::new(self.key(), what, (state, revision), (revision, 100));
            let events = self.layer.shared.engine.events();
            events.tell(Event::Upload(change));
        }
    }

    /// The first line of the next frame, and the time until it came.
    async fn frame(stream: &mut Answer) -> (String, Duration) {
        let asked = Instant::now();
        let frame = stream.body_mut().frame().await.unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        let lines: Vec<_> = text.lines().take(2).collect();
        (lines.join(" ").trim_end().to_owned(), asked.elapsed())
    }

    fn at_once(line: &str) -> (String, Duration) {
        (line.to_owned(), Duration::ZERO)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_a_heartbeat() {
        let rig = Rig::new().await;
        let mut stream = rig.open().await;
        assert_eq!(frame(&mut stream).await, at_once("event: snapshot id: 1"));
        for _ in 0..3 {
            let (line, waited) = frame(&mut stream).await;
            assert_eq!((&*line, waited.as_secs()), (":", 15));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_held_back_and_the_latest_is_told() {
        let rig = Rig::new().await;
        let mut stream = rig.open().await;
        frame(&mut stream).await;
        rig.tell_progress(2);
        assert_eq!(frame(&mut stream).await, at_once("event: progress id: 2"));
        for revision in 3..20 {
            rig.tell_progress(revision);
        }
        let (line, waited) = frame(&mut stream).await;
        assert_eq!(line, "event: progress id: 19");
        assert!((250..=251).contains(&waited.as_millis()), "{waited:?}");
    }

    /// A timer may sleep a little longer than until its time.
    #[tokio::test(start_paused = true)]
    async fn progress_that_is_due_is_told_before_what_follows_at_once() {
        let rig = Rig::new().await;
        tokio::time::advance(Duration::from_micros(300)).await;
        let mut stream = rig.open().await;
        frame(&mut stream).await;
        rig.tell_progress(2);
        rig.tell(What::Finishing, State::Finishing, 3);
        assert_eq!(frame(&mut stream).await.0, "event: progress id: 2");
        assert_eq!(frame(&mut stream).await.0, "event: finishing id: 3");
    }

    /// It may be handed over again before anybody looks.
    #[tokio::test(start_paused = true)]
    async fn an_event_never_carries_the_state_after_the_next_one() {
        let rig = Rig::new().await;
        let mut stream = rig.open().await;
        frame(&mut stream).await;
        rig.tell(What::Rejected, State::Rejected, 2);
        let frame = stream.body_mut().frame().await.unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        assert!(text.starts_with("event: rejected\nid: 2\n"), "{text}");
        assert!(text.contains(r#""state":"rejected""#), "{text}");
        assert!(stream.body_mut().frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_nothing_more_is_told_of_its_upload() {
        let rig = Rig::new().await;
        let mut stream = rig.open().await;
        frame(&mut stream).await;
        let events = rig.layer.shared.engine.events();
        events.end(rig.key());
        assert!(stream.body_mut().frame().await.is_none());
        assert_eq!(events.watchers(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_missed_events_gets_the_status_again() {
        let rig = Rig::new().await;
        let mut stream = rig.open().await;
        frame(&mut stream).await;
        for revision in 2..200 {
            rig.tell_progress(revision);
        }
        assert_eq!(frame(&mut stream).await, at_once("event: snapshot id: 1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_server_and_leaves_nothing_behind() {
        let rig = Rig::new().await;
        let engine = &rig.layer.shared.engine;
        let mut stream = rig.open().await;
        drop(rig.open().await);
        assert_eq!(engine.events().watchers(), 1, "who leaves is gone at once");
        frame(&mut stream).await;
        engine.drain().await;
        assert!(stream.body_mut().frame().await.is_none());
        assert_eq!(engine.events().watchers(), 0);
        assert_eq!(rig.open().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_places_are_taken_it_says_so() {
        let rig = Rig::new().await;
        let events = rig.layer.shared.engine.events();
        let key = |nth: u8| SessionId::new([nth; 32], None).key();
        let _places: Vec<_> = (0..1_000_u32)
            .map(|nth| events.watch(key((nth / 4) as u8)).unwrap())
            .collect();
        let refused = rig.open().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(events.counts().refusals()["busy"], 1);
    }

    #[test]
    fn bodies_can_be_shared_between_threads() {
        fn is_shareable<T: Send + Sync>() {}
        is_shareable::<ResponseBody<Full<Bytes>>>();
    }
}
