//! What only Linux offers around flushing. Elsewhere every file is flushed by itself.

use std::fs::File;
use std::io;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;
pub(super) use platform::{dirty_bytes, flush_filesystem, forget, leaves_cache, reserve, start};

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsRawFd as _;
    use std::path::Path;

    use super::{File, io};

    /// Bytes of the whole machine that wait to be written, as the kernel estimates them.
    pub(in super::super) fn dirty_bytes() -> Option<u64> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let kib = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches("kB").trim().parse().ok()
        };
        Some((kib("Dirty:")? + kib("Writeback:")?) << 10)
    }

    /// Flushes the whole filesystem of `file`. Before Linux 5.8 it did not answer errors, but
    /// those versions are out of care.
    pub(in super::super) fn flush_filesystem(file: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(file)?)
    }

    /// Whether flushing the filesystem of `file` can leave metadata in the cache of the disk: ext4
    /// without a journal writes it after it has told the disk to empty its cache.
    pub(in super::super) fn leaves_cache(file: &File) -> bool {
        let Ok(stat) = rustix::fs::fstat(file) else {
            return false;
        };
        let (major, minor) = (
            rustix::fs::major(stat.st_dev),
            rustix::fs::minor(stat.st_dev),
        );
        let device = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"));
        let name = device
            .ok()
            .and_then(|path| path.file_name().map(ToOwned::to_owned));
        let task = name.map(|name| Path::new("/sys/fs/ext4").join(name).join("journal_task"));
        let task = task.and_then(|path| std::fs::read_to_string(path).ok());
        task.is_some_and(|task| task.trim() == "<none>")
    }

    /// Drops what is cached of a file and not dirty.
    pub(in super::super) fn forget(file: &File) {
        // A hint: without it the cache answers, as it always does.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Allocates a range behind the end, where the filesystem can.
    pub(in super::super) fn reserve(file: &File, offset: u64, len: u64) -> io::Result<()> {
        let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
        let allocate = || rustix::fs::fallocate(file, keep_size, offset, len);
        Ok(rustix::io::retry_on_intr(allocate)?)
    }

    /// Starts writing dirty pages of a range.
    #[expect(unsafe_code, reason = "no crate wraps sync_file_range")]
    pub(in super::super) fn start(file: &File, offset: u64, len: u64) {
        let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
            return;
        };
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call takes
        // numbers only: no memory of ours is read or written.
        // What it answers is not needed: an error in writing is told by the flush that follows.
        unsafe {
            libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{File, io};

    pub(in super::super) fn dirty_bytes() -> Option<u64> {
        None
    }

    pub(in super::super) fn flush_filesystem(_: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in super::super) fn leaves_cache(_: &File) -> bool {
        false
    }

    pub(in super::super) fn forget(_: &File) {}

    pub(in super::super) fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn start(_: &File, _: u64, _: u64) {}
}
