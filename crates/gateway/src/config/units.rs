//! Durations and sizes as people write them. Invariant: a duration has a unit, and no value can overflow later arithmetic.

use std::time::Duration;

/// A longer duration is a slip, or means forever.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// What the ledger can count.
const SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// What is wrong with a value, and the fix.
pub(crate) type Wrong = (String, String);

/// `48h`, `1h 30m`, `7d`; never negative. `example` shows the format and the likely unit.
///
/// # Errors
/// When there is no unit, when it is negative, not a duration, or longer than ten years.
pub(crate) fn parse_duration(text: &str, example: &str) -> Result<Duration, Wrong> {
    let text = text.trim();
    let unit = example.trim_start_matches(|c: char| c.is_ascii_digit());
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err((
            "has no unit".into(),
            format!("write `\"{text}{unit}\"`, or with another unit: s, m, h, d"),
        ));
    }
    let days = text.strip_suffix('d').and_then(|days| days.trim().parse::<u32>().ok());
    let duration = match days {
        Some(days) => Duration::from_secs(u64::from(days) * 24 * 60 * 60),
        None => {
            let parsed = text.parse::<jiff::SignedDuration>().ok();
            let wrong = if parsed.is_some_and(|duration| duration.is_negative()) || text.starts_with('-') {
                "is negative"
            } else {
                "is not a duration"
            };
            let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
            duration.ok_or_else(|| (wrong.into(), format!("write for example `\"{example}\"`")))?
        }
    };
    if duration > DURATION_MAX {
        return Err(("is longer than ten years".into(), format!("write for example `\"{example}\"`")));
    }
    Ok(duration)
}

/// Units of sizes, in bytes. Prefixes alone (`20G`) are not among them: they mean one thing here and another there.
const UNITS: [(&str, u64); 10] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Bytes: `20000000`, `20MB`, `1.5 GB`, `256MiB`.
///
/// # Errors
/// When it is not a size, negative, or more than can be counted.
pub(crate) fn parse_size(text: &str, example: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let fix = || format!("write bytes, or with a unit, for example `{example}`, `\"20GB\"` or `\"256MiB\"`");
    if text.starts_with('-') {
        return Err(("is negative".into(), fix()));
    }
    let wrong = || (format!("`{text}` is not a size"), fix());
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let unit = if unit.is_empty() { "b" } else { &unit };
    let (_, bytes) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = !whole.is_empty() && !fraction.is_empty() && fraction.len() <= 9;
    let digits = format!("{whole}{fraction}");
    let digits: u128 = Some(digits).filter(|_| is_number).and_then(|d| d.parse().ok()).ok_or_else(wrong)?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    let size = digits.checked_mul(u128::from(bytes)).map(|size| size / scale);
    size.and_then(|size| u64::try_from(size).ok())
        .filter(|size| *size <= SIZE_MAX)
        .ok_or_else(|| ("is more than can be counted".into(), format!("write at most `{SIZE_MAX}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_name_their_unit() {
        for (text, expected) in [
            ("48h", Ok(48 * 3600)),
            ("1h 30m", Ok(5400)),
            ("7d", Ok(7 * 24 * 3600)),
            (" 0s", Ok(0)),
            ("48", Err("has no unit")),
            ("0", Err("has no unit")),
            ("-5h", Err("is negative")),
            ("-5", Err("is negative")),
            ("soon", Err("is not a duration")),
            ("", Err("is not a duration")),
            ("4000d", Err("is longer than ten years")),
            ("99999999999h", Err("is longer than ten years")),
        ] {
            let read = parse_duration(text, "48h");
            assert_eq!(read.as_ref().map(Duration::as_secs).map_err(|w| w.0.as_str()), expected, "{text}");
        }
        assert!(parse_duration("48", "30s").unwrap_err().1.contains("\"48s\""));
    }

    #[test]
    fn sizes_are_bytes_or_name_their_unit() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("20000000", Ok(20_000_000)),
            ("20GB", Ok(20_000_000_000)),
            ("20 gb", Ok(20_000_000_000)),
            ("256MiB", Ok(256 << 20)),
            ("1.5GB", Ok(1_500_000_000)),
            ("0.25KiB", Ok(256)),
            ("9223372036854775807", Ok(i64::MAX.unsigned_abs())),
            ("9223372036854775808", Err("is more than can be counted")),
            ("99999999999PB", Err("is more than can be counted")),
            ("-5", Err("is negative")),
            ("-5MB", Err("is negative")),
            ("fast", Err("`fast` is not a size")),
            ("20G", Err("`20G` is not a size")),
            ("1.2.3MB", Err("`1.2.3MB` is not a size")),
            (".5MB", Err("`.5MB` is not a size")),
            ("5.MB", Err("`5.MB` is not a size")),
            ("", Err("`` is not a size")),
        ] {
            let read = parse_size(text, "1000");
            assert_eq!(read.as_ref().copied().map_err(|wrong| wrong.0.as_str()), expected, "{text}");
        }
    }
}
