//! Brings a lane's uploads to their ends, looks at what the handler got, and at what stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::{Heard, How, is_refused};
use super::calls::{self, Known, Rules};
use super::finding::Finding;
use super::lane::{Kind, Lane, ms};
use super::ledger::{Phase, Upload};
use super::load;
use super::oracle::{self, View};
use super::plan::Agreed;
use super::wire::{self, Wire};
use crate::server::END_LIMIT;
use crate::tree;

/// Far above what the end of an upload takes.
const FINISH_MAX: Duration = Duration::from_secs(60);
/// Far above what a sweep takes, which comes once a second here.
const SWEEP_MAX: Duration = Duration::from_secs(20);
const ASK_EVERY: Duration = Duration::from_millis(5);

/// What may stay in a state directory that has no upload.
const KEPT: &[&str] = &[
    "lock",
    "secret",
    "volatile",
    "delivering",
    "lost",
    "server",
    "ahead",
];
/// What deduplication remembers, in store mode.
const DEDUP: &str = "dedup";

impl Lane {
    /// Finishes every upload, compares what the handler got, and sees to it that nothing stays
    /// behind. The server runs before and does not afterwards.
    pub fn settle(&mut self) {
        self.finish();
        self.check();
        self.verify();
        self.leave();
        self.sweep();
    }

    /// Brings every open upload to its end.
    pub fn finish(&mut self) {
        let count = load::open(&self.book).uploads.len();
        let mut wire = Wire::new(self.setup.addr);
        for number in 0..count {
            if let Err(why) = self.finish_one(&mut wire, number) {
                let mut book = load::open(&self.book);
                let upload = &mut book.uploads[number];
                let text = format!("{}: cannot be finished: {why}", upload.plan.name);
                upload.phase = Phase::Closed;
                book.found.push(Finding::Odd(text));
            }
        }
    }

    fn finish_one(&mut self, wire: &mut Wire, number: usize) -> Result<(), String> {
        let begun = Instant::now();
        let mut last = String::new();
        loop {
            let id = {
                let mut book = load::open(&self.book);
                let upload = &mut book.uploads[number];
                if upload.phase == Phase::Open && upload.id.is_none() {
                    upload.phase = Phase::Closed;
                }
                match (&upload.phase, &upload.id) {
                    (Phase::Open, Some(id)) => id.clone(),
                    _ => return Ok(()),
                }
            };
            if begun.elapsed() > FINISH_MAX {
                return Err(last);
            }
            let response = wire
                .ask(&wire::status(&id))
                .map_err(|error| error.to_string())?;
            let view = View::read(&response);
            last = format!("{} {} {:?}", view.status, view.state, view.missing);
            let missing = {
                let mut book = load::open(&self.book);
                let found = oracle::judge(&mut book.uploads[number], &view, self.shape.fault);
                book.found.extend(found);
                view.missing
            };
            if missing.is_empty() {
                std::thread::sleep(ASK_EVERY);
            } else if let Err(why) = self.send(wire, number, &id, missing) {
                last = why;
                std::thread::sleep(ASK_EVERY);
            }
        }
    }

    /// Sends chunks, one after the other.
    fn send(
        &self,
        wire: &mut Wire,
        number: usize,
        id: &str,
        chunks: BTreeSet<usize>,
    ) -> Result<(), String> {
        let plan = Arc::clone(&load::open(&self.book).uploads[number].plan);
        let adopting = plan.agreed == Agreed::Adopted && chunks.contains(&0);
        let take = if adopting { 1 } else { usize::MAX };
        for chunk in chunks.into_iter().take(take) {
            {
                let upload = &mut load::open(&self.book).uploads[number];
                if upload.phase != Phase::Open {
                    return Ok(());
                }
                upload.offered.insert(chunk);
            }
            let request = wire::chunk(id, chunk, plan.bytes(chunk));
            let heard = Heard::of(wire, |wire| wire.ask(&request).ok());
            if !load::open(&self.book).put(number, chunk, How::Whole, &heard) {
                let said = heard
                    .answer
                    .map(|said| format!("{} {}", said.status, said.code()));
                return Err(format!("chunk {chunk}: {said:?}"));
            }
        }
        Ok(())
    }

    /// Compares what the handler got with the ledger.
    pub fn verify(&mut self) {
        match self.shape.kind {
            Kind::Counted { hold } => self.verify_calls(hold),
            Kind::Stock | Kind::Store => self.verify_files(),
        }
    }

    fn verify_calls(&mut self, hold: bool) {
        let calls = calls::parse(&self.calls());
        let rules = Rules {
            hold,
            recorded: self.shape.prompt.then_some(self.recorded),
            killed: self.killed.clone(),
            cut: self.cut.clone(),
        };
        let mut book = load::open(&self.book);
        let known: BTreeMap<String, Known> = book
            .uploads
            .iter()
            .filter_map(|upload| Some((upload.key()?, known(upload))))
            .collect();
        let mut found = calls::judge(&calls, &known, &rules);
        // Judged again at the next settling, with all calls: what is known is not news then.
        found.retain(|finding| !book.found.contains(finding));
        book.found.extend(found);
        let again = calls.len()
            - calls
                .iter()
                .map(|call| &call.key)
                .collect::<Keys<'_>>()
                .len();
        self.report
            .notes
            .insert("calls made again after a crash".to_owned(), again as u64);
    }

