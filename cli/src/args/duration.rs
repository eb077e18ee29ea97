//! Spans of time as people type them: `500ms 30s 5m 2h 1d`.

use std::str::FromStr;
use std::time::Duration;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Longest span: ten years. More is a typing error.
const MAX_MS: u64 = 3_650 * DAY_MS;

/// A span of time from the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(u64);

impl Span {
    /// What a node waits for a message at most.
    pub(crate) const DAY: Self = Self(DAY_MS);

    /// A span of seconds, for defaults.
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND_MS))
    }

    /// Milliseconds.
    pub(crate) const fn millis(self) -> u64 {
        self.0
    }

    /// As a duration.
    pub(crate) const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write a whole number and a unit: 500ms, 30s, 5m, 2h or 1d";
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?;
        let (digits, unit) = text.split_at(end);
        let unit = match unit {
            "ms" => 1,
            "s" => SECOND_MS,
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            _ => return Err(WRONG),
        };
        let number: u64 = digits.parse().map_err(|_| WRONG)?;
        match number.checked_mul(unit) {
            Some(millis) if millis <= MAX_MS => Ok(Self(millis)),
            _ => Err("more than ten years"),
        }
    }
}

/// The largest unit that fits, for people: `3 m`.
pub(crate) fn brief(millis: u64) -> String {
    [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")]
        .into_iter()
        .find(|(unit, _)| millis >= *unit)
        .map_or_else(|| format!("{millis} ms"), |(unit, name)| format!("{} {name}", millis / unit))
}

/// Exactly, as [`Span`] reads it: `90s`.
pub(crate) fn precise(span: Span) -> String {
    [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s"), (1, "ms")]
        .into_iter()
        .find(|(unit, _)| span.0 != 0 && span.0.is_multiple_of(*unit))
        .map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", span.0 / unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", DAY_MS)]
        {
            assert_eq!(text.parse(), Ok(Span(millis)));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "s", "30", "-1s", "1.5h", "1 s", "1w", "99999999999999999999s", "4000d", "٣s"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_span_survives_print_and_parse(millis in 0..=MAX_MS) {
            prop_assert_eq!(precise(Span(millis)).parse(), Ok(Span(millis)));
        }
    }
}
