//! The configuration of a process that runs, as its file changes.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{self, Effect, UploadConfig, Watch};
use crate::error::Error;
use crate::layer::Shared;

/// A file that does not change for so long is whole.
const STABLE_FOR: Duration = Duration::from_millis(50);

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
    /// Its text, good or bad.
    text: Option<String>,
}

impl Follower {
    /// Follows `file`, if there is one; `asked` is what was asked for at the start.
    pub(crate) fn new(
        shared: Arc<Shared>,
        file: Option<PathBuf>,
        asked: UploadConfig,
        on_reload: OnReload,
    ) -> Arc<Self> {
        let told = Mutex::new(Told { asked, text: None });
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
        let paths = vec![file.clone()];
        follow_files(paths, move || self.look(&file), |()| {}).await;
    }

    fn look(&self, file: &Path) {
        let Some(text) = stable(file) else {
            return;
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.text.as_ref() == Some(&text) {
            return;
        }
        if let Err(trouble) = self.take(&mut told, file, &text) {
            for line in trouble.lines() {
                tracing::error!("{line}");
            }
            tracing::error!("the configuration in force stays as it is");
        }
        told.text = Some(text);
    }

    /// # Errors
    /// Why it cannot be used.
    fn take(&self, told: &mut Told, file: &Path, text: &str) -> Result<(), String> {
        let was_empty = told.text.as_ref().is_none_or(|text| text.trim().is_empty());
        if text.trim().is_empty() && !was_empty {
            return Err(format!("{}: it is empty", file.display()));
        }
        let loaded = config::load_from(file, text).map_err(|error| error.to_string())?;
        let running = self.shared.engine.config().now();
        let asked = loaded.config;
        let (config, changes) = config::replace(&running, &told.asked, &asked);
        if changes.is_empty() {
            return Ok(());
        }
        let configured = self.shared.configure(config.clone());
        configured.map_err(|error| with_causes(&error))?;
        for change in &changes {
            match change.effect {
                Effect::AtRestart => tracing::warn!("{change}"),
                Effect::AtOnce | Effect::None => tracing::info!("{change}"),
            }
        }
        told.asked = asked;
        (self.on_reload)(&config);
        Ok(())
    }
}

/// Does `read`, which asks a disk, now and whenever one of the files at `paths` may be another; `take` gets
/// what it answers. Never ends.
pub(crate) async fn follow_files<T: Send + 'static>(
    paths: Vec<PathBuf>,
    read: impl Fn() -> T + Send + Sync + 'static,
    mut take: impl FnMut(T),
) {
    let (paths, read) = (Arc::new(paths), Arc::new(read));
    let mut watch = None;
    loop {
        let (paths, read) = (Arc::clone(&paths), Arc::clone(&read));
        // A disk may take its time.
        let looked = tokio::task::spawn_blocking(move || {
            // Before they are read: what changes meanwhile is told.
            let watch = watch.filter(|watch: &Watch| watch.is_current(&paths));
            let watch = watch.unwrap_or_else(|| Watch::start(&paths));
            (watch, read())
        });
        let looked = looked.await;
        let (current, found) = looked.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        take(found);
        current.changed().await;
        watch = Some(current);
    }
}

/// What was last said to be wrong with a file, so that it is said once.
#[derive(Default)]
pub(crate) struct Trouble(Option<String>);

impl Trouble {
    /// Says why something could not be taken up, and that `what` stays as it is.
    pub(crate) fn tell(&mut self, what: &str, taken: Result<(), Error>) {
        let trouble = taken.err().map(|error| with_causes(&error));
        if let Some(text) = trouble.as_ref().filter(|_| trouble != self.0) {
            tracing::error!("{text}");
            tracing::error!("{what} stays as it is");
        }
        self.0 = trouble;
    }
}

/// The text of a file that nobody is writing; nothing if somebody is, or it cannot be read: then it
/// is told when that has changed.
fn stable(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    std::thread::sleep(STABLE_FOR);
    let again = std::fs::read_to_string(file).ok()?;
    (text == again).then_some(text)
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
