//! The configuration of a process that runs, as its file changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{self, UploadConfig};
use crate::layer::Shared;

/// What is done with a new configuration that is in force.
pub(crate) type OnReload = Arc<dyn Fn(&UploadConfig) + Send + Sync>;

/// Puts in force what a file asks for.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    file: Option<PathBuf>,
    on_reload: OnReload,
    told: Mutex<Told>,
}

/// What was said last, so that it is said once.
struct Told {
    /// What the file asked for.
    asked: UploadConfig,
    /// Why it could not be had.
    trouble: Option<String>,
}

impl Follower {
    /// Follows `file`, if there is one; `asked` is what was asked for at the start.
    pub(crate) fn new(
        shared: Arc<Shared>,
        file: Option<PathBuf>,
        asked: UploadConfig,
        on_reload: OnReload,
    ) -> Arc<Self> {
        let told = Mutex::new(Told {
            asked,
            trouble: None,
        });
        Arc::new(Self {
            shared,
            file,
            on_reload,
            told,
        })
    }

    /// Reads the file whenever it may have changed. Never ends, where there is one.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(file) = self.file.clone() else {
            return;
        };
        loop {
            // Before it is read: what changes meanwhile is told.
            let watch = config::Watch::start(&file);
            if file.exists() {
                let this = Arc::clone(&self);
                // It is read from a disk, which may take its time.
                let _ = tokio::task::spawn_blocking(move || this.read()).await;
            }
            watch.changed().await;
        }
    }

    fn read(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = UploadConfig::from_file(file).map_err(|error| error.to_string());
        let taken = taken.and_then(|loaded| self.take(&mut told, loaded));
        let trouble = taken.err();
        if let Some(trouble) = &trouble
            && told.trouble.as_ref() != Some(trouble)
        {
            for line in trouble.lines() {
                tracing::error!("{line}");
            }
            tracing::error!("the configuration in force stays as it is");
        }
        told.trouble = trouble;
    }

    /// # Errors
    /// Why it cannot be used.
    fn take(&self, told: &mut Told, loaded: config::Loaded) -> Result<(), String> {
        let running = self.shared.engine.config().now();
        let asked = loaded.config;
        let (config, changes) = config::replace(&running, &told.asked, &asked);
        if changes.is_empty() {
            return Ok(());
        }
        let configured = self.shared.configure(config.clone());
        configured.map_err(|error| with_causes(&error))?;
        for notice in &loaded.notices {
            tracing::warn!("{notice}");
        }
        for change in &changes {
            match change.needs_restart {
                true => tracing::warn!("{change}"),
                false => tracing::info!("{change}"),
            }
        }
        told.asked = asked;
        (self.on_reload)(&config);
        Ok(())
    }
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
