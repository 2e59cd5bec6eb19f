mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body::Body;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tower_service::Service;

use bytes::Bytes;

use crate::admission::Figures;
use crate::body::{AppResponse, BoxError, RequestBody};
#[cfg(feature = "serve")]
use crate::config::Live;
use crate::config::{SessionStore, UploadConfig};
use crate::dedup;
use crate::engine::{Deliver, Engine};
use crate::error::Error;
use crate::follower::{Follower, OnReload, Trouble, follow_files};
use crate::handler::Handler;
#[cfg(not(feature = "serve"))]
use crate::layer::MetricsPort;
use crate::layer::Shared;
use crate::network::{self, By, Change, Turn};
#[cfg(feature = "serve")]
use crate::serve::MetricsPort;
#[cfg(feature = "serve")]
use crate::tls;

const SWEEP_EVERY_MIN: Duration = Duration::from_secs(1);
const SWEEP_EVERY_MAX: Duration = Duration::from_secs(60);
const CLOSE_IDLE_EVERY: Duration = Duration::from_secs(10);
/// After a panic; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The background work of a layer, as one future with an owner: spawn [`Driver::run`].
///
/// Without it uploads work, but what expires stays, what a restart interrupted waits for its client,
/// and nobody watches the network. With sessions in Redis nothing works without it: it is also what keeps this server known
/// to the others.
pub struct Driver {
    shared: Arc<Shared>,
    deliver: Option<Arc<dyn Deliver>>,
    port: Option<Arc<MetricsPort>>,
    /// What was asked for at the start, and the file that asks for more.
    asked: UploadConfig,
    file: Option<PathBuf>,
    on_reload: OnReload,
    /// Somebody serves with TLS, if that is asked for.
    secures: bool,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, asked: UploadConfig, port: Option<MetricsPort>) -> Self {
        Self {
            shared,
            deliver: None,
            port: port.map(Arc::new),
            asked,
            file: None,
            on_reload: Arc::new(|_| {}),
            secures: false,
        }
    }

    /// Follows the configuration in the file at `path`, with the environment over it: what changes
    /// there is in force at once, for requests that begin then, and each key is logged. A file that
    /// cannot be read, or is wrong, changes nothing. Keys that need a restart are named.
    #[must_use]
    pub fn follow(self, path: impl AsRef<Path>) -> Self {
        let file = Some(path.as_ref().to_owned());
        Self { file, ..self }
    }

    /// Calls `hook` with every new configuration that [`Driver::follow`] has put in force, for what
    /// only the app can change, such as the level of its log.
    #[must_use]
    pub fn on_reload(self, hook: impl Fn(&UploadConfig) + Send + Sync + 'static) -> Self {
        let on_reload = Arc::new(hook);
        Self { on_reload, ..self }
    }

    /// Hands uploads that were finished before a restart to `app` without waiting for their
    /// clients: the same app that the layer wraps, before it is wrapped. `B` is the body of the
    /// requests that app receives, such as `axum::body::Body` or `hyper::body::Incoming`.
    #[must_use]
    pub fn deliver_through<B, S>(self, app: S) -> Self
    where
        S: Service<Request<RequestBody<B>>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        S::Response: AppResponse + Send,
        <S::Response as AppResponse>::Body:
            Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        B: Send + 'static,
    {
        let handler = Handler::<S, B>::new(Arc::clone(&self.shared), app);
        Self {
            deliver: Some(handler.shared()),
            ..self
        }
    }

    /// The configuration in force, whenever it is asked for.
    #[cfg(feature = "serve")]
    pub(crate) fn config(&self) -> impl Fn() -> Arc<UploadConfig> + Send + Sync + use<> {
        let engine = Arc::clone(&self.shared.engine);
        move || engine.config().now()
    }

    /// What to show new connections, for who does.
    #[cfg(feature = "serve")]
    pub(crate) fn identity(&mut self) -> Arc<Live<Option<tls::Identity>>> {
        self.secures = true;
        Arc::clone(&self.shared.identity)
    }

    /// Does the background work; never ends by itself.
    pub async fn run(self) {
        if !self.secures && self.shared.identity.now().is_some() {
            tracing::error!(
                "server.tls_cert is set, which only steadfast::serve goes by, and this app is served in \
                 another way: requests for uploads are refused"
            );
        }
        let work = || background(Arc::clone(&self.shared), self.deliver.clone());
        let sharing = || share_space(Arc::clone(&self.shared));
        let metrics = || serve_metrics(Arc::clone(&self.shared), self.port.clone());
        let shared = Arc::clone(&self.shared);
        let follower = Follower::new(shared, self.file, self.asked, self.on_reload);
        let following = || Arc::clone(&follower).run();
        let securing = || follow_identity(Arc::clone(&self.shared));
        let keying = || follow_secret(Arc::clone(&self.shared));
        tokio::join!(
            kept_up(work),
            kept_up(sharing),
            kept_up(metrics),
            kept_up(following),
            kept_up(securing),
            kept_up(keying)
        );
    }

    /// A future that starts no more hand-offs and ends when the running ones, and chunks whose
    /// last byte has arrived, are done. For a graceful shutdown.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static {
        let engine = Arc::clone(&self.shared.engine);
        async move { engine.drain().await }
    }
}

