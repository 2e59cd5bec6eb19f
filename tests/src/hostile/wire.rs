//! What carries the bytes of a connection: TCP, or TLS as a client speaks it that may leave without
//! a word.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::send::{ANSWER_LIMIT, PIECE};
use crate::accept::Acceptor;
use crate::server::free_address;

/// How long the kernel may refuse to take more bytes.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of TLS that are read at once: no more than a session takes whose answers are read in turn.
const RECORDS: usize = 4 * 1024;

/// A connection. One thread reads while others write.
#[derive(Debug)]
pub(super) struct Wire {
    tcp: TcpStream,
    session: Option<Mutex<ClientConnection>>,
}

/// Connects, and no more.
pub(super) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect_timeout(&addr, ANSWER_LIMIT)?;
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(WRITE_LIMIT))?;
    Ok(tcp)
}

/// A client that trusts this authority.
///
/// # Panics
/// When the file holds none.
pub(super) fn trusting(authority: &Path) -> Arc<ClientConfig> {
    let authority = CertificateDer::from_pem_file(authority).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(authority).expect("an authority");
    let config = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

impl Wire {
    /// Connects, and over TLS shakes hands.
    pub(super) fn open(addr: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let tcp = connect(addr)?;
        let session = tls.map(|config| shake(&tcp, config)).transpose()?;
        let session = session.map(Mutex::new);
        Ok(Self { tcp, session })
    }

    fn session(&self) -> Option<MutexGuard<'_, ClientConnection>> {
        let session = self.session.as_ref()?;
        Some(session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(mut session) = self.session() else {
            return (&self.tcp).write_all(bytes);
        };
        session.writer().write_all(bytes)?;
        self.flush(&mut session)
    }

    fn flush(&self, session: &mut ClientConnection) -> io::Result<()> {
        while session.wants_write() {
            session.write_tls(&mut &self.tcp)?;
        }
        Ok(())
    }

    /// Reads some bytes; none at the end.
    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session() {
                None => return (&self.tcp).read(into),
                Some(mut session) => match session.reader().read(into) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => return read,
                },
            }
            let mut records = [0; RECORDS];
            let count = (&self.tcp).read(&mut records)?;
            self.take(&records[..count])?;
        }
    }

    /// Takes what has come of TLS; with nothing, the end.
    fn take(&self, mut records: &[u8]) -> io::Result<()> {
        let Some(mut session) = self.session() else {
            return Ok(());
        };
        loop {
            // Behind the end of TLS nothing is taken.
            if session.read_tls(&mut records)? == 0 {
                return Ok(());
            }
            let taken = session.process_new_packets();
            // An alert goes out even so.
            let _ = self.flush(&mut session);
            taken.map_err(io::Error::other)?;
            if records.is_empty() {
                return Ok(());
            }
        }
    }

    /// Ends its half in good order: over TLS by `close_notify`.
    pub(super) fn end(&self) {
        if let Some(mut session) = self.session() {
            session.send_close_notify();
            let _ = self.flush(&mut session);
        }
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Ends both halves without a word.
    pub(super) fn cut(&self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

fn shake(mut tcp: &TcpStream, config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::from(Ipv4Addr::LOCALHOST);
    let session = ClientConnection::new(Arc::clone(config), name);
    let mut session = session.map_err(io::Error::other)?;
    session.set_buffer_limit(None);
    tcp.set_read_timeout(Some(ANSWER_LIMIT))?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    tcp.set_read_timeout(None)?;
    Ok(session)
}

/// A way for clients that speak plain HTTP to a server that speaks TLS.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) addr: SocketAddr,
    _acceptor: Acceptor,
}

impl Tunnel {
    pub(super) fn to(server: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let addr = free_address();
        let acceptor = Acceptor::start(addr, move |near| {
            // A server that is gone is found by the client.
            if let Ok(far) = Wire::open(server, Some(&config)) {
                let near = Wire {
                    tcp: near,
                    session: None,
                };
                let (near, far) = (Arc::new(near), Arc::new(far));
                carry(Arc::clone(&near), Arc::clone(&far));
                carry(far, near);
            }
        });
        Self {
            addr,
            _acceptor: acceptor,
        }
    }
}

/// Carries one direction to its end.
fn carry(from: Arc<Wire>, to: Arc<Wire>) {
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if to.write(&piece[..count]).is_err() {
                break;
            }
        }
        to.end();
    });
}
