//! The configuration as text.

use super::UploadConfig;
use super::tables::keys;

impl UploadConfig {
    /// The effective configuration as TOML, one line a key. Secrets are masked; keys that are not
    /// set are comments. Unless a secret is set, [`UploadConfig::from_toml`] reads it back.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut text = String::new();
        let mut table = "";
        for key in keys() {
            if key.table() != table {
                let gap = if table.is_empty() { "" } else { "\n" };
                table = key.table();
                text.push_str(&format!("{gap}[{table}]\n"));
            }
            match key.show(self) {
                Some(value) => text.push_str(&format!("{} = {value}\n", key.name())),
                None => text.push_str(&format!("# {} is not set\n", key.name())),
            }
        }
        text
    }
}
