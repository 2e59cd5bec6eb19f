use std::time::Duration;

use crate::client::Limit;
use crate::lineup::Lineup;

/// Chunks that are measured one by one: connections that stay, uploads that never end.
#[derive(Debug)]
pub(crate) struct Flow {
    /// As the command line calls it.
    pub(crate) name: &'static str,
    pub(crate) connections: u64,
    /// Uploads that the connections share evenly.
    pub(crate) uploads: u64,
    /// Bytes of one chunk.
    pub(crate) chunk: u64,
    /// Acknowledgements in all, that are measured.
    pub(crate) acks: u64,
    pub(crate) lineup: &'static Lineup,
}

impl Flow {
    /// Longest time; only a very slow disk reaches it.
    const TIME_MAX: Duration = Duration::from_secs(60);

    /// Acknowledgements before those that are measured: files are made, caches warm.
    pub(crate) fn warm(&self) -> Limit {
        Limit {
            acks: (self.acks / 8).max(self.connections),
            time: Self::TIME_MAX,
        }
    }

    /// Those that are measured.
    pub(crate) fn measured(&self) -> Limit {
        Limit {
            acks: self.acks,
            time: Self::TIME_MAX,
        }
    }

    /// Bytes that may be sent.
    pub(crate) fn total(&self) -> u64 {
        (self.acks + self.warm().acks) * self.chunk
    }

    /// How many chunks one upload may get: twice its share, where they are several, as a server may
    /// like one connection better than another.
    pub(crate) fn chunks_max(&self) -> u64 {
        let all = self.total() / self.chunk;
        all.min((2 * all).div_ceil(self.uploads))
    }

    /// What happens, in words.
    pub(crate) fn title(&self) -> String {
        let size = match self.chunk {
            chunk if chunk < 1 << 20 => format!("{} KiB", chunk >> 10),
            chunk => format!("{} MiB", chunk >> 20),
        };
        let (name, acks, connections) = (self.name, self.acks, self.connections);
        let uploads = match self.uploads {
            1 => "one upload".to_owned(),
            uploads => format!("{uploads} uploads"),
        };
        format!("{name}: {acks} chunks of {size} into {uploads}, connections: {connections}")
    }
}
