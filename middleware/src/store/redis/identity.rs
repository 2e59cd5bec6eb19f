use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::upload::Timestamp;

const FILE: &str = "server";

/// What tells a state directory from every other, and this process from those that had the
/// directory before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Made once: 8 random bytes in hex.
    pub(super) id: String,
    /// Higher for every process; of two that think an upload theirs, because a directory was
    /// copied, the one that began later has it. Milliseconds since the epoch, or one more than last
    /// time.
    pub(super) fence: u64,
    /// Whether nobody had the directory before.
    #[serde(skip)]
    pub(super) is_new: bool,
}

impl Identity {
    /// Reads who had `dir` before, and notes that a process has it now that began at `now`.
    ///
    /// # Errors
    /// Those of the filesystem, or [`io::ErrorKind::InvalidData`].
    pub(super) fn take(dir: &Path, Timestamp(now): Timestamp) -> io::Result<Self> {
        let path = dir.join(FILE);
        let before: Option<Self> = match fs::read(&path) {
            Ok(text) => Some(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let taken = match before {
            Some(Self { id, fence, .. }) => Self {
                id,
                fence: now.max(fence + 1),
                is_new: false,
            },
            None => Self {
                id: random()?,
                fence: now,
                is_new: true,
            },
        };
        taken.write(dir)?;
        Ok(taken)
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let part = dir.join(format!("{FILE}.part"));
        let mut file = File::create(&part)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&part, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_process_is_later_than_those_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let take = |now| Identity::take(dir.path(), Timestamp(now)).unwrap();
        let first = take(1_000);
        assert_eq!(first.fence, 1_000);
        assert!(first.is_new && !take(1_500).is_new);
        assert_eq!(take(2_000).fence, 2_000);
        assert_eq!(take(2_000).fence, 2_001, "within the same millisecond");
        assert_eq!(take(3_000).id, first.id);
        // A clock that was set back changes nothing.
        assert_eq!(take(500).fence, 3_001);
    }

    #[test]
    fn what_cannot_be_read_is_no_new_identity() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Identity::take(dir.path(), Timestamp(1)).is_err());
    }
}
