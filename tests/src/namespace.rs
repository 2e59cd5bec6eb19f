//! A network of a test's own: a namespace that lives as long as the thread that made it and the
//! processes it started.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// A network with its own loopback and the interfaces that the test makes. What is started from its
/// thread is in it.
#[derive(Debug)]
pub struct Namespace(());

impl Namespace {
    /// Why a test cannot have one here.
    ///
    /// # Errors
    /// The sentence.
    pub fn usable() -> Result<(), String> {
        let tried = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join();
        if !matches!(tried, Ok(Ok(()))) {
            return Err("a network namespace needs root".to_owned());
        }
        match Command::new("ip").arg("-V").output() {
            Ok(said) if said.status.success() => Ok(()),
            Ok(_) => Err("ip does not run".to_owned()),
            Err(error) => Err(format!("ip: {error}")),
        }
    }

    /// Does `work` on a thread in a new namespace.
    ///
    /// # Panics
    /// When there can be none, or `work` panics.
    pub fn run<T: Send>(work: impl FnOnce(&Self) -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
                let this = Self(());
                this.ip("link set lo up");
                work(&this)
            });
            let done = inside.join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` with these words.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, words: &str) {
        let output = Command::new("ip").args(words.split(' ')).output();
        let output = output.expect("ip runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {said}");
    }

    /// Makes an interface with an address; the other end of its cable has the name `veth-` and its.
    ///
    /// # Panics
    /// When that fails.
    pub fn add(&self, name: &str, address: &str) {
        self.ip(&format!("link add {name} type veth peer name veth-{name}"));
        self.ip(&format!("addr add {address} dev {name}"));
        self.ip(&format!("link set {name} up"));
        self.plug(name, true);
    }

    /// Plugs the cable of an interface in, or out.
    ///
    /// # Panics
    /// When that fails.
    pub fn plug(&self, name: &str, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        self.ip(&format!("link set veth-{name} {state}"));
    }
}
