use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError,
    ScriptInvocation,
};

/// A command that has not answered after this time has failed.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);
/// The same for a first look at Redis, which connects and asks several things in a row.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a request may try again what has failed, where nobody else does.
const TRY_EVERY: Duration = Duration::from_secs(1);

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
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Had by whoever connects.
    connecting: tokio::sync::Mutex<()>,
    is_up: AtomicBool,
    /// Shut for good: this server has been replaced.
    is_shut: AtomicBool,
    tried: Mutex<Instant>,
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
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(unreadable)?;
        Ok(Self {
            client,
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            is_up: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            tried: Mutex::new(Instant::now()),
        })
    }

    /// Whether the last that was heard of Redis was good.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Whether it is worth to begin something: Redis can be used, or it is time to try again.
    pub(super) fn is_usable(&self) -> bool {
        let is_time = || lock(&self.tried).elapsed() >= TRY_EVERY;
        self.is_up() || (!self.is_shut() && is_time())
    }

    /// Ends the use of Redis for good.
    pub(super) fn shut(&self) {
        self.is_shut.store(true, Ordering::Release);
        self.is_up.store(false, Ordering::Release);
    }

    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire)
    }

    /// Runs a script, unless Redis is known to be unusable.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Down> {
        self.enter()?;
        self.attempt(COMMAND_TIMEOUT, async |c| script.invoke_async(c).await)
            .await
    }

    /// Sends commands in one round trip, unless Redis is known to be unusable.
    pub(super) async fn send<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Down> {
        self.enter()?;
        self.attempt(COMMAND_TIMEOUT, async |c| commands.query_async(c).await)
            .await
    }

    /// The same whether Redis is known to be unusable or not: this is how it is found out.
    pub(super) async fn probe<T>(
        &self,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Down> {
        match self.is_shut() {
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
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Down> {
        let whole = async {
            let mut connection = self.connected().await?;
            work(&mut connection).await
        };
        let result = tokio::time::timeout(timeout, whole).await;
        *lock(&self.tried) = Instant::now();
        match result {
            Ok(Ok(answer)) => {
                self.succeeded();
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.failed(&error);
                Err(Down)
            }
            Err(_) => {
                self.give_up("it does not answer");
                Err(Down)
            }
        }
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
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
        *lock(&self.connection) = Some(connection.clone());
        Ok(connection)
    }

    fn succeeded(&self) {
        if !self.is_shut() && !self.is_up.swap(true, Ordering::AcqRel) {
            tracing::info!("Redis can be used");
        }
    }

    fn failed(&self, error: &RedisError) {
        if is_about_one_key(error) {
            tracing::error!(%error, "Redis refuses a command");
        } else {
            self.give_up(&error.to_string());
        }
    }

    /// Opens the circuit. The connection goes with it: another one may lead to a server that works,
    /// and a peer that vanished is noticed by nothing else.
    fn give_up(&self, why: &str) {
        *lock(&self.connection) = None;
        if self.is_up.swap(false, Ordering::AcqRel) {
            tracing::error!(
                "Redis cannot be used ({why}): uploads are refused with 503 until it can"
            );
        } else {
            tracing::debug!("Redis cannot be used: {why}");
        }
    }
}

/// Whether Redis works, and what it holds of one upload does not.
fn is_about_one_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "ERR"))
        || matches!(error.kind(), redis::ErrorKind::UnexpectedReturnType)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code that holds the lock can leave a half-made change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
