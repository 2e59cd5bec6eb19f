use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _,
    Pipeline, RedisError, ScriptInvocation,
};

/// A command that has not answered after this time has failed.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);
/// The same for a first look at Redis, which connects and asks several things in a row.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a request may try again what has failed, where nobody else does: longer than somebody
/// who does takes.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Redis did not do what it was asked, or nobody knows whether it did: why is in the log.
#[derive(Debug)]
pub(super) struct Down;

/// The connection to Redis, and whether it can be used: a circuit breaker. The first failure opens
/// it, whatever it was, and the next success closes it; while it is open nothing waits for Redis.
///
/// [`redis::aio::ConnectionManager`] does not do: a handshake that fails by anything but an error of
/// the network, such as `LOADING`, is its answer for ever.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    /// With its number.
    connection: Mutex<Option<(MultiplexedConnection, u64)>>,
    /// How many there have been.
    connections: AtomicU64,
    /// Had by whoever connects.
    connecting: tokio::sync::Mutex<()>,
    is_up: AtomicBool,
    /// Redis answers, and is not fit for this.
    is_barred: AtomicBool,
    /// Shut for good: this server has been replaced.
    is_shut: AtomicBool,
    tried: Mutex<Instant>,
    /// Why Redis could not be used when it was tried last.
    why: Mutex<Option<String>>,
}

impl Link {
    /// A link to the server at `url`, which nobody has tried yet.
    ///
    /// # Errors
    /// A sentence that does not repeat the URL.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let unreadable =
            |error: RedisError| format!("sessions.redis_url cannot be used: {}", error.category());
        let info = url.into_connection_info().map_err(unreadable)?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            choose_tls()?;
        }
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(unreadable)?;
        Ok(Self {
            client,
            connection: Mutex::default(),
            connections: AtomicU64::new(0),
            connecting: tokio::sync::Mutex::default(),
            is_up: AtomicBool::new(false),
            is_barred: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            tried: Mutex::new(Instant::now()),
            why: Mutex::default(),
        })
    }

    /// Whether the last that was heard of Redis was good.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Tells connections apart: another one may lead to another Redis, or to one that has lost something.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Whether it is worth to begin something: Redis can be used, or it is time to try again.
    pub(super) fn is_usable(&self) -> bool {
        let is_time = || lock(&self.tried).elapsed() >= TRY_EVERY;
        self.is_up() || (!self.is_shut() && is_time())
    }

    /// Why Redis cannot be used.
    pub(super) fn why_down(&self) -> String {
        let why = lock(&self.why).clone();
        why.unwrap_or_else(|| "nobody has tried".to_owned())
    }

    /// Ends the use of Redis for good.
    pub(super) fn shut(&self) {
        self.is_shut.store(true, Ordering::Release);
        self.is_up.store(false, Ordering::Release);
    }

    /// Says whether nobody but who looks at Redis is to use it.
    pub(super) fn bar(&self, is_barred: bool) {
        self.is_barred.store(is_barred, Ordering::Release);
    }

    fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire) || self.is_barred.load(Ordering::Acquire)
    }

    /// Runs a script, unless Redis is known to be unusable.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Down> {
        self.enter()?;
        let work = async |c: &mut _, _| forgive(script.invoke_async(c).await);
        self.attempt(COMMAND_TIMEOUT, work)
            .await?
            .map_err(|error| refused(&error))
    }

    /// Sends commands in one round trip, unless Redis is known to be unusable.
    pub(super) async fn send<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Down> {
        self.enter()?;
        let work = async |c: &mut _, _| forgive(commands.query_async(c).await);
        self.attempt(COMMAND_TIMEOUT, work)
            .await?
            .map_err(|error| refused(&error))
    }

    /// The same whether Redis is known to be unusable or not: this is how it is found out. `work` gets a
    /// connection and its number.
    pub(super) async fn probe<T>(
        &self,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut MultiplexedConnection, u64) -> Result<T, RedisError>,
    ) -> Result<T, Down> {
        match self.is_shut.load(Ordering::Acquire) {
            true => Err(Down),
            false => self.attempt(timeout, work).await,
        }
    }

    fn enter(&self) -> Result<(), Down> {
        if self.is_up() {
            return Ok(());
        }
        let mut tried = lock(&self.tried);
        if self.is_shut() || tried.elapsed() < TRY_EVERY {
            return Err(Down);
        }
        *tried = Instant::now();
        Ok(())
    }

    async fn attempt<T>(
        &self,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut MultiplexedConnection, u64) -> Result<T, RedisError>,
    ) -> Result<T, Down> {
        let whole = async {
            let (mut connection, number) = self.connected().await?;
            work(&mut connection, number).await
        };
        *lock(&self.tried) = Instant::now();
        let result = tokio::time::timeout(timeout, whole).await;
        *lock(&self.tried) = Instant::now();
        match result {
            Ok(Ok(answer)) => {
                self.succeeded();
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.give_up(&said(&error));
                Err(Down)
            }
            Err(_) => {
                self.give_up("it does not answer");
                Err(Down)
            }
        }
    }

    async fn connected(&self) -> Result<(MultiplexedConnection, u64), RedisError> {
        let existing = || lock(&self.connection).clone();
        if let Some(connection) = existing() {
            return Ok(connection);
        }
        let _alone = self.connecting.lock().await;
        if let Some(connection) = existing() {
            return Ok(connection);
        }
        // The timeout is around all of it.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = connection.await?;
        let number = self.connections.fetch_add(1, Ordering::AcqRel) + 1;
        let connection = (connection, number);
        *lock(&self.connection) = Some(connection.clone());
        Ok(connection)
    }

    fn succeeded(&self) {
        if !self.is_shut() && !self.is_up.swap(true, Ordering::AcqRel) {
            *lock(&self.why) = None;
            tracing::info!("Redis can be used");
        }
    }

    /// Opens the circuit. The connection goes with it: another one may lead to a server that works,
    /// and a peer that vanished is noticed by nothing else.
    fn give_up(&self, why: &str) {
        *lock(&self.connection) = None;
        let was_up = self.is_up.swap(false, Ordering::AcqRel);
        let before = lock(&self.why).replace(why.to_owned());
        // At the start it is said by whoever knows what follows from it.
        if was_up || before.is_some_and(|before| before != why) {
            tracing::error!(
                "Redis cannot be used ({why}): uploads are refused with 503 until it can"
            );
        }
    }
}

