use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
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

/// Gives the space of a file back here and now. Whoever has it open may close it last, on a thread
/// that should not spend a second per ten gigabytes with it. A file that was published under another
/// name keeps its bytes.
pub(super) fn release(path: &Path) {
    let only_ours = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() == 1);
    let mut options = OpenOptions::new();
    options.write(true);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    if let Ok(file) = options.open(path)
        && only_ours(&file)
    {
        // It is about to be removed: what cannot be done now happens then.
        let _ = file.set_len(0);
    }
}
