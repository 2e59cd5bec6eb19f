use std::fs;
use std::io;
use std::path::Path;

/// What `dir` is on, in words: what a flush costs depends on it more than on anything else.
pub(crate) fn describe(dir: &Path) -> io::Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // The longest one that leads there; of two at the same place, the later one hides the other.
    let mount = mounts
        .lines()
        .filter_map(Mount::parse)
        .filter(|mount| dir.starts_with(mount.point))
        .max_by_key(|mount| mount.point.len());
    Ok(mount.map_or_else(|| "unknown".to_owned(), |mount| mount.describe()))
}

/// A line of `proc_pid_mountinfo(5)`.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    point: &'a str,
    kind: &'a str,
    source: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let mut filesystem = filesystem.split(' ');
        Some(Self {
            point,
            kind: filesystem.next()?,
            source: filesystem.next()?,
            options: filesystem.next()?,
        })
    }

    fn describe(&self) -> String {
        let (kind, options) = (self.kind, self.options);
        let journal = match self.has_journal() {
            Some(false) => " without a journal",
            _ => "",
        };
        format!("{kind}{journal} ({options})")
    }

    /// Whether an ext4 has a journal; `None`: it is none, or does not say.
    fn has_journal(&self) -> Option<bool> {
        let device = self.source.strip_prefix("/dev/")?;
        let task = fs::read_to_string(format!("/sys/fs/ext4/{device}/journal_task"));
        Some(task.ok()?.trim() != "<none>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext4 /dev/root rw,errors=continue";
        let mount = Mount {
            point: "/mnt2",
            kind: "ext4",
            source: "/dev/root",
            options: "rw,errors=continue",
        };
        assert_eq!(Mount::parse(line), Some(mount));
        assert_eq!(Mount::parse("36 35 98:0"), None);
    }
}
