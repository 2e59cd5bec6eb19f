//! The uploads of one server: what its clients do next, and what they learnt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::finding::Finding;
use super::ledger::{Phase, Upload};
use super::oracle::{self, View, answer_in};
use super::plan::{Agreed, Declared, Plan};
use super::rng::Rng;
use super::wire::Wire;
use crate::http::Response;

/// How a chunk is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As it should be.
    Whole,
    /// As it should be, with `Content-Digest`.
    Digest,
    /// In pieces, with `Transfer-Encoding: chunked`.
    Pieces,
    /// Whole; the client leaves before the answer.
    Silent,
    /// The connection ends in the middle.
    Half,
    /// Other bytes than `Content-Digest` says: it must be refused.
    Spoilt,
}

/// What a client does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Creates upload number `.0`, or repeats that.
    Create(usize, Arc<Plan>),
    /// Sends a chunk.
    Put {
        /// Number of the upload.
        upload: usize,
        /// Its session.
        id: String,
        /// Its file.
        plan: Arc<Plan>,
        /// Which chunk.
        chunk: usize,
        /// How.
        how: How,
    },
    /// Asks for the status of an upload whose bytes are all sent.
    Ask(usize, String),
    /// Cancels an upload.
    Cancel(usize, String),
}

/// What a client heard of a request.
#[derive(Debug)]
pub struct Heard {
    /// When the request began.
    pub begun: SystemTime,
    /// Whether the request was written to its end.
    pub whole: bool,
    /// The answer, if one came.
    pub answer: Option<Response>,
}

impl Heard {
    /// Notes when the request begins that `send` sends, and how far it got.
    pub fn of(wire: &mut Wire, send: impl FnOnce(&mut Wire) -> Option<Response>) -> Self {
        let begun = SystemTime::now();
        let answer = send(wire);
        Self {
            begun,
            whole: wire.whole(),
            answer,
        }
    }
}

/// What clients like to do.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Uploads that are open at once.
    pub open: usize,
    /// How many of 100 chunks are sent in a way that must not count.
    pub rude: usize,
    /// How many of 100 steps on an upload cancel it.
    pub cancels: usize,
    /// Whether new uploads begin when old ones end.
    pub renews: bool,
    /// What a client waits that nobody answers, or that the server refuses for now.
    pub patience: Duration,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            open: 6,
            rude: 8,
            cancels: 1,
            renews: true,
            patience: Duration::from_millis(1),
        }
    }
}

/// The ledger of one server.
#[derive(Debug)]
pub struct Book {
    /// Whether the server holds what nobody can decide.
    pub hold: bool,
    /// Begins the names of its files.
    pub name: String,
    /// All uploads so far; their numbers are their places.
    pub uploads: Vec<Upload>,
    /// What went wrong so far.
    pub found: Vec<Finding>,
    /// Bytes that were acknowledged.
    pub acked_bytes: u64,
    /// Chunks that were acknowledged.
    pub acked_chunks: u64,
    /// Answers by status and code, but for those that are taken for granted.
    pub answers: BTreeMap<String, u64>,
    /// What create said about durability.
    pub durability: String,
}