/// Chooses who does the cryptography, where the app has not: with two to choose from, rustls panics.
/// It is the one thing here that all layers of a process share, as rustls wants it.
#[cfg(feature = "redis-tls")]
#[expect(clippy::unnecessary_wraps, reason = "as without the feature")]
fn choose_tls() -> Result<(), String> {
    use rustls::crypto::{CryptoProvider, ring};
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been first.
        let _ = ring::default_provider().install_default();
    }
    Ok(())
}

#[cfg(not(feature = "redis-tls"))]
fn choose_tls() -> Result<(), String> {
    let sentence =
        "sessions.redis_url asks for TLS, which needs the feature \"redis-tls\" of this library";
    Err(sentence.to_owned())
}

/// An error without the part of a script in which it came up.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => {
            let detail = detail.split(" script: ").next().unwrap_or_default();
            format!("{code} {}", detail.trim_end_matches(['.', ' ']))
        }
        _ => error.to_string(),
    }
}

/// What Redis answered, where it works and what it holds of one upload does not.
fn forgive<T>(answer: Result<T, RedisError>) -> Result<Result<T, RedisError>, RedisError> {
    let is_about_one_key = |error: &RedisError| {
        matches!(error.code(), Some("WRONGTYPE" | "ERR"))
            || matches!(error.kind(), redis::ErrorKind::UnexpectedReturnType)
    };
    match answer {
        Err(error) if is_about_one_key(&error) => Ok(Err(error)),
        answer => answer.map(Ok),
    }
}

fn refused(error: &RedisError) -> Down {
    tracing::error!(%error, "Redis refuses a command");
    Down
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code that holds the lock can leave a half-made change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
