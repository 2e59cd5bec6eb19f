//! Clients that upload until they are told to stop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::book::{Book, Heard, How, Mix, Step};
use super::rng::Rng;
use super::wire::{self, Wire};
use crate::data;
use crate::http::Request;

/// What clients need to know.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server.
    pub addr: SocketAddr,
    /// How many there are.
    pub clients: usize,
    /// What they like to do.
    pub mix: Mix,
}

/// The ledger, whoever panicked while holding it.
pub fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets clients upload while `meanwhile` does something to their server; they stop when it
/// returns.
pub fn during<T>(book: &Mutex<Book>, rng: &Rng, load: &Load, meanwhile: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..load.clients {
            let mut rng = rng.fork(&format!("client {client}"));
            let stop = &stop;
            scope.spawn(move || {
                let mut wire = Wire::new(load.addr);
                while !stop.load(Ordering::Relaxed) {
                    let step = open(book).next(&mut rng, &load.mix);
                    let done = step.is_some_and(|step| perform(book, &mut wire, step));
                    if !done {
                        std::thread::sleep(load.mix.patience);
                    }
                }
            });
        }
        let stopping = StopOnDrop(&stop);
        let out = meanwhile();
        drop(stopping);
        out
    })
}

/// Raises the flag in any case: clients must not outlive who started them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does a step and enters what comes of it; false when no answer came.
pub fn perform(book: &Mutex<Book>, wire: &mut Wire, step: Step) -> bool {
    match step {
        Step::Create(number, plan) => {
            let answer = wire.send(&wire::create(&plan));
            match answer {
                Ok(response) => {
                    open(book).created(number, &response);
                    // A server that takes nothing any more is not to be flooded.
                    return response.status < 500;
                }
                Err(_) => return false,
            }
        }
        Step::Ask(number, id) => match wire.send(&wire::status(&id)) {
            Ok(response) => open(book).asked(number, &response),
            Err(_) => return false,
        },
        Step::Cancel(number, id) => match wire.send(&wire::cancel(&id)) {
            Ok(response) => open(book).cancelled(number, &response),
            Err(_) => return false,
        },
        Step::Put {
            upload,
            id,
            plan,
            chunk,
            how,
        } => {
            let request = request(&id, chunk, how, plan.bytes(chunk));
            let heard = Heard::of(wire, |wire| match how {
                How::Half => wire.abandon(&request, plan.len_of(chunk) / 2),
                How::Silent => wire.abandon(&request, usize::MAX),
                _ => wire.send(&request).ok(),
            });
            open(book).put(upload, chunk, how, &heard);
            return heard.answer.is_some_and(|response| response.status < 500);
        }
    }
    true
}

fn request(id: &str, chunk: usize, how: How, bytes: Vec<u8>) -> Request {
    match how {
        How::Whole | How::Silent | How::Half => wire::chunk(id, chunk, bytes),
        How::Digest => {
            let digest = data::digest_sha256(&bytes);
            wire::chunk(id, chunk, bytes).header("Content-Digest", digest)
        }
        How::Pieces => {
            let request = wire::chunk(id, chunk, Vec::new());
            request.chunked(&bytes, 16 * 1024)
        }
        How::Spoilt => {
            let digest = data::digest_sha256(&bytes);
            let other = bytes.iter().map(|byte| byte ^ 0x55).collect();
            wire::chunk(id, chunk, other).header("Content-Digest", digest)
        }
    }
}
