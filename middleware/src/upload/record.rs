use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digest, FileName, Ranges, Span, State, Timestamp};

/// Who an upload belongs to: what the app's `on_create` answered, else the id of the key that
/// signed; empty when nobody is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub String);

/// What a client said about its file when it created the upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// The file's name.
    pub name: FileName,
    /// The file's size in bytes.
    pub total: u64,
    /// The chunk size the client will use, in bytes, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
    /// The media type of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Digests of the whole file (RFC 9530 `Repr-Digest`), checked before delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// The host the client addressed, repeated at the hand-off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Headers of the create request that `delivery.forward_headers` keeps, in order; values
    /// read as ISO-8859-1, so that every byte survives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// The limits an upload was created with and keeps, whatever the configuration says later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Announced chunk size, bytes.
    pub chunk_size: u64,
    /// Smallest chunk size a client may choose, bytes.
    pub chunk_size_min: u64,
    /// Largest chunk size a client may choose, bytes.
    pub chunk_size_max: u64,
}

/// What an acknowledgement survives; an upload keeps the level it was created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Loss of power: everything is flushed before the answer.
    Power,
    /// The end of the process, however it comes.
    Process,
}

impl Durability {
    /// Its name in the configuration and in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Process => "process",
        }
    }
}

/// The first entry of every upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// When the upload was created.
    pub created: Timestamp,
    /// Who created it.
    #[serde(default)]
    pub owner: Owner,
    /// The id of the key that signed its create; `None` where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// What it is to become.
    pub declaration: Declaration,
    /// The limits it keeps.
    pub limits: Limits,
    /// What its acknowledgements survive.
    pub durability: Durability,
}

impl Header {
    /// Whether the key of this id signed its create.
    #[must_use]
    pub fn is_signed_by(&self, key_id: &str) -> bool {
        self.signer.as_deref() == Some(key_id)
    }
}

/// The stored part of a handler's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The headers that are kept, lower-case names.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body.
    #[serde(with = "hex")]
    pub body: Vec<u8>,
    /// Whether the body was longer.
    #[serde(default)]
    pub truncated: bool,
}

/// Why an attempt to hand an upload over did not end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The handler asked to be asked again.
    Answered(Answer),
    /// The handler took longer than `delivery.timeout`.
    TimedOut,
    /// The handler panicked.
    Panicked,
    /// The handler's service returned an error, or broke off.
    Broken,
    /// The process died in the middle.
    Interrupted,
    /// The file could not be put where store mode keeps it; what was tried can be tried again.
    NotStored,
    /// The bytes could not be read as they were received: the handler was not given the file.
    Unreadable,
}

impl Failure {
    /// Whether nobody can tell if the handler did its work.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        !matches!(self, Self::Answered(_) | Self::NotStored | Self::Unreadable)
    }
}

/// One thing that happened to an upload: a line of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are described with their variants")]
pub enum Entry {
    /// It was created; always the first entry, and only there.
    Created(Arc<Header>),
    /// The client's chunk size was adopted, for good. Bytes.
    ChunkSize { bytes: u64 },
    /// Bytes `start..start + len` with this CRC-32C are held.
    Received {
        start: u64,
        len: u64,
        crc: u32,
        at: Timestamp,
    },
    /// Bytes failed their checksum and are asked for again.
    Withdrawn { start: u64, len: u64, at: Timestamp },
    /// Everything before this, entries and their bytes, was flushed.
    Synced,
    /// Nothing is missing; no byte is accepted from here on.
    Sealed { at: Timestamp },
    /// The whole file is not what the client declared.
    DigestMismatch { at: Timestamp },
    /// An attempt to hand over begins.
    HandoffBegun { at: Timestamp },
    /// The attempt did not end the upload.
    HandoffFailed { failure: Failure, at: Timestamp },
    /// The handler decided. `name` is the stored name in store mode, `sha256` the hex digest
    /// of the bytes the handler was given, where it was computed.
    HandoffEnded {
        answer: Option<Answer>,
        name: Option<FileName>,
        sha256: Option<String>,
        at: Timestamp,
    },
    /// The client gave the upload up.
    Cancelled { at: Timestamp },
}

impl Entry {
    /// Whether something outside of the upload may depend on the entry: then it has to be flushed
    /// before that happens. The others are flushed with those that follow them.
    #[must_use]
    pub fn is_promise(&self) -> bool {
        !matches!(
            self,
            Self::Created(_) | Self::ChunkSize { .. } | Self::Synced | Self::Sealed { .. }
        )
    }
}

