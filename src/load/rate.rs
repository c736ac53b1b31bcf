//! Rates as users write them: `6/min`, `2/s`, `10/h`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::model::{schema::text_schema, time::as_string};

/// So many arrivals a unit of time: zero, or from one a day to 10,000 a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    times: f64,
    per: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    fn a_day(self) -> f64 {
        match self {
            Self::Second => 86_400.0,
            Self::Minute => 1_440.0,
            Self::Hour => 24.0,
            Self::Day => 1.0,
        }
    }
}

/// A day in microseconds. Areas below a rate are arrivals a day times microseconds: whole numbers for most rates that
/// people write, so that sums of them are exact.
pub(super) const DAY_US: f64 = 86_400_000_000.0;
/// The fastest rate that a manifest may name: arrivals a second.
const FASTEST: f64 = 10_000.0;

impl Rate {
    /// Arrivals a day.
    pub fn per_day(self) -> f64 {
        self.times * self.per.a_day()
    }

    pub fn is_zero(self) -> bool {
        self.times == 0.0
    }

    /// When the arrival of this index comes at an even pace, the first at zero, in microseconds. Never, if zero.
    pub(super) fn instant_us(self, index: u64) -> Option<u64> {
        let unit_us = DAY_US / self.per.a_day();
        (!self.is_zero()).then(|| (index as f64 * unit_us / self.times).round() as u64)
    }

    /// The mean of a gap, in nanoseconds; infinite for zero.
    pub(super) fn mean_gap_ns(self) -> f64 {
        DAY_US * 1_000.0 / self.per.a_day() / self.times
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a rate: write a number and a unit from s, min, h, d, as in `2/s` or `6/min`");
        let (times, per) = text.split_once('/').ok_or_else(wrong)?;
        let times = times.trim();
        if !times.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(wrong());
        }
        let times: f64 = times.parse().map_err(|_| wrong())?;
        let per = match per.trim() {
            "s" | "sec" | "second" => Unit::Second,
            "m" | "min" | "minute" => Unit::Minute,
            "h" | "hour" => Unit::Hour,
            "d" | "day" => Unit::Day,
            _ => return Err(wrong()),
        };
        let rate = Self { times, per };
        if rate.per_day() > FASTEST * Unit::Second.a_day() {
            return Err(format!("`{text}` is faster than the fastest rate, {FASTEST}/s"));
        }
        if !rate.is_zero() && rate.per_day() < 1.0 {
            return Err(format!("`{text}` is slower than the slowest rate, one a day"));
        }
        Ok(rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.times, self.per.word())
    }
}

text_schema!(
    Rate,
    "Rate",
    "A rate: a number, a slash and a unit from s, min, h, d.",
    "^\\s*([0-9]+\\.?[0-9]*|\\.[0-9]+)\\s*/\\s*(s|sec|second|m|min|minute|h|hour|d|day)\\s*$",
    ["6/min", "2/s", "10/h"]
);
as_string!(Rate, "a rate such as `6/min`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_and_print() {
        for (text, printed, tenth_us) in [
            ("6/min", "6/min", 100_000_000),
            ("2/s", "2/s", 5_000_000),
            ("0.5 / s", "0.5/s", 20_000_000),
            ("3/sec", "3/s", 3_333_333),
            ("1/second", "1/s", 10_000_000),
            ("1/m", "1/min", 600_000_000),
            ("1/minute", "1/min", 600_000_000),
            ("1/hour", "1/h", 36_000_000_000),
            ("1/d", "1/d", 864_000_000_000),
            ("2/day", "2/d", 432_000_000_000),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.to_string(), printed);
            assert_eq!(rate.instant_us(10), Some(tenth_us), "{text}");
        }
        let bad = ["", "6", "6/week", "-1/s", "NaN/s", "inf/s", "1e9/s", "1e3/s", "/s", "./s", "0.1/h/h", "0.00001/h"];
        for text in bad.into_iter().chain(["10001/s", "0.5/d", "1.2.3/s", "-0/s", "٣/s"]) {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_of_zero_never_comes() {
        for text in ["0/s", "0/min", "0.0/day"] {
            let rate: Rate = text.parse().expect(text);
            assert!(rate.is_zero());
            assert_eq!(rate.instant_us(0), None);
        }
    }
}
