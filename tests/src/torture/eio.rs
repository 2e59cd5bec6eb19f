//! Errors of single system calls: the Nth flush, write, open, link or rename fails, once or from
//! then on.
//!
//! 1. Whatever fails, nothing that was acknowledged is missing after a restart without errors.
//! 2. After a failed write or flush nothing more is acknowledged: creates and chunks are answered
//!    with 503, while the app's other routes answer as ever. The injected error flushes nothing
//!    and loses nothing, so only this shows that the server minded it.
//! 3. After a lack of space the service goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::book::{Heard, How, Mix, is_refused};
use super::context::{Context, Profile};
use super::finding::Finding;
use super::instance::Instance;
use super::lane::{Kind, Lane, Shape};
use super::lanes;
use super::ledger::Phase;
use super::load;
use super::plan::Plan;
use super::report::Report;
use super::strace::{self, Injection};
use super::wire::{self, Wire};
use crate::config::CHUNK;
use crate::http::Response;

const CLIENTS: usize = 3;
/// Cases at once.
const LANES: usize = 3;

/// More than a server has that write.
const THREADS_MAX: usize = 40;

/// Time for the news of a failure to get from one thread to all others.
const GRACE: Duration = Duration::from_millis(50);

const FLUSHES: &str = "fdatasync,fsync,syncfs";
const WRITES: &str = "pwrite64";

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    if let Err(why) = strace::usable() {
        return Report::skipped(why);
    }
    let cases = cases(context);
    let next = AtomicUsize::new(0);
    let jobs = (0..LANES).map(|_| {
        let (next, cases) = (&next, &cases);
        move || {
            let mut report = Report::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(injection) = cases.get(number) else {
                    return report;
                };
                report.add(case(context, number, injection));
            }
        }
    });
    let mut report = lanes::together(jobs.collect());
    let had = |what: &str| cases.iter().any(|case| case.calls == what);
    for what in [FLUSHES, WRITES].into_iter().filter(|what| had(what)) {
        if report
            .notes
            .get(&strikes(what))
            .copied()
            .unwrap_or_default()
            == 0
        {
            let text = format!("{what}: no such call was ever made");
            report.found.push(Finding::Odd(text));
        }
    }
    report
}

fn strikes(calls: &str) -> String {
    format!("errors of {calls}")
}

/// Every call, error and place to fail.
fn cases(context: &Context) -> Vec<Injection> {
    let depth = match context.profile {
        Profile::Quick => [5, 2],
        Profile::Full => [24, 12],
    };
    let table = [
        (FLUSHES, "EIO", depth[0]),
        (WRITES, "EIO", depth[0]),
        (WRITES, "ENOSPC", depth[1]),
        ("openat", "EIO", depth[1]),
        ("openat", "ENOSPC", depth[1]),
        ("linkat,renameat2,rename", "EIO", depth[1]),
        ("unlink,unlinkat", "EIO", depth[1]),
    ];
    let mut cases = Vec::new();
    // Every call in turn, so that fewer cycles are less of all.
    for when in 1..=depth[0].max(depth[1]) {
        for (calls, error, _) in table.iter().copied().filter(|row| when <= row.2) {
            for sticky in [false, true] {
                cases.push(Injection {
                    calls,
                    error,
                    when,
                    sticky,
                });
            }
        }
    }
    cases.truncate(context.cycles.unwrap_or(cases.len()));
    cases
}

/// One server, one kind of error, and a server after it.
fn case(context: &Context, number: usize, injection: &Injection) -> Report {
    let kind = match injection.calls {
        // Some of them in the publication of a file.
        FLUSHES | WRITES if number % 4 == 1 => Kind::Store,
        FLUSHES | WRITES | "openat" => Kind::Counted {
            hold: number % 4 == 3,
        },
        _ => Kind::Store,
    };
    let shape = Shape {
        prompt: injection.error != "ENOSPC",
        ..Shape::new(&format!("case{number}"), kind)
    };
    let rng = context.rng("eio").fork(&injection.text());
    let mut lane = Lane::new(context, rng, shape, None);
    lane.mix = Mix {
        open: 3,
        rude: 0,
        cancels: 0,
        ..Mix::default()
    };
    lane.report.cycles = 1;
    let trace = lane.root().join("trace");
    let program = lane.setup.command.clone();
    if started(&mut lane, injection, &trace) {
        under_errors(&mut lane, injection, &trace);
    }
    lane.kill();
    lane.report
        .note(&strikes(injection.calls), strace::struck(&trace).len());
    lane.setup.command = program;
    if lane.start() {
        lane.check();
        lane.settle();
    }
    let mut report = lane.end();
    for found in &mut report.found {
        found
            .text_mut()
            .push_str(&format!(" [{}]", injection.text()));
    }
    report
}

