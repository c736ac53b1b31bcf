//! The times of a trace, as databases, data frames and spreadsheets write them.

use std::fmt;

use jiff::{
    civil::{Date, DateTime},
    tz::Offset,
};

use super::Numbers;
use crate::model::{Span, Timestamp};

/// What kind of time a cell holds. All of a trace are of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Seconds since the phase's begin.
    Seconds,
    /// Seconds or milliseconds since 1970.
    Epoch,
    /// A date and a time with a zone.
    Zoned,
    /// A date and a time without a zone.
    Local,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "a number of seconds",
            Self::Epoch => "a number since 1970",
            Self::Zoned => "a date and a time with a zone",
            Self::Local => "a date and a time without a zone",
        })
    }
}

const SECOND_US: f64 = 1e6;
/// From here on a number is no offset: a phase lasts 366 days at most.
const LONGEST_S: f64 = Span::LONGEST.as_secs() as f64;
pub const ALLOWED: &str = "a time is a number of seconds from zero up, as in `12.5`, or a date and a time, as in `2026-11-24T12:00:00Z` or `2026-11-24 12:00:00`";

/// Reads a cell: its kind and its microseconds, since the begin or since 1970.
///
/// # Errors
/// A sentence that names the text, and what is allowed.
pub fn read(text: &str, numbers: Numbers) -> Result<(Kind, i64), String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) => number_of(text, number, numbers),
        Err(_) => date_and_time(text),
    }
}

fn number_of(text: &str, number: f64, numbers: Numbers) -> Result<(Kind, i64), String> {
    if !number.is_finite() || number < 0.0 {
        return Err(no_time(text));
    }
    let (kind, factor) = match numbers {
        Numbers::Seconds if number > LONGEST_S => return Err(too_large(text, number)),
        Numbers::Seconds => (Kind::Seconds, SECOND_US),
        Numbers::EpochSeconds => (Kind::Epoch, SECOND_US),
        Numbers::EpochMilliseconds => (Kind::Epoch, 1e3),
    };
    let micros = number * factor;
    let is_instant = jiff::Timestamp::from_microsecond(micros as i64).is_ok();
    if is_instant { Ok((kind, micros.round() as i64)) } else { Err(no_time(text)) }
}

/// Seconds count from the phase's begin; what is so large probably counts from 1970.
fn too_large(text: &str, number: f64) -> String {
    let shown = clip(text);
    let meant = [("epochSeconds", number), ("epochMilliseconds", number / 1e3)];
    // Later than 1990 and earlier than 2100: nothing else is recorded.
    let meant = meant.into_iter().find(|(_, seconds)| (6.3e8..4.1e9).contains(seconds));
    match meant {
        Some((word, seconds)) => {
            let instant = Timestamp::from_seconds(seconds).to_string();
            let day = instant.split('T').next().unwrap_or_default();
            format!(
                "`{shown}` is more than 366 days after the phase's begin; if it is an instant ({day}), add `numbers: {word}`"
            )
        }
        None => format!("`{shown}` is more than 366 days after the phase's begin: numbers are seconds since then"),
    }
}

fn date_and_time(text: &str) -> Result<(Kind, i64), String> {
    let numbers =
        |text: &str| -> Vec<i32> { text.split(['-', '/', '.']).map(|part| part.parse().unwrap_or(-1)).collect() };
    let date_ends = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '/' | '.')).unwrap_or(text.len());
    let (date, rest) = text.split_at(date_ends);
    let year_first = date.len() > 4 && date.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    let [first, second, third] = numbers(date)[..] else { return Err(no_time(text)) };
    if !year_first {
        return Err(if third > 99 { ambiguous(text, first, second, third) } else { no_time(text) });
    }
    let Some(date) = date_of(first, second, third) else { return Err(no_time(text)) };
    let rest = rest.strip_prefix(['T', 't']).unwrap_or(rest).trim_start();
    if rest.is_empty() {
        return Err(format!("`{}` is a day without a time: write it as in `{date} 08:00:00`", clip(text)));
    }
    let time_ends = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(time_ends);
    let zone = zone.trim();
    if matches!(zone.to_ascii_lowercase().as_str(), "am" | "pm") {
        return Err(format!("`{}` counts to twelve: write the hours from 0 to 23", clip(text)));
    }
    let offset = if zone.is_empty() { Some(Offset::UTC) } else { offset_of(zone) };
    let (Some(time), Some(offset)) = (time_of(date, time), offset) else { return Err(no_time(text)) };
    let instant = offset.to_timestamp(time).map_err(|_| no_time(text))?;
    Ok((if zone.is_empty() { Kind::Local } else { Kind::Zoned }, instant.as_microsecond()))
}

