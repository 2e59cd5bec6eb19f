//! A client with two links to a server, which does what any client would: it sends a chunk again, over
//! the link that is there, until it is taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use super::switches::CHUNK;
use crate::data;
use crate::http::Connection;
use crate::upload::{Client, Session};

/// What the file is called.
pub const NAME: &str = "moving.bin";

/// Nobody waits longer for a link that does not answer.
const CONNECT_MAX: Duration = Duration::from_millis(250);
const RETRY_AFTER: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Bytes of one write: so exact is what is counted as sent.
const PIECE: usize = 64 << 10;

/// The network of the client, while its thread lives.
#[derive(Debug)]
pub struct Phone {
    thread: u32,
}

/// Does `work` on a thread with a network of its own.
///
/// # Errors
/// Why it can have none.
///
/// # Panics
/// When `work` does.
pub fn in_its_network<T: Send>(work: impl FnOnce(&Phone) -> T + Send) -> Result<T, String> {
    // Whatever is to be in another network is told its thread.
    let (told, thread) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = told.send(network());
            let _ = ended.recv();
        });
        let thread = thread.recv().map_err(|error| error.to_string())??;
        let phone = Phone { thread };
        phone.ip("link set lo up");
        let done = work(&phone);
        drop(end);
        Ok(done)
    })
}

/// Gives the calling thread a network, and answers its number.
fn network() -> Result<u32, String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string())?;
    let path = std::fs::read_link("/proc/thread-self").map_err(|error| error.to_string())?;
    let number = path
        .file_name()
        .and_then(|name| name.to_str()?.parse().ok());
    number.ok_or_else(|| "this thread has no number".to_owned())
}

impl Phone {
    /// Who has its network.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.thread
    }

    /// Runs `ip` in it with these words.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, words: &str) {
        self.run("ip", words);
    }

    /// Runs a program in it with these words.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, words: &str) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.thread));
        let output = command.arg(program).args(words.split(' ')).output();
        let output = output.expect("nsenter runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {words}: {said}");
    }

    /// Uploads a file of so many MiB to a server that has an address on each link, and does `strike`
    /// meanwhile.
    ///
    /// # Panics
    /// When `strike` does.
    pub fn upload(&self, to: [SocketAddr; 2], mib: usize, strike: impl FnOnce(&Sent)) -> Sent {
        let sent = Sent::new(mib);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let entered = self.enter();
                entered.and_then(|()| sent.all(to)).err()
            });
            strike(&sent);
            let why = sending.join().expect("the client goes on");
            if let Some(why) = why {
                sent.refused(&format!("the client ended: {why}"));
            }
        });
        sent
    }

    /// Brings the calling thread into it.
    fn enter(&self) -> io::Result<()> {
        let net = File::open(format!("/proc/{}/ns/net", self.thread))?;
        Ok(setns(net, CloneFlags::CLONE_NEWNET)?)
    }
}

/// How far an upload is.
#[derive(Debug)]
pub struct Sent {
    total: usize,
    link: AtomicUsize,
    /// When each chunk was acknowledged.
    taken: Mutex<Vec<Instant>>,
    /// Bytes of chunks that were not.
    again: AtomicUsize,
    done: AtomicBool,
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Sent {
    fn new(mib: usize) -> Self {
        Self {
            total: (mib << 20) / CHUNK,
            link: AtomicUsize::new(0),
            taken: Mutex::default(),
            again: AtomicUsize::default(),
            done: AtomicBool::default(),
            refusals: Mutex::default(),
        }
    }

    /// From now on this link is used.
    pub fn switch(&self, link: usize) {
        self.link.store(link, Ordering::SeqCst);
    }

    /// Whether everything is sent, or nothing more will be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Chunks that were acknowledged.
    #[must_use]
    pub fn chunks(&self) -> usize {
        open(&self.taken).len()
    }

    /// Bytes of chunks that had to be sent again.
    #[must_use]
    pub fn again(&self) -> usize {
        self.again.load(Ordering::SeqCst)
    }

    /// What was answered but 200, and how often.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        open(&self.refusals).clone()
    }

    /// The longest time without an acknowledgement from `since` on, looked at for `window` and for
    /// `max` at most. Nothing where it does not go on.
    #[must_use]
    pub fn longest_wait(
        &self,
        since: Instant,
        window: Duration,
        max: Duration,
    ) -> Option<Duration> {
        while since.elapsed() < max && !self.is_done() {
            std::thread::sleep(LOOK_EVERY);
            let taken = open(&self.taken);
            if taken.last().is_none_or(|last| *last < since + window) {
                continue;
            }
            let known = taken.partition_point(|at| *at < since);
            let (mut longest, mut before) = (Duration::ZERO, since);
            for at in &taken[known..] {
                longest = longest.max(*at - before);
                before = *at;
            }
            return Some(longest);
        }
        None
    }

    /// Compares what the server stored with what was sent.
    ///
    /// # Errors
    /// What is different.
    pub fn is_stored(&self, path: &Path) -> Result<(), String> {
        let read = |error: io::Error| format!("{}: {error}", path.display());
        let mut file = File::open(path).map_err(read)?;
        let mut stored = vec![0; CHUNK];
        for number in 0..self.total {
            file.read_exact(&mut stored).map_err(read)?;
            if stored != chunk(number) {
                return Err(format!("chunk {number} is not what was sent"));
            }
        }
        match file.read(&mut stored) {
            Ok(0) => Ok(()),
            _ => Err("the file is longer than what was sent".to_owned()),
        }
    }

    fn refused(&self, how: &str) {
        *open(&self.refusals).entry(how.to_owned()).or_default() += 1;
    }

    /// Sends all chunks, one after the other.
    fn all(&self, to: [SocketAddr; 2]) -> io::Result<()> {
        let _done = Done(&self.done);
        let session = Client::new(to[0]).create(NAME, self.total * CHUNK);
        for number in 0..self.total {
            let bytes = chunk(number);
            loop {
                let link = self.link.load(Ordering::SeqCst);
                let mut written = 0;
                let answer =
                    self.try_chunk((to[link], link), &session, number, &bytes, &mut written);
                match answer {
                    Ok(None) => break,
                    Ok(Some(refusal)) => self.refused(&refusal),
                    Err(_) => {}
                }
                self.again.fetch_add(written, Ordering::SeqCst);
                std::thread::sleep(RETRY_AFTER);
            }
            open(&self.taken).push(Instant::now());
        }
        Ok(())
    }

    /// Sends a chunk once; `Some` is a refusal.
    fn try_chunk(
        &self,
        (to, link): (SocketAddr, usize),
        session: &Session,
        number: usize,
        bytes: &[u8],
        written: &mut usize,
    ) -> io::Result<Option<String>> {
        let mut connection = Connection::try_open_within(to, CONNECT_MAX)?;
        let request = Client::new(to).chunk_head(session, number);
        let request = request.header("Content-Length", bytes.len().to_string());
        connection.write(&request.head())?;
        let mut writer: TcpStream = connection.writer();
        for piece in bytes.chunks(PIECE) {
            if self.link.load(Ordering::SeqCst) != link {
                return Err(io::ErrorKind::NetworkDown.into());
            }
            writer.write_all(piece)?;
            *written += piece.len();
        }
        let answer = connection.response("PUT")?;
        Ok((answer.status != 200).then(|| format!("{} {}", answer.status, answer.code())))
    }
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn chunk(number: usize) -> Vec<u8> {
    data::random(number as u64 + 1, CHUNK)
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