/// Starts the server under strace; false where the error keeps it from starting, which is fine.
fn started(lane: &mut Lane, injection: &Injection, trace: &Path) -> bool {
    let mut command = injection.command(trace);
    // The tracer is a grandchild: our child is the server.
    command.push(PathBuf::from("-D"));
    command.append(&mut lane.setup.command);
    lane.setup.command = command;
    lane.spawn();
    let answered = lane.instance.as_mut().map(Instance::answered);
    match answered {
        Some(Ok(_)) => true,
        _ if !strace::struck(trace).is_empty() => {
            lane.report.note("kept from starting", 1);
            false
        }
        _ => {
            let text = "the server does not start under strace".to_owned();
            lane.report.found.push(Finding::Odd(text));
            false
        }
    }
}

fn under_errors(lane: &mut Lane, injection: &Injection, trace: &Path) {
    let time = lane.rng.millis(100..=300);
    lane.loaded(CLIENTS, |_| std::thread::sleep(time));
    let struck = strace::struck(trace);
    let Some(first) = struck.iter().min() else {
        return;
    };
    let fatal = [FLUSHES, WRITES].contains(&injection.calls) && injection.error == "EIO";
    if fatal {
        nothing_acknowledged(lane, *first + GRACE);
        drained(lane);
    } else if injection.error == "ENOSPC" && !injection.sticky {
        goes_on(lane);
    }
    others_answer(lane);
}

/// No request that began after the failure may have been acknowledged.
fn nothing_acknowledged(lane: &mut Lane, from: SystemTime) {
    let book = load::open(&lane.book);
    let mut found = Vec::new();
    for upload in &book.uploads {
        for (chunk, ack) in upload.acked.iter().filter(|(_, ack)| ack.begun >= from) {
            let late = ack.begun.duration_since(from).unwrap_or_default();
            found.push(Finding::Lost(format!(
                "{}: chunk {chunk} acknowledged, asked {late:.1?} after a flush failed",
                upload.plan.name
            )));
        }
    }
    lane.report.found.extend(found);
}

/// Creates and chunks are answered with 503.
fn drained(lane: &mut Lane) {
    for (what, response) in probe(lane) {
        match response {
            Some(response) if response.status == 503 => lane.report.note("503 afterwards", 1),
            response => {
                let said = response.map(|said| format!("{} {}", said.status, said.code()));
                let text = format!("{what} after a failed flush: {said:?}");
                lane.report.found.push(Finding::Odd(text));
            }
        }
    }
}

/// Creates and chunks are answered as ever, once every thread has had its error.
fn goes_on(lane: &mut Lane) {
    let mut refused = Vec::new();
    for _ in 0..THREADS_MAX {
        refused = probe(lane)
            .into_iter()
            .map(|(what, said)| (what, said.map(|said| (said.status, said.code()))))
            .filter(|(_, said)| !matches!(said, Some((200..300, _))))
            .collect();
        if refused.is_empty() {
            return;
        }
    }
    let text = format!("still refused after a lack of space: {refused:?}");
    lane.report.found.push(Finding::Odd(text));
}

/// Sends a create, and a chunk of an upload that wants one.
fn probe(lane: &mut Lane) -> Vec<(&'static str, Option<Response>)> {
    let mut wire = Wire::new(lane.setup.addr);
    let mut book = load::open(&lane.book);
    let plan = Plan::plain(book.next_name(), CHUNK, 1);
    let number = book.enter(plan);
    let plan = Arc::clone(&book.uploads[number].plan);
    let created = wire.send(&wire::create(&plan)).ok();
    if let Some(response) = &created {
        book.created(number, response);
    }
    let mut heard = vec![("create", created)];
    let open = book
        .uploads
        .iter()
        .enumerate()
        .find_map(|(number, upload)| {
            let is_open = upload.phase == Phase::Open && !is_refused(upload);
            let wanted = (0..upload.plan.chunks()).find(|chunk| !upload.acked.contains_key(chunk));
            let id = upload.id.clone().filter(|_| is_open)?;
            Some((number, id, wanted?))
        });
    if let Some((number, id, chunk)) = open {
        let request = wire::chunk(&id, chunk, book.uploads[number].plan.bytes(chunk));
        book.uploads[number].offered.insert(chunk);
        let said = Heard::of(&mut wire, |wire| wire.send(&request).ok());
        book.put(number, chunk, How::Whole, &said);
        heard.push(("chunk", said.answer));
    }
    heard
}

/// The app's other routes know nothing of all this.
fn others_answer(lane: &mut Lane) {
    let answer = Wire::new(lane.setup.addr).send(&wire::other());
    let status = answer.map(|response| response.status);
    if !matches!(status, Ok(200)) {
        let text = format!("another route of the app: {status:?}");
        lane.report.found.push(Finding::Odd(text));
    }
}
