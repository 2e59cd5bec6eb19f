use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::super::contract::{Blob, BoxFuture, Hold};
use super::blocking;
use crate::pace::Pace;

/// The open file of one upload.
///
/// `std::fs::File` and not tokio's: that one answers a write before it happened and can lose its
/// error.
pub(super) struct LocalFile {
    file: Arc<File>,
    pace: Arc<Pace>,
}

impl LocalFile {
    pub(super) fn new(file: File, pace: Arc<Pace>) -> Self {
        Self {
            file: Arc::new(file),
            pace,
        }
    }
}

impl Blob for LocalFile {
    fn write_now(&self, offset: u64, bytes: &[u8]) -> Option<io::Result<()>> {
        let turn = self.pace.turn_now()?;
        Some(turn.run(|| self.file.write_all_at(bytes, offset)))
    }

    fn write(&self, offset: u64, bytes: Bytes, hold: Hold) -> BoxFuture<'static, io::Result<()>> {
        let (file, pace) = (Arc::clone(&self.file), Arc::clone(&self.pace));
        Box::pin(async move {
            if let Some(turn) = pace.turn().await {
                return turn.run(|| file.write_all_at(&bytes, offset));
            }
            let write = blocking(move || {
                let result = pace.time(|| file.write_all_at(&bytes, offset));
                drop(hold);
                result
            });
            write.await
        })
    }

    fn read(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let file = Arc::clone(&self.file);
        // Made here: an allocator that keeps memory by thread would keep some for each of the many
        // blocking threads.
        let mut buffer = vec![0; len];
        blocking(move || {
            file.read_exact_at(&mut buffer, offset)?;
            Ok(buffer.into())
        })
    }
}