impl Book {
    /// An empty ledger.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            hold: false,
            name: name.to_owned(),
            uploads: Vec::new(),
            found: Vec::new(),
            acked_bytes: 0,
            acked_chunks: 0,
            answers: BTreeMap::new(),
            durability: String::new(),
        }
    }

    /// Enters a file that is about to be created.
    pub fn enter(&mut self, plan: Plan) -> usize {
        let mut upload = Upload::new(plan);
        upload.hold = self.hold;
        self.uploads.push(upload);
        self.uploads.len() - 1
    }

    /// The next file's name.
    #[must_use]
    pub fn next_name(&self) -> String {
        format!("{}-{}.bin", self.name, self.uploads.len())
    }

    /// What a client does next; none while there is nothing to do.
    pub fn next(&mut self, rng: &mut Rng, mix: &Mix) -> Option<Step> {
        let is_open = |upload: &Upload| upload.phase == Phase::Open && !upload.watched;
        let open: Vec<usize> = (0..self.uploads.len())
            .filter(|at| is_open(&self.uploads[*at]))
            .collect();
        if open.len() < mix.open && mix.renews {
            let plan = Plan::random(self.next_name(), rng);
            let number = self.enter(plan);
            return Some(Step::Create(number, Arc::clone(&self.uploads[number].plan)));
        }
        let number = *rng.pick(open.get(..).filter(|open| !open.is_empty())?);
        let upload = &mut self.uploads[number];
        let Some(id) = upload.id.clone() else {
            // Still on its way, or its answer was lost by a crash.
            let again = upload.plan.idempotency.is_some();
            return again.then(|| Step::Create(number, Arc::clone(&upload.plan)));
        };
        if upload.plan.idempotency.is_some() && rng.chance(2) {
            return Some(Step::Create(number, Arc::clone(&upload.plan)));
        }
        if rng.chance(mix.cancels) && !upload.is_all_offered() {
            upload.cancel_sent = true;
            return Some(Step::Cancel(number, id));
        }
        // Where the end refuses the upload, its last chunk never gets a 2xx.
        let all_sent = upload.is_all_offered() && rng.chance(30);
        if all_sent || upload.acked.len() == upload.plan.chunks() {
            return Some(Step::Ask(number, id));
        }
        put(upload, number, id, rng, mix)
    }

    /// Notes the answer to a create.
    pub fn created(&mut self, number: usize, response: &Response) {
        self.count(response, &[201]);
        let upload = &mut self.uploads[number];
        let name = upload.plan.name.clone();
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let (Some(id), true) = (body["session_id"].as_str(), response.status < 300) else {
            // A full or dying server: nobody goes on with this file. An empty one may have been
            // handed over all the same.
            if upload.id.is_none() {
                upload.phase = Phase::Closed;
                upload.risks += usize::from(upload.plan.size == 0);
            }
            return;
        };
        if upload.id.as_deref().is_some_and(|known| known != id) {
            let text = format!("{name}: a repeated create is another session");
            self.found.push(Finding::Odd(text));
        }
        upload.id = Some(id.to_owned());
        body["durability"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.durability);
        let is_adopted = upload.plan.agreed == Agreed::Adopted;
        if !is_adopted && body["chunk_size"] != upload.plan.chunk_size {
            let text = format!("{name}: chunks of {} bytes", body["chunk_size"]);
            self.found.push(Finding::Odd(text));
        }
        if body["durability"] != "power" {
            let text = format!("{name}: created with durability {}", body["durability"]);
            self.found.push(Finding::Odd(text));
        }
        if body["completed"] == true {
            upload.done(answer_in(&body));
        }
    }

    /// Notes what was heard of a chunk; true when it was a 2xx.
    pub fn put(&mut self, number: usize, chunk: usize, how: How, heard: &Heard) -> bool {
        let upload = &mut self.uploads[number];
        if let Some(busy) = upload.busy.get_mut(&chunk) {
            *busy = busy.saturating_sub(1);
        }
        if heard.whole && how != How::Half && how != How::Spoilt {
            upload.sent.insert(chunk);
        }
        let Some(response) = &heard.answer else {
            return false;
        };
        let name = format!("{}, chunk {chunk}", upload.plan.name);
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let offered = upload.offered.contains(&chunk);
        let taken = (200..300).contains(&response.status);
        match response.status {
            200 | 202 if offered => {
                let bytes = upload.ack(chunk, heard.begun) as u64;
                self.acked_bytes += bytes;
                self.acked_chunks += u64::from(bytes > 0);
                if body["completed"] == true {
                    upload.done(answer_in(&body));
                }
            }
            200 | 202 => self.found.push(Finding::Phantom(format!(
                "{name}: taken, and its bytes were not what they were said to be"
            ))),
            409 if response.code() == "chunk_conflict" && how != How::Spoilt => {
                let text = format!("{name}: the server holds other bytes");
                self.found.push(Finding::Phantom(text));
            }
            _ => {}
        }
        let expected: &[u16] = if how == How::Spoilt {
            &[400]
        } else {
            &[200, 202]
        };
        self.count(response, expected);
        taken
    }

    /// Notes the answer to a cancel.
    pub fn cancelled(&mut self, number: usize, response: &Response) {
        self.count(response, &[204]);
        if response.status == 204 {
            self.uploads[number].phase = Phase::Cancelled;
        }
    }

    /// Notes the answer to a status request in the middle of the load: only ends are news.
    pub fn asked(&mut self, number: usize, response: &Response) {
        let view = View::read(response);
        let upload = &mut self.uploads[number];
        if upload.phase == Phase::Open && view.is_final() {
            let found = oracle::judge(upload, &view, oracle::Fault::Process);
            self.found.extend(found);
        }
    }

    fn count(&mut self, response: &Response, expected: &[u16]) {
        if !expected.contains(&response.status) {
            let what = format!("{} {}", response.status, response.code());
            *self.answers.entry(what).or_default() += 1;
        }
    }
}

