//! A network that fails when it is told to: a TCP proxy whose behaviour can be switched while
//! connections are open.
//!
//! 1. It knows no protocol. What comes from the server is a reply; a request that comes after a
//!    reply, and the first bytes that come back, are a turn: a round trip, however many commands
//!    are pipelined in it.
//! 2. Bytes that are held back are not lost: once it passes again they arrive, as they do when a
//!    cable is plugged in again.
//! 3. A reply is cut off only when it is there, so that the server has done what it was asked.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::accept::Acceptor;
use crate::server::free_address;

/// How long a server may take to notice that its connection was cut.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What the proxy does with connections, open and new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Forwards everything.
    Pass,
    /// Forwards so many more bytes of replies, over all connections; the connection on which
    /// another byte arrives is closed on both sides instead, and then everything passes again.
    /// With 0 the next reply is lost.
    Cut {
        /// Bytes.
        after: usize,
    },
    /// Closes the first connection on which a request with these bytes is sent, when its reply
    /// arrives, and then passes everything. The bytes must be sent in one piece.
    LoseReplyTo(Vec<u8>),
    /// Holds every reply for so long.
    Delay(Duration),
    /// Accepts and forwards nothing, in neither direction.
    BlackHole,
    /// Closes every connection and does not listen.
    Refuse,
}

/// A proxy in front of one address.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    hub: Arc<Hub>,
    acceptor: Mutex<Option<Acceptor>>,
}

/// What all connections share.
#[derive(Debug)]
struct Hub {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    accepted: AtomicU64,
    turns: AtomicU64,
    cuts: AtomicU64,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    links: HashMap<u64, Arc<Link>>,
}

/// One connection, both sides.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: OnceLock<TcpStream>,
    /// A request was forwarded since the last reply.
    asked: AtomicBool,
    /// The next reply must be lost.
    doomed: AtomicBool,
    closed: AtomicBool,
}

/// What becomes of bytes that have arrived.
enum Verdict {
    Forward,
    CutAfter(usize),
    Closed,
}

impl FaultProxy {
    /// Stands before `target` and passes.
    ///
    /// # Panics
    /// When its port is taken.
    #[must_use]
    pub fn before(target: SocketAddr) -> Self {
        let addr = free_address();
        let state = State {
            behaviour: Behaviour::Pass,
            links: HashMap::new(),
        };
        let hub = Arc::new(Hub {
            target,
            state: Mutex::new(state),
            changed: Condvar::new(),
            accepted: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let acceptor = hub.accept(addr);
        Self {
            addr,
            hub,
            acceptor: Mutex::new(Some(acceptor)),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Switches: for all bytes that arrive from now on.
    ///
    /// # Panics
    /// When it refused before and its port is taken now.
    pub fn set(&self, behaviour: Behaviour) {
        let refuse = behaviour == Behaviour::Refuse;
        self.hub.state().behaviour = behaviour;
        self.hub.changed.notify_all();
        let mut acceptor = self.acceptor();
        if refuse {
            drop(acceptor.take());
            self.sever();
        } else if acceptor.is_none() {
            *acceptor = Some(self.hub.accept(self.addr));
        }
    }

    /// What it does now: [`Behaviour::Cut`] and [`Behaviour::LoseReplyTo`] end by themselves.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        self.hub.state().behaviour.clone()
    }

    /// Closes every open connection.
    pub fn sever(&self) {
        // Those that wait for leave to forward look at their state before they go on.
        let state = self.hub.state();
        for link in state.links.values() {
            link.close();
        }
        drop(state);
        self.hub.changed.notify_all();
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.hub.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.hub.state().links.len()
    }

    /// Turns from request to reply so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.hub.turns.load(Ordering::SeqCst)
    }

    /// Connections that were cut in a reply or before it.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.hub.cuts.load(Ordering::SeqCst)
    }

    fn acceptor(&self) -> MutexGuard<'_, Option<Acceptor>> {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.acceptor().take());
        self.sever();
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, addr: SocketAddr) -> Acceptor {
        let hub = Arc::clone(self);
        Acceptor::start(addr, move |client| {
            let id = hub.accepted.fetch_add(1, Ordering::SeqCst);
            let link = Arc::new(Link::new(client));
            hub.state().links.insert(id, Arc::clone(&link));
            let hub = Arc::clone(&hub);
            std::thread::spawn(move || {
                // However it ends, the connection is closed: that is all there is to say.
                let _ = hub.serve(&link);
                link.close();
                hub.state().links.remove(&id);
            });
        })
    }

