//! Uploads to try things out with.

#![allow(clippy::unwrap_used, reason = "checks panic")]

use std::sync::Arc;

use super::{
    Answer, Declaration, Durability, FileName, Header, Limits, Owner, SessionId, Timestamp,
    UploadKey,
};

/// The id of test upload `number`.
pub(crate) fn id(number: u8) -> SessionId {
    SessionId::new([number; 32], None)
}

/// The key of test upload `number`.
pub(crate) fn key(number: u8) -> UploadKey {
    id(number).key()
}

/// A file of `total` bytes and nothing else said about it.
pub(crate) fn declaration(total: u64) -> Declaration {
    Declaration {
        name: FileName::parse("data.bin").unwrap(),
        total,
        chunk_size: None,
        content_type: None,
        digests: Vec::new(),
        host: None,
        headers: Vec::new(),
    }
}

/// Chunks of 10 bytes, or of 5 to 20 where the client prefers.
pub(crate) const LIMITS: Limits = Limits {
    chunk_size: 10,
    chunk_size_min: 5,
    chunk_size_max: 20,
};

/// The header of a file of `total` bytes, created at 1 s.
pub(crate) fn header(total: u64) -> Arc<Header> {
    Arc::new(Header {
        created: Timestamp(1_000),
        owner: Owner::default(),
        signer: None,
        declaration: declaration(total),
        limits: LIMITS,
        durability: Durability::Power,
    })
}

/// An answer with a status and nothing else of interest.
pub(crate) fn answer(status: u16) -> Answer {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    Answer {
        status,
        headers,
        body: b"done".to_vec(),
        truncated: false,
    }
}
