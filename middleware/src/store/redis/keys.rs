use sha2::{Digest as _, Sha256};

use crate::upload::{Owner, UploadKey};

/// The names of everything in Redis. What belongs to one upload has its key in braces, so that a
/// cluster would keep it together. Nothing a client sent stands in a name.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// How an upload stands: a hash.
    pub(super) fn upload(&self, key: UploadKey) -> String {
        format!("{}:upload:{{{key}}}", self.prefix)
    }

    /// Its received chunks: a bitmap.
    pub(super) fn chunks(&self, key: UploadKey) -> String {
        format!("{}:upload:{{{key}}}:chunks", self.prefix)
    }

    /// What became of the wish to cancel it: a word, for a moment.
    pub(super) fn answer(&self, key: UploadKey) -> String {
        format!("{}:upload:{{{key}}}:answer", self.prefix)
    }

    /// When to look whether an upload is to be forgotten: a sorted set of all of them.
    pub(super) fn deadlines(&self) -> String {
        format!("{}:deadlines", self.prefix)
    }

    /// A server: a hash.
    pub(super) fn server(&self, name: &str) -> String {
        format!("{}:server:{name}", self.prefix)
    }

    /// The names of all servers: a set.
    pub(super) fn servers(&self) -> String {
        format!("{}:servers", self.prefix)
    }

    /// The uploads of a server that somebody wants cancelled: a set.
    pub(super) fn wishes(&self, name: &str) -> String {
        format!("{}:server:{name}:wishes", self.prefix)
    }

    /// What the uploads of an owner take on each server: a hash.
    pub(super) fn owner(&self, owner: &Owner) -> String {
        let digest = Sha256::digest(owner.0.as_bytes());
        format!("{}:owner:{}", self.prefix, hex::encode(&digest[..16]))
    }

    /// The server that made the upload of a create request: a string.
    pub(super) fn maker(&self, name: UploadKey) -> String {
        format!("{}:made:{name}", self.prefix)
    }

    /// What was used that may be used once: a string.
    pub(super) fn spent(&self, print: [u8; 16]) -> String {
        format!("{}:spent:{}", self.prefix, hex::encode(print))
    }

    /// Since when that is known, and how long it has to be: a hash.
    pub(super) fn spending(&self) -> String {
        format!("{}:spending", self.prefix)
    }

    /// What wrote all this: a string.
    pub(super) fn format(&self) -> String {
        format!("{}:format", self.prefix)
    }
}
