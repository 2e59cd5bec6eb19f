use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tower_layer::Layer;

use crate::auth::{Gate, KeyRing, Replay};
use crate::blob::{Blobs, Local, StateDir};
use crate::clock::Clock;
use crate::config::{self, Durability, Live, Scheme, UploadConfig};
use crate::dedup::Saved;
use crate::door::Door;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::error::Error;
use crate::handoff::Template;
use crate::health::Health;
use crate::hooks::{Finished, Hooks};
use crate::metrics::Metrics;
#[cfg(feature = "serve")]
use crate::serve::MetricsPort;
use crate::service::Steadfast;
use crate::store::{Disk, Memory, Store};
use crate::tls::Identity;
use crate::upload::{Declaration, Owner, Timestamp};
use crate::uploads::Uploads;
use crate::volume::{self, Filesystem, Pace, System, Volume};

/// Longer than a process that shuts down in time keeps its state directory.
const LOCK_GRACE: Duration = Duration::from_secs(5);

/// Makes the upload handler of any app resumable.
///
/// The layer goes **around the whole app**, because a finished upload is routed by the app like
/// any other request:
///
/// ```no_run
/// use axum::{Router, body::Body, routing::post};
/// use steadfast::SteadfastLayer;
/// use tower::Layer;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let app = Router::new().route("/upload", post(|| async { "the old handler" }));
///
/// let (layer, driver) = SteadfastLayer::from_file("config.toml").await?;
/// tokio::spawn(driver.deliver_through::<Body, _>(app.clone()).run());
/// let app: Router = Router::new().fallback_service(layer.layer(app));
/// # Ok(()) }
/// ```
///
/// With `Router::layer` each route would be wrapped on its own, and a hand-off would never reach
/// the upload handler.
#[derive(Clone)]
pub struct SteadfastLayer {
    pub(crate) shared: Arc<Shared>,
}

/// What every service made by one layer shares.
pub(crate) struct Shared {
    /// What requests go by. Each takes it once.
    pub(crate) rules: Live<Rules>,
    /// Had by whoever replaces them.
    changing: Mutex<()>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) hooks: Hooks,
    pub(crate) clock: Clock,
    /// Which signatures were used, where no other server has a say in it.
    pub(crate) replay: Replay,
    pub(crate) door: Door,
    pub(crate) saved: Saved,
    /// What new connections are shown where there is TLS.
    pub(crate) identity: Arc<Live<Option<Identity>>>,
    /// Keeps the directory locked.
    pub(crate) state_dir: Arc<StateDir>,
}

/// A configuration, and what is made of it.
pub(crate) struct Rules {
    pub(crate) config: Arc<UploadConfig>,
    pub(crate) gate: Gate,
    pub(crate) template: Template,
}

impl Rules {
    /// # Errors
    /// Why it cannot be used.
    fn new(config: Arc<UploadConfig>, ring: KeyRing) -> Result<Self, Error> {
        check_places(&config)?;
        let gate = Gate::new(&config.security, &config.server.public_base, ring);
        let template = Template::new(&config.delivery)
            .ok_or_else(|| Error::new("delivery.path or delivery.method is not valid"))?;
        Ok(Self {
            config,
            gate,
            template,
        })
    }
}

impl Shared {
    /// Reads the secret again, for requests that begin then.
    ///
    /// # Errors
    /// Why it cannot be used; nothing is changed then.
    pub(crate) fn take_secret(&self) -> Result<(), Error> {
        let (ring, before, _alone) = self.read(|config| open_ring(config, &self.state_dir))?;
        if ring.fingerprint() != before.gate.ring().fingerprint() {
            let rules = Rules::new(Arc::clone(&before.config), ring)?;
            self.rules.replace(Arc::new(rules));
            tracing::info!(
                "security.secret_file was replaced: requests are signed with another secret from now on"
            );
        }
        Ok(())
    }

