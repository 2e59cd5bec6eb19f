//! What the command line takes.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::sign::Sign;

/// The file that is read unless the command line names one.
const DEFAULT_CONFIG: &str = "config.toml";

/// An ordinary upload server, made resumable by one layer.
///
/// Files are stored below `uploads` in the working directory. The settings come from a TOML file;
/// the environment overrides each of them as STEADFAST__SECTION__KEY, for example
/// STEADFAST__SERVER__BIND=0.0.0.0:8080.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Read the settings from this file
    ///
    /// Without this option `config.toml` in the working directory is read, and if there is none,
    /// every setting has its default.
    #[arg(long, value_name = "PATH", global = true)]
    config: Option<PathBuf>,

    /// Check the settings, print those in effect, secrets masked, and exit
    ///
    /// Exits with 0 if the server would start with them, with 2 and every problem found if not.
    #[arg(long)]
    pub(crate) check_config: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else it can do than serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Sign(Sign),
}

const AFTER_HELP: &str = "\
Exit status: 0 after an orderly stop, 1 if the server could not start or failed, 2 for a wrong
command line or wrong settings. RUST_LOG overrides logging.level.";

impl Args {
    /// Where the settings are.
    ///
    /// # Errors
    ///
    /// A sentence, if the command line names a file that does not exist: only the default one may be
    /// missing, since a misspelt path must not quietly start a server with other settings.
    pub(crate) fn config(&self) -> Result<&Path, String> {
        match &self.config {
            None => Ok(Path::new(DEFAULT_CONFIG)),
            Some(path) if path.exists() => Ok(path),
            Some(path) => Err(format!(
                "{}: there is no such file (--config)",
                path.display()
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Args {
        Args::try_parse_from([&["steadfast-server"], args].concat()).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        assert_eq!(parse(&[]).config().unwrap(), Path::new("config.toml"));
        assert!(
            parse(&["--config", "no/such.toml"])
                .config()
                .unwrap_err()
                .contains("no/such.toml")
        );
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(
            parse(&["--config", manifest]).config().unwrap(),
            Path::new(manifest)
        );
    }
}
