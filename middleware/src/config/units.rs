//! Sizes and durations: how they are written, read and printed.

use std::time::Duration;

/// 1024 bytes: `KB` and `KiB` mean the same, as in the seed (5MB = 5242880).
pub(super) const KB: u64 = 1 << 10;
/// 1024 `KB`.
pub(super) const MB: u64 = 1 << 20;
/// 1024 `MB`.
pub(super) const GB: u64 = 1 << 30;
/// 1024 `GB`.
pub(super) const TB: u64 = 1 << 40;
/// The largest size: what a file offset can express.
pub(super) const SIZE_MAX: u64 = i64::MAX as u64;

/// The shortest duration where zero makes no sense.
pub(super) const INSTANT: Duration = Duration::from_millis(1);
/// One day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest duration: far enough from the end of the clock that adding it to "now" is safe.
pub(super) const YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Reads `"10MB"`, `"1.5GB"`, `"64KiB"`, `"10 MB"` or `"8192"` as a number of bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .ok()
        .filter(|size| *size <= SIZE_MAX)
}

/// Writes a size with the largest unit that divides it, so that it reads back exactly.
pub(super) fn show_size(size: u64) -> String {
    let units = [(TB, "TB"), (GB, "GB"), (MB, "MB"), (KB, "KB")];
    match units
        .iter()
        .find(|(unit, _)| size > 0 && size.is_multiple_of(*unit))
    {
        Some((unit, name)) => format!("{}{name}", size / unit),
        None => size.to_string(),
    }
}

/// Reads `"4800s"`, `"48h"`, `"1h30m"` or `"250ms"`; a number without a unit is refused.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    // humantime takes a bare "0" for zero; ours is the rule that every duration names its unit.
    if text.trim().parse::<f64>().is_ok() {
        return None;
    }
    humantime::parse_duration(text.trim()).ok()
}

/// Writes a duration so that it reads back exactly: `1h30m`, `250ms`; days from three days on.
pub(super) fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    if duration >= DAY * 3 && duration.as_nanos().is_multiple_of(DAY.as_nanos()) {
        return format!("{}d", duration.as_secs() / DAY.as_secs());
    }
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (name, unit) in units {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_1024_based() {
        let read = [
            ("5MB", 5_242_880),
            ("5MiB", 5_242_880),
            ("1.5GB", 1_610_612_736),
            ("8192", 8192),
            ("64KiB", 65_536),
            ("10 MB", 10_485_760),
            ("0KB", 0),
            ("1TB", TB),
        ];
        for (text, size) in read {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for text in ["", "-1MB", "MB", "5 apples", "5XB", "16EB", "nan", "0x10"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let read = [
            ("4800s", 4_800_000),
            ("48h", 172_800_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("0s", 0),
        ];
        for (text, millis) in read {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "0",
            "30",
            "1.5",
            "-1s",
            "s",
            "5 apples",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn printed_as_a_person_would_write_it() {
        assert_eq!(show_size(5 * MB), "5MB");
        assert_eq!(show_size(8193), "8193");
        assert_eq!(show_size(0), "0");
        assert_eq!(show_duration(Duration::from_secs(4800)), "1h20m");
        assert_eq!(show_duration(Duration::from_secs(48 * 3600)), "48h");
        assert_eq!(show_duration(YEARS), "3650d");
        assert_eq!(show_duration(Duration::from_millis(1500)), "1s500ms");
    }

    proptest! {
        #[test]
        fn sizes_read_back(size in 0..=SIZE_MAX) {
            prop_assert_eq!(parse_size(&show_size(size)), Some(size));
        }

        #[test]
        fn durations_read_back(nanos in 0..=YEARS.as_nanos() as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
    }
}
