//! Whether anybody has a file open for writing: only the kernel knows, and it tells whoever asks
//! for a read lease (`fcntl(2)`, "Leases").

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use super::trouble::Trouble;

/// Chooses the signal that tells the holder of a lease; not in `libc`.
const F_SETSIG: libc::c_int = 10;

/// While it lives, nobody has the file open for writing: whoever opens it so waits until this is
/// dropped, so it must not be kept for long.
#[derive(Debug)]
pub struct Lease<'a>(&'a File);

impl<'a> Lease<'a> {
    /// Takes a lease.
    ///
    /// # Errors
    /// [`Trouble::Busy`] when somebody has the file open for writing.
    pub fn take(file: &'a File) -> Result<Self, Trouble> {
        // The kernel tells the holder of a lease that somebody waits, by a signal: `SIGIO`, which
        // would end the process, unless another one is chosen. This one is ignored unless an app
        // asks for it, and nobody needs it here: the lease is asked.
        fcntl(file, F_SETSIG, libc::SIGURG)?;
        let taken = fcntl(file, libc::F_SETLEASE, libc::F_RDLCK);
        taken.map_err(|error| match error.raw_os_error() {
            Some(libc::EAGAIN) => Trouble::Busy,
            // Files of other users are not ours to share, nor to change.
            Some(libc::EACCES) => Trouble::Refused(error),
            _ => Trouble::Unsupported("it does not tell which files are open for writing"),
        })?;
        Ok(Self(file))
    }

    /// Whether somebody waits to open the file for writing.
    pub fn is_broken(&self) -> bool {
        !fcntl(self.0, libc::F_GETLEASE, 0).is_ok_and(|kind| kind == libc::F_RDLCK)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // A lease that is gone already is as good.
        let _ = fcntl(self.0, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

/// Whether the file can be shared now, so far as others use it.
///
/// # Errors
/// Those of [`Lease::take`].
pub fn check(file: &File) -> Result<(), Trouble> {
    Lease::take(file).map(drop)
}

#[expect(unsafe_code, reason = "no crate wraps leases")]
fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the commands used here
    // take a number: no memory of ours is read or written.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_file_that_is_open_for_writing_is_busy() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let file = File::open(&path).unwrap();
        check(&file).unwrap();
        let reader = File::open(&path).unwrap();
        check(&file).unwrap();
        drop(reader);
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(matches!(check(&file), Err(Trouble::Busy)));
        drop(writer);
        check(&file).unwrap();
    }

    /// The signal does not end this process, which asked for nothing of the kind.
    #[test]
    fn who_opens_it_for_writing_waits_and_is_noticed() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let file = File::open(&path).unwrap();
        let lease = Lease::take(&file).unwrap();
        assert!(!lease.is_broken());
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
                sender.send(()).unwrap();
                writer.write_all(b"more").unwrap();
            });
            while !lease.is_broken() {
                std::thread::yield_now();
            }
            assert!(receiver.try_recv().is_err(), "the writer waits");
            drop(lease);
            receiver.recv().unwrap();
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"more");
        check(&file).unwrap();
    }
}
