//! What the clients were told: the ledger that no fault of the server's disk can touch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::plan::Plan;

/// A chunk that was answered with a 2xx.
#[derive(Debug, Clone)]
pub struct Ack {
    /// Its length in bytes.
    pub len: usize,
    /// When its request began.
    pub begun: SystemTime,
    /// When the answer was read.
    pub at: SystemTime,
}

/// Where an upload stands, as far as its client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Chunks are sent, or the hand-off is waited for.
    Open,
    /// A cancel was answered with 204.
    Cancelled,
    /// It is completed, and this is what the handler said.
    Done(String),
    /// It is rejected: its digest was declared wrong.
    Rejected,
    /// The server holds it, since nobody knows what the handler did.
    Held,
    /// The server says that it is lost.
    Lost,
    /// Nobody asks for it any more.
    Closed,
}

/// One upload in the ledger.
#[derive(Debug)]
pub struct Upload {
    /// The file.
    pub plan: Arc<Plan>,
    /// The session, once create was answered.
    pub id: Option<String>,
    /// Chunks answered with a 2xx.
    pub acked: BTreeMap<usize, Ack>,
    /// Chunks whose right bytes were begun to be sent.
    pub offered: BTreeSet<usize>,
    /// Those of them that were sent whole, answered or not.
    pub sent: BTreeSet<usize>,
    /// Chunks that the server has listed after a fault.
    pub listed: BTreeSet<usize>,
    /// Chunks on their way now, and how often.
    pub busy: BTreeMap<usize, usize>,
    /// Whether one client alone sends it.
    pub watched: bool,
    /// Whether a cancel was sent, answered or not.
    pub cancel_sent: bool,
    /// Where it stands.
    pub phase: Phase,
    /// When the client learnt that it is done.
    pub done_at: Option<SystemTime>,
    /// Crashes that may have fallen into its hand-off.
    pub risks: usize,
    /// Whether its server holds what nobody can decide.
    pub hold: bool,
    /// Whether its files were damaged on purpose.
    pub damaged: bool,
    /// What the handler stored was looked at and found right.
    pub verified: bool,
}

impl Upload {
    /// An upload of which nothing is known but the plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan: Arc::new(plan),
            id: None,
            acked: BTreeMap::new(),
            offered: BTreeSet::new(),
            sent: BTreeSet::new(),
            listed: BTreeSet::new(),
            hold: false,
            busy: BTreeMap::new(),
            watched: false,
            cancel_sent: false,
            phase: Phase::Open,
            done_at: None,
            risks: 0,
            damaged: false,
            verified: false,
        }
    }

    /// Notes the 2xx to a chunk whose request began at `begun`; how many bytes are news.
    pub fn ack(&mut self, chunk: usize, begun: SystemTime) -> usize {
        let bytes = self.plan.bytes(chunk);
        let ack = Ack {
            len: bytes.len(),
            begun,
            at: SystemTime::now(),
        };
        match self.acked.insert(chunk, ack) {
            Some(_) => 0,
            None => bytes.len(),
        }
    }

    /// Takes back what the client heard from `from` on; how many answers those are.
    pub fn unsay(&mut self, from: SystemTime) -> usize {
        let before = self.acked.len();
        self.acked.retain(|_, ack| ack.at < from);
        let mut unsaid = before - self.acked.len();
        if self.done_at.is_some_and(|at| at >= from) {
            (self.done_at, self.phase) = (None, Phase::Open);
            unsaid += 1;
        }
        unsaid
    }

    /// Notes that the client learnt of the end.
    pub fn done(&mut self, answer: String) {
        if self.phase == Phase::Open {
            self.phase = Phase::Done(answer);
            self.done_at = Some(SystemTime::now());
        }
    }

    /// Whether the server may have all bytes of a chunk.
    #[must_use]
    pub fn may_have(&self, chunk: usize) -> bool {
        let on_its_way = self.busy.get(&chunk).is_some_and(|busy| *busy > 0);
        self.sent.contains(&chunk) || (on_its_way && self.offered.contains(&chunk))
    }

    /// Whether every byte was sent, so that a hand-off may be under way.
    #[must_use]
    pub fn is_all_offered(&self) -> bool {
        self.offered.len() == self.plan.chunks()
    }

    /// Whether the server may be asked for it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.id.is_some() && ![Phase::Closed, Phase::Lost].contains(&self.phase)
    }

    /// Notes that the server dies now.
    pub fn crashed(&mut self) {
        self.busy.clear();
        // A session that nobody knows may be on its way to the handler too.
        let may_run = self.phase == Phase::Open || self.id.is_none();
        if may_run && self.is_all_offered() {
            self.risks += 1;
        }
        // Without an answer nobody knows the session; a repeated create finds it by its key.
        if self.id.is_none() && self.plan.idempotency.is_none() {
            self.phase = Phase::Closed;
        }
    }

    /// The name of the session in files, logs and `Idempotency-Key`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.id.as_deref().map(key_of)
    }
}

/// The name of a session that is no secret: the first 16 bytes of its SHA-256, in base64url.
#[must_use]
pub fn key_of(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(id.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CHUNK;

    fn upload() -> Upload {
        Upload::new(Plan::plain("a.bin".to_owned(), CHUNK + 1, 1))
    }

    #[test]
    fn an_acknowledgement_counts_once() {
        let mut upload = upload();
        assert_eq!(upload.ack(1, SystemTime::now()), 1);
        assert_eq!(upload.ack(1, SystemTime::now()), 0);
        assert_eq!(upload.ack(0, SystemTime::now()), CHUNK);
        assert_eq!(upload.acked[&1].len, 1);
    }

    #[test]
    fn a_crash_is_a_risk_only_where_all_was_sent() {
        let mut upload = upload();
        upload.id = Some("x".to_owned());
        upload.offered.insert(0);
        upload.crashed();
        assert_eq!(upload.risks, 0);
        upload.offered.insert(1);
        upload.crashed();
        assert_eq!(upload.risks, 1);
        upload.done("answer".to_owned());
        upload.crashed();
        assert_eq!(upload.risks, 1, "its end is known");
    }

    #[test]
    fn what_came_too_late_is_unsaid() {
        let mut upload = upload();
        upload.ack(0, SystemTime::now());
        let from = SystemTime::now();
        upload.ack(1, SystemTime::now());
        upload.done("answer".to_owned());
        assert_eq!(upload.unsay(from), 2);
        assert_eq!(upload.acked.len(), 1);
        assert_eq!((upload.phase, upload.done_at), (Phase::Open, None));
    }

    #[test]
    fn a_create_without_an_answer_is_forgotten() {
        let mut unknown = upload();
        unknown.crashed();
        assert_eq!(unknown.phase, Phase::Closed);
        let mut plan = Plan::plain("b.bin".to_owned(), 1, 1);
        plan.idempotency = Some("k".repeat(16));
        let mut keyed = Upload::new(plan);
        keyed.crashed();
        assert_eq!(keyed.phase, Phase::Open);
    }
}
