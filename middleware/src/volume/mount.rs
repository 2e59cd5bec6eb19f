//! What kind of filesystem a directory is on, and whether a flush there can be relied on.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The mounts that this process sees: `proc_pid_mountinfo(5)`.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Why what is flushed in `dir` may not survive loss of power, as the rest of "it is on …"; nothing
/// where no reason is known.
pub fn doubt(dir: &Path) -> Option<String> {
    // What is not there yet will be made where its nearest parent is.
    let dir = std::path::absolute(dir).ok()?;
    let dir = dir.ancestors().find_map(|dir| fs::canonicalize(dir).ok())?;
    // Systems that do not tell have to be trusted.
    let mounts = fs::read(MOUNTS).ok()?;
    Mount::of(&dir, &mounts)?.doubt()
}

/// A mounted filesystem.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
    /// Options of the mount and of the filesystem.
    options: Vec<String>,
}

impl Mount {
    /// The one that `dir` is on.
    fn of(dir: &Path, mounts: &[u8]) -> Option<Self> {
        let lines = mounts.split(|&byte| byte == b'\n');
        let over = lines
            .filter_map(Self::parse)
            .filter(|mount| dir.starts_with(&mount.point));
        // Of several at one place the last one is seen.
        over.max_by_key(|mount| mount.point.as_os_str().len())
    }

    /// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<_> = line.split(|&byte| byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let options = [fields.get(5)?, fields.get(dash + 3)?].map(|field| text(field));
        let options = options.iter().flat_map(|list| list.split(','));
        Some(Self {
            point: PathBuf::from(OsString::from_vec(unescape(fields.get(4)?))),
            kind: text(fields.get(dash + 1)?),
            options: options.map(str::to_owned).collect(),
        })
    }

    fn doubt(&self) -> Option<String> {
        let has = |option: &str| self.options.iter().any(|has| has == option);
        let (kind, point) = (&self.kind, self.point.display());
        let why = match kind.as_str() {
            "tmpfs" | "ramfs" => "which is kept in memory",
            "overlay" if has("volatile") => "which was mounted with `volatile` and never flushes",
            "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "afs" | "ceph" | "lustre"
            | "virtiofs" | "vboxsf" | "prl_fs" | "glusterfs" => {
                "where it is for another machine to keep what it is told to flush"
            }
            fuse if fuse == "fuse" || fuse.starts_with("fuse.") => {
                "where it is for another program to keep what it is told to flush"
            }
            _ if has("nobarrier") || has("barrier=0") => {
                "which was mounted without barriers, so that a flush may end in the disk's cache"
            }
            _ => return None,
        };
        Some(format!("{kind} ({point}), {why}"))
    }
}

/// Blanks and backslashes are written as `\\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        let code = (byte == b'\\').then(|| octal(behind.get(..3)?)).flatten();
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        27 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
        28 27 0:30 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw,size=100k\n\
        29 28 253:1 / /tmp/disk rw - xfs /dev/vdb rw,attr2\n\
        30 27 0:31 / /mnt/my\\040share rw - nfs4 server:/a\\040b rw,vers=4.2\n\
        31 27 0:32 / /var/lib/box rw master:1 propagate_from:2 - overlay overlay rw,lowerdir=/l,volatile\n\
        32 27 0:33 / /var/lib/safe rw - overlay overlay rw,lowerdir=/l\n\
        33 27 0:34 / /srv rw,user_id=0 - fuse.sshfs me@there:/ rw\n\
        34 27 253:2 / /fast rw - ext4 /dev/vdc rw,nobarrier\n\
        35 27 253:3 / /srv rw - ext4 /dev/vdd rw\n";

    fn doubt(dir: &str) -> Option<String> {
        Mount::of(Path::new(dir), MOUNTS.as_bytes())
            .unwrap()
            .doubt()
    }

    #[test]
    fn disks_of_this_machine_are_trusted() {
        for dir in [
            "/",
            "/home/me",
            "/tmp/disk/state",
            "/tmpfs",
            "/var/lib/safe",
            "/srv/state",
        ] {
            assert_eq!(doubt(dir), None, "{dir}");
        }
    }

    #[test]
    fn what_cannot_promise_a_flush_is_named() {
        let table = [
            ("/tmp/state", "tmpfs (/tmp), which is kept in memory"),
            (
                "/mnt/my share/x",
                "nfs4 (/mnt/my share), where it is for another machine",
            ),
            (
                "/var/lib/box/state",
                "overlay (/var/lib/box), which was mounted with `volatile`",
            ),
            ("/fast", "ext4 (/fast), which was mounted without barriers"),
        ];
        for (dir, start) in table {
            let doubt = doubt(dir).unwrap();
            assert!(doubt.starts_with(start), "{doubt}");
        }
        let hidden = Mount::parse(MOUNTS.lines().nth(6).unwrap().as_bytes()).unwrap();
        assert!(hidden.doubt().unwrap().contains("another program"));
    }

    #[test]
    fn lines_of_another_shape_are_passed_over() {
        for line in [
            "",
            "-",
            "1 2 3",
            "27 1 253:0 / / rw - ext4",
            "a b c d e f -",
        ] {
            assert_eq!(Mount::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\134\\999"), b"\\\\999");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_is_understood() {
        let mounts = fs::read(super::MOUNTS).unwrap();
        let proc = Mount::of(Path::new("/proc/self"), &mounts).unwrap();
        assert_eq!((proc.point, &*proc.kind), (PathBuf::from("/proc"), "proc"));
    }

    #[test]
    fn what_is_not_there_yet_is_judged_by_where_it_will_be() {
        let there = tempfile::tempdir().unwrap();
        let missing = there.path().join("no/such/directory");
        assert_eq!(super::doubt(&missing), super::doubt(there.path()));
        assert_eq!(
            super::doubt(Path::new("no/such")),
            super::doubt(Path::new("."))
        );
    }
}
