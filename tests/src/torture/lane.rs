//! One server, its directories and its ledger, through any number of deaths.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::app::{CALLS, DELAY, RUN};
use super::book::{Book, Mix};
use super::context::{Context, Profile};
use super::finding::Finding;
use super::instance::{Instance, Setup};
use super::ledger::Upload;
use super::load::{self, Load};
use super::oracle::{self, Fault, View};
use super::report::Report;
use super::rng::Rng;
use super::wire::{self, Wire};
use crate::config::Config;
use crate::server;

/// Which program a lane drives, and how it hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The torture app, which counts calls.
    Counted {
        /// `on_unknown = "hold"`, otherwise `"retry"`.
        hold: bool,
    },
    /// The example server, whose handler stores files.
    Stock,
    /// The example server in store mode.
    Store,
}

/// The shape of a lane.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its name; it begins the names of files.
    pub name: String,
    /// What it drives.
    pub kind: Kind,
    /// What the faults may take.
    pub fault: Fault,
    /// Whether what the handler said can be put on record as soon as it was said.
    pub prompt: bool,
    /// The longest a counted handler takes, in milliseconds.
    pub delay_ms: usize,
    /// Laid over the configuration.
    pub extra: String,
}

impl Shape {
    /// A lane whose faults are deaths of the process.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            fault: Fault::Process,
            prompt: true,
            delay_ms: 60,
            extra: String::new(),
        }
    }
}

/// One server through its deaths.
#[derive(Debug)]
pub struct Lane {
    /// Its choices.
    pub rng: Rng,
    /// Its ledger.
    pub book: Arc<Mutex<Book>>,
    /// What came of it so far.
    pub report: Report,
    /// How it is started.
    pub setup: Setup,
    /// What its clients like to do.
    pub mix: Mix,
    /// What it is.
    pub shape: Shape,
    pub(super) root: TempDir,
    keep: bool,
    pub(super) instance: Option<Instance>,
    pub(super) state_dir: PathBuf,
    pub(super) run: u64,
    is_loaded: bool,
    silent_from: Option<SystemTime>,
    pub(super) killed: BTreeMap<u64, u64>,
    pub(super) cut: BTreeMap<u64, u64>,
    pub(super) recorded: u64,
}

impl Lane {
    /// Makes a lane with its state in `disk`, or in a directory of its own.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[must_use]
    pub fn new(context: &Context, rng: Rng, shape: Shape, disk: Option<&Path>) -> Self {
        let mut root = tempfile::tempdir().expect("a temporary directory");
        root.disable_cleanup(context.keep);
        let work = root.path().join("cwd");
        std::fs::create_dir(&work).expect("a working directory");
        let state_dir = disk.unwrap_or(root.path()).join("state");
        let uploads = match disk {
            Some(disk) if shape.kind == Kind::Store => disk.join("uploads"),
            _ => work.join("uploads"),
        };
        let config = config(&shape, &state_dir, &uploads);
        let calls = root.path().join("calls");
        let mut env = context.env.clone();
        env.push((CALLS.to_owned(), calls.to_string_lossy().into_owned()));
        env.push((DELAY.to_owned(), shape.delay_ms.to_string()));
        let mut book = Book::new(&shape.name);
        book.hold = shape.kind == Kind::Counted { hold: true };
        let program = match shape.kind {
            Kind::Counted { .. } => &context.programs.app,
            Kind::Stock | Kind::Store => &context.programs.server,
        };
        Self {
            rng,
            book: Arc::new(Mutex::new(book)),
            report: Report::default(),
            setup: Setup {
                command: vec![program.clone()],
                work,
                config,
                env,
                addr: server::free_address(),
            },
            mix: Mix::default(),
            shape,
            root,
            keep: context.keep,
            instance: None,
            state_dir,
            run: 0,
            is_loaded: false,
            // The full profile asks for a machine of its own.
            recorded: match context.profile {
                Profile::Quick => 5_000,
                Profile::Full => 250,
            },
            silent_from: None,
            killed: BTreeMap::new(),
            cut: BTreeMap::new(),
        }
    }

    /// The directory that holds everything of this lane but its disk.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Starts the server and waits for nothing.
    pub fn spawn(&mut self) {
        self.run += 1;
        let run = [(RUN, self.run.to_string())];
        self.instance = Some(Instance::spawn(&self.setup, &run));
    }

    /// Starts the server and waits for its first answer; false, and a finding, when none comes.
    pub fn start(&mut self) -> bool {
        self.spawn();
        self.answered()
    }

    /// Waits for the first answer of a server that was started.
    pub fn answered(&mut self) -> bool {
        let Some(instance) = &mut self.instance else {
            return false;
        };
        match instance.answered() {
            Ok(took) => {
                self.report.restarts.push(took);
                true
            }
            Err(why) => {
                let text = format!("{}: the server does not start: {why}", self.shape.name);
                self.report.found.push(Finding::Odd(text));
                self.instance = None;
                false
            }
        }
    }

