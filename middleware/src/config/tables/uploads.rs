use std::path::PathBuf;
use std::time::Duration;

use crate::config::key::{Key, key};
use crate::config::kind::{Choice, Count, FilePath, Flag, Size, Span};
use crate::config::units::{DAY, GB, INSTANT, KB, MB, SIZE_MAX, TB, YEARS};
pub use crate::upload::Durability;

/// `[uploads]`: chunks, how long an upload is kept, and where (seed: network resilience guide).
#[derive(Debug, Clone)]
pub struct Uploads {
    /// Whether the routes of the chunked dialect exist (seed). Protected paths stay protected.
    pub chunked_uploads_enabled: bool,
    /// Whether sessions survive a restart (seed). `false`: memory only, whatever `sessions.store` says.
    pub resumable_uploads_enabled: bool,
    /// The chunk size announced to clients, in bytes (seed).
    pub chunk_size: u64,
    /// The smallest chunk size a client may choose, in bytes.
    pub min_chunk_size: u64,
    /// The largest chunk size a client may choose, in bytes.
    pub max_chunk_size: u64,
    /// How long an unfinished upload is kept after its last activity (seed).
    pub max_resumable_age: Duration,
    /// How long the answer to a finished upload is replayed.
    pub result_retention: Duration,
    /// The directory of unfinished uploads; relative to the working directory of the process.
    pub state_dir: PathBuf,
    /// What an acknowledged byte survives.
    pub durability: Durability,
    /// Unfinished sessions at once; 0 means no limit.
    pub max_sessions: usize,
    /// Unfinished sessions of one owner at once; 0 means no limit.
    pub max_sessions_per_owner: usize,
    /// When a session that never got a byte ends.
    pub first_byte_timeout: Duration,
    /// Bytes that one owner's active sessions may reserve; 0 means no limit.
    pub max_reserved_per_owner: u64,
    /// Bytes kept free on the filesystem of `state_dir`.
    pub min_free_space: u64,
    /// The slowest a body may come, in bytes per second over 30 s. Never 0.
    pub min_rate: u64,
    /// The longest silence inside a body.
    pub stall_timeout: Duration,
}

const DURABILITIES: &[(&str, Durability)] = &[
    ("power", Durability::Power),
    ("process", Durability::Process),
];

impl Default for Uploads {
    fn default() -> Self {
        Self {
            chunked_uploads_enabled: true,
            resumable_uploads_enabled: true,
            chunk_size: 5 * MB,
            min_chunk_size: 64 * KB,
            max_chunk_size: 64 * MB,
            max_resumable_age: DAY,
            result_retention: DAY,
            state_dir: "data/uploads".into(),
            durability: Durability::Power,
            max_sessions: 100_000,
            max_sessions_per_owner: 0,
            first_byte_timeout: Duration::from_secs(600),
            max_reserved_per_owner: 0,
            min_free_space: GB,
            min_rate: KB,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let some_time = || Span(INSTANT..=YEARS);
    vec![
        key("uploads.chunked_uploads_enabled", Flag, |c| {
            &mut c.uploads.chunked_uploads_enabled
        }),
        key("uploads.resumable_uploads_enabled", Flag, |c| {
            &mut c.uploads.resumable_uploads_enabled
        }),
        // Only read here: `cross` checks it against the bounds in force and names those.
        key("uploads.chunk_size", Size(0..=SIZE_MAX), |c| {
            &mut c.uploads.chunk_size
        }),
        key("uploads.min_chunk_size", Size(1..=TB), |c| {
            &mut c.uploads.min_chunk_size
        }),
        key("uploads.max_chunk_size", Size(1..=TB), |c| {
            &mut c.uploads.max_chunk_size
        }),
        key("uploads.max_resumable_age", some_time(), |c| {
            &mut c.uploads.max_resumable_age
        }),
        key("uploads.result_retention", some_time(), |c| {
            &mut c.uploads.result_retention
        }),
        key("uploads.state_dir", FilePath, |c| &mut c.uploads.state_dir),
        key("uploads.durability", Choice(DURABILITIES), |c| {
            &mut c.uploads.durability
        }),
        key("uploads.max_sessions", Count(0..=1_000_000_000), |c| {
            &mut c.uploads.max_sessions
        }),
        key(
            "uploads.max_sessions_per_owner",
            Count(0..=1_000_000_000),
            |c| &mut c.uploads.max_sessions_per_owner,
        ),
        key("uploads.first_byte_timeout", some_time(), |c| {
            &mut c.uploads.first_byte_timeout
        }),
        key("uploads.max_reserved_per_owner", Size(0..=SIZE_MAX), |c| {
            &mut c.uploads.max_reserved_per_owner
        }),
        key("uploads.min_free_space", Size(0..=SIZE_MAX), |c| {
            &mut c.uploads.min_free_space
        }),
        key("uploads.min_rate", Size(1..=TB), |c| {
            &mut c.uploads.min_rate
        }),
        key("uploads.stall_timeout", some_time(), |c| {
            &mut c.uploads.stall_timeout
        }),
    ]
}
