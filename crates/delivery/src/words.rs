//! Times and sizes in words. Pure.

use std::time::Duration;

/// Such as `30 days`: whole units, the largest that is not a fraction.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .map_or((seconds, "second"), |(unit, name)| (seconds / unit, name));
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// `1,234,567 bytes (1.2 MB)`.
pub(crate) fn size(bytes: i64) -> String {
    let digits = bytes.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let mut unit = 1_i64;
    for name in ["kB", "MB", "GB", "TB"] {
        let smaller = unit;
        unit *= 1000;
        // The next unit begins where this one would round to 1,000.
        if bytes >= unit - smaller / 20 && (name == "TB" || bytes < unit * 1000 - unit / 20) {
            let tenths = (bytes + unit / 20) / (unit / 10);
            return format!("{grouped} bytes ({}.{} {name})", tenths / 10, tenths % 10);
        }
    }
    if bytes == 1 { "1 byte".to_owned() } else { format!("{grouped} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        for (seconds, expected) in [
            (86_400, "1 day"),
            (30 * 86_400, "30 days"),
            (90_000, "25 hours"),
            (90, "90 seconds"),
            (60, "1 minute"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (949, "949 bytes"),
            (1_000, "1,000 bytes (1.0 kB)"),
            (20_000_000, "20,000,000 bytes (20.0 MB)"),
            (999_949, "999,949 bytes (999.9 kB)"),
            (999_950, "999,950 bytes (1.0 MB)"),
            (1_234_567_890, "1,234,567,890 bytes (1.2 GB)"),
            (52_776_558_133_248, "52,776,558,133,248 bytes (52.8 TB)"),
            (5_000_000_000_000_000, "5,000,000,000,000,000 bytes (5000.0 TB)"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
