use std::io;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Connection, Payload, Upload, joined};
use crate::acks::Flow;
use crate::contestant::Contestant;
use crate::latency::Latencies;

/// Connections that send chunk after chunk of uploads that never end.
pub(crate) struct Lanes<'a> {
    flow: &'a Flow,
    payload: &'a Payload,
    /// What the server says that an acknowledgement means.
    pub(crate) durability: Option<String>,
    connections: Vec<Connection>,
    uploads: Vec<Endless>,
}

/// An upload whose last chunk is never sent, so that what is timed is chunks and nothing else.
struct Endless {
    upload: Upload,
    next: AtomicU64,
    /// How many chunks may be sent.
    chunks: u64,
}

/// When lanes stop.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// After so many acknowledgements in all.
    pub(crate) acks: u64,
    /// Or after that time.
    pub(crate) time: Duration,
}

impl<'a> Lanes<'a> {
    /// Connects, and begins the uploads.
    pub(crate) fn open(
        contestant: Contestant,
        flow: &'a Flow,
        address: SocketAddr,
        payload: &'a Payload,
    ) -> io::Result<Self> {
        let connections: io::Result<Vec<_>> = (0..flow.connections)
            .map(|_| Connection::open(address))
            .collect();
        let (mut connections, mut uploads) = (connections?, Vec::new());
        let chunks = flow.chunks_max();
        let total = (chunks + 1) * flow.chunk;
        for (number, connection) in (0..flow.uploads).zip(&mut connections) {
            let upload = Upload::begin(connection, contestant, number, total, flow.chunk)?;
            let next = AtomicU64::new(0);
            uploads.push(Endless {
                upload,
                next,
                chunks,
            });
        }
        Ok(Self {
            flow,
            payload,
            durability: uploads
                .first()
                .and_then(|first| first.upload.durability.clone()),
            connections,
            uploads,
        })
    }

    /// All lanes send until `limit`; answers how long that took, and how long each
    /// acknowledgement.
    pub(crate) fn run(&mut self, limit: Limit) -> io::Result<(Duration, Latencies)> {
        let (left, start) = (
            AtomicU64::new(limit.acks),
            Barrier::new(self.connections.len() + 1),
        );
        let mut all = Latencies::default();
        let elapsed = thread::scope(|scope| {
            let uploads = self.uploads.iter().cycle();
            let lanes = self.connections.iter_mut().zip(uploads);
            let threads: Vec<_> = lanes
                .map(|(connection, upload)| {
                    let (left, start, payload) = (&left, &start, self.payload);
                    scope.spawn(move || {
                        start.wait();
                        upload.run(connection, payload, left, Instant::now() + limit.time)
                    })
                })
                .collect();
            start.wait();
            let begun = Instant::now();
            for thread in threads {
                all.add(joined(thread)?);
            }
            Ok::<_, io::Error>(begun.elapsed())
        })?;
        Ok((elapsed, all))
    }

    /// Bytes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        let chunks = self.uploads.iter().map(Endless::sent).sum::<u64>();
        chunks * self.flow.chunk
    }

    /// Bytes that the server says it holds; `None`: it cannot say.
    pub(crate) fn held(&mut self) -> io::Result<Option<u64>> {
        let mut sum = None;
        for (upload, connection) in self.uploads.iter().zip(&mut self.connections) {
            if let Some(held) = upload.upload.held(connection)? {
                sum = Some(sum.unwrap_or(0) + held);
            }
        }
        Ok(sum)
    }
}

impl Endless {
    fn run(
        &self,
        connection: &mut Connection,
        payload: &Payload,
        left: &AtomicU64,
        deadline: Instant,
    ) -> io::Result<Latencies> {
        let mut latencies = Latencies::default();
        let mut before = Instant::now();
        while before < deadline && take(left).is_some() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.chunks {
                break;
            }
            let bytes = payload.cut(number, self.upload.len_of(number));
            self.upload.send(connection, number, bytes)?;
            let now = Instant::now();
            latencies.push(now - before);
            before = now;
        }
        Ok(latencies)
    }

    fn sent(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.chunks)
    }
}

fn take(left: &AtomicU64) -> Option<u64> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .ok()
}
