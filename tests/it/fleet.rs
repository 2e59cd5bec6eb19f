//! Servers that share their sessions in one Redis.

use serde_json::Value;
use steadfast_tests::app::App;
use steadfast_tests::config::Config;
use steadfast_tests::redis::Redis;
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;
use steadfast_tests::upload::{Client, Session};
use steadfast_tests::wait::{self, SOON};

use crate::machine;

/// What servers are called.
pub(crate) const NAMES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// Several real servers, and what they share.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    pub(crate) redis: Redis,
}

/// A Redis, or nothing where there is none.
pub(crate) fn redis(test: &str, extra: &[&str]) -> Option<Redis> {
    machine::has_program(test, "redis-server").then(|| Redis::start(extra))
}

/// The configuration of one server.
pub(crate) fn config(url: &str, name: &str, extra: &str) -> Config {
    Config::with(extra)
        .set("server", "name", name)
        .set("sessions", "store", "redis")
        .set("sessions", "redis_url", url)
}

/// A server whose handler the test writes, called `app`; it says nobody where it is.
pub(crate) fn app(redis: &Redis, extra: &str, script: Script) -> App {
    App::hooked(config(&redis.url(), "app", extra), script, |layer| layer)
}

impl Fleet {
    /// Starts so many servers, or nothing where there is no Redis.
    pub(crate) fn start(test: &str, count: usize, extra: &str) -> Option<Self> {
        let redis = redis(test, &[])?;
        let start = |name: &&str| Server::with(&config(&redis.url(), name, extra));
        let servers = NAMES[..count].iter().map(start).collect();
        Some(Self { servers, redis })
    }

    pub(crate) fn client(&self, server: usize) -> Client {
        self.servers[server].client()
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        self.servers.iter().map(Server::client).collect()
    }

    /// What every server says of an upload.
    #[track_caller]
    pub(crate) fn status(&self, session: &Session) -> Value {
        agreed(&self.clients(), session)
    }
}

/// The status of an upload, which is the same at all servers.
#[track_caller]
pub(crate) fn agreed(clients: &[Client], session: &Session) -> Value {
    let first = clients[0].status(session);
    for client in &clients[1..] {
        assert_eq!(client.status(session), first);
    }
    first
}

/// Waits until `other` says what `own`, the upload's own server, says of it.
pub(crate) fn until_known(own: Client, other: Client, session: &Session) -> Value {
    wait::eventually("the other server knows it", SOON, || {
        let status = own.status(session);
        let answer = other.ask(&session.id);
        (answer.status == 200 && answer.json() == status).then_some(status)
    })
}
