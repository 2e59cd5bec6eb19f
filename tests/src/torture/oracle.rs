//! Compares what the server says of an upload with the ledger.
//!
//! 1. A chunk that was acknowledged is listed, and stays so.
//! 2. A chunk that is listed was sent whole, with just those bytes, and stays so: a client does not
//!    send again what is listed.
//! 3. An answer of the handler that a client has seen stays the answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::Finding;
use super::ledger::{Phase, Upload};
use super::plan::Declared;
use crate::http::Response;

/// What a fault may take with it that nobody promised to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The death of the process: nothing that was answered.
    Process,
    /// A power cut: an upload without an acknowledged chunk, a cancel.
    Power,
}

/// What the server says of an upload.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Status of the answer.
    pub status: u16,
    /// Its `code`, where it is a refusal.
    pub code: String,
    /// Its `state`.
    pub state: String,
    /// Chunks that are not held.
    pub missing: BTreeSet<usize>,
    /// Bytes that are held.
    pub held: usize,
    /// What the handler said.
    pub answer: String,
}

impl View {
    /// Reads the answer to a status request.
    #[must_use]
    pub fn read(response: &Response) -> Self {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let ranges: Vec<(usize, usize)> =
            serde_json::from_value(body["missing"].clone()).unwrap_or_default();
        Self {
            status: response.status,
            code: response.code(),
            state: body["state"].as_str().unwrap_or_default().to_owned(),
            missing: ranges
                .into_iter()
                .flat_map(|(first, last)| first..=last)
                .collect(),
            held: body["uploaded_bytes"]
                .as_u64()
                .and_then(|held| usize::try_from(held).ok())
                .unwrap_or_default(),
            answer: answer_in(&body),
        }
    }

    /// Whether the upload came to its end.
    #[must_use]
    pub fn is_final(&self) -> bool {
        ["completed", "rejected", "cancelled"].contains(&self.state.as_str())
    }
}

/// What the handler said, in an answer of the chunked dialect.
#[must_use]
pub fn answer_in(body: &Value) -> String {
    match &body["handler"] {
        Value::Null => "stored".to_owned(),
        handler => handler.to_string(),
    }
}

/// Judges what the server says of `upload` after a fault, and takes over into the ledger what is
/// news: an end, or a loss that must not be reported twice.
pub fn judge(upload: &mut Upload, view: &View, fault: Fault) -> Vec<Finding> {
    match view.status {
        200 => held(upload, view, fault),
        404 => gone(upload, fault),
        410 => {
            let what = format!("{}: 410 {}", upload.plan.name, view.code);
            let mut found = all_lost(upload, &what);
            if found.is_empty() && fault == Fault::Process && !upload.damaged {
                found.push(Finding::Odd(what));
            }
            upload.phase = Phase::Lost;
            found
        }
        status => vec![Finding::Odd(format!(
            "{}: status answers {status} {}",
            upload.plan.name, view.code
        ))],
    }
}

/// Every acknowledged chunk is lost.
fn all_lost(upload: &mut Upload, what: &str) -> Vec<Finding> {
    let acked = std::mem::take(&mut upload.acked);
    acked
        .keys()
        .map(|chunk| Finding::Lost(format!("{what}, chunk {chunk}")))
        .collect()
}

fn gone(upload: &mut Upload, fault: Fault) -> Vec<Finding> {
    let name = upload.plan.name.clone();
    let was_done = matches!(upload.phase, Phase::Done(_) | Phase::Rejected);
    let mut found = Vec::new();
    if upload.phase != Phase::Cancelled {
        found = all_lost(upload, &format!("{name}: unknown to the server"));
    }
    if was_done && found.is_empty() {
        found.push(Finding::Lost(format!("{name}: its answer is forgotten")));
    }
    if found.is_empty() && (fault == Fault::Process || upload.damaged) {
        found.push(Finding::Odd(format!("{name}: created, then forgotten")));
    }
    upload.phase = Phase::Closed;
    found
}

fn held(upload: &mut Upload, view: &View, fault: Fault) -> Vec<Finding> {
    let name = upload.plan.name.clone();
    if view.state == "cancelled" {
        let found = match upload.cancel_sent {
            true => Vec::new(),
            false => all_lost(upload, &format!("{name}: cancelled by nobody")),
        };
        upload.phase = Phase::Closed;
        return found;
    }
    if upload.phase == Phase::Cancelled {
        upload.phase = Phase::Closed;
        let undone = Finding::Odd(format!("{name}: the cancel is undone, {}", view.state));
        return match fault {
            Fault::Process => vec![undone],
            Fault::Power => Vec::new(),
        };
    }
    let mut found = chunks(upload, view);
    found.extend(ending(upload, view));
    found
}