/// Everything known about one upload: the fold of its entries.
#[derive(Clone, Debug)]
pub struct Record {
    /// How it began.
    pub header: Arc<Header>,
    /// Number of entries so far; what compare-and-swap compares.
    pub revision: u64,
    /// Where it stands.
    pub state: State,
    /// The chunk size in force, bytes.
    pub chunk_size: u64,
    /// Whether the client has settled the chunk size, at create or with its first chunk.
    pub chunk_size_agreed: bool,
    /// The received pieces.
    pub ranges: Ranges,
    /// Pieces that were not known to be flushed when the last [`Entry::Synced`] was written; not
    /// kept where nothing is flushed.
    pub unproven: Vec<Span>,
    /// Whether an [`Entry::Synced`] stands behind all that something may depend on.
    pub is_proven: bool,
    /// The last time something happened.
    pub last_activity: Timestamp,
    /// When it was completed, rejected or cancelled.
    pub ended: Option<Timestamp>,
    /// Attempts to hand it over that began.
    pub attempts: u32,
    /// Whether an attempt began that neither failed nor ended.
    pub in_handoff: bool,
    /// Why the last attempt failed.
    pub failure: Option<Arc<Failure>>,
    /// The handler's final answer; none in store mode or on a digest mismatch.
    pub answer: Option<Arc<Answer>>,
    /// The name under which store mode keeps the file.
    pub stored_name: Option<FileName>,
    /// SHA-256 of the file as lower-case hex, where it was computed.
    pub sha256: Option<String>,
    /// CRC-32C of the file, once it is completed: joining it of thousands of pieces is work.
    pub crc32c: Option<u32>,
}

/// An entry that cannot follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The first entry is not `Created`, or a later one is.
    #[error("an upload begins with exactly one header")]
    Header,
    /// The header gives sizes that no upload has.
    #[error("an upload has at most 2^63-1 bytes, in chunks of at least one")]
    Size,
    /// The state does not allow it.
    #[error("an upload that is {from} cannot become {to}")]
    Move {
        /// The state the upload is in.
        from: State,
        /// The state the entry would lead to.
        to: State,
    },
    /// Bytes that are held already, lie outside the file, or come at the wrong time.
    #[error("the range cannot be received or withdrawn")]
    Range,
}

impl Record {
    /// The record of an upload of which only the header is known.
    #[must_use]
    pub fn new(header: Arc<Header>) -> Self {
        Self {
            revision: 1,
            state: State::Receiving,
            chunk_size: header
                .declaration
                .chunk_size
                .unwrap_or(header.limits.chunk_size),
            chunk_size_agreed: header.declaration.chunk_size.is_some(),
            ranges: Ranges::default(),
            unproven: Vec::new(),
            is_proven: true,
            last_activity: header.created,
            ended: None,
            attempts: 0,
            in_handoff: false,
            failure: None,
            answer: None,
            stored_name: None,
            sha256: None,
            crc32c: None,
            header,
        }
    }

    /// Folds entries in order.
    ///
    /// # Errors
    /// [`RecordError`] of the first entry that cannot follow.
    pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Result<Self, RecordError> {
        let mut entries = entries.into_iter();
        let Some(Entry::Created(header)) = entries.next() else {
            return Err(RecordError::Header);
        };
        let mut record = Self::new(header);
        let total = record.header.declaration.total;
        if record.chunk_size == 0 || i64::try_from(total).is_err() {
            return Err(RecordError::Size);
        }
        for entry in entries {
            record.apply(&entry)?;
        }
        Ok(record)
    }

