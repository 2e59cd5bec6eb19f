use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// What sessions and bytes ask of a filesystem; as in POSIX where nothing else is said.
pub trait Filesystem: Send + Sync + 'static {
    /// Opens a file. A symbolic link in its place is an error; a new file is for its owner only.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;

    /// Makes a directory for its owner only, unless there is one.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, in place of any other of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; no error when there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Names the files of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Found>>;

    /// Makes the names in a directory durable (`fsync`).
    fn flush_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether [`Filesystem::flush_all`] is offered, and would not wait for a lot that is not ours.
    fn may_flush_all(&self) -> bool;

    /// Makes everything durable at once (`syncfs`).
    fn flush_all(&self) -> io::Result<()>;

    /// Bytes of free space for us on the filesystem of `dir`, as far as it is known.
    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>>;
}

/// An open file.
pub trait File: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are fewer bytes.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts or extends the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Sees to it that `len` bytes from `offset` can be written, as far as the filesystem can; the
    /// file gets no longer by it.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Makes its bytes and length durable (`fdatasync`); not its name.
    ///
    /// # Errors
    /// What was written since the last flush may be lost then, whatever a read shows and a later
    /// flush answers.
    fn flush(&self) -> io::Result<()>;

    /// Starts writing a range to the disk, without waiting for it.
    fn start_write_back(&self, offset: u64, len: u64);

    /// Lets the next read come from the disk, as far as nothing is unflushed.
    fn forget_cache(&self);
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// Any file, made when there is none.
    Create,
    /// A file that does not exist yet.
    CreateNew,
}

/// A file of a directory.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name in the directory.
    pub name: OsString,
    /// When its content last changed.
    pub modified: SystemTime,
}