/// Compares chunk by chunk.
fn chunks(upload: &mut Upload, view: &View) -> Vec<Finding> {
    let plan = &upload.plan;
    let mut found = Vec::new();
    for chunk in &view.missing {
        if let Some(ack) = upload.acked.remove(chunk) {
            let age = ack.at.elapsed().unwrap_or_default();
            found.push(Finding::Lost(format!(
                "{}: chunk {chunk} of {}, {} bytes, acknowledged {age:.1?} ago",
                plan.name,
                plan.chunks(),
                ack.len
            )));
        } else if upload.listed.contains(chunk) && !upload.damaged {
            found.push(Finding::Phantom(format!(
                "{}: chunk {chunk} was listed, and is gone",
                plan.name
            )));
        }
    }
    let listed = (0..plan.chunks()).filter(|chunk| !view.missing.contains(chunk));
    for chunk in listed.clone() {
        if !upload.may_have(chunk) {
            found.push(Finding::Phantom(format!(
                "{}: chunk {chunk} is listed and was never sent whole",
                plan.name
            )));
        }
    }
    let bytes: usize = listed.clone().map(|chunk| plan.len_of(chunk)).sum();
    let now_listed = listed.collect();
    if bytes != view.held {
        found.push(Finding::Odd(format!(
            "{}: {} bytes are held, those listed have {bytes}",
            plan.name, view.held
        )));
    }
    upload.listed = now_listed;
    found
}

