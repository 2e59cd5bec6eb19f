//! Whether the bench can fail: servers with a bug put in on purpose, and which tier finds it.
//!
//! The bugs are in no ordinary build: `--cfg steadfast_sabotage` compiles them in, and the
//! environment variable `STEADFAST_SABOTAGE` chooses one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::TIERS;
use super::context::{Context, Programs};

/// Cycles within which a tier finds what it can find.
const CYCLES: usize = 16;

/// The tiers that are tried, those that find most first.
const TRIED: [&str; 5] = ["power", "kill", "eio", "rot", "double"];

/// Tries every bug and says who found it; whether all were found.
#[must_use]
pub fn run(context: &Context, say: impl Fn(&str)) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let simulated = simulate(&root);
    let programs = build(&root);
    let mut all = true;
    // A tier that fails without a bug finds none.
    for (name, tier) in TIERS.iter().filter(|(name, _)| TRIED.contains(name)) {
        let mut context = context.clone();
        context.programs = programs.clone();
        context.cycles = Some(CYCLES);
        if !tier(&context).passed() {
            say(&format!("sabotage: {name} fails without any bug\n"));
            return false;
        }
    }
    for (bug, history) in &simulated {
        let mut context = context.clone();
        context.programs = programs.clone();
        context.cycles = Some(CYCLES);
        context
            .env
            .push(("STEADFAST_SABOTAGE".to_owned(), bug.clone()));
        let finds = |name: &&&str| {
            let tier = TIERS.iter().find(|(tier, _)| *tier == **name);
            tier.is_some_and(|(_, tier)| !tier(&context).passed())
        };
        let tier = TRIED.iter().find(finds);
        all &= history.is_some() || tier.is_some();
        let tier = tier.map_or("no tier", |tier| tier);
        let history = history.as_deref().unwrap_or("no history");
        say(&format!(
            "sabotage {bug:20} found by {tier:8} and {history}\n"
        ));
    }
    all && !simulated.is_empty()
}

/// The bugs, and the first simulated history that breaks a promise by each.
fn simulate(root: &Path) -> Vec<(String, Option<String>)> {
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "-p", "steadfast", "--lib", "every_bug"]);
    command.args(["--", "--nocapture"]).current_dir(root);
    let output = command.output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("bug "), "the histories do not run:\n{said}");
    let found = text.lines().filter_map(|line| {
        let (bug, history) = line.strip_prefix("bug ")?.split_once(' ')?;
        let history = history.trim().split_once(':').map(|(history, _)| history);
        let found = history.filter(|history| history.starts_with("history"));
        Some((bug.to_owned(), found.map(str::to_owned)))
    });
    found.collect()
}

/// Builds the programs with the bugs in them, apart from the ordinary ones.
fn build(root: &Path) -> Programs {
    let target = root.join("target/sabotage");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "--target-dir"]);
    command.arg(&target).current_dir(root);
    command.args(["-p", "steadfast-server", "-p", "steadfast-tests", "--bins"]);
    command.env("RUSTFLAGS", "--cfg steadfast_sabotage");
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the programs with bugs cannot be built");
    let program = |name: &str| -> PathBuf { target.join("release").join(name) };
    Programs {
        server: program("steadfast-server"),
        app: program("torture_app"),
    }
}
