use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sabotage::{Bug, has};
use crate::volume::{File, Filesystem, Found, Open};

/// More than a record of a chunk and a mark take in a log.
const LAST_RECORDS: u64 = 60;

/// Where the length of the first record stands in a log, and where that record begins.
const FIRST_LEN: u64 = 24;
const FIRST: u64 = 32;

/// Cuts what is last in a log, but not the header.
fn cut_last_records(log: &dyn File) -> io::Result<()> {
    let mut first = [0; 4];
    let len = log.len()?;
    if len < FIRST {
        return Ok(());
    }
    log.read_exact_at(&mut first, FIRST_LEN)?;
    let header = FIRST + u64::from(u32::from_le_bytes(first));
    if header < len {
        log.set_len(header.max(len.saturating_sub(LAST_RECORDS)))?;
    }
    Ok(())
}

pub(super) struct Files(pub(super) Arc<dyn Filesystem>);

impl Filesystem for Files {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let inner = self.0.open(path, how)?;
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if has(Bug::TruncateRecords) && is_log && how == Open::Write {
            cut_last_records(inner.as_ref())?;
        }
        Ok(Arc::new(Opened {
            inner,
            is_log,
            late: Mutex::default(),
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Found>> {
        self.0.list(dir)
    }

    fn flush_dir(&self, dir: &Path) -> io::Result<()> {
        if has(Bug::NoDirectoryFlush) {
            return Ok(());
        }
        flush(|| self.0.flush_dir(dir))
    }

    /// Never offered: it would do what a bug leaves out.
    fn may_flush_all(&self) -> bool {
        false
    }

    fn flush_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.0.free_space(dir)
    }
}

fn flush(mut inner: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let flushed = inner();
    if flushed.is_err() && has(Bug::RetryFlush) {
        return inner();
    }
    if has(Bug::IgnoreFlushError) {
        return Ok(());
    }
    flushed
}

struct Opened {
    inner: Arc<dyn File>,
    is_log: bool,
    /// Bytes that are written later than they should be.
    late: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl Opened {
    fn write_late(&self) -> io::Result<()> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        for (offset, bytes) in late.drain(..) {
            self.inner.write_all_at(&bytes, offset)?;
        }
        Ok(())
    }
}

impl File for Opened {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if has(Bug::ClaimBeforeData) && !self.is_log {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            late.push((offset, bytes.to_vec()));
            return Ok(());
        }
        self.inner.write_all_at(bytes, offset)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.write_late()?;
        self.inner.read_exact_at(buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn flush(&self) -> io::Result<()> {
        let skipped = match self.is_log {
            true => has(Bug::AckBeforeLog),
            false => has(Bug::NoDataFlush),
        };
        if skipped {
            return Ok(());
        }
        flush(|| self.inner.flush())?;
        self.write_late()
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.reserve(offset, len)
    }

    fn start_write_back(&self, offset: u64, len: u64) {
        if !has(Bug::NoDataFlush) {
            self.inner.start_write_back(offset, len);
        }
    }

    fn forget_cache(&self) {
        if !has(Bug::BelieveCache) {
            self.inner.forget_cache();
        }
    }
}
