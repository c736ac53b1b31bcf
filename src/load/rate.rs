//! Rates as users write them: `6/min`, `2/s`, `10/h`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, de};

use crate::model::{schema::text_schema, time::as_string};

/// So many arrivals a unit of time. Always above zero.
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
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }

    fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3600.0,
        }
    }
}

/// The fastest rate that a manifest may name: arrivals a second.
const FASTEST: f64 = 10_000.0;

impl Rate {
    /// When the arrival of this index comes at an even pace, the first at zero.
    pub fn instant(self, index: u64) -> Duration {
        Duration::from_secs_f64(index as f64 * self.per.seconds() / self.times)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a rate: write a number and a unit from s, min, h, as in `2/s` or `6/min`");
        let (times, per) = text.split_once('/').ok_or_else(wrong)?;
        let times: f64 = times.trim().parse().map_err(|_| wrong())?;
        let per = match per.trim() {
            "s" => Unit::Second,
            "m" | "min" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(wrong()),
        };
        if !times.is_finite() || times <= 0.0 {
            return Err(format!("`{text}`: a rate is above zero"));
        }
        if times / per.seconds() > FASTEST {
            return Err(format!("`{text}` is faster than the fastest rate, {FASTEST}/s"));
        }
        if times / per.seconds() < 1.0 / 86_400.0 {
            return Err(format!("`{text}` is slower than the slowest rate, one a day"));
        }
        Ok(Self { times, per })
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
    "Arrivals a unit of time: a number, `/`, and s, min or h.",
    "^\\s*[0-9]+(\\.[0-9]+)?\\s*/\\s*(s|sec|second|m|min|minute|h|hour|d|day)\\s*$",
    ["6/min", "2/s", "10/h"]
);
as_string!(Rate, "a rate such as `6/min`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_and_print() {
        for (text, printed, tenth_ms) in
            [("6/min", "6/min", 100_000), ("2/s", "2/s", 5_000), ("0.5 / s", "0.5/s", 20_000)]
        {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.to_string(), printed);
            assert_eq!(rate.instant(10).as_millis(), tenth_ms);
        }
        for text in ["", "6", "6/day", "-1/s", "0/s", "NaN/s", "inf/s", "1e9/s", "0.1/h/h", "0.00001/h"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
