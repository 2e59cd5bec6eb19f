//! The torture bench: it breaks the server in every way its promise speaks of, and counts what
//! was lost.
//!
//! Each tier drives the release programs over real sockets, strikes them with one kind of fault,
//! and compares what they say and hand over with a ledger of acknowledgements that is kept on the
//! client's side ([`ledger`], judged by [`oracle`] and [`calls`]).
//!
//! 1. A chunk that was answered with a 2xx is listed after every fault, with just those bytes.
//! 2. A chunk that is listed was sent, whole.
//! 3. The handler sees exactly the file, and again only where a crash fell into its call.
//! 4. All random choices follow from the seed that every line prints; when things happen does not.
//! 5. A tier that cannot run on this machine says why.

pub mod app;
pub mod args;
pub mod book;
pub mod calls;
pub mod context;
pub mod disk;
pub mod double;
pub mod eio;
pub mod finding;
pub mod full;
pub mod index;
pub mod instance;
pub mod kill;
pub mod lane;
pub mod lanes;
pub mod ledger;
pub mod load;
pub mod oracle;
pub mod outage;
pub mod phone;
pub mod plan;
pub mod power;
pub mod redis;
pub mod report;
pub mod rng;
pub mod rot;
pub mod sabotage;
pub mod settle;
pub mod shutdown;
pub mod strace;
pub mod switches;
pub mod watch;
pub mod wire;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use args::{Args, USAGE};
use context::{Context, Profile};
use report::Report;

/// A tier: strikes with one kind of fault.
pub type Tier = fn(&Context) -> Report;

/// All tiers, by name.
pub const TIERS: &[(&str, Tier)] = &[
    ("kill", kill::run),
    ("power", power::run),
    ("double", double::run),
    ("rot", rot::run),
    ("eio", eio::run),
    ("full", full::run),
    ("redis", redis::run),
    ("switches", switches::run),
];

/// Runs what the command line asks for; fails when a bound was missed.
#[must_use]
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let args = match Args::parse(args).and_then(known) {
        Ok(args) => args,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if args.help {
        say(&format!("{USAGE}\n"));
        return ExitCode::SUCCESS;
    }
    let seed = args.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::from(now.unwrap_or_default().subsec_nanos())
    });
    let context = args.context(seed);
    if args.sabotage {
        return match sabotage::run(&context, say) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    let (mut failed, mut skipped) = (false, Vec::new());
    for (name, tier) in TIERS {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        let begun = Instant::now();
        let report = tier(&context);
        failed |= !report.passed();
        skipped.extend(report.skipped.as_ref().map(|why| format!("{name} ({why})")));
        say(&report.text(name, seed, begun.elapsed()));
    }
    if !skipped.is_empty() {
        say(&format!(
            "torture: not proven here: {}\n",
            skipped.join(", ")
        ));
        // Who asks for everything wants to know.
        failed |= context.profile == Profile::Full;
    }
    if failed {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn known(args: Args) -> Result<Args, String> {
    let is_tier = |name: &String| TIERS.iter().any(|(known, _)| known == name);
    match args.only.iter().find(|name| !is_tier(name)) {
        Some(name) => Err(format!("there is no tier {name:?}")),
        None => Ok(args),
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
