//! Filesystems that can be cut off, filled, and thrown away.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;

use super::shutdown;

/// Far above what an unmount takes.
const UNMOUNT_MAX: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(2);

/// What a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// ext4 with a journal, in a file.
    Ext4,
    /// XFS, in a file.
    Xfs,
    /// Btrfs, in a file.
    Btrfs,
    /// Memory, with the options of the mount.
    Tmpfs(String),
}

impl Medium {
    fn name(&self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Tmpfs(_) => "tmpfs",
        }
    }
}

/// Makes a filesystem of kind $1 in the file $2 and attaches it; when its input ends, which also
/// happens when the bench is killed, takes everything off $3 and detaches it.
const GUARDIAN: &str = r#"
set -eu
trap '' INT TERM HUP
kind=$1 image=$2 mounted=$3 device=none
undo() {
    set +e
    umount "$mounted" 2>/dev/null || umount -l "$mounted" 2>/dev/null
    [ "$device" = none ] || losetup -d "$device"
}
trap undo EXIT
if [ "$kind" != tmpfs ]; then
    "mkfs.$kind" -q "$image" >&2
    device=$(losetup --find --show "$image")
fi
echo "device $device"
read -r _ || true
"#;

/// A filesystem of its own; undone when dropped.
#[derive(Debug)]
pub struct Disk {
    medium: Medium,
    device: String,
    dir: TempDir,
    guardian: Child,
    hold: Option<ChildStdin>,
}

impl Disk {
    /// Makes a filesystem of `size` bytes and mounts it.
    ///
    /// # Errors
    /// Why there can be none here.
    ///
    /// # Panics
    /// When there is no temporary directory.
    pub fn mount(medium: Medium, size: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting needs root".to_owned());
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (image, mounted) = (dir.path().join("image"), dir.path().join("disk"));
        let file = File::create(&image).and_then(|file| file.set_len(size));
        file.map_err(|error| error.to_string())?;
        std::fs::create_dir(&mounted).map_err(|error| error.to_string())?;
        let mut command = Command::new("bash");
        command.args(["-c", GUARDIAN, "disk", medium.name()]);
        command.args([&image, &mounted]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut guardian = command.spawn().map_err(|error| format!("bash: {error}"))?;
        let hold = guardian.stdin.take();
        let mut line = String::new();
        let mut said = BufReader::new(guardian.stdout.take().expect("a pipe"));
        let read = said.read_line(&mut line);
        // From here on dropping it undoes what was done.
        let mut disk = Self {
            medium,
            device: line.trim_end().replace("device ", ""),
            dir,
            guardian,
            hold,
        };
        if read.is_err() || disk.device.is_empty() {
            return Err(disk.complaint());
        }
        disk.remount().map_err(|error| format!("mount: {error}"))?;
        Ok(disk)
    }

    fn complaint(&mut self) -> String {
        self.hold = None;
        let mut text = String::new();
        if let Some(mut errors) = self.guardian.stderr.take() {
            let _ = errors.read_to_string(&mut text);
        }
        text.trim_end().replace('\n', "; ")
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Mounts it again after [`Disk::unmount`].
    ///
    /// # Errors
    /// What the system says.
    pub fn remount(&self) -> Result<(), Errno> {
        let options = match &self.medium {
            Medium::Tmpfs(options) => std::ffi::CString::new(options.as_str()).ok(),
            _ => None,
        };
        let (kind, flags) = (self.medium.name(), MountFlags::empty());
        rustix::mount::mount(&*self.device, self.path(), kind, flags, options.as_deref())
    }

    /// Unmounts it; what only its cache held is gone then.
    ///
    /// # Errors
    /// What the system says, when somebody keeps using it.
    pub fn unmount(&self) -> Result<(), Errno> {
        let begun = Instant::now();
        loop {
            match rustix::mount::unmount(self.path(), UnmountFlags::empty()) {
                // The kernel may still be closing what a dead process had open.
                Err(Errno::BUSY) if begun.elapsed() < UNMOUNT_MAX => {
                    std::thread::sleep(TRY_EVERY);
                }
                other => return other,
            }
        }
    }

    /// Cuts its power.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut(&self) -> std::io::Result<()> {
        shutdown::cut(&self.path())
    }

    /// Bytes that may still be written.
    ///
    /// # Panics
    /// When it is not mounted.
    #[must_use]
    pub fn free(&self) -> u64 {
        free(&self.path())
    }
}

/// Bytes that may still be written to the filesystem of `path`.
///
/// # Panics
/// When there is no such path.
#[must_use]
pub fn free(path: &Path) -> u64 {
    let stat = rustix::fs::statvfs(path).expect("a filesystem");
    stat.f_bavail * stat.f_frsize
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.hold = None;
        let _ = self.guardian.wait();
    }
}
