//! What is asserted after each case.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Problems;
use super::answers::Seen;
use super::case::{Case, Outcome, Setup};
use super::lane::Lane;
use super::send::{self, Played};
use super::text::{self, Names};
use crate::config::SECRET;
use crate::data;
use crate::http::Response;
use crate::upload::{CHUNKED, Session, sign};

/// Descriptors that a server at rest may hold beyond what it held before.
const SPARE_DESCRIPTORS: usize = 4;

/// Bytes that a server may hold, and have held, beyond what it held before.
const SPARE_MEMORY: u64 = 32 << 20;

/// How long a server may take to come to rest: timeouts of its own among them.
const REST: Duration = Duration::from_secs(10);

/// Plays a case and says what is wrong.
///
/// # Panics
/// When the set-up fails.
pub(super) fn play(lane: &mut Lane, case: &Case) -> Problems {
    let from = lane.server.process().raw_logs(0).len();
    let (mut names, session) = set_up(lane, case);
    let (calls, stored) = (lane.handoffs(), lane.stored().len());
    let mut problems = Problems::default();
    let played = send::play(case, lane.server.addr(), &mut names).unwrap_or_else(|problem| {
        problems.harm.push(problem);
        Played::default()
    });
    for seen in &played.judged {
        outcome(case, seen, &mut problems.case);
        refusal(seen, &names, &mut problems.harm);
    }
    if let Some(expected) = case.uploaded {
        uploaded(lane, session.as_ref(), expected, &mut problems.case);
    }
    if let Some(expected) = case.handler_calls {
        handler_calls(lane, (calls, stored), expected, &mut problems.case);
    }
    lives(lane, &mut problems.harm);
    comes_to_rest(lane, &mut problems.harm);
    let log = lane.server.process().raw_logs(from);
    absent(case, &played, &log, &names, &mut problems.case);
    private(lane, &played, &log, &names, &mut problems.harm);
    problems
}

/// The uploads that are there before the first step.
fn set_up(lane: &Lane, case: &Case) -> (Names, Option<Session>) {
    let client = lane.server.client();
    let file = text::file();
    let mut session: Option<Session> = None;
    let mut names = Names::of(lane.server.addr());
    for part in &case.setup {
        match part {
            Setup::Session => session = Some(client.create("ok.bin", text::SIZE)),
            Setup::Chunk(index) => {
                let session = session.as_ref().expect("a session before its chunks");
                let _ = client.put_chunk(session, &file, *index).status_is(200);
            }
            Setup::Completed => {
                let (made, last) = client.upload("ok.bin", &file);
                let _ = last.status_is(200);
                session = Some(made);
            }
            Setup::Foreign => names.foreign = client.create("foreign.bin", text::SIZE).id,
        }
    }
    if let Some(session) = &session {
        names.session.clone_from(&session.id);
    }
    (names, session)
}

fn outcome(case: &Case, seen: &Seen, problems: &mut Vec<String>) {
    let last = seen.answers.last();
    let status = last.map(|answer| answer.status);
    let holds = |outcome: &Outcome| match outcome {
        Outcome::Status(allowed) => status == Some(*allowed),
        Outcome::Closed(_) => seen.ended && !seen.answered,
    };
    if !case.expect.iter().any(holds) {
        let all: Vec<_> = seen.answers.iter().map(|answer| answer.status).collect();
        let tail = &all[all.len().saturating_sub(8)..];
        let body = last.map(|answer| String::from_utf8_lossy(&answer.body));
        let shown: String = body.unwrap_or_default().chars().take(300).collect();
        let (ended, cut) = (seen.ended, seen.cut);
        problems.push(format!(
            "answers {tail:?}, ended {ended}, cut {cut}, expected {:?}: {shown}",
            case.expect
        ));
    } else if !seen.ended && !seen.answered {
        problems.push(format!("no answer within {:?}", send::ANSWER_LIMIT));
    }
    let is_json = |answer: &&Response| serde_json::from_slice::<Value>(&answer.body).is_ok();
    let refusal = last.filter(|answer| answer.status >= 400).filter(is_json);
    if let (Some(code), Some(answer)) = (&case.code, refusal)
        && answer.code() != *code
    {
        problems.push(format!("code {:?}, not {code:?}", answer.code()));
    }
}

