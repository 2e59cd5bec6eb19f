//! Makes any axum or hyper upload handler resumable, without changing the handler.
//!
//! Uploads break when networks change. [`SteadfastLayer`] goes around an app and speaks resumable
//! protocols for it: chunks in any order and in parallel, status, resumption after a lost
//! connection or a killed server. When the last byte is in, the app's old handler is called once
//! with the ordinary request it has always known, and its answer reaches the client, again if the
//! first answer was lost.
//!
//! See [`SteadfastLayer`] for how it is mounted, and the README for the protocol in five minutes
//! of curl.

#![cfg_attr(not(test), deny(unsafe_code))]

mod address;
mod admission;
pub mod auth;
mod authorise;
mod blob;
mod body;
mod checked;
mod clock;
pub mod config;
mod dedup;
mod door;
mod driver;
mod engine;
mod error;
mod event;
mod feed;
mod follower;
mod future;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod handoff;
mod health;
mod hooks;
mod layer;
mod metrics;
mod network;
mod protocol;
#[doc(hidden)]
mod sabotage;
#[cfg(any(test, steadfast_sabotage))]
mod saboteur;
#[cfg(feature = "serve")]
pub mod serve;
mod service;
mod store;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
pub mod upload;
mod uploads;
mod volume;

pub use address::PeerAddr;
pub use body::{AppResponse, BoxError, RequestBody, ResponseBody};
pub use config::UploadConfig;
pub use dedup::Saved;
pub use driver::Driver;
pub use engine::View;
pub use error::Error;
pub use event::{Change, Event, Missed, Subscription, What};
pub use future::ResponseFuture;
pub use health::{Health, Readiness};
pub use hooks::Finished;
pub use layer::SteadfastLayer;
pub use metrics::Metrics;
#[cfg(feature = "serve")]
pub use serve::serve;
#[cfg(feature = "tls")]
use serve::tls;
pub use service::Steadfast;
#[cfg(feature = "conformance")]
pub use store::conformance;
pub use upload::{Declaration, Owner};
pub use uploads::{Cursor, Page, UploadError, Uploads};
