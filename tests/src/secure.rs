//! A client over TLS that sends what it is told: `openssl s_client`.

use std::io::{Read, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::wait::{self, SOON};

/// A connection in a process of its own.
#[derive(Debug)]
pub struct Secure {
    child: Child,
    stdin: ChildStdin,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Secure {
    /// Connects; the server's certificate must be of `authority`. `more` are further arguments, one
    /// a word.
    ///
    /// # Panics
    /// When there is no openssl.
    #[must_use]
    pub fn open(addr: SocketAddr, authority: &Path, more: &str) -> Self {
        let mut command = command(addr, authority, more);
        command.args(["-quiet", "-nocommands"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().expect("openssl runs");
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let store = Arc::clone(&received);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                store.extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            child,
            stdin,
            received,
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection is over.
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.stdin.write_all(bytes);
        written
            .and_then(|()| self.stdin.flush())
            .expect("openssl takes it");
    }

    /// All that has come so far.
    #[must_use]
    pub fn received(&self) -> String {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Waits until something has come `times` times.
    ///
    /// # Panics
    /// When it does not come.
    pub fn until(&self, text: &str, times: usize) {
        wait::until(text, SOON, || {
            self.received().matches(text).count() >= times
        });
    }

    /// Waits until the server ends the connection; the status says whether it ended in good order.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(&mut self) -> ExitStatus {
        wait::eventually("the connection ends", SOON, || {
            self.child.try_wait().expect("a child can be asked")
        })
    }

    /// The process is gone, and with it the connection: without a word of TLS.
    pub fn vanish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.end();
    }
}

/// Shakes hands and leaves; the output tells what was settled.
///
/// # Panics
/// When there is no openssl.
#[must_use]
pub fn shake(addr: SocketAddr, authority: &Path, more: &str) -> Output {
    let mut command = command(addr, authority, more);
    let command = command.stdin(Stdio::null());
    command.output().expect("openssl runs")
}

fn command(addr: SocketAddr, authority: &Path, more: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &addr.to_string()]);
    command.arg("-CAfile").arg(authority);
    command.args(["-verify_return_error"]);
    command.args(more.split_whitespace());
    command
}
