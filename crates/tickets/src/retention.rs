//! How long files are kept. Pure.

use std::time::Duration;

/// How long files are kept, from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// After the ticket was closed.
    pub grace: Duration,
    /// After the file arrived, at least.
    pub minimum: Duration,
    /// After the file arrived, at most, also while its ticket is open.
    pub maximum: Duration,
}

/// What a partner has of its own; the general retention counts for the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionOverride {
    pub grace: Option<Duration>,
    pub minimum: Option<Duration>,
    pub maximum: Option<Duration>,
}

impl Retention {
    pub fn with(self, own: RetentionOverride) -> Self {
        Self {
            grace: own.grace.unwrap_or(self.grace),
            minimum: own.minimum.unwrap_or(self.minimum),
            maximum: own.maximum.unwrap_or(self.maximum),
        }
    }

    /// Whether the maximum leaves room for the others.
    pub fn is_possible(self) -> bool {
        !self.maximum.is_zero() && self.maximum >= self.minimum && self.maximum >= self.grace
    }

    /// When a file is deleted that arrived then and whose ticket was closed then, all ms. None while its ticket is open and the
    /// maximum is further away than `announce`.
    pub fn expires_at(
        self,
        received_at: i64,
        closed_at: Option<i64>,
        announce: Duration,
        now: i64,
    ) -> Option<i64> {
        let last = received_at.saturating_add(ms(self.maximum));
        match closed_at {
            Some(closed_at) => {
                let first = received_at.saturating_add(ms(self.minimum));
                Some(closed_at.saturating_add(ms(self.grace)).max(first).min(last))
            }
            None => (last.saturating_sub(ms(announce)) <= now).then_some(last),
        }
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticket_decides_within_the_bounds() {
        let retention = Retention {
            grace: Duration::from_millis(100),
            minimum: Duration::from_millis(50),
            maximum: Duration::from_millis(1_000),
        };
        for (received_at, closed_at, now, expected, why) in [
            (0, None, 0, None, "its ticket is open"),
            (0, None, 899, None, "the maximum is far away"),
            (0, None, 900, Some(1_000), "the maximum is announced"),
            (0, None, 5_000, Some(1_000), "the maximum is over"),
            (0, Some(10), 10, Some(110), "grace"),
            (200, Some(10), 210, Some(250), "it arrived after the closing: the minimum"),
            (0, Some(950), 950, Some(1_000), "the maximum ends the grace"),
            (0, Some(0), i64::MAX, Some(100), "the time does not matter once it is closed"),
        ] {
            let announce = Duration::from_millis(100);
            assert_eq!(retention.expires_at(received_at, closed_at, announce, now), expected, "{why}");
        }
        let forever = Retention { maximum: Duration::MAX, ..retention };
        assert_eq!(forever.expires_at(1, None, Duration::ZERO, i64::MAX - 1), None);
    }

    #[test]
    fn a_partner_changes_what_it_names() {
        let [day, week] = [1, 7].map(|days| Duration::from_secs(days * 86_400));
        let general = Retention { grace: day, minimum: day, maximum: week };
        assert_eq!(general.with(RetentionOverride::default()), general);
        let own = RetentionOverride { grace: Some(week), ..RetentionOverride::default() };
        assert_eq!(general.with(own), Retention { grace: week, ..general });
    }
}
