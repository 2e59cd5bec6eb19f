//! What is asserted after each case.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::Problems;
use super::answers::Seen;
use super::case::{Case, Outcome, Setup};
use super::lane::{Effect, Lane};
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

/// What is counted is counted again so long after the last answer.
const LATE: Duration = Duration::from_millis(100);

/// Plays a case and says what is wrong.
///
/// # Panics
/// When the set-up fails.
pub(super) fn play(lane: &mut Lane, case: &Case) -> Problems {
    let from = lane.server.process().raw_logs(0).len();
    let (mut names, session) = set_up(lane, case);
    let before = lane.effect();
    let mut problems = Problems::default();
    let (addr, tls) = (lane.server.addr(), lane.tls.as_ref());
    let played = send::play(case, addr, tls, &mut names).unwrap_or_else(|problem| {
        problems.harm.push(problem);
        Played::default()
    });
    let answered = Instant::now();
    for seen in &played.judged {
        outcome(case, seen, &mut problems.case);
        refusal(seen, &names, &mut problems.harm);
    }
    let counted = Counted {
        case,
        session: session.as_ref(),
        before,
    };
    counted.soon(lane, &mut problems.case);
    lives(lane, &mut problems.harm);
    comes_to_rest(lane, &mut problems.harm);
    if problems.case.is_empty() && problems.harm.is_empty() {
        counted.late(lane, answered, &mut problems.case);
    }
    let log = lane.server.process().raw_logs(from);
    let said = Said {
        answers: String::from_utf8_lossy(&played.bytes),
        log: &log,
    };
    absent(case, &said, &names, &mut problems.case);
    private(lane, &said, &names, &mut problems.harm);
    problems
}

/// The uploads that are there before the first step.
fn set_up(lane: &Lane, case: &Case) -> (Names, Option<Session>) {
    let client = lane.client;
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
    if let Some(problem) = last.and_then(|answer| wrong_code(case, answer)) {
        problems.push(problem);
    }
}

/// What is wrong with the `code` and the `detail` of the last answer. Where others may refuse before us, a
/// case names none.
fn wrong_code(case: &Case, answer: &Response) -> Option<String> {
    let code = case.code.as_deref().filter(|_| answer.status >= 400)?;
    let found = answer.code();
    if found != code {
        return Some(format!("code {found:?}, not {code:?}"));
    }
    let detail = answer.json()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let is_said = case
        .detail
        .as_ref()
        .is_none_or(|text| detail.contains(text));
    (!is_said).then(|| format!("detail {detail:?} without {:?}", case.detail))
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

/// What a case says in numbers.
struct Counted<'a> {
    case: &'a Case,
    session: Option<&'a Session>,
    /// Calls of the handler and files before the first step.
    before: Effect,
}

impl Counted<'_> {
    /// What a worker was still making durable may count a moment later.
    fn soon(&self, lane: &Lane, problems: &mut Vec<String>) {
        if let Some(expected) = self.case.uploaded {
            let found = differs(&Some(expected), || self.uploaded(lane));
            problems.extend(found.map(|found| format!("uploaded {found:?}, not {expected}")));
        }
        if let Some(expected) = self.case.handler_calls {
            let found = differs(&expected, || lane.handoffs() - self.before.calls);
            let calls = found.map(|found| format!("{found} calls of the handler, not {expected}"));
            problems.extend(calls);
            problems.extend(self.stored(lane, expected, 0));
        }
    }

    /// Nothing follows but what a good upload does.
    fn late(&self, lane: &Lane, answered: Instant, problems: &mut Vec<String>) {
        if self.case.uploaded.is_none() && self.case.handler_calls.is_none() {
            return;
        }
        std::thread::sleep(LATE.saturating_sub(answered.elapsed()));
        if let Some(expected) = self.case.uploaded {
            let found = self.uploaded(lane);
            let differs = found != Some(expected);
            problems.extend(differs.then(|| format!("later uploaded {found:?}, not {expected}")));
        }
        if let Some(expected) = self.case.handler_calls {
            let calls = lane.handoffs() - self.before.calls;
            let due = expected + lane.good_effect.calls;
            let differs = calls != due;
            problems.extend(
                differs.then(|| format!("later {calls} calls of the handler in all, not {due}")),
            );
            problems.extend(self.stored(lane, expected, lane.good_effect.stored));
        }
    }

    fn uploaded(&self, lane: &Lane) -> Option<u64> {
        lane.client.status(self.session?)["uploaded_bytes"].as_u64()
    }

    /// No more files than calls, but for those of good uploads.
    fn stored(&self, lane: &Lane, calls: u64, good: usize) -> Option<String> {
        let stored = lane.stored().saturating_sub(self.before.stored + good);
        (stored as u64 > calls).then(|| format!("{stored} files stored by {calls} calls"))
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
    let (_, last) = lane.client.upload("good.bin", b"0123456789");
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
fn absent(case: &Case, said: &Said<'_>, names: &Names, problems: &mut Vec<String>) {
    for text in &case.absent {
        let text = text.replace("{SESSION}", &names.session);
        let text = text.replace("{FOREIGN}", &names.foreign);
        let places = said.places(&text);
        problems.extend(places.map(|place| format!("{text:?} is in {place}")));
    }
}

/// Nothing secret is in an answer or in the log.
fn private(lane: &Lane, said: &Said<'_>, names: &Names, problems: &mut Vec<String>) {
    let root = lane.server.root().to_string_lossy().into_owned();
    let mut secrets = BTreeSet::from([SECRET.to_owned(), sign(CHUNKED), sign("/upload"), root]);
    secrets.extend(names.signatures.iter().cloned());
    for secret in secrets {
        let places = said.places(&secret);
        problems.extend(places.map(|place| format!("{secret} is in {place}")));
    }
    let made = ids(&said.answers);
    let known = [&names.session, &names.foreign];
    let mut all = made.iter().chain(known).filter(|id| !id.is_empty());
    if all.any(|id| said.log.contains(id.as_str())) {
        problems.push("a session id is in the log".into());
    }
}

/// All that a server said.
struct Said<'a> {
    answers: Cow<'a, str>,
    log: &'a str,
}

impl Said<'_> {
    /// Where this is said.
    fn places(&self, text: &str) -> impl Iterator<Item = &'static str> {
        let in_answer = self.answers.contains(text).then_some("an answer");
        let in_log = self.log.contains(text).then_some("the log");
        in_answer.into_iter().chain(in_log)
    }
}

/// Session ids that answers named.
fn ids(text: &str) -> HashSet<String> {
    let named = text.split("\"session_id\":\"").skip(1);
    let ids = named.filter_map(|rest| rest.split('"').next());
    ids.map(str::to_owned).collect()
}
