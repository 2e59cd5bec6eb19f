//! What a process left behind that died while it replaced a name.

use std::path::{Path, PathBuf};

use super::candidate::Facts;
use super::pace::Pace;
use super::swap::{Label, print, swap};
use super::tree::{Spot, Tree};
use super::trouble::Trouble;

/// A name of ours that was to be there for a moment only.
struct Leftover {
    spot: Spot,
    label: Label,
    /// The name that was to be replaced, if it is still there.
    target: Option<(PathBuf, Facts)>,
    /// A name of the file that was to be put in place.
    keeper: Option<PathBuf>,
}

/// Puts right what was left behind at `spots`: each name ends up with what it had or what was put in
/// its place, and nothing that is not elsewhere as well is removed.
///
/// # Errors
/// [`Trouble::Stopped`].
pub fn settle(tree: &Tree, spots: Vec<Spot>, pace: &mut Pace) -> Result<(), Trouble> {
    let leftover = |spot: Spot| {
        Some(Leftover {
            label: Label::parse(&spot.name)?,
            spot,
            target: None,
            keeper: None,
        })
    };
    let mut all: Vec<_> = spots.into_iter().filter_map(leftover).collect();
    if all.is_empty() {
        return Ok(());
    }
    tree.walk(Path::new(""), pace, |path, facts| {
        let print = print(path);
        for leftover in &mut all {
            if print == leftover.label.target {
                leftover.target = Some((path.to_owned(), *facts));
            }
            if facts.id.ino == leftover.label.keeper {
                leftover.keeper = Some(path.to_owned());
            }
        }
    })?;
    for leftover in all {
        match leftover.put_right(tree, pace) {
            Err(Trouble::Stopped) => return Err(Trouble::Stopped),
            Ok(true) => {}
            unknown => {
                let name = leftover.spot.name.display();
                tracing::warn!(
                    ?unknown,
                    "deduplication was cut short and left {name} behind; it may hold a file that \
                     was replaced then, and is not removed"
                );
            }
        }
    }
    Ok(())
}

impl Leftover {
    /// Answers whether it is done with.
    fn put_right(&self, tree: &Tree, pace: &mut Pace) -> Result<bool, Trouble> {
        let ours = self.spot.facts()?;
        let keeper = self.label.keeper;
        // Not exchanged: it is but one more name of what has others.
        if ours.id.ino == keeper {
            self.spot.remove()?;
            return Ok(true);
        }
        let replaced_since = |(_, facts): &(PathBuf, Facts)| facts.id.ino != keeper;
        if self.target.as_ref().is_some_and(replaced_since) {
            self.spot.remove()?;
            return Ok(true);
        }
        let target = self.target.as_ref().map(|(path, _)| path);
        let Some(twin) = target.or(self.keeper.as_ref()) else {
            return Ok(false);
        };
        let twin = tree.candidate(twin)?;
        let ours = self.spot.candidate(Path::new(&self.spot.name))?;
        let is_copy = ours.facts.stamp.size == twin.facts.stamp.size
            && twin.facts.id.ino == keeper
            && ours.is_same_as(&twin, pace)?;
        if is_copy {
            self.spot.remove()?;
            return Ok(true);
        }
        // Somebody put it there just before the names were exchanged: it goes back.
        let Some(target) = target else {
            return Ok(false);
        };
        let target = tree.spot(target)?;
        let _ = swap(&self.spot, &target, ours.facts.id.ino, keeper, || true)?;
        self.spot.remove()?;
        Ok(true)
    }
}
