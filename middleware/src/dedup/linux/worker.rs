use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Saved;
use super::Settings;
use super::inbox::Inbox;
use super::pace::Pace;
use super::root::Root;
use super::sharing::Sharing;
use super::trouble::Trouble;

/// Between two looks at what has come in.
const TICK: Duration = Duration::from_secs(1);
/// While there is always more to do, the log hears of it so often.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Does the work, on a thread of its own.
pub struct Worker {
    tools: Tools,
    root: Option<Root>,
    /// What the log was told last, of files and bytes, and when.
    told: (u64, u64, Instant),
    /// Files worked on since nothing was left to do.
    steps: u64,
}

/// What the work is done with, whatever becomes of the directory.
pub struct Tools {
    pub settings: Settings,
    pub inbox: Arc<Inbox>,
    pub saved: Saved,
    pub pace: Pace,
    /// Whether the log knows what a filesystem cannot do.
    pub told_unsupported: bool,
}

impl Worker {
    pub fn new(settings: Settings, saved: Saved, inbox: Arc<Inbox>) -> Self {
        let told = (saved.files(), saved.bytes(), Instant::now());
        let pace = Pace::new(Arc::clone(&inbox));
        let tools = Tools {
            settings,
            inbox,
            saved,
            pace,
            told_unsupported: false,
        };
        Self {
            tools,
            root: None,
            told,
            steps: 0,
        }
    }

    /// Works until the inbox says that it is over.
    pub fn run(mut self) {
        while !self.tools.inbox.is_stopped() {
            let Ok(is_idle) = self.turn() else {
                // It was told to stop.
                return;
            };
            self.report(is_idle);
            if is_idle {
                self.tools.inbox.rest(TICK);
            }
        }
    }

    /// Looks at what has come in, and works for a while. Answers whether nothing is left to do.
    ///
    /// # Errors
    /// [`Trouble::Stopped`].
    pub fn turn(&mut self) -> Result<bool, Trouble> {
        let Self {
            tools, root, steps, ..
        } = self;
        // The app makes the directory when it needs it, and may put another one in its place.
        let directory = &tools.settings.directory;
        if !root.as_ref().is_some_and(|root| root.tree.is_at(directory)) {
            *root = Root::open(&tools.settings).ok();
        }
        let Some(root) = root else { return Ok(true) };
        root.scan_when_due(tools)?;
        for path in tools.inbox.take_due(Instant::now()) {
            root.visit(&path, tools)?;
        }
        let until = Instant::now() + TICK;
        while Instant::now() < until
            && let Some(id) = root.known.index.next()
        {
            *steps += 1;
            Sharing { root, tools }.step(id)?;
        }
        Ok(root.known.index.is_idle())
    }

    /// A line for each batch of work that saved something.
    fn report(&mut self, is_idle: bool) {
        if is_idle && self.steps > 0 {
            let (steps, hashed) = (std::mem::take(&mut self.steps), self.tools.saved.hashed());
            tracing::debug!(steps, hashed, "deduplication has nothing left to do");
        }
        let (files, bytes, at) = self.told;
        let (all_files, all_bytes) = (self.tools.saved.files(), self.tools.saved.bytes());
        if all_files == files || !(is_idle || at.elapsed() >= REPORT_EVERY) {
            return;
        }
        self.told = (all_files, all_bytes, Instant::now());
        tracing::info!(
            files = all_files - files,
            bytes = all_bytes - bytes,
            all_files,
            all_bytes,
            "files share the space of others with the same content"
        );
    }
}
