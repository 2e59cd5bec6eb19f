use std::io;

use rustix::io::Errno;

/// Why something was not done.
#[derive(Debug)]
pub enum Trouble {
    /// The work is to end.
    Stopped,
    /// Somebody has the file open for writing, or the filesystem has no time for it: later.
    Busy,
    /// The file is not what it was.
    Changed,
    /// The filesystem cannot do it, for any file; what it lacks.
    Unsupported(&'static str),
    /// It cannot be done for this file, as it is now.
    Refused(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Refused(error),
        }
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}
