//! The command line.

use super::context::{Context, Profile, Programs};

/// How the program is used.
pub const USAGE: &str = "\
usage: torture [--profile quick|full] [--only TIER] [--seed N] [--cycles N] [--env NAME=VALUE] [--keep]
       torture --sabotage

--sabotage builds servers with a bug put in on purpose and says which tier finds each.
STEADFAST_SERVER_BIN and STEADFAST_TORTURE_APP_BIN name other programs to torture.";

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// How much is done.
    pub profile: Profile,
    /// The tiers that run; all when there is none.
    pub only: Vec<String>,
    /// The seed, if one was named.
    pub seed: Option<u64>,
    /// The number of cycles, if one was named.
    pub cycles: Option<usize>,
    /// Added to the environment of the servers.
    pub env: Vec<(String, String)>,
    /// Whether directories are kept.
    pub keep: bool,
    /// Whether bugs are put in, to see that they are found.
    pub sabotage: bool,
    /// Whether it is only asked how this is used.
    pub help: bool,
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            profile: Profile::Quick,
            only: Vec::new(),
            seed: None,
            cycles: None,
            env: Vec::new(),
            keep: false,
            sabotage: false,
            help: false,
        };
        while let Some(flag) = args.next() {
            if flag == "--help" || flag == "-h" {
                parsed.help = true;
                continue;
            }
            if flag == "--keep" {
                parsed.keep = true;
                continue;
            }
            if flag == "--sabotage" {
                parsed.sabotage = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{flag} wants a value"))?;
            parsed.take(&flag, &value)?;
        }
        Ok(parsed)
    }

    fn take(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let number = |value: &str| {
            let parsed = value.parse::<u64>();
            parsed.map_err(|_| format!("{flag} wants a number and not {value:?}"))
        };
        match flag {
            "--profile" => {
                self.profile = match value {
                    "quick" => Profile::Quick,
                    "full" => Profile::Full,
                    other => return Err(format!("there is no profile {other:?}")),
                }
            }
            "--only" => self.only.extend(value.split(',').map(str::to_owned)),
            "--seed" => self.seed = Some(number(value)?),
            "--cycles" => self.cycles = usize::try_from(number(value)?).ok(),
            "--env" => {
                let pair = value.split_once('=');
                let (name, text) = pair.ok_or("--env wants NAME=VALUE")?;
                self.env.push((name.to_owned(), text.to_owned()));
            }
            other => return Err(format!("there is no flag {other:?}")),
        }
        Ok(())
    }

    /// What the tiers are told.
    ///
    /// # Panics
    /// When the programs cannot be built.
    #[must_use]
    pub fn context(&self, seed: u64) -> Context {
        Context {
            profile: self.profile,
            seed,
            cycles: self.cycles,
            programs: Programs::find(),
            env: self.env.clone(),
            keep: self.keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_flag_is_read() {
        let args = parse(
            "--profile full --only kill,rot --seed 7 --cycles 3 --env A=b=c --keep --sabotage",
        );
        let expected = Args {
            profile: Profile::Full,
            only: vec!["kill".to_owned(), "rot".to_owned()],
            seed: Some(7),
            cycles: Some(3),
            env: vec![("A".to_owned(), "b=c".to_owned())],
            keep: true,
            sabotage: true,
            help: false,
        };
        assert_eq!(args, Ok(expected));
    }

    #[test]
    fn mistakes_are_named() {
        for line in [
            "--seed",
            "--seed x",
            "--profile slow",
            "--env A",
            "--what 1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
