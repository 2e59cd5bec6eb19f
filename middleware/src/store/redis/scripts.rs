use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

/// One script for every verb.
pub(super) struct Scripts {
    pub(super) register: Script,
    pub(super) update: Script,
    pub(super) claim: Script,
    pub(super) find: Script,
    pub(super) remove: Script,
    pub(super) forget: Script,
    pub(super) share: Script,
    pub(super) maker: Script,
    pub(super) beat: Script,
    pub(super) spend: Script,
}

macro_rules! text {
    (fenced $name:literal) => {
        concat!(
            include_str!("scripts/fence.lua"),
            include_str!(concat!("scripts/", $name, ".lua"))
        )
    };
    ($name:literal) => {
        include_str!(concat!("scripts/", $name, ".lua"))
    };
}

const REGISTER: &str = text!(fenced "register");
const UPDATE: &str = text!(fenced "update");
const CLAIM: &str = text!(fenced "claim");
const FIND: &str = text!("find");
const REMOVE: &str = text!(fenced "remove");
const FORGET: &str = text!("forget");
const SHARE: &str = text!("share");
const MAKER: &str = text!("maker");
const BEAT: &str = text!("beat");
const SPEND: &str = text!("spend");

impl Default for Scripts {
    fn default() -> Self {
        Self {
            register: Script::new(REGISTER),
            update: Script::new(UPDATE),
            claim: Script::new(CLAIM),
            find: Script::new(FIND),
            remove: Script::new(REMOVE),
            forget: Script::new(FORGET),
            share: Script::new(SHARE),
            maker: Script::new(MAKER),
            beat: Script::new(BEAT),
            spend: Script::new(SPEND),
        }
    }
}

impl Scripts {
    /// Gives Redis all of them, so that nobody who runs one has to.
    pub(super) async fn load(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut load = redis::pipe();
        let all = [
            REGISTER, UPDATE, CLAIM, FIND, REMOVE, FORGET, SHARE, MAKER, BEAT, SPEND,
        ];
        for text in all {
            load.cmd("SCRIPT").arg("LOAD").arg(text).ignore();
        }
        load.query_async(connection).await
    }
}
