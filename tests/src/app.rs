//! An app of ours in this process: the layer around a scripted handler.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleError;
use http::StatusCode;
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower::Layer as _;

use crate::config::Config;
use crate::script::{BoxError, Script};
use crate::upload::Client;

/// What a test adds to the layer before it is used.
pub type Hooks = Arc<dyn Fn(SteadfastLayer) -> SteadfastLayer + Send + Sync>;

/// A served app. Dropping it ends every task of it at once.
pub struct App {
    runtime: Option<Runtime>,
    addr: SocketAddr,
    script: Script,
    config: Config,
    hooks: Hooks,
    dir: TempDir,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Serves `script` behind the layer, with the base configuration and `extra` over it.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(extra: &str, script: Script) -> Self {
        Self::hooked(Config::with(extra), script, |layer| layer)
    }

    /// As [`App::start`], with a whole configuration and hooks on the layer.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn hooked(
        config: Config,
        script: Script,
        hooks: impl Fn(SteadfastLayer) -> SteadfastLayer + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = placed(config, dir.path());
        let hooks: Hooks = Arc::new(hooks);
        let (runtime, addr) = launch(&config, &script, &hooks);
        Self {
            runtime: Some(runtime),
            addr,
            script,
            config,
            hooks,
            dir,
        }
    }

    /// Ends every task of the app where it stands, then serves `script` on the same
    /// directory (on another port).
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self, script: Script) {
        self.stop();
        let (runtime, addr) = launch(&self.config, &script, &self.hooks);
        self.runtime = Some(runtime);
        self.addr = addr;
        self.script = script;
    }

    /// Changes the configuration that the next [`App::restart`] uses.
    pub fn reconfigure(&mut self, extra: &str) {
        self.config = self.config.clone().and(extra);
    }

    /// Ends every task of the app where it stands.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }

    /// A client of the app.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The handler.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Where the sessions live.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The directory that holds everything of this app.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// `config` with every directory below `dir`.
#[must_use]
pub fn placed(config: Config, dir: &Path) -> Config {
    let inside = |name: &str| dir.join(name).to_string_lossy().into_owned();
    config.set("uploads", "state_dir", &inside("state"))
}

fn launch(config: &Config, script: &Script, hooks: &Hooks) -> (Runtime, SocketAddr) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let serving = serve(config.text(), script.clone(), Arc::clone(hooks));
    let addr = runtime
        .block_on(serving)
        .unwrap_or_else(|error| panic!("the app does not start: {error}"));
    (runtime, addr)
}

/// Serves `script` behind the layer on tasks of the current runtime.
///
/// # Errors
/// What the configuration, the layer or the socket says.
pub async fn serve(config: String, script: Script, hooks: Hooks) -> Result<SocketAddr, BoxError> {
    let loaded = UploadConfig::from_toml(&config)?;
    let (layer, driver) = SteadfastLayer::from_config(loaded.config).await?;
    let driver = driver.deliver_through::<Body, _>(script.clone());
    tokio::spawn(driver.run());
    let failed = |_: BoxError| async { (StatusCode::INTERNAL_SERVER_ERROR, "the app failed") };
    let wrapped = HandleError::new(hooks(layer).layer(script), failed);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let app = Router::new().fallback_service(wrapped);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(addr)
}