    /// What `read` makes of the configuration in force, which stays until the guard is dropped. A disk that
    /// hangs holds nobody up.
    fn read<T>(
        &self,
        read: impl Fn(&UploadConfig) -> Result<T, Error>,
    ) -> Result<(T, Arc<Rules>, MutexGuard<'_, ()>), Error> {
        loop {
            let rules = self.rules.now();
            let found = read(&rules.config)?;
            let alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&rules, &self.rules.now()) {
                return Ok((found, rules, alone));
            }
        }
    }

    /// Reads the files of TLS again, for connections that begin then.
    ///
    /// # Errors
    /// Which one cannot be used, and why; nothing is changed then.
    pub(crate) fn take_identity(&self) -> Result<(), Error> {
        let (found, _, _alone) = self.read(|config| Identity::open(&config.server.tls_files()))?;
        let Some(found) = found else { return Ok(()) };
        let before = self.identity.now();
        if before
            .as_ref()
            .as_ref()
            .is_none_or(|before| !before.is_same(&found))
        {
            tell_doubts(&found);
            self.identity.replace(Arc::new(Some(found)));
            tracing::info!("the files of TLS were replaced: new connections go by them");
        }
        Ok(())
    }

    /// Has everything that begins from now on go by `config`.
    ///
    /// # Errors
    /// Why it cannot be used; nothing is changed then.
    pub(crate) fn configure(&self, config: UploadConfig) -> Result<(), Error> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, before) = (Arc::new(config), self.rules.now());
        // What nobody has changed stays, whatever became of the file it was in.
        let ring = match config.security.has_same_secrets(&before.config.security) {
            true => before.gate.ring().clone(),
            false => open_ring(&config, &self.state_dir)?,
        };
        let files = config.server.tls_files();
        let identity = match files == before.config.server.tls_files() {
            true => None,
            false => Some(open_identity(&config)?),
        };
        let rules = Rules::new(Arc::clone(&config), ring)?;
        if let Some(identity) = identity {
            self.identity.replace(Arc::new(identity));
        }
        self.engine.configure(config);
        self.rules.replace(Arc::new(rules));
        Ok(())
    }
}

impl SteadfastLayer {
    /// Reads `path`, opens the state directory, and answers the layer and the [`Driver`] that
    /// does its background work. What the file says that is old or has no effect is logged. The
    /// driver follows the file: see [`Driver::follow`].
    ///
    /// # Errors
    /// Everything that is wrong with the file, or why the state directory cannot be used.
    pub async fn from_file(path: impl AsRef<Path>) -> Result<(Self, Driver), Error> {
        let loaded = UploadConfig::from_file(path.as_ref());
        let loaded = loaded.map_err(|error| Error::new(error.to_string()))?;
        for notice in &loaded.notices {
            tracing::warn!("{notice}");
        }
        let (layer, driver) = Self::from_config(loaded.config).await?;
        Ok((layer, driver.follow(path)))
    }

    /// The same from a configuration that was read already.
    ///
    /// # Errors
    /// Why the files of TLS, the state directory, the secret or the address of `metrics.listen` cannot
    /// be used, or that Redis is not fit for sessions.
    pub async fn from_config(mut config: UploadConfig) -> Result<(Self, Driver), Error> {
        let identity = open_identity(&config)?;
        let state_dir = open_state_dir(&config).await?;
        warn_of_mount(&config);
        let asked = config.clone();
        let ring = open_ring(&config, &state_dir)?;
        let rules = Rules::new(Arc::new(config.clone()), ring)?;
        let secret_print = rules.gate.ring().fingerprint();
        let (store, blobs) = open_stores(&config, &state_dir)
            .map_err(|error| Error::because("uploads.state_dir cannot be used", error))?;
        // By now an earlier process over this directory has given its port up as well.
        let port = metrics_port(&config).await?;
        let clock = Clock::system();
        let began = clock.read().since;
        let store = share(&mut config, &state_dir, &secret_print, began, store).await?;
        let first = first_second(&rules.gate, &state_dir, &clock).await;
        let replay = Replay::open(state_dir.path(), first)
            .map_err(|error| Error::because("uploads.state_dir cannot be used", error))?;
        let config = Arc::new(config);
        let rules = Rules {
            config: Arc::clone(&config),
            ..rules
        };
        let engine = Engine::new(config, store, blobs, clock.clone());
        let hooks = Hooks::default();
        let shared = Arc::new(Shared {
            rules: Live::new(Arc::new(rules)),
            changing: Mutex::default(),
            engine,
            hooks,
            clock,
            replay,
            door: Door::default(),
            saved: Saved::default(),
            identity: Arc::new(Live::new(Arc::new(identity))),
            state_dir: Arc::new(state_dir),
        });
        Ok((
            Self {
                shared: Arc::clone(&shared),
            },
            Driver::new(shared, asked, port),
        ))
    }

    /// Asks `hook` about every new upload, before a byte is sent: the app's own authentication
    /// and quota. It sees the head of the request and what the client declares, and answers
    /// whose upload it is, or the response that refuses it. Set once; a second call changes
    /// nothing.
    #[must_use]
    pub fn on_create<F>(self, hook: F) -> Self
    where
        F: Fn(&Parts, &Declaration) -> Result<Owner, Response<Bytes>> + Send + Sync + 'static,
    {
        self.shared.hooks.set_on_create(Arc::new(hook));
        self
    }

