//! How arguments become values: texts that are not empty, times, ages, sizes. Pure.

use clap::builder::NonEmptyStringValueParser;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A value that is not empty: `wb get "$ID"` must fail if `ID` is empty.
pub(super) fn given() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

/// A time: RFC 3339, a date (midnight UTC), or an age.
pub(super) fn when(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        return date.to_zoned(TimeZone::UTC).map(|day| day.timestamp()).map_err(|e| e.to_string());
    }
    let seconds = age_s(text).map_err(|_| "expected a date, an RFC 3339 time, or an age such as `48h`")?;
    let age = i64::try_from(seconds).map_err(|_| "too long ago")?;
    Timestamp::now().checked_sub(SignedDuration::from_secs(age)).map_err(|_| "too long ago".to_owned())
}

/// A whole number with a unit (`s`, `m`, `h`, `d` or `w`), in seconds.
pub(super) fn age_s(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];
    let wrong = || "expected a number and a unit, such as `30m`, `48h` or `7d`".to_owned();
    UNITS
        .iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*seconds))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(wrong)
}

/// A number of bytes, plain or with a decimal (`GB`) or binary (`GiB`) unit.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    // Longest first: `B` ends every other unit.
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim_end(), *bytes)))
        .unwrap_or((text, 1));
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a number of bytes, such as `20000000`, `20MB` or `20MiB`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_parsed() {
        let seconds = [("30s", 30), ("5m", 300), ("48h", 172_800), ("7d", 604_800), ("2w", 1_209_600)];
        for (text, expected) in seconds {
            assert_eq!(age_s(text), Ok(expected), "{text}");
        }
        for text in ["", "48", "h", "-1h", "0h", "1.5h", "99999999999999999999h", "1y"] {
            assert!(age_s(text).is_err(), "{text}");
        }
        let sizes = [("1", 1), ("20MB", 20_000_000), ("20 MB", 20_000_000), ("1GiB", 1 << 30), ("5B", 5)];
        for (text, expected) in sizes {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "MB", "0", "-1", "1PB", "1e9", "99999999TB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_parsed() {
        assert_eq!(when("2026-11-22").unwrap().to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(when("2026-11-22T10:00:00+02:00").unwrap().to_string(), "2026-11-22T08:00:00Z");
        assert!(when("1h").unwrap() < Timestamp::now());
        assert!(when("yesterday").is_err());
    }
}
