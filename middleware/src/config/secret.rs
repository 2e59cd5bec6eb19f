//! A signing secret: checked when it is made, masked when it is shown.

use std::fmt;
use std::sync::Arc;

/// What is shown in place of a secret. Too short to be one, so that a printed configuration is
/// refused rather than taken for the real one.
pub(super) const MASK: &str = "***";

/// The shortest secret, in bytes.
const LENGTH_MIN: usize = 16;

/// The words that stand for a secret in examples and templates.
const PLACEHOLDERS: &[&str] = &[
    "change",
    "changeme",
    "me",
    "this",
    "your",
    "my",
    "super",
    "secret",
    "secrets",
    "hmac",
    "key",
    "password",
    "here",
    "replace",
    "insert",
    "placeholder",
    "default",
    "example",
    "todo",
];

/// Secret bytes, as used for HMAC: at least 16 of them, not a placeholder. `Debug` and `Display`
/// show `***`; a clone shares the bytes.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

/// Takes as long wherever the first difference is.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let different = self.0.iter().zip(other.0.iter());
        let different = different.fold(0, |found, (one, other)| found | (one ^ other));
        self.0.len() == other.0.len() && std::hint::black_box(different) == 0
    }
}

impl Eq for Secret {}

impl Secret {
    /// Takes the bytes as they are: no decoding, no trimming.
    ///
    /// # Errors
    ///
    /// [`SecretError::TooShort`] below 16 bytes; [`SecretError::Placeholder`] for what examples
    /// write in place of a secret (`changeme`, `YOUR_HMAC_SECRET`), also when it was repeated or
    /// padded with digits or signs to reach the length, and for one byte repeated.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the caller gives the secret away"
    )]
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretError> {
        // The placeholder first: "make it longer" would be the wrong advice for "changeme".
        if is_placeholder(&bytes) {
            return Err(SecretError::Placeholder);
        }
        if bytes.len() < LENGTH_MIN {
            return Err(SecretError::TooShort {
                length: bytes.len(),
            });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes, for use as a key.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({MASK})")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Why [`Secret::new`] refuses bytes. Never shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Fewer than 16 bytes.
    #[error("the secret has {length} bytes: at least 16 are needed, better 32 random ones")]
    TooShort {
        /// The number of bytes given.
        length: usize,
    },
    /// The text of an example, not a secret.
    #[error(
        "the secret is a placeholder: use random bytes, for example from `openssl rand -hex 32`"
    )]
    Placeholder,
}

/// Whether the letters are nothing but words of templates (the rest is padding), or one byte is
/// repeated throughout.
fn is_placeholder(bytes: &[u8]) -> bool {
    let repeated = bytes.len() > 1 && bytes.iter().all(|byte| *byte == bytes[0]);
    let text: Option<&str> = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.is_ascii());
    repeated || text.is_some_and(is_made_of_placeholders)
}

fn is_made_of_placeholders(text: &str) -> bool {
    let letters: String = text
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    // `whole[n]`: the first n letters are made of placeholders. The last word may be cut short,
    // as in "changemechangeme" cut to 16 bytes of "changemechangemechangeme".
    let mut whole = vec![false; letters.len() + 1];
    whole[0] = true;
    for end in 1..=letters.len() {
        whole[end] = PLACEHOLDERS
            .iter()
            .any(|word| letters[..end].ends_with(word) && whole[end - word.len()]);
    }
    let complete = whole[letters.len()];
    let cut = (4..letters.len()).any(|end| {
        whole[end]
            && PLACEHOLDERS
                .iter()
                .any(|word| word.starts_with(&letters[end..]))
    });
    !letters.is_empty() && (complete || cut)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<SecretError> {
        Secret::new(text.as_bytes().to_vec()).err()
    }

    #[test]
    fn placeholders_are_refused() {
        let texts = [
            "changeme",
            "changemechangeme",
            "changemechangemec",
            "secret",
            "SECRETSECRETSECRET",
            "secret0000000000",
            "secret          ",
            "YOUR_HMAC_SECRET",
            "YOUR_HMAC_SECRET_HERE",
            "your-secret-key-1234567890",
            "my-super-secret-key!",
            "change-this-secret-key",
            "0000000000000000",
            "xxxxxxxxxxxxxxxxxxxx",
        ];
        for text in texts {
            assert_eq!(refusal(text), Some(SecretError::Placeholder), "{text}");
        }
    }

    #[test]
    fn short_ones_are_refused() {
        assert_eq!(refusal(""), Some(SecretError::TooShort { length: 0 }));
        assert_eq!(
            refusal("0123456789abcde"),
            Some(SecretError::TooShort { length: 15 })
        );
        assert_eq!(refusal("***"), Some(SecretError::Placeholder));
    }

    #[test]
    fn real_ones_are_taken_as_they_are() {
        for text in [
            "0123456789abcdef",
            "correct horse battery staple",
            "9f86d081884c7d659a2feaa0c55ad015",
        ] {
            let secret = Secret::new(text.as_bytes().to_vec()).unwrap();
            assert_eq!(secret.expose(), text.as_bytes());
        }
        assert!(Secret::new((0..16).map(|byte| byte ^ 0xA5).collect()).is_ok());
    }

    #[test]
    fn never_shown() {
        let secret = Secret::new(b"9f86d081884c7d659a2f".to_vec()).unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "*** Secret(***) Secret(***)"
        );
    }
}