    /// `kill -9`, and what the ledger has to know of it.
    pub fn kill(&mut self) {
        if let Some(mut instance) = self.instance.take() {
            instance.process().kill9();
            self.killed.insert(self.run, now_ms());
            self.keep_logs(&instance);
            if !self.is_loaded {
                self.crashed();
            }
        }
    }

    /// Adds what a server printed to the file `log`, for whoever looks into a finding.
    pub(super) fn keep_logs(&self, instance: &Instance) {
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .create(true)
            .append(true)
            .open(self.root.path().join("log"));
        if let (true, Ok(mut file)) = (self.keep, file) {
            let _ = write!(file, "--- run {}\n{}", self.run, instance.logs());
        }
    }

    /// Notes that the power goes now: what is heard from here on, nobody would have heard.
    pub fn power_goes(&mut self) {
        let now = SystemTime::now();
        self.cut.insert(self.run, ms(now));
        self.silent_from = Some(now);
    }

    /// Enters a death into the ledger, when no client writes in it any more.
    fn crashed(&mut self) {
        let mut book = load::open(&self.book);
        if let Some(from) = self.silent_from.take() {
            let unsaid: usize = book
                .uploads
                .iter_mut()
                .map(|upload| upload.unsay(from))
                .sum();
            self.report.note("answers after the power went", unsaid);
        }
        book.uploads.iter_mut().for_each(Upload::crashed);
    }

    /// Lets clients upload while `meanwhile` goes on, which is given the lane.
    pub fn loaded<T>(&mut self, clients: usize, meanwhile: impl FnOnce(&mut Self) -> T) -> T {
        let load = Load {
            addr: self.setup.addr,
            clients,
            mix: self.mix.clone(),
        };
        let rng = self.rng.fork(&format!("load {}", self.run));
        let book = Arc::clone(&self.book);
        self.is_loaded = true;
        let out = load::during(&book, &rng, &load, || meanwhile(self));
        self.is_loaded = false;
        if self.instance.is_none() {
            self.crashed();
        }
        out
    }

    /// Asks for every upload and compares with the ledger.
    pub fn check(&mut self) {
        let mut wire = Wire::new(self.setup.addr);
        let fault = self.shape.fault;
        let mut book = load::open(&self.book);
        let mut found = Vec::new();
        let mut asked = 0;
        // Uploads that ended long ago are asked for at the end of the lane.
        for upload in book
            .uploads
            .iter_mut()
            .rev()
            .filter(|upload| upload.is_known())
        {
            let is_over = upload.done_at.is_some();
            if is_over && asked >= REPLAYS {
                continue;
            }
            asked += usize::from(is_over);
            let request = wire::status(upload.id.as_deref().unwrap_or_default());
            match wire.ask(&request) {
                Ok(response) => found.extend(oracle::judge(upload, &View::read(&response), fault)),
                Err(error) => found.push(Finding::Odd(format!(
                    "{}: no status: {error}",
                    upload.plan.name
                ))),
            }
        }
        book.found.extend(found);
    }

    /// The lines that the handler of a counted lane has written.
    #[must_use]
    pub fn calls(&self) -> String {
        std::fs::read_to_string(self.root.path().join("calls")).unwrap_or_default()
    }

    /// Ends the lane: what came of it.
    #[must_use]
    pub fn end(mut self) -> Report {
        self.kill();
        let mut report = self.report;
        let mut book = load::open(&self.book);
        report.acked_bytes += book.acked_bytes;
        report.acked_chunks += book.acked_chunks;
        report.found.append(&mut book.found);
        report.durability.clone_from(&book.durability);
        for (answer, count) in std::mem::take(&mut book.answers) {
            *report.answers.entry(answer).or_default() += count;
        }
        if self.keep && !report.found.is_empty() {
            report.places.push(self.root.path().to_owned());
        }
        report
    }
}

/// Ended uploads whose answer is asked for after every fault.
const REPLAYS: usize = 10;

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    ms(SystemTime::now())
}

/// A time in milliseconds since 1970.
#[must_use]
pub fn ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn config(shape: &Shape, state_dir: &Path, uploads: &Path) -> Config {
    let on_unknown = match shape.kind {
        Kind::Counted { hold: true } => "hold",
        _ => "retry",
    };
    let mode = match shape.kind {
        Kind::Store => "store",
        _ => "handler",
    };
    Config::with(&shape.extra)
        .set("uploads", "state_dir", &state_dir.to_string_lossy())
        .set("uploads", "durability", "power")
        .set("delivery", "on_unknown", on_unknown)
        .set("delivery", "mode", mode)
        .set("delivery", "storage_path", &uploads.to_string_lossy())
}
