//! Configuration: one file, `config.toml`, and the environment over it.
//!
//! 1. Every key has a default; an unknown key, a wrong type and a value out of range are errors,
//!    and all of them are reported at once, with place and remedy.
//! 2. Sizes are `"10MB"`, `"1.5GB"`, `"64KiB"` or a number of bytes, 1024-based; durations are
//!    `"4800s"`, `"48h"`, `"1h30m"` or `"250ms"` and never without a unit.
//! 3. `STEADFAST__TABLE__KEY` in the environment overrides a key of the file. Lists are written
//!    `a,b` or as in TOML.
//! 4. Old spellings of the HMAC File Server are understood and reported once.
//! 5. What is not built yet is refused where its absence would weaken security or move data, and
//!    reported otherwise.
//!
//! A key is declared once, beside its field and its default, in the module of its table; reading,
//! printing, suggestions and the environment walk that list.
//!
//! Secrets are masked in everything that is printed. The working directory of the process resolves
//! relative paths.
//!
//! ```
//! use steadfast::config::UploadConfig;
//!
//! let loaded = UploadConfig::from_toml(
//!     r#"
//!     [uploads]
//!     chunk_size = "10MB"
//!
//!     [security]
//!     schemes = ["path"]
//!     "#,
//! )?;
//! assert_eq!(loaded.config.uploads.chunk_size, 10 * 1024 * 1024);
//!
//! let error = UploadConfig::from_toml("[security]\nenabled = false\n[uploads]\nchunk_sise = \"10MB\"").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "config.toml:4:1: unknown key uploads.chunk_sise: did you mean \"chunk_size\"?",
//! );
//! # Ok::<(), steadfast::config::ConfigError>(())
//! ```

mod alias;
mod change;
mod cidr;
mod cross;
mod duplicate;
mod effective;
mod environment;
mod error;
mod file;
mod key;
mod kind;
mod live;
mod load;
mod place;
mod raw;
mod redis_url;
mod review;
mod secret;
mod security_key;
mod suggest;
mod tables;
mod text;
mod unbuilt;
mod units;
mod watch;

pub(crate) use change::{Effect, replace};
pub use cidr::Cidr;
pub(crate) use cross::serving;
pub use error::{ConfigError, Notice};
pub(crate) use live::Live;
pub use load::Loaded;
pub(crate) use load::load_from;
pub use redis_url::RedisUrl;
pub use secret::{Secret, SecretError};
pub use tables::{
    Backend, Deduplication, Delivery, Dialects, Durability, Form, Limits, LogFormat, Logging,
    Method, Metrics, Mode, Network, OnConflict, OnUnknown, Rufh104, Scheme, Security, SecurityKey,
    Server, SessionStore, Sessions, Storage, Timeouts, Times, UploadConfig, Uploads, Workers,
};
#[cfg(any(test, fuzzing))]
pub(crate) use text::is_field_name;
pub(crate) use watch::Watch;

#[cfg(test)]
mod tests;
