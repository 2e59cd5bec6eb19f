//! Who has what: the sessions, as one append-only log of entries per upload.
//!
//! [`Store`] is a contract: minimal, without default methods. Creating is not updating, and
//! every append names the revision it follows, so that two writers cannot overwrite each other
//! unseen. What an upload is comes from folding its entries ([`crate::upload::Record`]); a store
//! decides nothing.
//!
//! - [`Disk`]: a checksummed log file per upload, beside the bytes.
//! - [`Memory`]: gone with the process.
//! - `Redis` (feature `redis`): an index of the logs of several servers, over one of the others.

mod contract;
mod disk;
mod fence;
mod memory;
mod peers;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "redis")]
pub use self::redis::{Redis, Settings};
pub use contract::{BoxFuture, Listed, Log, Opened, Store, StoreError};
pub use disk::Disk;
pub use memory::Memory;
#[cfg(any(feature = "redis", feature = "conformance", test))]
pub use peers::Seen;
pub use peers::{Bound, Cancel, News, Once, Peer, Peers, Share, Spent, Told};

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
