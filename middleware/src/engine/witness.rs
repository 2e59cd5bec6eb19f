use std::sync::Arc;

use super::known::Known;
use crate::event::{Change, Event, Events, What};
use crate::upload::{Entry, Record, State, UploadKey};

/// Sees every change of a record, and passes it on.
#[derive(Clone)]
pub(super) struct Witness {
    pub(super) events: Events,
    known: Arc<Known>,
}

impl Witness {
    pub(super) fn new(events: Events, known: Arc<Known>) -> Self {
        Self { events, known }
    }

    /// An entry was folded into a record that was in the state `before`.
    pub(super) fn saw(&self, key: UploadKey, before: State, entry: &Entry, record: &Record) {
        let moved = record.state != before;
        if moved {
            self.known.moved(key, record);
        }
        if let Entry::Received { len, .. } = entry {
            self.events.counts().chunks.add(1);
            self.events.counts().chunk_bytes.add(*len);
        }
        let moves_bytes = matches!(entry, Entry::Received { .. } | Entry::Withdrawn { .. });
        if moved || moves_bytes {
            self.tell(key, What::reached(record.state), record);
        }
    }

    /// Tells what happened to an upload.
    pub(super) fn tell(&self, key: UploadKey, what: What, record: &Record) {
        self.events.tell(Event::Upload(Change {
            key,
            what,
            state: record.state,
            revision: record.revision,
            uploaded: record.ranges.bytes(),
            total: record.header.declaration.total,
        }));
    }
}
