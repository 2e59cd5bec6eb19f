use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

macro_rules! scripts {
    ($($name:ident)*) => {
        /// One script for every verb.
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)*
        }

        impl Default for Scripts {
            fn default() -> Self {
                Self {
                    $($name: Script::new(text(stringify!($name))),)*
                }
            }
        }

        const NAMES: &[&str] = &[$(stringify!($name)),*];

        fn text(name: &str) -> &'static str {
            match name {
                $(stringify!($name) => include_str!(concat!("scripts/", stringify!($name), ".lua")),)*
                _ => "",
            }
        }
    };
}

scripts! { register update claim find remove share maker beat }

impl Scripts {
    /// Gives Redis all of them, so that nobody who runs one has to.
    pub(super) async fn load(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut load = redis::pipe();
        for name in NAMES {
            load.cmd("SCRIPT").arg("LOAD").arg(text(name)).ignore();
        }
        load.query_async(connection).await
    }
}