/// The next chunk of an upload.
fn put(upload: &mut Upload, number: usize, id: String, rng: &mut Rng, mix: &Mix) -> Option<Step> {
    let settled = upload.plan.agreed != Agreed::Adopted || upload.acked.contains_key(&0);
    let chunks = if settled { upload.plan.chunks() } else { 1 };
    let is_busy = |chunk: &usize| upload.busy.get(chunk).is_some_and(|busy| *busy > 0);
    let wanted: Vec<usize> = (0..chunks)
        .filter(|chunk| !upload.acked.contains_key(chunk))
        .collect();
    let idle: Vec<usize> = wanted.iter().copied().filter(|c| !is_busy(c)).collect();
    // Now and then a chunk that is held, or that another connection is sending.
    let from = match rng.within(0..=99) {
        0..=2 => (0..chunks).collect(),
        3 | 4 => wanted,
        _ => idle,
    };
    let chunk = *rng.pick(from.get(..).filter(|from| !from.is_empty())?);
    let mut how = match rng.within(0..=99) {
        n if n < mix.rude => *rng.pick(&[How::Half, How::Spoilt, How::Silent]),
        n if n < mix.rude + 15 => How::Digest,
        n if n < mix.rude + 25 => How::Pieces,
        _ => How::Whole,
    };
    // What adopts a size must not be refused for another reason, and a chunk that was sent right
    // may be held: then a spoilt one is no news.
    let is_first = upload.plan.agreed == Agreed::Adopted && chunk == 0;
    if (how == How::Spoilt && upload.offered.contains(&chunk)) || is_first {
        how = How::Whole;
    }
    if how != How::Half && how != How::Spoilt {
        upload.offered.insert(chunk);
    }
    *upload.busy.entry(chunk).or_default() += 1;
    let plan = Arc::clone(&upload.plan);
    Some(Step::Put {
        upload: number,
        id,
        plan,
        chunk,
        how,
    })
}

/// Whether the upload is one that the handler must never see.
#[must_use]
pub fn is_refused(upload: &Upload) -> bool {
    upload.plan.declared == Declared::Falsehood
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "{\"session_id\":\"s\",\"chunk_size\":65536,\"durability\":\"power\"}";

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: body.into(),
            interim: Vec::new(),
        }
    }

    fn heard(status: u16) -> Heard {
        Heard {
            begun: SystemTime::now(),
            whole: true,
            answer: Some(response(status, "{}")),
        }
    }

    fn with_upload() -> (Book, usize) {
        let mut book = Book::new("t");
        let plan = Plan::plain(book.next_name(), 2 * crate::config::CHUNK, 1);
        let number = book.enter(plan);
        book.created(number, &response(201, CREATED));
        (book, number)
    }

    #[test]
    fn a_2xx_is_an_acknowledgement_and_nothing_else_is() {
        let (mut book, number) = with_upload();
        book.uploads[number].offered.insert(0);
        for status in [409, 500, 503, 507] {
            assert!(!book.put(number, 0, How::Whole, &heard(status)));
        }
        let nothing = Heard {
            answer: None,
            ..heard(200)
        };
        assert!(!book.put(number, 0, How::Whole, &nothing));
        assert!(book.uploads[number].acked.is_empty());
        assert!(book.put(number, 0, How::Whole, &heard(202)));
        assert!(book.uploads[number].acked.contains_key(&0));
        assert_eq!(book.acked_chunks, 1);
        assert_eq!(book.found, []);
    }

    #[test]
    fn a_spoilt_chunk_must_not_be_taken() {
        let (mut book, number) = with_upload();
        book.put(number, 1, How::Spoilt, &heard(400));
        assert_eq!(book.found, []);
        book.put(number, 1, How::Spoilt, &heard(200));
        assert_eq!(book.found.len(), 1);
        assert!(book.uploads[number].acked.is_empty());
    }

    #[test]
    fn a_repeated_create_is_the_same_session() {
        let (mut book, number) = with_upload();
        let again = CREATED.replace("\"s\"", "\"other\"");
        book.created(number, &response(201, &again));
        assert_eq!(book.found.len(), 1);
    }

    #[test]
    fn steps_follow_from_the_seed() {
        let steps = |seed| {
            let (mut book, mut rng) = (Book::new("t"), Rng::new(seed));
            let mix = Mix::default();
            let steps = (0..20).map(|_| format!("{:?}", book.next(&mut rng, &mix)));
            steps.collect::<Vec<_>>()
        };
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
    }
}