fn date_of(year: i32, month: i32, day: i32) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// `08:00`, `08:00:24` or `08:00:24.123`.
fn time_of(date: Date, text: &str) -> Option<DateTime> {
    let (whole, fraction) = text.split_once(['.', ',']).map_or((text, None), |(whole, part)| (whole, Some(part)));
    let parts: Vec<&str> = whole.split(':').collect();
    let number = |text: &str| if matches!(text.len(), 1 | 2) { text.parse::<i8>().ok() } else { None };
    let (hour, minute, second) = match (parts[..].len(), fraction) {
        (2, None) => (number(parts[0])?, number(parts[1])?, 0),
        (3, _) => (number(parts[0])?, number(parts[1])?, number(parts[2])?),
        (_, _) => return None,
    };
    let nanos = match fraction {
        None => 0,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{digits:0<9}").get(..9)?.parse().ok()?
        }
        Some(_) => return None,
    };
    // A leap second is as good as the second before it.
    let second = if second == 60 { 59 } else { second };
    let time = jiff::civil::Time::new(hour, minute, second, nanos).ok()?;
    Some(date.to_datetime(time))
}

/// `Z`, `UTC`, `+00`, `+0100`, `+01:00`.
fn offset_of(text: &str) -> Option<Offset> {
    if matches!(text.to_ascii_lowercase().as_str(), "z" | "utc" | "gmt") {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && matches!(digits.len(), 2 | 4);
    let (hours, minutes) = digits.split_at_checked(2).filter(|_| is_number)?;
    let minutes: i32 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    Offset::from_seconds(sign * (hours.parse::<i32>().ok()? * 3600 + minutes * 60)).ok()
}

/// A day that does not begin with its year has two readings, and nothing tells which is meant.
fn ambiguous(text: &str, first: i32, second: i32, year: i32) -> String {
    let reading = |month: i32, day: i32| date_of(year, month, day);
    let shown = clip(text);
    match (reading(second, first), reading(first, second)) {
        (Some(day_first), Some(month_first)) => format!(
            "`{shown}` is {day_first} with the day first and {month_first} with the month first: write the year first, as in `{day_first} 08:00:00`"
        ),
        (Some(only), None) | (None, Some(only)) => format!(
            "`{shown}` is {only} with one of day and month first, and no date with the other; other rows may be both: write the year first, as in `{only} 08:00:00`"
        ),
        (None, None) => no_time(text),
    }
}

fn no_time(text: &str) -> String {
    format!("`{}` is not a time: {ALLOWED}", clip(text))
}

/// So much of a wrong text as a message needs.
pub fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_exported() {
        let noon = "2026-11-27T08:00:24Z".parse::<Timestamp>().expect("an instant").as_micros();
        for (text, kind, micros) in [
            ("2026-11-27 08:00:24", Kind::Local, noon),
            ("2026-11-27T08:00:24", Kind::Local, noon),
            ("2026/11/27 8:00:24", Kind::Local, noon),
            ("2026-11-27 08:00", Kind::Local, noon - 24_000_000),
            ("2026-11-27 08:00:24.5", Kind::Local, noon + 500_000),
            ("2026-11-27 08:00:24,500", Kind::Local, noon + 500_000),
            ("2026-11-27 08:00:24.123456789", Kind::Local, noon + 123_456),
            ("2026-11-27T08:00:24Z", Kind::Zoned, noon),
            ("2026-11-27t08:00:24z", Kind::Zoned, noon),
            ("2026-11-27 08:00:24 UTC", Kind::Zoned, noon),
            ("2026-11-27 08:00:24+00", Kind::Zoned, noon),
            ("2026-11-27 08:00:24.5+00", Kind::Zoned, noon + 500_000),
            ("2026-11-27 09:00:24+01:00", Kind::Zoned, noon),
            ("2026-11-27 09:00:24 +0100", Kind::Zoned, noon),
            ("2026-11-27 02:30:24-05:30", Kind::Zoned, noon),
            ("2026-11-27 08:00:60", Kind::Local, noon + 35_000_000),
            (" 12.5 ", Kind::Seconds, 12_500_000),
            ("1e-6", Kind::Seconds, 1),
        ] {
            assert_eq!(read(text, Numbers::Seconds), Ok((kind, micros)), "{text}");
        }
        let seconds = noon / 1_000_000;
        assert_eq!(read(&seconds.to_string(), Numbers::EpochSeconds), Ok((Kind::Epoch, noon)));
        assert_eq!(read(&format!("{seconds}500"), Numbers::EpochMilliseconds), Ok((Kind::Epoch, noon + 500_000)));
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_reason() {
        for (text, words) in [
            ("27/11/2026", "is 2026-11-27 with one of day and month first"),
            ("03/04/2026 08:00", "is 2026-04-03 with the day first and 2026-03-04 with the month first"),
            ("3.4.2026 08:00", "write the year first"),
            ("2026-11-27", "a day without a time"),
            ("2026-11-27 08:00:24 PM", "counts to twelve"),
            ("2026-13-27 08:00:24", "is not a time"),
            ("2026-11-27 25:00:24", "is not a time"),
            ("2026-11-27 08:00:24 CET", "is not a time"),
            ("2026-11-27 08:00:24+1", "is not a time"),
            ("1795766424", "add `numbers: epochSeconds`"),
            ("1795766424000", "add `numbers: epochMilliseconds`"),
            ("99999999", "more than 366 days"),
            ("", "is not a time"),
            ("noon", "is not a time"),
            ("0,5", "is not a time"),
            ("-1", "is not a time"),
            ("nan", "is not a time"),
            ("١-٢-٣", "is not a time"),
        ] {
            let message = read(text, Numbers::Seconds).expect_err(text);
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
