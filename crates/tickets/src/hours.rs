//! Support hours, such as `Mon-Fri 08:00-18:00 Europe/Berlin`. Several ranges are divided by `;`. Pure.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// When support works.
#[derive(Debug, Clone)]
pub struct Hours {
    text: String,
    ranges: Vec<Range>,
}

#[derive(Debug, Clone)]
struct Range {
    days: Vec<Weekday>,
    from: Time,
    /// None: until midnight.
    until: Option<Time>,
    zone: TimeZone,
}

impl Hours {
    /// # Errors
    /// What is wrong, for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ranges = text.split(';').map(|range| parse_range(range.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().to_owned(), ranges })
    }

    /// As the operator wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_open(&self, now_ms: i64) -> bool {
        let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
        self.ranges.iter().any(|range| range.contains(&now.to_zoned(range.zone.clone())))
    }

    /// When support begins to work next, ms; none if never within eight days.
    pub fn opens_at(&self, now_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        self.ranges.iter().filter_map(|range| range.next_start(now)).min()
    }
}

impl Range {
    fn contains(&self, at: &Zoned) -> bool {
        let time = at.time();
        self.days.contains(&at.weekday()) && time >= self.from && self.until.is_none_or(|until| time < until)
    }

    fn next_start(&self, now: Timestamp) -> Option<i64> {
        let today = now.to_zoned(self.zone.clone()).date();
        (0..=8).find_map(|days| {
            let day = today.checked_add(days.days()).ok()?;
            let start = day.to_datetime(self.from).to_zoned(self.zone.clone()).ok()?.timestamp();
            (self.days.contains(&day.weekday()) && start > now).then(|| start.as_millisecond())
        })
    }
}

fn parse_range(text: &str) -> Result<Range, String> {
    let mut words = text.split_whitespace();
    let (Some(days), Some(times), zone, None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("`{text}` does not have the form `Mon-Fri 08:00-18:00 Europe/Berlin`"));
    };
    let zone = match zone {
        None | Some("UTC") => TimeZone::UTC,
        Some(name) => {
            TimeZone::get(name).map_err(|_| format!("`{name}` is not a time zone known on this machine"))?
        }
    };
    let (from, until) = times.split_once('-').ok_or_else(|| format!("`{times}` has no end"))?;
    let time = |text: &str| {
        Time::strptime("%H:%M", text).map_err(|_| format!("`{text}` is not a time such as 08:00"))
    };
    let (from, until) = (time(from)?, if until == "24:00" { None } else { Some(time(until)?) });
    if until.is_some_and(|until| until <= from) {
        return Err(format!("`{times}` ends before it begins"));
    }
    Ok(Range { days: parse_days(days)?, from, until, zone })
}

fn parse_days(text: &str) -> Result<Vec<Weekday>, String> {
    let index = |name: &str| {
        let found = DAYS.iter().position(|(day, _)| day.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("`{name}` is not a day such as Mon"))
    };
    let mut days = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (index(first)?, index(last)?);
        let count = (last + 7 - first) % 7 + 1;
        days.extend((0..count).filter_map(|n| DAYS.get((first + n) % 7).map(|(_, day)| *day)));
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn hours_have_days_times_and_a_zone() {
        for (hours, at, is_open, opens_at) in [
            ("Mon-Fri 08:00-18:00", "2026-11-27T08:00:00Z", true, "2026-11-30T08:00:00Z"),
            ("Mon-Fri 08:00-18:00 UTC", "2026-11-27T18:00:00Z", false, "2026-11-30T08:00:00Z"),
            ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-27T17:30:00Z", false, "2026-11-30T07:00:00Z"),
            ("Mon-Sun 00:00-24:00", "2026-11-28T23:59:59Z", true, "2026-11-29T00:00:00Z"),
            ("Fri-Mon 22:00-24:00", "2026-11-29T22:00:00Z", true, "2026-11-30T22:00:00Z"),
            ("Mon 09:00-10:00; Sat,Sun 12:00-13:00", "2026-11-27T00:00:00Z", false, "2026-11-28T12:00:00Z"),
        ] {
            let parsed = Hours::parse(hours).unwrap();
            assert_eq!(parsed.is_open(ms(at)), is_open, "{hours} at {at}");
            assert_eq!(parsed.opens_at(ms(at)), Some(ms(opens_at)), "{hours} at {at}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (hours, part) in [
            ("", "form"),
            ("Mon-Fri", "form"),
            ("Mon-Fri 08:00", "no end"),
            ("Mon-Fri 8-18", "not a time"),
            ("Mon-Fri 18:00-08:00", "ends before"),
            ("Someday 08:00-18:00", "not a day"),
            ("Mon 08:00-18:00 Mars/Olympus", "not a time zone"),
            ("Mon 08:00-18:00 UTC now", "form"),
        ] {
            let error = Hours::parse(hours).unwrap_err();
            assert!(error.contains(part), "{hours}: {error}");
        }
    }
}
