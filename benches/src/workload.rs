use crate::lineup::Lineup;

/// Bytes of one `MiB`.
pub(crate) const MIB: u64 = 1 << 20;

/// Uploads that are made in one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// As the command line calls it.
    pub(crate) name: &'static str,
    /// Connections, all at work at once.
    pub(crate) streams: u64,
    /// Uploads of one connection, one after the other.
    pub(crate) uploads: u64,
    /// Bytes of one upload.
    pub(crate) bytes: u64,
    /// What matters.
    pub(crate) unit: Unit,
    /// Who makes them.
    pub(crate) lineup: &'static Lineup,
}

/// What a workload is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// MiB per second, seconds of processor time per GiB.
    Bytes,
    /// Uploads per second, milliseconds of processor time per upload.
    Uploads,
}

impl Workload {
    /// Bytes of one request, in all but the last of an upload.
    pub(crate) const CHUNK: u64 = 5 * MIB;

    /// Uploads in all.
    pub(crate) fn count(&self) -> u64 {
        self.streams * self.uploads
    }

    /// Bytes in all.
    pub(crate) fn total(&self) -> u64 {
        self.count() * self.bytes
    }

    /// What happens, in words.
    pub(crate) fn title(&self) -> String {
        let (count, streams) = (self.count(), self.streams);
        let size = match self.bytes {
            bytes if bytes < MIB => format!("{} KiB", bytes >> 10),
            bytes => format!("{} MiB in chunks of {} MiB", bytes >> 20, Self::CHUNK >> 20),
        };
        format!("{}: {count} x {size}, connections: {streams}", self.name)
    }
}
