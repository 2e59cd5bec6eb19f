//! Where the bytes of an upload live until it is handed over.
//!
//! [`Blobs`] is a contract for a place with room for many uploads, [`Blob`] for the bytes of one:
//! positioned writes in any order, reads, and at the end either removal or publication under a
//! name of the client's.
//!
//! - [`Local`]: one sparse file per upload in a directory of ours.

mod contract;
mod local;

pub use contract::{Blob, Blobs, FlushFailed, Hold, OnConflict, Publish, Queued};
pub use local::{Local, StateDir};
