use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::super::contract::{Blob, BoxFuture, Hold, Queued};
use crate::volume::{File, Flush, Volume};

/// Writing to the disk begins when this much has come, so that the flush at a chunk's end has
/// little left to do.
const WINDOW: u64 = 1 << 20;

/// The open file of one upload.
#[derive(Clone)]
pub(super) struct LocalFile {
    file: Arc<dyn File>,
    dir: Arc<PathBuf>,
    volume: Arc<Volume>,
    /// Whether writing to the disk begins before the flush.
    early: bool,
    /// Whether the file's name is known to be durable.
    named: Arc<AtomicBool>,
}

impl LocalFile {
    pub(super) fn new(
        file: Arc<dyn File>,
        dir: Arc<PathBuf>,
        volume: Arc<Volume>,
        early: bool,
    ) -> Self {
        Self {
            file,
            dir,
            volume,
            early,
            named: Arc::default(),
        }
    }

    fn write_here(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        let end = offset + bytes.len() as u64;
        let (from, to) = (offset / WINDOW * WINDOW, end / WINDOW * WINDOW);
        if self.early && from < to {
            self.file.start_write_back(from, to - from);
        }
        Ok(())
    }
}

impl Blob for LocalFile {
    fn write_now(&self, offset: u64, bytes: &[u8]) -> Option<io::Result<()>> {
        let turn = self.volume.pace().turn_now()?;
        Some(turn.run(|| self.write_here(offset, bytes)))
    }

    fn write(&self, offset: u64, bytes: Bytes, hold: Hold) -> BoxFuture<'static, io::Result<()>> {
        let this = self.clone();
        Box::pin(async move {
            let volume = Arc::clone(&this.volume);
            if let Some(turn) = volume.pace().turn().await {
                return turn.run(|| this.write_here(offset, &bytes));
            }
            let write = volume.run(move |_| {
                let pace = this.volume.pace();
                let result = pace.time(|| this.write_here(offset, &bytes));
                drop(hold);
                result
            });
            write.await
        })
    }

    fn flush(&self, queued: Option<Queued>) -> BoxFuture<'static, io::Result<()>> {
        let this = self.clone();
        Box::pin(async move {
            let mut what = vec![Flush::File(this.file)];
            if !this.named.load(Ordering::Relaxed) {
                what.push(Flush::Dir(this.dir));
            }
            this.volume.flush(what, queued).await?;
            this.named.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    fn recover(&self) -> BoxFuture<'static, io::Result<()>> {
        let this = self.clone();
        Box::pin(async move {
            this.flush(None).await?;
            let file = this.file;
            this.volume
                .run(move |_| {
                    file.forget_cache();
                    Ok(())
                })
                .await
        })
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        let (file, volume) = (Arc::clone(&self.file), Arc::clone(&self.volume));
        Box::pin(async move { volume.run(move |_| file.len()).await })
    }

    fn read(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let (file, volume) = (Arc::clone(&self.file), Arc::clone(&self.volume));
        // Made here: an allocator that keeps memory by thread would keep some for each of the many
        // blocking threads.
        let mut buffer = vec![0; len];
        Box::pin(async move {
            let read = volume.run(move |_| {
                file.read_exact_at(&mut buffer, offset)?;
                Ok(buffer.into())
            });
            read.await
        })
    }
}
