use std::sync::Arc;

use crate::dedup::Saved;
use crate::engine::Engine;
use crate::event::{Counts, Handoff, Text, What};
use crate::network::By;

/// The numbers of a layer for Prometheus, for a route of the app's own where there is no
/// `metrics.listen`; from [`SteadfastLayer::metrics`](crate::SteadfastLayer::metrics).
///
/// ```
/// use axum::{Router, http::header, routing::get};
/// use steadfast::{Metrics, SteadfastLayer, UploadConfig};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let mut config = UploadConfig::default();
/// # config.uploads.state_dir = dir.path().join("state");
/// let (layer, driver) = SteadfastLayer::from_config(config).await?;
/// let metrics = layer.metrics();
/// assert!(metrics.render().contains("steadfast_acknowledged_chunks_total 0\n"));
///
/// let answer = move || async move { ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.render()) };
/// let app: Router = Router::new().route("/metrics", get(answer));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Metrics {
    // Not all that the layer shares: who watches the server does not keep its directory locked.
    engine: Arc<Engine>,
    saved: Saved,
}

impl Metrics {
    /// The media type of [`Metrics::render`].
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    pub(crate) fn new(engine: Arc<Engine>, saved: Saved) -> Self {
        Self { engine, saved }
    }

    /// All numbers, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Text::default();
        let counts = self.engine.events().counts();
        self.uploads(&mut text, counts);
        requests(&mut text, counts);
        self.pauses(&mut text, counts);
        handoffs(&mut text, counts);
        self.workers(&mut text);
        self.deduplication(&mut text);
        self.servers(&mut text);
        text.finish()
    }

    fn uploads(&self, text: &mut Text, counts: &Counts) {
        text.gauges(
            "steadfast_sessions",
            "Uploads that this server keeps, by their state.",
            "state",
            self.engine.states(),
        );
        let receiving = self.engine.receiving();
        let help = "Uploads that bytes are arriving for.";
        text.gauge("steadfast_sessions_receiving", help, receiving);
        let events = What::ALL.into_iter().filter(|what| *what != What::Progress);
        text.counters(
            "steadfast_upload_events_total",
            "What has become of uploads.",
            "event",
            events.map(|what| (what.name(), counts.happened(what))),
        );
        let help = "Uploads whose log could not be trusted.";
        text.counter("steadfast_uploads_lost_total", help, self.engine.lost());
        let help = "Streams of events that are open.";
        text.gauge(
            "steadfast_event_streams",
            help,
            self.engine.events().watchers(),
        );
    }

    fn pauses(&self, text: &mut Text, counts: &Counts) {
        let gate = self.engine.gate();
        let shut = |by: By| (by.name(), u8::from(gate.is_shut_by(by)));
        let help = "Whether uploads wait, by what for.";
        text.gauges("steadfast_paused", help, "reason", By::ALL.map(shut));
        let pauses = |by: By| (by.name(), counts.pauses[by as usize].sum());
        let help = "Pauses that have begun, by what for.";
        text.counters(
            "steadfast_pauses_total",
            help,
            "reason",
            By::ALL.map(pauses),
        );
        let help = "For how long uploads had to wait, in all.";
        let seconds = gate.shut_for().as_secs_f64();
        text.counter("steadfast_paused_seconds_total", help, seconds);
    }

    fn workers(&self, text: &mut Text) {
        let figures = self.engine.figures();
        let help = "Uploads whose chunks may be made durable at once.";
        text.gauge("steadfast_workers", help, figures.workers);
        let help = "Uploads whose chunks wait for a worker.";
        text.gauge("steadfast_queue_uploads", help, figures.queue);
        let help = "Requests that wait for room in the queue.";
        text.gauge("steadfast_queue_waiting_requests", help, figures.asking);
        let help = "Requests that have had to wait for room in the queue.";
        text.counter("steadfast_queue_waits_total", help, figures.waits);
    }

    fn deduplication(&self, text: &mut Text) {
        let (files, bytes) = (self.saved.files(), self.saved.bytes());
        let help = "Files that got to share the space of another one.";
        text.counter("steadfast_deduplicated_files_total", help, files);
        let help = "Bytes on the disk that those no longer need.";
        text.counter("steadfast_deduplicated_bytes_total", help, bytes);
    }

    fn servers(&self, text: &mut Text) {
        if let Some(reachable) = self.engine.reaches_peers() {
            let help = "Whether the shared sessions can be reached.";
            text.gauge("steadfast_redis_up", help, u8::from(reachable));
        }
    }
}

fn requests(text: &mut Text, counts: &Counts) {
    for (name, help, counter) in [
        (
            "steadfast_received_bytes_total",
            "Bytes of chunks that have arrived, whatever became of them.",
            &counts.received_bytes,
        ),
        (
            "steadfast_acknowledged_bytes_total",
            "Bytes of chunks that are safe.",
            &counts.chunk_bytes,
        ),
        (
            "steadfast_acknowledged_chunks_total",
            "Chunks that are safe.",
            &counts.chunks,
        ),
        (
            "steadfast_duplicate_chunks_total",
            "Chunks that were sent again and held already.",
            &counts.duplicates,
        ),
        (
            "steadfast_superseded_chunks_total",
            "Requests that gave way to newer ones for the same chunk.",
            &counts.takeovers,
        ),
    ] {
        text.counter(name, help, counter.sum());
    }
    let help = "Requests that were refused, by the code of the answer.";
    text.counters("steadfast_refusals_total", help, "code", counts.refusals());
    let help = "How long a flush took that chunks waited for.";
    text.histogram("steadfast_flush_seconds", help, &counts.flushes);
}

fn handoffs(text: &mut Text, counts: &Counts) {
    let results = Handoff::ALL.map(|outcome| (outcome.name(), counts.handoffs(outcome)));
    let help = "Attempts to hand an upload over, by their outcome.";
    text.counters("steadfast_handoffs_total", help, "outcome", results);
    let help = "How long attempts to hand an upload over took.";
    text.histogram("steadfast_handoff_seconds", help, &counts.handoffs);
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