/// Does `work` anew whenever it panics, after a while: nobody may notice for weeks that nothing
/// expires any more.
async fn kept_up<F>(work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pause = PAUSE_FIRST;
    loop {
        // A set ends its tasks when it is dropped, and so with this future.
        let mut task = JoinSet::new();
        task.spawn(work());
        let Some(Err(_)) = task.join_next().await else {
            return;
        };
        tracing::error!(?pause, "the background work panicked; it is begun anew");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn background(shared: Arc<Shared>, deliver: Option<Arc<dyn Deliver>>) {
    let engine = &shared.engine;
    tokio::join!(
        engine.attend(),
        upkeep(&shared, deliver),
        attend_network(&shared)
    );
}

/// Does `work` by the configuration in force: anew when what `part` answers of it has changed.
async fn by_config<T: PartialEq, F: Future<Output = ()>>(
    shared: &Shared,
    part: impl Fn(&UploadConfig) -> T,
    work: impl Fn(Arc<UploadConfig>) -> F,
) {
    let mut told = shared.engine.config().follow();
    loop {
        let config = Arc::clone(&told.borrow_and_update());
        let before = part(&config);
        let changed = async { told.wait_for(|config| part(config) != before).await.is_ok() };
        let working = async {
            work(config).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            is_changed = changed => if !is_changed { return },
            () = working => {}
        }
    }
}

/// Has uploads wait while the network changes.
async fn attend_network(shared: &Shared) {
    let part = |config: &UploadConfig| {
        let watches = config.server.networkevents && config.speaks_chunked();
        watches.then(|| config.network.clone())
    };
    let work = |config: Arc<UploadConfig>| async move {
        if part(&config).is_some() {
            watch_network(&shared.engine, &config).await;
        }
    };
    by_config(shared, part, work).await;
}

async fn watch_network(engine: &Engine, config: &UploadConfig) {
    let tell = |change| match change {
        Change::Detected(what) => tracing::info!(%what, "Network change detected"),
        Change::Turned(Turn::Shuts) => {
            tracing::info!("Pausing all active uploads due to network change");
            tracing::info!("Network resilience: {} uploads active", engine.receiving());
        }
        Change::Turned(turn) => {
            if turn == Turn::OpensAnyhow {
                tracing::warn!(
                    "the network does not settle: uploads go on, and changes are ignored for {}",
                    humantime::format_duration(config.network.max_pause)
                );
            }
            if engine.gate().is_shut_by(By::Operator) {
                tracing::info!("the network is quiet; uploads stay paused by hand");
                return;
            }
            tracing::info!("Resuming all paused uploads");
            tracing::info!("Active upload sessions: {}", engine.sessions());
        }
    };
    network::watch(&config.network, engine.gate(), tell).await;
}

/// Answers monitoring, where there is a port for it.
#[cfg(feature = "serve")]
async fn serve_metrics(shared: Arc<Shared>, port: Option<Arc<MetricsPort>>) {
    let Some(port) = port else { return };
    let metrics = shared.metrics();
    // What is shared ends with the other work, not with this.
    drop(shared);
    if let Err(error) = port.serve(metrics).await {
        tracing::error!(%error, "nobody can ask for metrics any more");
    }
}

#[cfg(not(feature = "serve"))]
async fn serve_metrics(_: Arc<Shared>, _: Option<Arc<MetricsPort>>) {}

/// Takes up certificates that are replaced.
async fn follow_identity(shared: Arc<Shared>) {
    let files = |config: &UploadConfig| {
        let files = config.server.tls_files().into_iter();
        files.map(|(_, path)| path).collect()
    };
    follow_named(shared, files, Shared::take_identity, "TLS").await;
}

/// Takes up a secret that is replaced in its file. Where servers share their sessions all of them have the
/// same one, and it is read when they begin.
async fn follow_secret(shared: Arc<Shared>) {
    let file = |config: &UploadConfig| {
        let is_ours = config.security.enabled && config.sessions.store != SessionStore::Redis;
        let file = config.security.secret_file.clone();
        file.filter(|_| is_ours).into_iter().collect()
    };
    follow_named(shared, file, Shared::take_secret, "the secret").await;
}

/// Has `take` called whenever one of the files that a configuration names may be another; where it
/// fails, `what` stays as it is.
async fn follow_named(
    shared: Arc<Shared>,
    files: fn(&UploadConfig) -> Vec<PathBuf>,
    take: fn(&Shared) -> Result<(), Error>,
    what: &'static str,
) {
    let work = |config: Arc<UploadConfig>| {
        let shared = Arc::clone(&shared);
        async move {
            let files = files(&config);
            if !files.is_empty() {
                let mut trouble = Trouble::default();
                let tell = |taken| trouble.tell(what, taken);
                follow_files(files, move || take(&shared), tell).await;
            }
        }
    };
    by_config(&shared, files, work).await;
}

/// Lets files with the same content share their space, where that is asked for.
async fn share_space(shared: Arc<Shared>) {
    // Had by the thread that does the work, until it has ended.
    let alone = Arc::new(Mutex::new(()));
    let work = |config: Arc<UploadConfig>| {
        let (alone, state_dir) = (Arc::clone(&alone), Arc::clone(&shared.state_dir));
        let saved = shared.saved.clone();
        async move {
            if let Some(settings) = dedup::Settings::of(&config) {
                let alone = alone.lock_owned().await;
                dedup::run(settings, saved, (state_dir, alone)).await;
            }
        }
    };
    by_config(&shared, dedup::Settings::of, work).await;
}

/// Hands over what waits for it, and clears away what nobody wants any more.
async fn upkeep(shared: &Shared, deliver: Option<Arc<dyn Deliver>>) {
    let engine = &shared.engine;
    let waiting = engine.recover(deliver.as_ref()).await;
    match (waiting, &deliver) {
        (0, _) => {}
        (_, Some(_)) => tracing::info!(waiting, "finished uploads are handed over"),
        (_, None) => tracing::warn!(
            waiting,
            "finished uploads wait for their clients, because Driver::deliver_through was not called"
        ),
    }
    if let Err(error) = engine.remove_orphans().await {
        tracing::warn!(%error, "bytes that belong to no upload may stay behind");
    }
    let (mut told, mut told_lost, mut told_refused) = (0, 0, 0);
    let mut swept = tokio::time::Instant::now();
    loop {
        let config = engine.config().now();
        let uploads = &config.uploads;
        let soonest = uploads.max_resumable_age.min(uploads.result_retention);
        let every = (soonest / 4).clamp(SWEEP_EVERY_MIN, SWEEP_EVERY_MAX);
        tokio::time::sleep(every.min(CLOSE_IDLE_EVERY)).await;
        engine.close_idle().await;
        engine.adjust_workers();
        engine.rates().forget_rested();
        let count = engine.sessions();
        if std::mem::replace(&mut told, count) != count {
            tracing::info!("Active upload sessions: {count}");
        }
        let lost = engine.lost();
        if std::mem::replace(&mut told_lost, lost) != lost {
            tracing::warn!("Uploads that were lost since the start: {lost}");
        }
        tell_refused(&mut told_refused, engine.figures());
        if swept.elapsed() >= every {
            engine.sweep().await;
            swept = tokio::time::Instant::now();
        }
    }
}

/// Says that the disk does not keep up, if more requests were refused than are `told`.
fn tell_refused(told: &mut u64, figures: Figures) {
    let Figures {
        queue,
        asking,
        waits,
        refused,
        ..
    } = figures;
    if std::mem::replace(told, refused) != refused {
        tracing::warn!(
            queue,
            asking,
            waits,
            "Requests that were refused since the start, as the disk does not keep up: {refused}"
        );
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_is_begun_anew() {
        let begun = tokio::time::Instant::now();
        let times = Arc::<AtomicU32>::default();
        kept_up(|| {
            let times = Arc::clone(&times);
            async move {
                let time = times.fetch_add(1, Ordering::Relaxed);
                assert!(time >= 3, "as it is");
            }
        })
        .await;
        assert_eq!(times.load(Ordering::Relaxed), 4);
        assert_eq!(begun.elapsed(), Duration::from_secs(1 + 2 + 4));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_its_owner() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let work = || {
            let sender = sender.clone();
            async move {
                let _ = sender.send(());
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), kept_up(work)).await;
        drop(sender);
        assert_eq!(receiver.recv().await, Some(()));
        assert_eq!(receiver.recv().await, None, "it is gone");
    }
}
