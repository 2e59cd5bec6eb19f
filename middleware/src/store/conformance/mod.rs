//! What every store of sessions does, whatever it is made of, as checks that any store runs.
//!
//! 1. Every check needs a store of its own that is empty, and a runtime with time.
//! 2. A check that finds fault panics.
//! 3. What answers [`StoreError::Unavailable`] is asked again, some dozens of times: a store may be
//!    run behind a network that loses what it says, and the outcome must be exact all the same.
//! 4. A check hears the news of a store that has [`Peers`]; nobody else may.
//!
//! ```
//! use steadfast::conformance::{self, Memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! for check in conformance::ALL {
//!     println!("{}", check.name);
//!     check.run(&Memory::default()).await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A store that shares what it knows passes [`SHARED`] as well, as two servers of different names
//! over one index:
//!
//! ```no_run
//! # use steadfast::conformance::{self, Store};
//! # async fn start(name: &str) -> Box<dyn Store> { unreachable!("{name}") }
//! # async fn run() {
//! for check in conformance::SHARED {
//!     let one = start("one").await;
//!     let other = start("other").await;
//!     check.run(one.as_ref(), other.as_ref()).await;
//! }
//! # }
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "checks panic")]

mod fenced;
mod log;
mod marks;
mod news;
mod ownership;
mod patient;
mod samples;
mod shares;
mod spending;
mod telling;
mod wishes;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use news::{Answers, with_news};
use patient::Patient;

#[cfg(feature = "conformance")]
pub use super::{
    Bound, BoxFuture, Cancel, Disk, Listed, Log, Memory, News, Opened, Peer, Peers, Seen, Share,
    Store, StoreError, Told,
};
#[cfg(not(feature = "conformance"))]
use super::{BoxFuture, Disk, Store};
#[cfg(all(feature = "conformance", feature = "redis"))]
pub use super::{Redis, Settings};
use crate::volume::{Pace, System, Volume};

/// Names every check of one store to a macro.
macro_rules! every_check {
    ($with:ident) => {
        $with! {
            log::an_upload_is_created_once
            log::an_unknown_upload_is_none_and_no_error
            log::entries_survive_reopening
            log::entries_are_added_in_batches
            log::a_wrong_revision_is_a_conflict_and_adds_nothing
            log::nothing_appended_is_nothing_changed
            log::reading_changes_nothing
            log::publishing_changes_nothing
            log::a_removed_upload_is_gone_and_may_come_again
            log::uploads_do_not_know_each_other
            log::every_upload_is_listed_with_its_last_change
            fenced::a_log_that_was_opened_earlier_takes_no_more
            fenced::a_log_of_a_removed_upload_takes_no_more
            fenced::logs_of_other_uploads_are_not_fenced
            fenced::what_many_openings_add_at_the_same_time_is_all_there
            marks::an_upload_is_named_as_delivering_from_seal_to_end
            marks::an_upload_is_named_as_delivering_again_when_it_is_tried_again
        }
    };
}

/// Names every check of two stores that share to a macro.
macro_rules! every_shared_check {
    ($with:ident) => {
        $with! {
            telling::what_one_publishes_the_other_finds
            telling::what_was_not_published_at_once_is_told_with_the_next
            telling::what_is_told_of_an_upload_that_is_not_open_is_proven
            telling::a_removed_upload_is_found_no_more
            telling::uploads_are_found_apart
            telling::a_server_is_seen_by_the_others
            ownership::an_upload_belongs_to_the_server_started_later
            ownership::whoever_has_an_upload_no_more_cannot_claim_it
            ownership::a_loser_takes_nothing_from_the_winner
            shares::all_servers_together_are_bound
            shares::what_was_stated_later_counts
            shares::owners_are_bound_apart_and_zero_is_no_bound
            spending::what_may_be_used_once_is_used_once
            spending::what_may_be_forgotten_does_not_count_for_who_is_more_patient
            wishes::a_repeated_create_has_one_maker
            wishes::whoever_keeps_an_upload_is_asked_to_give_it_up
            wishes::an_answer_that_comes_late_is_had_by_asking_again
        }
    };
}

macro_rules! checks {
    ($($module:ident::$check:ident)*) => {
        &[$(Check {
            name: stringify!($check),
            run: |store| Box::pin($module::$check(store)),
        }),*]
    };
}

macro_rules! shared_checks {
    ($($module:ident::$check:ident)*) => {
        &[$(SharedCheck {
            name: stringify!($check),
            run: |one, other| Box::pin($module::$check(one, other)),
        }),*]
    };
}

/// The checks of one store.
pub const ALL: &[Check] = every_check!(checks);

/// The checks of two stores that share what they know.
pub const SHARED: &[SharedCheck] = every_shared_check!(shared_checks);

/// A check of one store.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What it says of the store, as the name of a test.
    pub name: &'static str,
    run: for<'a> fn(Patient<'a>) -> BoxFuture<'a, ()>,
}

impl Check {
    /// Runs it against a store that is empty.
    ///
    /// # Panics
    /// The store does not do as it should.
    pub async fn run(&self, store: &dyn Store) {
        with_news(store, &Answers::default(), (self.run)(Patient(store))).await;
    }
}

/// A check of two stores that share what they know.
#[derive(Clone, Copy, Debug)]
pub struct SharedCheck {
    /// What it says of the stores, as the name of a test.
    pub name: &'static str,
    run: for<'a> fn(Patient<'a>, Patient<'a>) -> BoxFuture<'a, ()>,
}

impl SharedCheck {
    /// Runs it against two stores that are empty, of which `other` was started later.
    ///
    /// # Panics
    /// The stores do not do as they should, or share nothing.
    pub async fn run(&self, one: &dyn Store, other: &dyn Store) {
        (self.run)(Patient(one), Patient(other)).await;
    }
}

/// The [`Disk`] store in a directory that exists, where at most `inline_max` operations at a time
/// run on the caller's task.
///
/// # Errors
/// The directory cannot be opened.
pub fn disk(dir: PathBuf, inline_max: usize) -> io::Result<Disk> {
    let files = System::new(&dir)?;
    let volume = Volume::new(Arc::new(files), Pace::new(inline_max));
    Ok(Disk::new(dir, volume))
}

#[cfg(test)]
mod tests;
