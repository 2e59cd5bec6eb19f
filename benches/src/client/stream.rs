use std::io;

use super::{Connection, Payload, Upload};
use crate::contestant::Contestant;
use crate::workload::Workload;

/// The uploads of one connection.
pub(super) struct Stream<'a> {
    pub(super) contestant: Contestant,
    pub(super) workload: &'a Workload,
    pub(super) number: u64,
    pub(super) connection: Connection,
    pub(super) payload: &'a Payload,
}

impl Stream<'_> {
    /// Makes them, one after the other; answers what the server says of the last one.
    pub(super) fn run(mut self) -> io::Result<Option<String>> {
        let mut durability = None;
        for upload in 0..self.workload.uploads {
            let number = self.number * self.workload.uploads + upload;
            durability = self.make(number)?.durability;
        }
        Ok(durability)
    }

    fn make(&mut self, number: u64) -> io::Result<Upload> {
        let (total, chunk) = (self.workload.bytes, Workload::CHUNK);
        let connection = &mut self.connection;
        let upload = Upload::begin(connection, self.contestant, number, total, chunk)?;
        for chunk in 0..total.div_ceil(chunk) {
            let bytes = self.payload.cut(number + chunk, upload.len_of(chunk));
            upload.send(connection, chunk, bytes)?;
        }
        Ok(upload)
    }
}