    /// Asks `hook` about every request for an upload that exists: its bytes, its status, its events,
    /// its end. It answers who sends it, or the response that refuses it; an upload that `on_create`
    /// said is somebody else's is answered as one that does not exist. Without it, whoever has the
    /// session id may go on with the upload. Set once; a second call changes nothing.
    #[must_use]
    pub fn on_access<F>(self, hook: F) -> Self
    where
        F: Fn(&Parts) -> Result<Owner, Response<Bytes>> + Send + Sync + 'static,
    {
        self.shared.hooks.set_on_access(Arc::new(hook));
        self
    }

    /// Lets `hook` complete the head of every hand-off, for instance with extensions such as
    /// axum's `ConnectInfo`. Set once; a second call changes nothing.
    #[must_use]
    pub fn on_handoff<F>(self, hook: F) -> Self
    where
        F: Fn(&mut Parts, &Finished<'_>) + Send + Sync + 'static,
    {
        self.shared.hooks.set_on_handoff(Arc::new(hook));
        self
    }

    /// Tells whether uploads can be taken, for whoever watches the app.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(Arc::clone(&self.shared.engine))
    }

    /// The uploads, for the app to look at and to manage.
    #[must_use]
    pub fn uploads(&self) -> Uploads {
        Uploads::new(Arc::clone(&self.shared.engine))
    }

    /// The numbers for monitoring.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// What deduplication has done since the start.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.shared.saved.clone()
    }
}

impl Shared {
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::new(Arc::clone(&self.engine), self.saved.clone())
    }
}

/// Takes the port of `metrics.listen`, where there is one.
#[cfg(feature = "serve")]
async fn metrics_port(config: &UploadConfig) -> Result<Option<MetricsPort>, Error> {
    let Some(address) = &config.metrics.listen else {
        return Ok(None);
    };
    let port = MetricsPort::open(address).await;
    port.map(Some).map_err(|error| {
        let what = format!("metrics.listen = \"{address}\" cannot be used");
        Error::because(what, error)
    })
}

/// What a driver serves metrics on where it can.
#[cfg(not(feature = "serve"))]
pub(crate) type MetricsPort = std::convert::Infallible;

#[cfg(not(feature = "serve"))]
async fn metrics_port(config: &UploadConfig) -> Result<Option<MetricsPort>, Error> {
    match &config.metrics.listen {
        None => Ok(None),
        Some(_) => Err(Error::new(
            "metrics.listen needs the feature \"serve\" of this library",
        )),
    }
}

/// The second from which on it is known which signatures were used. They say in which second they
/// were made: so that those that an earlier process took can be told from those that come, a
/// second begins in between.
async fn first_second(gate: &Gate, state_dir: &StateDir, clock: &Clock) -> Timestamp {
    let now = clock.now();
    let begun = now.0 / 1_000 * 1_000;
    if state_dir.is_new() || now.0 == begun {
        return Timestamp(begun);
    }
    let next = Timestamp(begun + 1_000);
    if gate.accepts(Scheme::Message) {
        tokio::time::sleep(next.since(now)).await;
    }
    next
}

fn open_identity(config: &UploadConfig) -> Result<Option<Identity>, Error> {
    let identity = Identity::open(&config.server.tls_files())?;
    identity.iter().for_each(tell_doubts);
    Ok(identity)
}

fn tell_doubts(identity: &Identity) {
    for doubt in identity.doubts() {
        tracing::warn!("{doubt}");
    }
}

fn open_ring(config: &UploadConfig, state_dir: &StateDir) -> Result<KeyRing, Error> {
    let ring = KeyRing::open(&config.security, state_dir.path());
    ring.map_err(|error| Error::because("there is no usable secret", error))
}

/// Refuses to keep unfinished uploads where finished ones are served.
fn check_places(config: &UploadConfig) -> Result<(), Error> {
    match config::serving(config).next() {
        None => Ok(()),
        Some(key) => {
            let dir = config.uploads.state_dir.display();
            let message = format!("uploads.state_dir {dir} is inside of {key}, which is served");
            Err(Error::new(message))
        }
    }
}

async fn open_state_dir(config: &UploadConfig) -> Result<StateDir, Error> {
    check_places(config)?;
    let path = &config.uploads.state_dir;
    let wait = config.timeouts.shutdown + LOCK_GRACE;
    StateDir::open(path, wait).await.map_err(|error| {
        let dir = path.display();
        let message = match error.kind() {
            io::ErrorKind::WouldBlock => {
                format!("uploads.state_dir {dir} is in use by another process; each needs its own")
            }
            _ => format!("uploads.state_dir {dir} cannot be used: {error}"),
        };
        Error::new(message)
    })
}

