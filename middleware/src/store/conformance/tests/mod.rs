mod board;
mod flaky;

use std::collections::HashSet;
use std::sync::Arc;

use board::{Board, Server};
use flaky::Flaky;

use super::super::{Memory, Store};
use super::{ALL, SHARED, disk};

/// Runs one check against every store, a new one each time.
macro_rules! every_store {
    ($($module:ident::$check:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $check() {
                super::run(&super::Memory::default(), stringify!($check)).await;
            })*
        }

        /// Memory behind a network, which the checks have to bear.
        mod flaky_memory {
            $(#[tokio::test] async fn $check() {
                let store = super::Flaky::new(super::Memory::default());
                super::run(&store, stringify!($check)).await;
            })*
        }

        mod on_disk {
            $(#[tokio::test] async fn $check() {
                super::run_on_disk(1, stringify!($check)).await;
            })*
        }

        /// Disk, where nothing may run on the caller's task.
        mod on_disk_blocking {
            $(#[tokio::test] async fn $check() {
                super::run_on_disk(0, stringify!($check)).await;
            })*
        }
    };
}

every_check!(every_store);

/// Runs one check of sharing against servers that do as they should.
macro_rules! every_network {
    ($($module:ident::$check:ident)*) => {
        mod shared {
            $(#[tokio::test] async fn $check() {
                let [one, other] = super::servers();
                super::run_shared(&one, &other, stringify!($check)).await;
            })*
        }

        mod flaky_shared {
            $(#[tokio::test] async fn $check() {
                let [one, other] = super::servers().map(super::Flaky::new);
                super::run_shared(&one, &other, stringify!($check)).await;
            })*
        }
    };
}

every_shared_check!(every_network);

fn servers() -> [Server; 2] {
    let board = Arc::<Board>::default();
    [1, 2].map(|number| Server::start(&board, number))
}

async fn run_shared(one: &dyn Store, other: &dyn Store, name: &str) {
    let check = SHARED.iter().find(|check| check.name == name).unwrap();
    check.run(one, other).await;
}

async fn run(store: &dyn Store, name: &str) {
    let check = ALL.iter().find(|check| check.name == name).unwrap();
    check.run(store).await;
}

async fn run_on_disk(inline_max: usize, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = disk(dir.path().to_owned(), inline_max).unwrap();
    run(&store, name).await;
}

#[test]
fn every_check_has_a_name_of_its_own() {
    let all = ALL.iter().map(|check| check.name);
    let names: Vec<_> = all.chain(SHARED.iter().map(|check| check.name)).collect();
    let distinct: HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}
