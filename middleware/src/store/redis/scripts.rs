use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

/// One script for every verb.
pub(super) struct Scripts {
    pub(super) register: Script,
    pub(super) update: Script,
    pub(super) claim: Script,
    pub(super) find: Script,
    pub(super) remove: Script,
    pub(super) share: Script,
    pub(super) maker: Script,
    pub(super) beat: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            register: Script::new(include_str!("scripts/register.lua")),
            update: Script::new(include_str!("scripts/update.lua")),
            claim: Script::new(include_str!("scripts/claim.lua")),
            find: Script::new(include_str!("scripts/find.lua")),
            remove: Script::new(include_str!("scripts/remove.lua")),
            share: Script::new(include_str!("scripts/share.lua")),
            maker: Script::new(include_str!("scripts/maker.lua")),
            beat: Script::new(include_str!("scripts/beat.lua")),
        }
    }
}

impl Scripts {
    /// Gives Redis all of them, so that nobody who runs one has to.
    pub(super) async fn load(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        let all = [
            &self.register,
            &self.update,
            &self.claim,
            &self.find,
            &self.remove,
            &self.share,
            &self.maker,
            &self.beat,
        ];
        for script in all {
            script.load_async(connection).await?;
        }
        Ok(())
    }
}
