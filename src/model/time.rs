//! Instants and spans, as integers of microseconds: equal on every machine, cheap to copy, exact in the journal.

use std::{fmt, str::FromStr, time::Duration};

use super::schema::text_schema;
use serde::{Deserialize, Serialize, de};

/// An instant: microseconds since the Unix epoch, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, as Dagster reports its times.
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as i64)
    }

    /// The instant `span` later; saturates at the end of time.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant `span` earlier; saturates at the beginning of time.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{instant:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>().map(|instant| Self(instant.as_microsecond())).map_err(|_| {
            format!("`{text}` is not an instant: write RFC 3339 with a zone, as in `2026-12-01T02:00:00Z`")
        })
    }
}

/// A length of time as users write it: `30s`, `5m`, `1h30m`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

/// From the largest to the smallest, each with its microseconds.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl Span {
    pub const ZERO: Self = Self(Duration::ZERO);
    /// The longest span that a manifest may name: a year.
    pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In seconds, for programs.
    pub fn seconds(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// To the millisecond: what was measured is no finer.
    pub fn to_the_millisecond(self) -> Self {
        self.to_the(1_000)
    }

    /// To about three digits, as people compare: `12ms`, `2.31s`, `34.1s`, `1m05s`, `2h05m`.
    pub fn rounded(self) -> Self {
        let grain = match self.0.as_micros() {
            0..999_500 => 1_000,
            999_500..9_995_000 => 10_000,
            9_995_000..59_950_000 => 100_000,
            59_950_000..3_599_500_000 => 1_000_000,
            3_599_500_000..86_370_000_000 => 60_000_000,
            86_370_000_000.. => 3_600_000_000,
        };
        self.to_the(grain)
    }

    fn to_the(self, grain: u64) -> Self {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        Self(Duration::from_micros((micros.saturating_add(grain / 2) / grain).saturating_mul(grain)))
    }
}

impl FromStr for Span {
    type Err = String;

    /// Numbers with units, from the largest to the smallest, each unit once; the last number may have a fraction.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let mut micros: f64 = 0.0;
        // The place of the unit before.
        let mut before: Option<usize> = None;
        let mut has_fraction = false;
        if rest.is_empty() {
            return Err(no_span(text, "it is empty"));
        }
        while !rest.is_empty() {
            let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, behind) = rest.split_at(number_ends);
            let unit_ends = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
            let (unit, next) = behind.split_at(unit_ends);
            if !is_decimal(number) {
                let before = if number.is_empty() { rest } else { number };
                return Err(no_span(text, &format!("a number is missing where `{before}` begins")));
            }
            if unit.is_empty() && behind.is_empty() {
                return Err(no_span(text, &format!("`{number}` has no unit")));
            }
            let Some(place) = UNITS.iter().position(|(word, _)| *word == unit) else {
                let odd = if unit.is_empty() { behind } else { unit };
                return Err(no_span(text, &format!("`{odd}` is no unit")));
            };
            if has_fraction {
                return Err(no_span(text, "only its last number may have a fraction"));
            }
            if before.is_some_and(|before| before == place) {
                return Err(no_span(text, &format!("the unit `{unit}` is in it twice")));
            }
            if before.is_some_and(|before| before > place) {
                return Err(no_span(text, "its units do not go from the largest to the smallest"));
            }
            let number_value: f64 = number.parse().map_err(|_| no_span(text, &format!("`{number}` is no number")))?;
            micros += number_value * UNITS[place].1 as f64;
            (before, has_fraction, rest) = (Some(place), number.contains('.'), next);
        }
        if micros > Self::LONGEST.as_micros() as f64 {
            return Err(format!("`{text}` is longer than the longest duration, 366d"));
        }
        Ok(Self(Duration::from_micros(micros.round() as u64)))
    }
}

/// Digits, or digits with a fraction.
fn is_decimal(text: &str) -> bool {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole) && is_digits(fraction)
}

fn no_span(text: &str, why: &str) -> String {
    format!(
        "`{text}` is not a duration: {why}; write numbers with the units d, h, m, s, ms, us in this order, as in `30s`, `1h30m` or `1.5s`"
    )
}

impl fmt::Display for Span {
    /// The one way in which lengths of time are written: exact, read back as it is, and with the point or two digits where
    /// a number could be taken for another: `34.073s`, `1m00.607s`, `2h05m`, `250ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        match micros {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{micros}us"),
            1_000..1_000_000 => return write!(f, "{}ms", decimal(micros, 1_000, 1)),
            1_000_000.. => {}
        }
        let (mut rest, mut is_first) = (micros, true);
        for (unit, size) in UNITS.into_iter().take(3) {
            match (micros >= size, is_first) {
                (true, true) => write!(f, "{}{unit}", rest / size)?,
                (true, false) => write!(f, "{:02}{unit}", rest / size)?,
                (false, _) => continue,
            }
            is_first = false;
            rest %= size;
            if rest == 0 {
                return Ok(());
            }
        }
        write!(f, "{}s", decimal(rest, 1_000_000, if is_first { 1 } else { 2 }))
    }
}