    fn verify_files(&mut self) {
        let dir = self.setup.config.text_of("delivery", "storage_path");
        let dir = dir.filter(|_| self.shape.kind == Kind::Store);
        let dir = dir.map_or(self.setup.work.join("uploads"), Into::into);
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in tree::list(&dir).into_iter().filter(|entry| !entry.is_dir) {
            let name = entry.path.to_string_lossy().into_owned();
            by_name.entry(original(&name)).or_default().push(name);
        }
        let mut book = load::open(&self.book);
        let mut found = Vec::new();
        for upload in &mut book.uploads {
            let names = by_name.remove(&upload.plan.name).unwrap_or_default();
            found.extend(stored(upload, &dir, &names, self.shape.kind));
        }
        // A file under a name that nobody knows would be a phantom; hidden ones are the handler's.
        let strange = by_name.into_keys().filter(|name| !name.starts_with('.'));
        found.extend(strange.map(|name| Finding::Phantom(format!("{name}: sent by nobody"))));
        book.found.extend(found);
    }

    /// Ends the server in good order.
    pub fn leave(&mut self) {
        if let Some(mut instance) = self.instance.take() {
            let status = instance.process().terminate(END_LIMIT);
            self.killed.insert(self.run, super::lane::now_ms());
            self.keep_logs(&instance);
            if !status.success() {
                let text = format!("{}: ended with {status}", self.shape.name);
                self.report.found.push(Finding::Odd(text));
            }
        }
    }

    /// Lets everything expire, and looks at what stays.
    fn sweep(&mut self) {
        let config = self.setup.config.clone();
        self.setup.config = config
            .clone()
            .set("uploads", "result_retention", "1s")
            .set("uploads", "max_resumable_age", "1s")
            .set("uploads", "first_byte_timeout", "1s");
        if self.start() {
            let begun = Instant::now();
            let mut left = self.left();
            while !left.is_empty() && begun.elapsed() < SWEEP_MAX {
                std::thread::sleep(ASK_EVERY);
                left = self.left();
            }
            let name = &self.shape.name;
            let text = |what: &String| Finding::Odd(format!("{name}: {what} stays behind"));
            self.report.found.extend(left.iter().take(5).map(text));
            self.leave();
        }
        self.setup.config = config;
        let mut book = load::open(&self.book);
        for upload in book
            .uploads
            .iter_mut()
            .filter(|upload| upload.phase != Phase::Lost)
        {
            upload.phase = Phase::Closed;
        }
    }

    /// What lies in the state directory and has no business there when there are no uploads, and
    /// what lies beside it.
    fn left(&self) -> Vec<String> {
        let known = |path: &Path| {
            let first = path.iter().next().unwrap_or_default().to_string_lossy();
            // What is being exchanged there is gone soon; the place for it stays.
            let is_place = first == DEDUP && path.iter().count() <= 2;
            KEPT.contains(&first.as_ref()) || is_place
        };
        // What is lost is kept aside, for whoever looks into it.
        let book = load::open(&self.book);
        let lost = book
            .uploads
            .iter()
            .filter(|upload| upload.phase == Phase::Lost);
        let lost: BTreeSet<String> = lost.filter_map(Upload::key).collect();
        let is_lost = |path: &Path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            lost.contains(stem.as_ref())
        };
        let state = tree::list(&self.state_dir).into_iter();
        let state = state.filter(|entry| !known(&entry.path) && !is_lost(&entry.path));
        let beside = tree::list(self.root.path()).into_iter().filter(|entry| {
            let first = entry
                .path
                .iter()
                .next()
                .unwrap_or_default()
                .to_string_lossy();
            let inside = entry
                .path
                .iter()
                .nth(1)
                .unwrap_or_default()
                .to_string_lossy();
            match first.as_ref() {
                "cwd" => !["", "config.toml", "uploads"].contains(&inside.as_ref()),
                other => !["state", "calls", "log", "trace"].contains(&other),
            }
        });
        state
            .chain(beside)
            .map(|entry| entry.path.display().to_string())
            .collect()
    }
}

type Keys<'a> = BTreeSet<&'a String>;

fn known(upload: &Upload) -> Known {
    Known {
        name: upload.plan.name.clone(),
        sha256: upload.plan.sha256().to_owned(),
        done: upload.done_at.map(ms),
        is_done: upload.done_at.is_some(),
        is_refused: is_refused(upload),
        is_damaged: upload.damaged,
    }
}

/// `name (2).bin` is a later copy of `name.bin`.
fn original(name: &str) -> String {
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return name.to_owned();
    };
    match stem.rsplit_once(" (") {
        Some((stem, number)) if number.ends_with(')') => format!("{stem}.{extension}"),
        _ => name.to_owned(),
    }
}

/// Looks at the files that became of an upload, and removes them.
fn stored(upload: &mut Upload, dir: &Path, names: &[String], kind: Kind) -> Vec<Finding> {
    let name = upload.plan.name.clone();
    let mut found = Vec::new();
    for copy in names {
        let bytes = std::fs::read(dir.join(copy)).unwrap_or_default();
        let _ = std::fs::remove_file(dir.join(copy));
        if is_refused(upload) {
            found.push(Finding::Phantom(format!("{copy}: handed over, unasked")));
        } else if bytes != upload.plan.whole() {
            let text = format!("{copy}: {} bytes are stored, and others", bytes.len());
            found.push(Finding::Phantom(text));
        }
    }
    // Store mode finds what an interrupted publication did.
    let risks = if kind == Kind::Store { 0 } else { upload.risks };
    let allowed = if upload.verified { 0 } else { 1 + risks };
    if names.len() > allowed {
        let text = format!("{name}: {} copies after {risks} risks", names.len());
        found.push(Finding::Double(text));
    }
    if upload.done_at.is_some() && !upload.verified {
        if names.is_empty() {
            found.push(Finding::Lost(format!("{name}: done, and not stored")));
        }
        upload.verified = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_names() {
        assert_eq!(original("a-3 (1).bin"), "a-3.bin");
        assert_eq!(original("a-3.bin"), "a-3.bin");
        assert_eq!(original("none"), "none");
    }
}
