//! The network of the tests fails as it is told to, in front of a real Redis.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use steadfast_tests::fault_proxy::{Behaviour, FaultProxy};
use steadfast_tests::http::timed;
use steadfast_tests::redis::{Connection, Redis, Reply};
use steadfast_tests::wait::{SOON, until};

use crate::machine;

/// A Redis and a proxy before it, or nothing where there is no Redis.
fn pair(test: &str) -> Option<(Redis, FaultProxy)> {
    let found = machine::has_program(test, "redis-server");
    let redis = found.then(|| Redis::start(&[]))?;
    let proxy = FaultProxy::before(redis.addr());
    Some((redis, proxy))
}

fn open(proxy: &FaultProxy) -> Connection {
    Connection::tcp(proxy.addr()).unwrap()
}

fn number(reply: io::Result<Reply>) -> i64 {
    reply.unwrap().integer().expect("a number")
}

#[test]
fn it_passes_and_counts_turns() {
    let Some((redis, proxy)) = pair("it_passes_and_counts_turns") else {
        return;
    };
    let mut own = open(&proxy);
    let big = "x".repeat(3 << 20);
    assert_eq!(
        own.command(&["SET", "a", &big]).unwrap().text().unwrap(),
        "OK"
    );
    assert_eq!(own.command(&["GET", "a"]).unwrap().text().unwrap(), big);
    assert_eq!((proxy.turns(), proxy.accepted(), proxy.open()), (2, 1, 1));
    own.send_all(&[&["INCR", "n"][..]; 10]).unwrap();
    assert!((1..=10).map(|_| number(own.reply())).eq(1..=10));
    assert_eq!(proxy.turns(), 3, "a pipeline is one round trip");
    assert_eq!(redis.command(&["GET", "n"]).integer(), Some(10));
    drop(own);
    until("the connection ends", SOON, || proxy.open() == 0);
    assert_eq!(proxy.cuts(), 0);
}

