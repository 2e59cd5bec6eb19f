//! Shared extents: two files on one copy of their bytes, which the kernel takes apart again when
//! one of them is written (`ioctl_fideduperange(2)`).
//!
//! The kernel locks both files, compares the bytes, and shares only what is the same: nothing that
//! happens at the same time can do harm. It changes neither times nor anything else that shows.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use super::candidate::Candidate;
use super::lease;
use super::pace::Pace;
use super::trouble::Trouble;

/// Bytes asked for at once. The files are locked as long as it takes to compare them; Btrfs takes
/// no more.
const PIECE: u64 = 16 << 20;

/// What the filesystem lacks.
const NO_REFLINKS: Trouble = Trouble::Unsupported("it has no reflinks");

/// Whether the filesystem of `file` may have shared extents at all; some say no only when asked to
/// share something.
///
/// # Errors
/// [`Trouble::Unsupported`].
pub fn probe(file: &File) -> Result<(), Trouble> {
    match dedupe(file, file, 0, 0) {
        Err(error @ Trouble::Unsupported(_)) => Err(error),
        _ => Ok(()),
    }
}

/// Makes `to` share all bytes of `from`; both have the same length. Answers whether they were the
/// same.
///
/// # Errors
/// Part of it may be shared nevertheless; that does no harm.
pub fn share(from: &Candidate, to: &Candidate, pace: &mut Pace) -> Result<bool, Trouble> {
    let mut offset = 0;
    while offset < to.facts.stamp.size {
        let len = PIECE.min(to.facts.stamp.size - offset);
        let shared = pace.piece(|| {
            // Not kept while the kernel compares: whoever wants to write need not wait for it.
            lease::check(&from.file)?;
            lease::check(&to.file)?;
            dedupe(&from.file, &to.file, offset, len)
        })?;
        match shared {
            // It would go on for ever.
            Some(0) => return Err(io::Error::other("nothing is shared").into()),
            Some(shared) => offset += shared,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// Shares one range, at the same offset in both; `None` when it is not the same. Answers how many
/// bytes are shared: the kernel may do less than it is asked for.
fn dedupe(from: &File, to: &File, offset: u64, len: u64) -> Result<Option<u64>, Trouble> {
    let mut request = Request {
        head: Head {
            src_offset: offset,
            src_length: len,
            dest_count: 1,
            reserved1: 0,
            reserved2: 0,
        },
        info: Info {
            dest_fd: to.as_raw_fd().into(),
            dest_offset: offset,
            bytes_deduped: 0,
            status: 0,
            reserved: 0,
        },
    };
    fideduperange(from, &mut request).map_err(trouble)?;
    match request.info.status {
        0 => Ok(Some(request.info.bytes_deduped.min(len))),
        1 => Ok(None),
        error => Err(trouble(Errno::from_raw_os_error(-error))),
    }
}

fn trouble(errno: Errno) -> Trouble {
    match errno {
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS => NO_REFLINKS,
        // Btrfs while it sends a snapshot.
        Errno::AGAIN | Errno::INTR | Errno::BUSY => Trouble::Busy,
        // There is no room for the change itself.
        Errno::NOSPC | Errno::DQUOT => Trouble::Busy,
        errno => errno.into(),
    }
}

/// `struct file_dedupe_range` without the array at its end.
#[repr(C)]
struct Head {
    src_offset: u64,
    src_length: u64,
    dest_count: u16,
    reserved1: u16,
    reserved2: u32,
}

/// `struct file_dedupe_range_info`.
#[repr(C)]
struct Info {
    dest_fd: i64,
    dest_offset: u64,
    bytes_deduped: u64,
    status: i32,
    reserved: u32,
}

/// `struct file_dedupe_range` for one destination.
#[repr(C)]
struct Request {
    head: Head,
    info: Info,
}

/// `FIDEDUPERANGE`: the number carries the size of the structure without its array.
const FIDEDUPERANGE: Opcode = opcode::read_write::<Head>(0x94, 54);

#[expect(unsafe_code, reason = "no crate wraps FIDEDUPERANGE")]
fn fideduperange(from: &File, request: &mut Request) -> Result<(), Errno> {
    // SAFETY: `FIDEDUPERANGE` reads the head and `dest_count` entries behind it and writes the
    // entries; `dest_count` is one, and `Request` is laid out as the kernel's structure with one
    // entry. The descriptors are open for as long as the files are borrowed by our caller; a wrong
    // one would be refused.
    unsafe { ioctl(from, Updater::<FIDEDUPERANGE, Request>::new(request)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_the_kernel_expects() {
        assert_eq!(size_of::<Head>(), 24);
        assert_eq!(size_of::<Request>(), 24 + 32);
        // As on most machines; MIPS, PowerPC and SPARC number otherwise.
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert_eq!(FIDEDUPERANGE, 0xc018_9436);
        }
    }

    #[test]
    fn a_filesystem_without_it_says_so() {
        // Kept in memory, on every Linux.
        let (_reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(probe(&file).is_ok() || matches!(probe(&file), Err(Trouble::Unsupported(_))));
        assert!(matches!(trouble(Errno::OPNOTSUPP), Trouble::Unsupported(_)));
        assert!(matches!(trouble(Errno::XDEV), Trouble::Refused(_)));
        assert!(matches!(trouble(Errno::AGAIN), Trouble::Busy));
    }
}
