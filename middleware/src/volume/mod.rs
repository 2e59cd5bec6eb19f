//! The filesystem that keeps sessions and bytes: what is asked of it, where that runs, and how it
//! is flushed.
//!
//! 1. Logs and the bytes of unfinished uploads are kept through a [`Volume`], so that a simulated
//!    disk can stand in for the real one. Only what happens once in a while asks the system itself:
//!    publication into a directory of the app's, the lock and the secret.
//! 2. Operations run on the caller's task only while the disk is quick ([`pace`]); flushes never do.
//! 3. Flushes asked for at the same time are made together ([`flush`]).

mod contract;
mod error;
mod flush;
mod mount;
mod pace;
#[cfg(test)]
pub(crate) mod sim;
mod system;
mod write_back;

use std::fmt;
use std::io;
#[cfg(test)]
use std::path::Path;
use std::sync::Arc;

#[cfg(any(test, steadfast_sabotage))]
pub use contract::Found;
pub use contract::{File, Filesystem, Open};
pub use error::{is_full, is_out_of_files, is_unreadable};
use flush::Flusher;
pub use flush::{Flush, Queued};
pub use mount::doubt;
pub use pace::Pace;
pub use system::System;

/// A filesystem in use.
pub struct Volume {
    files: Arc<dyn Filesystem>,
    pace: Pace,
    flusher: Arc<Flusher>,
    /// Whether what takes time runs on blocking threads; a simulation runs it where it is.
    threads: bool,
}

impl Volume {
    /// The filesystem that `dir` is on, for tests.
    #[cfg(test)]
    pub fn test(dir: &Path, inline_max: usize) -> Arc<Self> {
        #[allow(clippy::unwrap_used, reason = "tests")]
        let files = System::new(dir).unwrap();
        Self::new(Arc::new(files), Pace::new(inline_max))
    }

    /// A volume over `files`, where operations run as `pace` says.
    #[must_use]
    pub fn new(files: Arc<dyn Filesystem>, pace: Pace) -> Arc<Self> {
        Self::build(files, pace, true)
    }

    /// A volume whose operations all run where they are asked for, one after the other and in the
    /// same order every time.
    #[cfg(test)]
    pub fn in_order(files: Arc<dyn Filesystem>) -> Arc<Self> {
        Self::build(files, Pace::new(usize::MAX), false)
    }

    fn build(files: Arc<dyn Filesystem>, pace: Pace, threads: bool) -> Arc<Self> {
        let flusher = Arc::new(Flusher::new(Arc::clone(&files)));
        Arc::new(Self {
            files,
            pace,
            flusher,
            threads,
        })
    }

    /// Where operations run.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The filesystem, for what runs on the caller's task.
    pub fn files(&self) -> &dyn Filesystem {
        self.files.as_ref()
    }

    /// Runs `work` where it may take its time.
    ///
    /// # Errors
    /// Those of `work`, or that it panicked.
    pub async fn run<T, E>(
        &self,
        work: impl FnOnce(&dyn Filesystem) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<io::Error> + Send + 'static,
    {
        if !self.threads {
            tokio::task::yield_now().await;
            return work(self.files.as_ref());
        }
        let files = Arc::clone(&self.files);
        let joined = tokio::task::spawn_blocking(move || work(files.as_ref())).await;
        joined.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    /// Lets so many files be flushed at the same time from now on; all at once need not wait.
    pub fn employ(&self, workers: usize) {
        self.flusher.employ(workers);
    }

    /// Makes what was written durable, together with what others ask for at this time. `queued` is
    /// dropped when the first of it is begun.
    ///
    /// # Errors
    /// The first one met. What was to be flushed is then lost, even if a later flush succeeds.
    pub async fn flush(&self, what: Vec<Flush>, queued: Option<Queued>) -> io::Result<()> {
        if self.threads {
            Flusher::flush(&self.flusher, what, queued).await
        } else {
            tokio::task::yield_now().await;
            drop(queued);
            self.flusher.flush_here(&what)
        }
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
