use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Saved;
use super::Settings;
use super::inbox::Inbox;
use super::worker::Worker;

/// Others get the processor first, but who waits to write to a file that is just being looked at
/// must not wait for long.
const NICE: i32 = 10;

/// Does the work of deduplication on a thread of its own until this is dropped; never ends by
/// itself. `keep` is dropped when the thread has come to its end.
///
/// # Panics
/// When the thread did.
pub async fn run(settings: Settings, saved: Saved, keep: impl Send + 'static) {
    let inbox = Arc::new(Inbox::default());
    let _stop = StopOnDrop(Arc::clone(&inbox));
    let (ending, ended) = oneshot::channel::<()>();
    let work = move || {
        let _kept = (keep, ending);
        // Without it the work is as slow, but less polite.
        let _ = rustix::process::setpriority_process(None, NICE);
        Worker::new(settings, saved, inbox).run();
    };
    let name = "steadfast-dedup".to_owned();
    let thread = match std::thread::Builder::new().name(name).spawn(work) {
        Ok(thread) => thread,
        Err(error) => {
            tracing::warn!(%error, "there is no thread for deduplication: nothing is shared");
            return;
        }
    };
    // Nothing is sent: the end of the thread drops the sender.
    let _ = ended.await;
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

struct StopOnDrop(Arc<Inbox>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::UploadConfig;

    #[tokio::test]
    async fn the_thread_ends_with_the_future() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = UploadConfig::default();
        config.uploads.state_dir = dir.path().join("state");
        config.deduplication.directory = Some(dir.path().join("files"));
        let settings = Settings::of(&config).unwrap();
        let (keep, kept) = oneshot::channel::<()>();
        let running = run(settings, Saved::default(), keep);
        let waited = tokio::time::timeout(Duration::from_millis(50), running).await;
        assert!(waited.is_err(), "it does not end by itself");
        assert!(kept.await.is_err(), "the thread has ended");
    }
}