#[test]
fn the_reply_to_an_executed_command_is_lost() {
    let Some((redis, proxy)) = pair("the_reply_to_an_executed_command_is_lost") else {
        return;
    };
    let mut own = open(&proxy);
    assert_eq!(number(own.command(&["INCR", "n"])), 1);
    proxy.set(Behaviour::Cut { after: 0 });
    let error = own.command(&["INCR", "n"]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(redis.command(&["GET", "n"]).integer(), Some(2));
    until("the cut is counted", SOON, || proxy.cuts() == 1);
    assert_eq!(proxy.behaviour(), Behaviour::Pass);
    assert_eq!(number(open(&proxy).command(&["INCR", "n"])), 3);
}

#[test]
fn a_reply_arrives_in_half() {
    let Some((redis, proxy)) = pair("a_reply_arrives_in_half") else {
        return;
    };
    assert_eq!(
        redis.command(&["SET", "a", "0123456789"]).text().unwrap(),
        "OK"
    );
    let mut own = open(&proxy);
    // "$10\r\n0123456789\r\n" twice: the first whole, of the second the number and one digit.
    proxy.set(Behaviour::Cut { after: 17 + 6 });
    assert_eq!(
        own.command(&["GET", "a"]).unwrap().text().unwrap(),
        "0123456789"
    );
    assert_eq!(proxy.behaviour(), Behaviour::Cut { after: 6 });
    own.command(&["GET", "a"]).unwrap_err();
    until("the cut is counted", SOON, || proxy.cuts() == 1);
    // Exactly to the end of a reply: that one arrives, the next one does not.
    let mut own = open(&proxy);
    proxy.set(Behaviour::Cut { after: 17 });
    assert_eq!(
        own.command(&["GET", "a"]).unwrap().text().unwrap(),
        "0123456789"
    );
    own.command(&["INCR", "n"]).unwrap_err();
    assert_eq!(redis.command(&["GET", "n"]).integer(), Some(1));
}

#[test]
fn the_reply_to_a_named_command_is_lost() {
    let Some((redis, proxy)) = pair("the_reply_to_a_named_command_is_lost") else {
        return;
    };
    let (mut own, mut other) = (open(&proxy), open(&proxy));
    proxy.set(Behaviour::LoseReplyTo(b"precious".to_vec()));
    assert_eq!(number(own.command(&["INCR", "n"])), 1);
    own.command(&["INCR", "precious"]).unwrap_err();
    assert_eq!(redis.command(&["GET", "precious"]).integer(), Some(1));
    assert_eq!(number(other.command(&["INCR", "precious"])), 2);
    until("the cut is counted", SOON, || proxy.cuts() == 1);
}

#[test]
fn what_was_pipelined_before_a_cut_is_executed() {
    let Some((redis, proxy)) = pair("what_was_pipelined_before_a_cut_is_executed") else {
        return;
    };
    let mut own = open(&proxy);
    assert_eq!(number(own.command(&["INCR", "n"])), 1);
    redis.stop();
    proxy.set(Behaviour::Cut { after: 0 });
    own.send_all(&[&["INCR", "n"][..]; 100]).unwrap();
    redis.cont();
    own.reply().unwrap_err();
    // The proxy lets go of the connection when the server has closed it.
    until("the server is through", SOON, || proxy.open() == 0);
    assert_eq!(redis.command(&["GET", "n"]).integer(), Some(101));
}

#[test]
fn replies_are_delayed_and_come_at_once_when_it_passes_again() {
    let Some((_redis, proxy)) = pair("replies_are_delayed") else {
        return;
    };
    let mut own = open(&proxy);
    assert_eq!(number(own.command(&["INCR", "n"])), 1);
    let delay = Duration::from_millis(300);
    proxy.set(Behaviour::Delay(delay));
    let (took, reply) = timed(|| own.command(&["INCR", "n"]));
    assert_eq!(number(reply), 2);
    assert!(took >= delay, "{took:?}");
    proxy.set(Behaviour::Delay(Duration::from_secs(3600)));
    own.send(&["INCR", "n"]).unwrap();
    until("the reply has come", SOON, || proxy.turns() == 3);
    proxy.set(Behaviour::Pass);
    assert_eq!(number(own.reply()), 3);
}

#[test]
fn a_black_hole_holds_everything_until_it_heals() {
    let Some((redis, proxy)) = pair("a_black_hole_holds_everything_until_it_heals") else {
        return;
    };
    let mut own = open(&proxy);
    assert_eq!(number(own.command(&["INCR", "n"])), 1);
    proxy.set(Behaviour::BlackHole);
    let mut new = open(&proxy);
    own.send(&["INCR", "n"]).unwrap();
    new.send(&["INCR", "n"]).unwrap();
    until("both are accepted", SOON, || proxy.open() == 2);
    assert_eq!(redis.command(&["GET", "n"]).integer(), Some(1));
    assert_eq!(proxy.turns(), 1);
    proxy.set(Behaviour::Pass);
    let mut numbers = [number(own.reply()), number(new.reply())];
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
    // Nobody waits in it for ever.
    proxy.set(Behaviour::BlackHole);
    own.send(&["INCR", "n"]).unwrap();
    proxy.sever();
    own.reply().unwrap_err();
    until("the connections end", SOON, || proxy.open() == 0);
}

#[test]
fn it_refuses_and_listens_again() {
    let Some((mut redis, proxy)) = pair("it_refuses_and_listens_again") else {
        return;
    };
    let mut own = open(&proxy);
    assert_eq!(number(own.command(&["INCR", "n"])), 1);
    for _ in 0..3 {
        proxy.set(Behaviour::Refuse);
        let error = TcpStream::connect(proxy.addr()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        own.command(&["INCR", "n"]).unwrap_err();
        proxy.set(Behaviour::Pass);
        own = open(&proxy);
        own.command(&["INCR", "n"]).unwrap();
    }
    assert_eq!(redis.command(&["GET", "n"]).integer(), Some(4));
    redis.kill9();
    own.command(&["INCR", "n"]).unwrap_err();
    open(&proxy).command(&["INCR", "n"]).unwrap_err();
    redis.restart();
    assert_eq!(number(open(&proxy).command(&["INCR", "n"])), 1);
}