/// A number of `unit`s with as many decimals as it has, and with `digits` before the point at least.
fn decimal(number: u64, unit: u64, digits: usize) -> String {
    let (whole, rest) = (number / unit, number % unit);
    let places = unit.ilog10() as usize;
    let text = format!("{whole:0digits$}.{rest:0places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Serializes a type as its text, and reads it from one. A bare number is taken as its digits, so that `30` where a
/// duration belongs is answered by the type's own words and not by "expected a string".
macro_rules! as_string {
    ($type:ty) => {
        as_string!($type, "a string");
    };
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl de::Visitor<'_> for Reader {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_any(Reader)
            }
        }
    };
}
pub(crate) use as_string;

text_schema!(
    Timestamp,
    "Instant",
    "An instant (RFC 3339).",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$",
    ["2026-11-24T02:00:00Z"]
);
text_schema!(
    Span,
    "Duration",
    "A length of time: numbers with the units d, h, m, s, ms, us in this order, each once; 366d at most.",
    "^(?=.)([0-9]+(\\.[0-9]+)?d)?([0-9]+(\\.[0-9]+)?h)?([0-9]+(\\.[0-9]+)?m)?([0-9]+(\\.[0-9]+)?s)?([0-9]+(\\.[0-9]+)?ms)?([0-9]+(\\.[0-9]+)?us)?$",
    ["30s", "5m", "1h30m"]
);
as_string!(Timestamp, "an instant such as `2026-11-24T02:00:00Z`");
as_string!(Span, "a duration such as `30s` or `1h30m`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print() {
        for (text, micros, printed) in [
            ("30s", 30_000_000, "30s"),
            ("1h30m", 5_400_000_000, "1h30m"),
            ("90m", 5_400_000_000, "1h30m"),
            ("1.5s", 1_500_000, "1.5s"),
            ("34s73ms", 34_073_000, "34.073s"),
            ("1m607ms", 60_607_000, "1m00.607s"),
            ("5m333us", 300_000_333, "5m00.000333s"),
            ("1m5s", 65_000_000, "1m05s"),
            ("2h5m", 7_500_000_000, "2h05m"),
            ("2h7s", 7_207_000_000, "2h00m07s"),
            ("10h", 36_000_000_000, "10h"),
            ("250ms", 250_000, "250ms"),
            ("1500us", 1_500, "1.5ms"),
            ("999us", 999, "999us"),
            ("0s", 0, "0s"),
            ("2d", 172_800_000_000, "2d"),
            ("2d3h", 183_600_000_000, "2d03h"),
            ("1d1us", 86_400_000_001, "1d00h00m00.000001s"),
        ] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span.duration().as_micros(), micros, "{text}");
            assert_eq!(span.to_string(), printed);
            assert_eq!(printed.parse(), Ok(span), "{printed} is read back as it is");
        }
        for text in ["", "30", "s", "-3s", "3x", "1h-3m", "9999999d", "NaN", "1e9s", "٣s", ".5s", "5.s", "1..5s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    /// The page has a function of its own that does the same; tests/browser holds it to this file.
    #[test]
    fn spans_are_rounded_as_people_compare() {
        let table = include_str!("../../tests/browser/durations.csv");
        let mut count = 0;
        for line in table.lines().skip(1) {
            let (micros, shown) = line.split_once(',').expect("two columns");
            let span = Span::new(Duration::from_micros(micros.parse().expect("a number")));
            assert_eq!(span.rounded().to_string(), shown, "{micros}");
            count += 1;
        }
        assert!(count > 20);
        assert_eq!(Span::new(Duration::from_micros(34_073_499)).to_the_millisecond().to_string(), "34.073s");
    }

    #[test]
    fn spans_have_each_unit_once_in_order() {
        for (text, micros) in
            [("34s73ms", 34_073_000), ("1m607ms", 60_607_000), ("34.073s", 34_073_000), ("1h0.5m", 3_630_000_000)]
        {
            assert_eq!(text.parse::<Span>().expect(text).duration().as_micros(), micros, "{text}");
        }
        for (text, why) in [
            ("30m1h", "do not go from the largest to the smallest"),
            ("73ms34s", "do not go from the largest to the smallest"),
            ("5s5s", "the unit `s` is in it twice"),
            ("1.5h30m", "only its last number may have a fraction"),
            ("34s73", "`73` has no unit"),
            ("30", "`30` has no unit"),
            ("5min", "`min` is no unit"),
            ("5M", "`M` is no unit"),
            ("1h 30m", "a number is missing where ` 30m` begins"),
            ("5 m", "` m` is no unit"),
        ] {
            let message = text.parse::<Span>().expect_err(text);
            assert!(message.contains(why) && message.contains("as in `30s`"), "{text}: {message}");
        }
    }

    #[test]
    fn instants_survive_their_text() {
        for micros in [0, 1, 1_795_000_000_123_456, -5] {
            let instant = Timestamp::from_micros(micros);
            assert_eq!(instant.to_string().parse::<Timestamp>(), Ok(instant));
        }
        assert_eq!(Timestamp::from_micros(5).since(Timestamp::from_micros(9)), Duration::ZERO);
    }
}