/// A refusal names no session: its reader may have guessed.
fn refusal(seen: &Seen, names: &Names, problems: &mut Vec<String>) {
    let refusals = seen.answers.iter().filter(|answer| answer.status >= 400);
    for answer in refusals {
        let ids = [&names.session, &names.foreign].into_iter();
        let mut ids = ids.filter(|id| !id.is_empty());
        if ids.any(|id| data::contains(&answer.body, id.as_bytes())) {
            problems.push("a session id is in a refusal".into());
        }
    }
}

/// What a worker was still making durable may count a moment later.
fn uploaded(lane: &Lane, session: Option<&Session>, expected: u64, problems: &mut Vec<String>) {
    let Some(session) = session else {
        problems.push("uploaded is asked of no session".into());
        return;
    };
    let client = lane.server.client();
    let ask = || client.status(session)["uploaded_bytes"].as_u64();
    if let Some(found) = differs(&Some(expected), ask) {
        problems.push(format!("uploaded {found:?}, not {expected}"));
    }
}

fn handler_calls(lane: &Lane, before: (u64, usize), expected: u64, problems: &mut Vec<String>) {
    if let Some(found) = differs(&expected, || lane.handoffs() - before.0) {
        problems.push(format!("{found} calls of the handler, not {expected}"));
    }
    let stored = lane.stored().len() - before.1;
    if stored as u64 > expected {
        problems.push(format!("{stored} files stored by {expected} calls"));
    }
}

/// The last answer of `probe`, when it is not soon what is expected.
fn differs<T: PartialEq>(expected: &T, probe: impl Fn() -> T) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = probe();
        if found == *expected {
            return None;
        }
        if begun.elapsed() > send::ANSWER_LIMIT {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The server takes an ordinary upload, and has written nothing elsewhere.
fn lives(lane: &Lane, problems: &mut Vec<String>) {
    let (_, last) = lane.server.client().upload("good.bin", b"0123456789");
    if last.status != lane.good {
        problems.push(format!("a good upload is answered {}", last.status));
    }
    let places = lane.places();
    let odd = places.iter().filter(|entry| !lane.places.contains(entry));
    problems.extend(odd.map(|entry| format!("a place of its own: {entry:?}")));
    if places.len() < lane.places.len() {
        problems.push("something is gone from its root".into());
    }
}

/// Descriptors and memory are what they were.
fn comes_to_rest(lane: &Lane, problems: &mut Vec<String>) {
    let begun = Instant::now();
    let allowed = lane.descriptors + SPARE_DESCRIPTORS;
    let mut open = lane.descriptors();
    while open > allowed && begun.elapsed() < REST {
        std::thread::sleep(Duration::from_millis(20));
        open = lane.descriptors();
    }
    if open > allowed {
        problems.push(format!("{open} descriptors, {} before", lane.descriptors));
    }
    for line in ["VmRSS", "VmHWM"] {
        let grown = lane.server.memory(line).saturating_sub(lane.memory);
        if grown > SPARE_MEMORY {
            problems.push(format!("{line} grew by {} MiB", grown >> 20));
        }
    }
}

/// What the case says to be in neither an answer nor the log.
fn absent(case: &Case, played: &Played, log: &str, names: &Names, problems: &mut Vec<String>) {
    for text in &case.absent {
        let text = text.replace("{SESSION}", &names.session);
        let text = text.replace("{FOREIGN}", &names.foreign);
        for (place, bytes) in [
            ("an answer", &played.bytes[..]),
            ("the log", log.as_bytes()),
        ] {
            if data::contains(bytes, text.as_bytes()) {
                problems.push(format!("{text:?} is in {place}"));
            }
        }
    }
}

/// Nothing secret is in an answer or in the log.
fn private(lane: &Lane, played: &Played, log: &str, names: &Names, problems: &mut Vec<String>) {
    let root = lane.server.root().to_string_lossy().into_owned();
    for secret in [SECRET.to_owned(), sign(CHUNKED), sign("/upload"), root] {
        for (place, bytes) in [
            ("an answer", &played.bytes[..]),
            ("the log", log.as_bytes()),
        ] {
            if data::contains(bytes, secret.as_bytes()) {
                problems.push(format!("{secret} is in {place}"));
            }
        }
    }
    let made = ids(&played.bytes);
    let known = [&names.session, &names.foreign];
    let mut all = made.iter().chain(known).filter(|id| !id.is_empty());
    if all.any(|id| log.contains(id.as_str())) {
        problems.push("a session id is in the log".into());
    }
}

/// Session ids that answers named.
fn ids(bytes: &[u8]) -> HashSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let named = text.split("\"session_id\":\"").skip(1);
    let ids = named.filter_map(|rest| rest.split('"').next());
    ids.map(str::to_owned).collect()
}
