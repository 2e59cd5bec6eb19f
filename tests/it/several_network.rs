//! Servers that share their sessions: the network between them and Redis.

use std::time::Instant;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::fault_proxy::{Behaviour, FaultProxy};
use steadfast_tests::server::Server;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

use crate::fleet;
use crate::several::named_in;

/// How often a server says that it is there, in a second.
const BEATS: u64 = 2;

#[test]
fn a_create_whose_reply_got_lost_is_made_by_repeating_it() {
    let test = "a_create_whose_reply_got_lost_is_made_by_repeating_it";
    let Some(redis) = fleet::redis(test, &[]) else {
        return;
    };
    let proxy = FaultProxy::before(redis.addr());
    let start = |url: String, name| Server::with(&fleet::config(&url, name, ""));
    let first = start(redis.url_through(proxy.addr()), "node-1");
    let second = start(redis.url(), "node-2");
    let file = data::random(1, CHUNK);
    let create = first.client().create_request("phantom.bin", file.len());
    let create = create.header("Idempotency-Key", "the key of one create");
    proxy.set(Behaviour::LoseReplyTo(b"phantom.bin".to_vec()));
    let _ = create.send(first.addr()).refused(503, "store_unavailable");
    assert_eq!(proxy.cuts(), 1, "Redis was told, and nobody knows");
    let session = wait::eventually("an upload that works", SOON, || {
        let made = create.send(second.addr()).success().json();
        let session = Session::from_answer(made);
        let chunk = second.client().put(&session, 0, &file);
        let chunk = match chunk.status {
            421 => named_in(&chunk).put(&session, 0, &file),
            _ => chunk,
        };
        // What was told and is not there is untold in a moment.
        assert!([200, 404, 503].contains(&chunk.status), "{chunk:?}");
        (chunk.status == 200).then_some(session)
    });
    let status = fleet::until_known(first.client(), second.client(), &session);
    assert_eq!(status["state"], "completed");
}

#[test]
fn a_chunk_takes_one_turn() {
    let chunks = 60;
    let Some(redis) = fleet::redis("a_chunk_takes_one_turn", &[]) else {
        return;
    };
    let proxy = FaultProxy::before(redis.addr());
    let url = redis.url_through(proxy.addr());
    let server = Server::with(&fleet::config(&url, "node-1", ""));
    let file = data::random(2, chunks * CHUNK);
    let session = server.client().create("turns.bin", file.len());
    let (before, begun) = (proxy.turns(), Instant::now());
    for chunk in 0..chunks - 1 {
        let answer = server.client().put_chunk(&session, &file, chunk);
        let _ = answer.status_is(200);
    }
    let turns = proxy.turns() - before;
    let beats = (begun.elapsed().as_secs() + 1) * BEATS;
    let chunks = chunks as u64 - 1;
    // A machine that stands still for a moment has Redis looked at again, which takes some.
    let most = chunks * 3 / 2 + beats;
    assert!((chunks..=most).contains(&turns), "{turns} turns");
}
