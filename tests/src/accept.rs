//! A listening socket that can be closed and opened again at the same address.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::wait::{self, SOON};

/// A thread that accepts.
#[derive(Debug)]
pub struct Acceptor {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Listens and gives every connection to `take`.
    ///
    /// # Panics
    /// When the address stays taken.
    #[must_use]
    pub fn start(addr: SocketAddr, mut take: impl FnMut(TcpStream) + Send + 'static) -> Self {
        // Between fork and exec, the children of other tests hold copies of sockets that this
        // process has closed.
        let bound = wait::eventually("the address is free", SOON, || {
            let bound = TcpListener::bind(addr);
            let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
            (!bound.as_ref().is_err_and(in_use)).then_some(bound)
        });
        let listener = Arc::new(bound.expect("it can be listened there"));
        let accepting = Arc::clone(&listener);
        let thread = std::thread::spawn(move || {
            for stream in accepting.incoming().map_while(Result::ok) {
                take(stream);
            }
        });
        Self {
            listener,
            thread: Some(thread),
        }
    }
}

impl Drop for Acceptor {
    /// Nobody listens there any more; connections that were not accepted yet are reset.
    fn drop(&mut self) {
        // Closing it would not do: see above.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
