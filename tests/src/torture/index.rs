//! Compares what Redis holds with the ledger: what another server would tell a client.

use super::finding::Finding;
use super::ledger::{Phase, Upload};
use crate::redis::{Connection, Reply};

/// What Redis holds of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// How it stands.
    pub state: String,
    /// One bit for every chunk, the first one the highest of the first byte.
    pub chunks: Vec<u8>,
}

impl Held {
    /// Asks for an upload by its key.
    ///
    /// # Errors
    /// What the socket says.
    pub fn find(redis: &mut Connection, key: &str) -> std::io::Result<Option<Self>> {
        let name = format!("steadfast:upload:{{{key}}}");
        let Some(state) = redis.command(&["HGET", &name, "state"])?.text() else {
            return Ok(None);
        };
        let chunks = match redis.command(&["GET", &format!("{name}:chunks")])? {
            Reply::Bulk(bits) => bits,
            _ => Vec::new(),
        };
        Ok(Some(Self { state, chunks }))
    }

    fn has(&self, chunk: usize) -> bool {
        let byte = self.chunks.get(chunk / 8).copied().unwrap_or_default();
        byte & (0x80 >> (chunk % 8)) != 0
    }
}

/// Compares every upload that a client may ask for.
///
/// # Errors
/// What the socket says.
pub fn judge(redis: &mut Connection, uploads: &[Upload]) -> std::io::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for upload in uploads.iter().filter(|upload| upload.is_known()) {
        let key = upload.key().unwrap_or_default();
        found.extend(compare(upload, Held::find(redis, &key)?.as_ref()));
    }
    Ok(found)
}

/// What of an upload another server would tell wrong.
fn compare(upload: &Upload, held: Option<&Held>) -> Vec<Finding> {
    let name = &upload.plan.name;
    let Some(held) = held else {
        let text = format!(
            "{name}: not in Redis, {} chunks acknowledged",
            upload.acked.len()
        );
        return vec![Finding::Lost(text)];
    };
    let mut found = Vec::new();
    let wanted = match upload.phase {
        Phase::Done(_) => Some("completed"),
        Phase::Rejected => Some("rejected"),
        Phase::Cancelled => Some("cancelled"),
        Phase::Held => Some("unknown"),
        Phase::Open | Phase::Lost | Phase::Closed => None,
    };
    if wanted.is_some_and(|wanted| wanted != held.state) {
        let text = format!(
            "{name}: {} in Redis, known as {:?}",
            held.state, upload.phase
        );
        found.push(Finding::Lost(text));
    }
    if held.state == "cancelled" {
        return found;
    }
    for chunk in 0..held.chunks.len() * 8 {
        if held.has(chunk) && (chunk >= upload.plan.chunks() || !upload.may_have(chunk)) {
            let text = format!("{name}: chunk {chunk} is in Redis and was never sent whole");
            found.push(Finding::Phantom(text));
        }
    }
    for chunk in upload.acked.keys().filter(|chunk| !held.has(**chunk)) {
        let text = format!("{name}: chunk {chunk} was acknowledged and is not in Redis");
        found.push(Finding::Lost(text));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::plan::Plan;
    use super::*;
    use crate::config::CHUNK;

    fn upload() -> Upload {
        let mut upload = Upload::new(Plan::plain("a.bin".to_owned(), 10 * CHUNK, 1));
        upload.sent.extend([0, 9]);
        upload.ack(9, SystemTime::now());
        upload
    }

    fn kinds(upload: &Upload, state: &str, chunks: &[u8]) -> Vec<&'static str> {
        let held = Held {
            state: state.to_owned(),
            chunks: chunks.to_vec(),
        };
        let found = compare(upload, Some(&held));
        found.iter().map(Finding::kind).collect()
    }

    #[test]
    fn what_was_acknowledged_is_there_and_nothing_else() {
        let open = upload();
        assert_eq!(kinds(&open, "receiving", &[0x80, 0x40]), [""; 0]);
        assert_eq!(kinds(&open, "receiving", &[0, 0x40]), [""; 0]);
        assert_eq!(kinds(&open, "receiving", &[0x80]), ["lost"]);
        assert_eq!(kinds(&open, "receiving", &[0x40, 0x40]), ["phantom"]);
        assert_eq!(kinds(&open, "receiving", &[0, 0x60]), ["phantom"]);
        assert_eq!(compare(&open, None).len(), 1);
    }

    #[test]
    fn an_end_is_known() {
        let mut done = upload();
        done.done("answer".to_owned());
        assert_eq!(kinds(&done, "completed", &[0x80, 0x40]), [""; 0]);
        assert_eq!(kinds(&done, "finishing", &[0x80, 0x40]), ["lost"]);
        let mut cancelled = upload();
        cancelled.phase = Phase::Cancelled;
        assert_eq!(kinds(&cancelled, "cancelled", &[]), [""; 0]);
        assert_eq!(kinds(&cancelled, "receiving", &[0, 0x40]), ["lost"]);
    }
}