    /// Forwards in both directions until one side ends.
    fn serve(self: &Arc<Self>, link: &Arc<Link>) -> io::Result<()> {
        if matches!(self.request(link, b""), Verdict::Closed) {
            return Ok(());
        }
        let server = TcpStream::connect(self.target)?;
        server.set_nodelay(true)?;
        link.client.set_nodelay(true)?;
        let server = link.server.get_or_init(|| server);
        if link.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (hub, same) = (Arc::clone(self), Arc::clone(link));
        let replies = std::thread::spawn(move || {
            let _ = hub.forward_replies(&same);
        });
        let sent = self.forward_requests(link, server);
        let _ = server.shutdown(Shutdown::Write);
        let _ = replies.join();
        sent
    }

    fn forward_requests(&self, link: &Link, mut server: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let bytes = read(&link.client, &mut buffer)?;
            if bytes.is_empty() || matches!(self.request(link, bytes), Verdict::Closed) {
                return Ok(());
            }
            link.asked.store(true, Ordering::SeqCst);
            server.write_all(bytes)?;
        }
    }

    fn forward_replies(&self, link: &Link) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let mut server = link.server();
        loop {
            let bytes = read(server, &mut buffer).unwrap_or_default();
            if bytes.is_empty() {
                link.close();
                return Ok(());
            }
            let turn = link.asked.swap(false, Ordering::SeqCst);
            self.turns.fetch_add(u64::from(turn), Ordering::SeqCst);
            match self.reply(link, bytes.len(), turn) {
                Verdict::Forward => (&link.client).write_all(bytes)?,
                Verdict::Closed => return Ok(()),
                Verdict::CutAfter(count) => {
                    let _ = (&link.client).write_all(&bytes[..count]);
                    link.closed.store(true, Ordering::SeqCst);
                    let _ = link.client.shutdown(Shutdown::Both);
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    // Closing with unread bytes would reset the connection, and what the server
                    // has not read yet would be lost with it. The other direction has noticed
                    // and ends the requests.
                    server.set_read_timeout(Some(DRAIN_LIMIT))?;
                    io::copy(&mut server, &mut io::sink())?;
                    return Ok(());
                }
            }
        }
    }

    /// Waits until a request may be forwarded.
    fn request(&self, link: &Link, bytes: &[u8]) -> Verdict {
        let waits = |state: &mut State| {
            state.behaviour == Behaviour::BlackHole && !link.closed.load(Ordering::SeqCst)
        };
        let woken = self.changed.wait_while(self.state(), waits);
        let state = woken.unwrap_or_else(PoisonError::into_inner);
        if let Behaviour::LoseReplyTo(needle) = &state.behaviour
            && bytes.windows(needle.len().max(1)).any(|at| at == needle)
        {
            link.doomed.store(true, Ordering::SeqCst);
        }
        link.verdict()
    }

    /// Waits until a reply of `count` bytes may be forwarded, and says how much of it.
    fn reply(&self, link: &Link, count: usize, turn: bool) -> Verdict {
        let arrived = Instant::now();
        let mut state = self.state();
        loop {
            let remaining = match &state.behaviour {
                Behaviour::BlackHole => Duration::MAX,
                Behaviour::Delay(delay) if turn => delay.saturating_sub(arrived.elapsed()),
                _ => Duration::ZERO,
            };
            if remaining.is_zero() || link.closed.load(Ordering::SeqCst) {
                break;
            }
            let woken = self.changed.wait_timeout(state, remaining);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let cut = match &mut state.behaviour {
            Behaviour::Cut { after } if count > *after => Some(*after),
            Behaviour::Cut { after } => {
                *after -= count;
                None
            }
            Behaviour::LoseReplyTo(_) if link.doomed.load(Ordering::SeqCst) => Some(0),
            _ => None,
        };
        match (link.verdict(), cut) {
            (Verdict::Forward, Some(after)) => {
                state.behaviour = Behaviour::Pass;
                Verdict::CutAfter(after)
            }
            (verdict, _) => verdict,
        }
    }
}

impl Link {
    fn new(client: TcpStream) -> Self {
        Self {
            client,
            server: OnceLock::new(),
            asked: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    fn server(&self) -> &TcpStream {
        self.server.get().expect("it is connected")
    }

    fn verdict(&self) -> Verdict {
        if self.closed.load(Ordering::SeqCst) {
            Verdict::Closed
        } else {
            Verdict::Forward
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for side in [Some(&self.client), self.server.get()]
            .into_iter()
            .flatten()
        {
            let _ = side.shutdown(Shutdown::Both);
        }
    }
}

/// What has arrived; nothing at the end.
fn read<'b>(mut from: &TcpStream, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(count) => return Ok(&buffer[..count]),
        }
    }
}
