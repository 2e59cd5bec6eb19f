//! Plays the steps of a case, byte by byte.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::answers::{self, Seen};
use super::case::{Case, Step, Transport};
use super::h2;
use super::text::Names;
use super::wire::{Wire, connect};

/// The longest time from the last step to an answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// An answer is the last when nothing has followed it for so long.
const QUIET: Duration = Duration::from_millis(500);

/// How long what is there already may take to be read.
const MOMENT: Duration = Duration::from_millis(1);

/// Bytes that are sent at once.
pub const PIECE: usize = 64 * 1024;

/// What a connection has heard.
#[derive(Debug)]
struct Heard {
    bytes: Vec<u8>,
    last: Instant,
    ended: bool,
}

/// The main connection, whose answers are read while it writes.
#[derive(Debug)]
struct Line {
    wire: Arc<Wire>,
    heard: Arc<Mutex<Heard>>,
    manners: h2::Manners,
    /// False once a window was waited for in vain.
    patient: bool,
    /// Streams in the order in which they were opened.
    opened: Vec<u32>,
    /// What had been heard when the last step that sends began.
    before: usize,
    sent_head: bool,
    broken: bool,
}

/// What came of the steps.
#[derive(Debug, Default)]
pub struct Played {
    /// The connections that are judged.
    pub judged: Vec<Seen>,
    /// All bytes that were received.
    pub bytes: Vec<u8>,
}

/// Plays a case against the server at `addr`; `tls` is how it is spoken there.
///
/// # Errors
/// When it cannot connect, or an answer cannot be read.
pub fn play(
    case: &Case,
    addr: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    names: &mut Names,
) -> Result<Played, String> {
    let mut player = Player {
        addr,
        tls: tls.filter(|_| case.transport == Transport::Tls),
        transport: case.transport,
        names,
        main: None,
        crowd: Vec::new(),
        bytes: Vec::new(),
        left: None,
    };
    for step in &case.steps {
        player.step(step).map_err(|error| error.to_string())?;
    }
    player.judged()
}

struct Player<'a> {
    addr: SocketAddr,
    tls: Option<&'a Arc<ClientConfig>>,
    transport: Transport,
    names: &'a mut Names,
    main: Option<Line>,
    crowd: Vec<TcpStream>,
    bytes: Vec<u8>,
    left: Option<Seen>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> std::io::Result<()> {
        match step {
            Step::Send(text, times) => {
                let bytes = text.render(self.names);
                let rounds = PIECE / bytes.len().max(1);
                let line = self.line()?;
                line.begin(&bytes);
                let mut left = *times;
                while left > 0 {
                    let now = left.min(rounds.max(1));
                    line.write(&bytes.repeat(now));
                    left -= now;
                }
            }
            Step::Frames(frames, rounds) => self.frames(frames, *rounds)?,
            Step::Slow(byte, pause, times) => {
                let bytes = byte.render(self.names);
                let line = self.line()?;
                line.begin(&bytes);
                for _ in 0..*times {
                    std::thread::sleep(*pause);
                    line.write(&bytes);
                }
            }
            Step::Crowd(count, text) => {
                let bytes = text.render(self.names);
                self.gather(*count, &bytes)?;
            }
            Step::Wait(time) => {
                // A client that only waits is one that has connected.
                if self.crowd.is_empty() && self.left.is_none() {
                    self.line()?;
                }
                std::thread::sleep(*time);
            }
            Step::Answered => {
                let transport = self.transport;
                self.line()?
                    .settle(transport)
                    .map_err(std::io::Error::other)?;
            }
            Step::HalfClose => {
                self.line()?.wire.end();
            }
            Step::Close => self.close().map_err(std::io::Error::other)?,
        }
        Ok(())
    }

    fn frames(&mut self, frames: &[h2::Frame], rounds: u32) -> std::io::Result<()> {
        self.line()?.begin(b"");
        for round in 0..rounds {
            for frame in frames {
                let bytes = frame.bytes(round, self.names);
                let line = self.line()?;
                let stream = frame.stream(round);
                if frame.is_head() && !line.opened.contains(&stream) {
                    line.opened.push(stream);
                }
                line.wait_for_window(frame);
                line.write(&bytes);
            }
        }
        Ok(())
    }

    fn gather(&mut self, count: usize, bytes: &[u8]) -> std::io::Result<()> {
        let from = self.crowd.len();
        for _ in 0..count {
            self.crowd.push(connect(self.addr)?);
        }
        for stream in &mut self.crowd[from..] {
            // Who is refused at once is no reason to stop.
            let _ = stream.write_all(bytes);
        }
        Ok(())
    }

    fn line(&mut self) -> std::io::Result<&mut Line> {
        if self.main.is_none() {
            self.left = None;
            let mut line = Line::open(self.addr, self.tls)?;
            if self.transport == Transport::H2 {
                line.write(h2::PREFACE);
            }
            self.main = Some(line);
        }
        Ok(self.main.as_mut().expect("it is open"))
    }

    /// Closes all connections; what was heard on the main one is kept.
    fn close(&mut self) -> Result<(), String> {
        for stream in self.crowd.drain(..) {
            self.bytes.extend(rest_of(stream));
        }
        if let Some(line) = self.main.take() {
            let mut seen = line.seen(self.transport)?;
            seen.ended = true;
            self.bytes.extend_from_slice(&line.hear().bytes);
            self.left = Some(seen);
        }
        Ok(())
    }

    fn judged(mut self) -> Result<Played, String> {
        let mut judged = Vec::new();
        if let Some(line) = &mut self.main {
            line.settle(self.transport)?;
            judged.push(line.seen(self.transport)?);
        } else if let Some(seen) = self.left.take() {
            judged.push(seen);
        } else {
            let begun = Instant::now();
            for stream in self.crowd.drain(..) {
                let (bytes, ended) = all_of(stream, begun);
                judged.push(answers::http1(&bytes, false, 0, ended));
                self.bytes.extend(bytes);
            }
        }
        self.close()?;
        // As a client reads them: heads that were packed, and bodies that came in pieces.
        for answer in judged.iter().flat_map(|seen| &seen.answers) {
            for (_, value) in &answer.headers {
                self.bytes.extend_from_slice(value);
                self.bytes.push(b'\n');
            }
            self.bytes.extend_from_slice(&answer.body);
        }
        Ok(Played {
            judged,
            bytes: self.bytes,
        })
    }
}