    /// Folds one more entry into the record.
    ///
    /// # Errors
    /// [`RecordError`] when it cannot follow; the record is unchanged then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), RecordError> {
        match entry {
            Entry::Created(_) => return Err(RecordError::Header),
            Entry::ChunkSize { bytes } => self.adopt(*bytes)?,
            Entry::Received {
                start,
                len,
                crc,
                at,
            } => {
                self.receive(
                    Span {
                        start: *start,
                        len: *len,
                    },
                    *crc,
                    *at,
                )?;
            }
            Entry::Withdrawn { start, len, at } => {
                self.withdraw(
                    Span {
                        start: *start,
                        len: *len,
                    },
                    *at,
                )?;
            }
            Entry::Synced => {
                self.unproven.clear();
                self.is_proven = true;
            }
            Entry::Sealed { at } => self.seal(*at)?,
            Entry::DigestMismatch { at } => self.end(State::Rejected, *at)?,
            Entry::HandoffBegun { .. } => self.begin_handoff()?,
            Entry::HandoffFailed { failure, .. } => self.fail_handoff(failure)?,
            Entry::HandoffEnded {
                answer,
                name,
                sha256,
                at,
            } => {
                self.check_decided(ended_state(answer.as_ref()))?;
                self.end(ended_state(answer.as_ref()), *at)?;
                if self.state == State::Completed {
                    self.crc32c = self.ranges.crc(self.header.declaration.total);
                }
                self.answer = answer.clone().map(Arc::new);
                self.stored_name.clone_from(name);
                if sha256.is_some() {
                    self.sha256.clone_from(sha256);
                }
            }
            Entry::Cancelled { at } => self.end(State::Cancelled, *at)?,
        }
        self.revision += 1;
        if entry.is_promise() {
            self.is_proven = false;
        }
        Ok(())
    }

    /// Whether `entry` can follow; [`Record::apply`] then succeeds.
    ///
    /// # Errors
    /// What [`Record::apply`] would answer.
    pub fn check(&self, entry: &Entry) -> Result<(), RecordError> {
        match entry {
            Entry::Created(_) => Err(RecordError::Header),
            Entry::ChunkSize { bytes } => self.check_adopt(*bytes),
            Entry::Received { start, len, .. } => self.check_receive(Span {
                start: *start,
                len: *len,
            }),
            Entry::Withdrawn { start, len, .. } => self.check_withdraw(Span {
                start: *start,
                len: *len,
            }),
            Entry::Synced => Ok(()),
            Entry::Sealed { .. } => self.check_move(State::Finishing),
            Entry::DigestMismatch { .. } => self.check_move(State::Rejected),
            Entry::HandoffBegun { .. } if self.state == State::Finishing => Ok(()),
            Entry::HandoffBegun { .. } => self.check_move(State::Finishing),
            // Undelivered and Unknown are reached from the same states.
            Entry::HandoffFailed { .. } => self.check_move(State::Undelivered),
            Entry::HandoffEnded { answer, .. } => self.check_decided(ended_state(answer.as_ref())),
            Entry::Cancelled { .. } => self.check_move(State::Cancelled),
        }
    }

    /// Whether every byte is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ranges.bytes() == self.header.declaration.total
    }

    /// The time from create to the end, or to `now` where there is none yet.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Duration {
        self.ended.unwrap_or(now).since(self.header.created)
    }

    fn check_adopt(&self, chunk_size: u64) -> Result<(), RecordError> {
        let open = self.state == State::Receiving && self.ranges.is_empty();
        if open && !self.chunk_size_agreed && chunk_size > 0 {
            Ok(())
        } else {
            Err(RecordError::Range)
        }
    }

    fn adopt(&mut self, chunk_size: u64) -> Result<(), RecordError> {
        self.check_adopt(chunk_size)?;
        self.chunk_size = chunk_size;
        self.chunk_size_agreed = true;
        Ok(())
    }

    fn check_receive(&self, span: Span) -> Result<(), RecordError> {
        let inside = span.len > 0 && span.end() <= self.header.declaration.total;
        let wanted = self.state == State::Receiving && self.ranges.overlapping(span).is_none();
        if inside && wanted {
            Ok(())
        } else {
            Err(RecordError::Range)
        }
    }

    fn receive(&mut self, span: Span, crc: u32, at: Timestamp) -> Result<(), RecordError> {
        self.check_receive(span)?;
        self.ranges
            .insert(span, crc)
            .map_err(|_| RecordError::Range)?;
        if self.header.durability == Durability::Power {
            self.unproven.push(span);
        }
        self.last_activity = at;
        Ok(())
    }

    fn check_withdraw(&self, span: Span) -> Result<(), RecordError> {
        if self.state != State::Receiving {
            self.check_move(State::Receiving)?;
        }
        self.ranges
            .piece(span)
            .map(|_| ())
            .ok_or(RecordError::Range)
    }

    fn withdraw(&mut self, span: Span, at: Timestamp) -> Result<(), RecordError> {
        self.check_withdraw(span)?;
        self.ranges.withdraw(span);
        self.unproven.retain(|unproven| *unproven != span);
        self.state = State::Receiving;
        self.in_handoff = false;
        self.ended = None;
        self.answer = None;
        self.sha256 = None;
        self.last_activity = at;
        Ok(())
    }

    fn seal(&mut self, at: Timestamp) -> Result<(), RecordError> {
        self.become_state(State::Finishing)?;
        self.ended = None;
        self.last_activity = at;
        Ok(())
    }

    /// Attempts are no activity: an upload that nobody takes expires as one that nobody sends.
    fn begin_handoff(&mut self) -> Result<(), RecordError> {
        if self.state != State::Finishing {
            self.become_state(State::Finishing)?;
        }
        self.ended = None;
        self.attempts += 1;
        self.in_handoff = true;
        Ok(())
    }

    fn fail_handoff(&mut self, failure: &Failure) -> Result<(), RecordError> {
        let unknown = failure.is_unknown();
        self.become_state(if unknown {
            State::Unknown
        } else {
            State::Undelivered
        })?;
        self.in_handoff = false;
        self.failure = Some(Arc::new(failure.clone()));
        Ok(())
    }

    fn end(&mut self, state: State, at: Timestamp) -> Result<(), RecordError> {
        self.become_state(state)?;
        self.in_handoff = false;
        self.last_activity = at;
        self.ended = Some(at);
        Ok(())
    }

    fn become_state(&mut self, next: State) -> Result<(), RecordError> {
        self.check_move(next)?;
        self.state = next;
        Ok(())
    }

    /// A handler decides nothing of what it was not given.
    fn check_decided(&self, next: State) -> Result<(), RecordError> {
        if self.state == State::Finishing {
            return Ok(());
        }
        Err(RecordError::Move {
            from: self.state,
            to: next,
        })
    }

    fn check_move(&self, next: State) -> Result<(), RecordError> {
        let incomplete = next == State::Finishing && !self.is_complete();
        if incomplete || !self.state.may_become(next) {
            return Err(RecordError::Move {
                from: self.state,
                to: next,
            });
        }
        Ok(())
    }
}

fn ended_state(answer: Option<&Answer>) -> State {
    match answer {
        Some(answer) if answer.status >= 400 => State::Rejected,
        _ => State::Completed,
    }
}
