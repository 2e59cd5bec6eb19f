//! The verbs over real stores and files, a scripted client and a scripted handler.
//!
//! Nothing here waits by sleeping: a test waits for an event, or lets the paused clock of tokio
//! run, which takes no time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod append;
mod cancel;
mod clock;
mod configure;
mod counting;
mod create;
mod expiry;
mod faults;
mod finish;
mod handler;
mod leftovers;
mod limited;
mod lost;
mod others;
mod outcome;
mod paced;
mod readiness;
mod recovery;
mod retry;
mod rig;
mod rot;
mod scan;
mod schedule;
mod share;
mod sim;
mod source;
mod status;
mod store_mode;
mod takeover;
mod telling;
mod workers;
