//! What every tier is told.

use std::path::PathBuf;

use super::rng::Rng;
use crate::server;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Minutes.
    Quick,
    /// As long as it takes.
    Full,
}

/// The programs that are driven; others can be put in their place.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The example server: `STEADFAST_SERVER_BIN`, or built.
    pub server: PathBuf,
    /// The torture app: `STEADFAST_TORTURE_APP_BIN`, or built.
    pub app: PathBuf,
}

impl Programs {
    /// Finds them.
    ///
    /// # Panics
    /// When they cannot be built.
    #[must_use]
    pub fn find() -> Self {
        let app = std::env::var_os("STEADFAST_TORTURE_APP_BIN").map(PathBuf::from);
        Self {
            server: server::program().to_owned(),
            app: app.unwrap_or_else(|| server::build("steadfast-tests", "torture_app")),
        }
    }
}

/// What every tier is told.
#[derive(Debug, Clone)]
pub struct Context {
    /// How much is done.
    pub profile: Profile,
    /// All random choices follow from it.
    pub seed: u64,
    /// How many cycles, instead of what the profile says.
    pub cycles: Option<usize>,
    /// What is driven.
    pub programs: Programs,
    /// Added to the environment of the programs.
    pub env: Vec<(String, String)>,
    /// Keeps the directories, and says where they are.
    pub keep: bool,
}

impl Context {
    /// The choices of a tier.
    #[must_use]
    pub fn rng(&self, tier: &str) -> Rng {
        Rng::new(self.seed).fork(tier)
    }

    /// The number of cycles.
    #[must_use]
    pub fn cycles(&self, quick: usize, full: usize) -> usize {
        self.cycles.unwrap_or(match self.profile {
            Profile::Quick => quick,
            Profile::Full => full,
        })
    }
}