/// Says where what is promised depends on more than this machine's disk.
fn warn_of_mount(config: &UploadConfig) {
    let promises_power = config.keeps_sessions() && config.durability() == Durability::Power;
    let published = (config.delivery.mode == config::Mode::Store)
        .then_some(("delivery.storage_path", &config.delivery.storage_path));
    let dirs = [("uploads.state_dir", &config.uploads.state_dir)].into_iter();
    for (key, dir) in dirs.chain(published).filter(|_| promises_power) {
        let Some(doubt) = volume::doubt(dir) else {
            continue;
        };
        tracing::warn!(
            "{key} {} is on {doubt}. Acknowledged bytes may not survive a power cut there, though \
             durability = \"power\" promises it: use a directory on a local disk, or set \
             durability = \"process\", so that clients are told what holds",
            dir.display()
        );
    }
}

type Stores = (Arc<dyn Store>, Arc<dyn Blobs>);

fn open_stores(config: &UploadConfig, state_dir: &StateDir) -> io::Result<Stores> {
    let files: Arc<dyn Filesystem> = Arc::new(System::new(state_dir.path())?);
    #[cfg(steadfast_sabotage)]
    let files = crate::saboteur::files(files);
    let volume = Volume::new(files, Pace::for_runtime());
    let durability = config.durability();
    Ok(if config.keeps_sessions() {
        let dir = state_dir.path().to_owned();
        let store = Disk::new(dir.clone(), Arc::clone(&volume));
        let blobs = Local::new(dir, volume, durability);
        let store: Arc<dyn Store> = Arc::new(store);
        #[cfg(steadfast_sabotage)]
        let store = crate::saboteur::store(store);
        (store, Arc::new(blobs))
    } else {
        let blobs = Local::new(state_dir.volatile()?, volume, durability);
        (Arc::new(Memory::default()), Arc::new(blobs))
    })
}

/// Shares the sessions of `store` with other servers, where `sessions.store` says so. The ids of
/// this server's sessions begin with its name from here on.
#[cfg(feature = "redis")]
async fn share(
    config: &mut UploadConfig,
    state_dir: &StateDir,
    secret_print: &str,
    began: Timestamp,
    store: Arc<dyn Store>,
) -> Result<Arc<dyn Store>, Error> {
    let sessions = &config.sessions;
    if !config.keeps_sessions() || sessions.store != config::SessionStore::Redis {
        return Ok(store);
    }
    let uploads = &config.uploads;
    let settings = crate::store::Settings {
        url: sessions.redis_url.expose().to_owned(),
        prefix: sessions.redis_prefix.clone(),
        name: config.server.name.clone(),
        advertise: config.server.advertise.clone(),
        began,
        keep: uploads.max_resumable_age.max(uploads.result_retention),
        secret_print: secret_print.to_owned(),
    };
    let shared = crate::store::Redis::open(&settings, state_dir.path(), Arc::clone(&store)).await;
    let shared = shared.map_err(Error::new)?;
    if let Some(why) = shared.why_down() {
        if !sessions.redis_required {
            tracing::warn!(
                "Redis cannot be used ({why}), and redis_required is false: sessions are kept on \
                 this server's disk alone until it is started again"
            );
            config.sessions.store = config::SessionStore::Disk;
            return Ok(store);
        }
        tracing::error!("Redis cannot be used ({why}): uploads are refused with 503 until it can");
    }
    config.server.name = Some(shared.name().to_owned());
    Ok(Arc::new(shared))
}

#[cfg(not(feature = "redis"))]
async fn share(
    config: &mut UploadConfig,
    _: &StateDir,
    _: &str,
    _: Timestamp,
    store: Arc<dyn Store>,
) -> Result<Arc<dyn Store>, Error> {
    if config.keeps_sessions() && config.sessions.store == config::SessionStore::Redis {
        let message = "sessions.store = \"redis\" needs the feature \"redis\" of this library";
        return Err(Error::new(message));
    }
    Ok(store)
}

impl<S> Layer<S> for SteadfastLayer {
    type Service = Steadfast<S>;

    fn layer(&self, inner: S) -> Steadfast<S> {
        Steadfast::new(Arc::clone(&self.shared), inner)
    }
}

impl std::fmt::Debug for SteadfastLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteadfastLayer").finish_non_exhaustive()
    }
}