impl Line {
    fn open(addr: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> std::io::Result<Self> {
        let wire = Arc::new(Wire::open(addr, tls)?);
        let heard = Arc::new(Mutex::new(Heard {
            bytes: Vec::new(),
            last: Instant::now(),
            ended: false,
        }));
        listen(Arc::clone(&wire), Arc::clone(&heard));
        Ok(Self {
            wire,
            heard,
            manners: h2::Manners::default(),
            patient: true,
            opened: Vec::new(),
            before: 0,
            sent_head: false,
            broken: false,
        })
    }

    fn hear(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step that sends begins.
    fn begin(&mut self, bytes: &[u8]) {
        let before = self.hear().bytes.len();
        self.before = before;
        self.sent_head = bytes.starts_with(b"HEAD ");
    }

    /// A server that takes no more is judged by what it says.
    fn write(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.broken = self.wire.write(bytes).is_err();
        }
    }

    fn reply(&mut self) {
        let bytes = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            self.manners.replies(&heard.bytes)
        };
        self.write(&bytes);
    }

    /// Waits until the window lets this frame through, but not for ever: a server need not read.
    fn wait_for_window(&mut self, frame: &h2::Frame) {
        let begun = Instant::now();
        self.reply();
        while self.patient && !self.manners.allow(frame) && !self.hear().ended {
            self.patient = begun.elapsed() < QUIET;
            std::thread::sleep(Duration::from_millis(1));
            self.reply();
        }
        self.manners.sends(frame);
    }

    /// Waits until the last answer is here, or the end, or it is too late.
    fn settle(&mut self, transport: Transport) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < ANSWER_LIMIT {
            if transport == Transport::H2 {
                self.reply();
            }
            let (length, quiet, ended) = {
                let heard = self.hear();
                (heard.bytes.len(), heard.last.elapsed(), heard.ended)
            };
            if ended {
                break;
            }
            if length > self.before {
                let seen = self.seen(transport)?;
                if seen.settled || (quiet >= QUIET && begun.elapsed() >= QUIET && seen.answered) {
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn seen(&self, transport: Transport) -> Result<Seen, String> {
        let heard = self.hear();
        match transport {
            Transport::Plain | Transport::Tls => Ok(answers::http1(
                &heard.bytes,
                self.sent_head,
                self.before,
                heard.ended,
            )),
            Transport::H2 => answers::http2(&heard.bytes, &self.opened, heard.ended),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Ends the thread that reads, too.
        self.wire.cut();
    }
}

/// Reads until the end.
fn listen(wire: Arc<Wire>, heard: Arc<Mutex<Heard>>) {
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        loop {
            let count = wire.read(&mut piece).unwrap_or(0);
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.bytes.extend_from_slice(&piece[..count]);
            heard.last = Instant::now();
            heard.ended = count == 0;
            if count == 0 {
                break;
            }
        }
    });
}

/// What has come already.
fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if stream.set_nonblocking(true).is_ok() {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// All that comes until the server closes or is quiet, and whether it has closed. Those that are asked
/// late, of the many that began together, have had their time.
fn all_of(mut stream: TcpStream, begun: Instant) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE];
    while begun.elapsed() < 2 * ANSWER_LIMIT {
        let is_late = begun.elapsed() >= ANSWER_LIMIT;
        let _ = stream.set_read_timeout(Some(if is_late { MOMENT } else { QUIET }));
        match stream.read(&mut piece) {
            Ok(0) => return (bytes, true),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if is_late || answers::http1(&bytes, false, 0, false).answered {
                    return (bytes, false);
                }
            }
            Err(_) => return (bytes, true),
        }
    }
    (bytes, false)
}