/// Compares the end, where there is one.
fn ending(upload: &mut Upload, view: &View) -> Vec<Finding> {
    let name = upload.plan.name.clone();
    let is_true = upload.plan.declared != Declared::Falsehood;
    let mut found = Vec::new();
    match (&upload.phase, view.state.as_str()) {
        (Phase::Done(answer), "completed") => {
            if *answer != view.answer {
                let text = format!("{name}: answered {answer}, now {}", view.answer);
                found.push(Finding::Lost(text));
            }
        }
        (Phase::Done(_), state) => {
            found.push(Finding::Lost(format!("{name}: was completed, now {state}")));
            upload.phase = Phase::Open;
        }
        (_, "completed") if is_true => upload.done(view.answer.clone()),
        (_, "completed") => found.push(Finding::Phantom(format!(
            "{name}: completed, though it is not what Repr-Digest says"
        ))),
        (Phase::Open, "rejected") if !is_true => upload.phase = Phase::Rejected,
        (Phase::Rejected, "rejected") => {}
        (Phase::Open, "unknown") if upload.risks > 0 && upload.hold => upload.phase = Phase::Held,
        // Between two attempts; it is waited for.
        (Phase::Open, "unknown") if upload.risks > 0 => {}
        (Phase::Held, "unknown") => {}
        (Phase::Open, "receiving" | "finishing" | "undelivered") => {}
        (phase, state) => {
            found.push(Finding::Odd(format!("{name}: {state}, known as {phase:?}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::plan::Plan;
    use super::*;
    use crate::config::CHUNK;

    fn upload(acked: &[usize], offered: &[usize]) -> Upload {
        let mut upload = Upload::new(Plan::plain("a.bin".to_owned(), 3 * CHUNK, 1));
        upload.id = Some("id".to_owned());
        upload.offered.extend(offered);
        upload.sent.extend(offered);
        acked.iter().for_each(|chunk| {
            upload.ack(*chunk, SystemTime::now());
        });
        upload
    }

    fn view(state: &str, missing: &[usize]) -> View {
        View {
            status: 200,
            state: state.to_owned(),
            missing: missing.iter().copied().collect(),
            held: (3 - missing.len()) * CHUNK,
            answer: "stored".to_owned(),
            ..View::default()
        }
    }

    fn kinds(found: &[Finding]) -> Vec<&'static str> {
        found.iter().map(Finding::kind).collect()
    }

    #[test]
    fn what_was_promised_is_fine() {
        let mut upload = upload(&[0], &[0, 1]);
        for missing in [&[1, 2][..], &[2][..]] {
            assert_eq!(
                judge(&mut upload, &view("receiving", missing), Fault::Process),
                []
            );
        }
    }

    #[test]
    fn a_lost_chunk_is_found_once() {
        let mut upload = upload(&[0, 1], &[0, 1]);
        let view = view("receiving", &[1, 2]);
        assert_eq!(kinds(&judge(&mut upload, &view, Fault::Process)), ["lost"]);
        assert_eq!(judge(&mut upload, &view, Fault::Process), []);
    }

    #[test]
    fn a_chunk_nobody_sent_is_a_phantom() {
        let mut upload = upload(&[0], &[0]);
        let found = judge(&mut upload, &view("receiving", &[2]), Fault::Power);
        assert_eq!(kinds(&found), ["phantom"]);
        let found = judge(&mut upload, &view("completed", &[]), Fault::Power);
        assert_eq!(kinds(&found), ["phantom", "phantom"]);
    }

    #[test]
    fn a_chunk_that_was_cut_off_is_a_phantom_and_one_on_its_way_is_not() {
        let mut upload = upload(&[], &[]);
        upload.offered.insert(0);
        upload.busy.insert(0, 1);
        let listed = view("receiving", &[1, 2]);
        assert_eq!(judge(&mut upload, &listed, Fault::Process), []);
        upload.crashed();
        let found = judge(&mut upload, &listed, Fault::Process);
        assert_eq!(kinds(&found), ["phantom"]);
    }

    #[test]
    fn what_was_listed_stays_listed() {
        let mut upload = upload(&[], &[0, 1]);
        let listed = view("receiving", &[2]);
        assert_eq!(judge(&mut upload, &listed, Fault::Process), []);
        let less = view("receiving", &[1, 2]);
        let found = judge(&mut upload, &less, Fault::Power);
        assert_eq!(kinds(&found), ["phantom"]);
        assert_eq!(judge(&mut upload, &less, Fault::Power), []);
    }

    #[test]
    fn bytes_and_chunks_must_agree() {
        let mut view = view("receiving", &[1, 2]);
        view.held = 1;
        let found = judge(&mut upload(&[0], &[0]), &view, Fault::Process);
        assert_eq!(kinds(&found), ["odd"]);
    }

    #[test]
    fn an_unknown_session_loses_what_it_held() {
        let gone = View {
            status: 404,
            ..View::default()
        };
        let found = judge(&mut upload(&[0, 2], &[0, 2]), &gone, Fault::Power);
        assert_eq!(kinds(&found), ["lost", "lost"]);
        assert_eq!(judge(&mut upload(&[], &[0]), &gone, Fault::Power), []);
        let found = judge(&mut upload(&[], &[]), &gone, Fault::Process);
        assert_eq!(kinds(&found), ["odd"]);
    }

    #[test]
    fn an_answer_is_final() {
        let mut upload = upload(&[0, 1, 2], &[0, 1, 2]);
        assert_eq!(
            judge(&mut upload, &view("completed", &[]), Fault::Process),
            []
        );
        assert_eq!(upload.phase, Phase::Done("stored".to_owned()));
        let mut other = view("completed", &[]);
        other.answer = "another".to_owned();
        assert_eq!(kinds(&judge(&mut upload, &other, Fault::Process)), ["lost"]);
        let found = judge(&mut upload, &view("finishing", &[]), Fault::Process);
        assert_eq!(kinds(&found), ["lost"]);
    }

    #[test]
    fn a_hold_needs_a_crash() {
        let mut upload = upload(&[0, 1, 2], &[0, 1, 2]);
        let held = view("unknown", &[]);
        assert_eq!(kinds(&judge(&mut upload, &held, Fault::Process)), ["odd"]);
        upload.crashed();
        assert_eq!(judge(&mut upload, &held, Fault::Process), []);
        assert_eq!(upload.phase, Phase::Open, "it is called again");
        upload.hold = true;
        assert_eq!(judge(&mut upload, &held, Fault::Process), []);
        assert_eq!(upload.phase, Phase::Held);
    }

    #[test]
    fn a_cancel_stays_unless_the_power_went() {
        let cancelled = || {
            let mut upload = upload(&[0], &[0]);
            (upload.cancel_sent, upload.phase) = (true, Phase::Cancelled);
            upload
        };
        let back = view("receiving", &[1, 2]);
        assert_eq!(
            kinds(&judge(&mut cancelled(), &back, Fault::Process)),
            ["odd"]
        );
        assert_eq!(judge(&mut cancelled(), &back, Fault::Power), []);
        let mut nobody = upload(&[0], &[0]);
        let found = judge(&mut nobody, &view("cancelled", &[1, 2]), Fault::Power);
        assert_eq!(kinds(&found), ["lost"]);
    }

    #[test]
    fn a_wrong_digest_is_rejected_and_nothing_else() {
        let mut plan = Plan::plain("a.bin".to_owned(), CHUNK, 1);
        plan.declared = Declared::Falsehood;
        let mut upload = Upload::new(plan);
        upload.offered.insert(0);
        upload.sent.insert(0);
        upload.ack(0, SystemTime::now());
        let mut rejected = view("rejected", &[]);
        rejected.held = CHUNK;
        assert_eq!(judge(&mut upload, &rejected, Fault::Process), []);
        assert_eq!(upload.phase, Phase::Rejected);
        rejected.state = "completed".to_owned();
        let found = judge(&mut upload, &rejected, Fault::Process);
        assert_eq!(kinds(&found), ["phantom"]);
    }
}
