//! Stops a filesystem where it stands, as a power cut would.
//!
//! The one place of these tests with `unsafe`: the request has no safe wrapper.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `FS_IOC_SHUTDOWN`, also `XFS_IOC_GOINGDOWN`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// Neither data nor journal is written any more: `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const NO_LOG_FLUSH: u32 = 2;

/// Stops the filesystem mounted at `path`: what was not flushed is gone once it is unmounted.
///
/// # Errors
/// What the system says: this needs `CAP_SYS_ADMIN`, and ext4 or XFS.
pub fn cut(path: &Path) -> io::Result<()> {
    let mounted = File::open(path)?;
    // SAFETY: the request is defined for a pointer to a 32-bit number that the kernel only reads
    // (`get_user`, in spite of the direction in its number), and `Setter` passes a pointer to just
    // that, valid for the whole call. The descriptor is open, and owned here.
    unsafe { ioctl(&mounted, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }?;
    Ok(())
}
