//! Random choices that follow from one seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A generator (SplitMix64). Equal seeds make equal choices, on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for what `label` names. It does not depend on how much was drawn
    /// from others, so that threads do not disturb each other's choices.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        let mut hash = self.0 ^ 0xcbf2_9ce4_8422_2325;
        for byte in label.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let mut forked = Self(hash);
        Self(forked.draw())
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number of the range.
    ///
    /// # Panics
    /// When the range is empty.
    pub fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        assert!(!range.is_empty(), "an empty range has no number");
        let span = (range.end() - range.start()) as u64 + 1;
        // The bias of a remainder is far below anything these tests could notice.
        range.start() + usize::try_from(self.draw() % span).expect("below the span")
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.within(0..=99) < percent
    }

    /// A time of the range, in milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<usize>) -> Duration {
        Duration::from_millis(self.within(range) as u64)
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.within(0..=items.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_choose_alike() {
        let draw = |seed| {
            let mut rng = Rng::new(seed).fork("load");
            (0..5).map(|_| rng.within(3..=900)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|n| (3..=900).contains(n)));
    }

    #[test]
    fn labels_choose_apart() {
        let root = Rng::new(1);
        assert_ne!(root.fork("a").draw(), root.fork("b").draw());
    }
}
