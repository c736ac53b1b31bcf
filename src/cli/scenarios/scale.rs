//! What other values follow from one that was given: shares of a duration, multiples of a rate. Pure.

use std::time::Duration;

use crate::{load::Rate, model::Span};

/// `part` of `whole` of a duration. `None` where that is no duration: its own flag is to blame then.
///
/// Down to whole seconds from a minute up, to milliseconds below: a share is never longer than it should be.
pub fn share(length: &str, part: u32, whole: u32) -> Option<String> {
    let span: Span = length.parse().ok()?;
    let exact = span.duration().saturating_mul(part) / whole;
    let grain = if exact >= Duration::from_secs(60) { 1_000 } else { 1 };
    let millis = u64::try_from(exact.as_millis()).ok()? / grain * grain;
    Some(Span::from_millis(millis).to_string())
}

/// So many times a rate. `None` where that is no rate: its own flag is to blame then.
pub fn multiple(rate: &str, factor: f64) -> Option<String> {
    rate.parse::<Rate>().ok()?;
    let (times, unit) = rate.split_once('/')?;
    let times: f64 = times.trim().parse().ok()?;
    let rounded = (times * factor * 1e9).round() / 1e9;
    Some(format!("{rounded}/{}", unit.trim()))
}

/// When something happens that comes again, in words: `8m, 13m and 18m`. Empty where that cannot be told.
pub fn instants(after: &str, every: &str, times: u32) -> String {
    const MOST: u32 = 4;
    let (Ok(after), Ok(every)) = (after.parse::<Span>(), every.parse::<Span>()) else { return String::new() };
    let at =
        |index: u32| Span::new(after.duration().saturating_add(every.duration().saturating_mul(index))).to_string();
    let first: Vec<String> = (0..times.min(MOST)).map(at).collect();
    match first.split_last() {
        Some(_) if times > MOST => format!("{} …", first.join(", ")),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_too_long() {
        for (length, part, whole, expected) in [
            ("30m", 8, 30, Some("8m")),
            ("30m", 1, 3, Some("10m")),
            ("5m", 8, 30, Some("1m20s")),
            ("20s", 8, 30, Some("5.333s")),
            ("10m1s", 1, 2, Some("5m")),
            ("half", 1, 2, None),
            ("", 1, 2, None),
        ] {
            assert_eq!(share(length, part, whole).as_deref(), expected, "{part}/{whole} of {length}");
        }
    }

    #[test]
    fn multiples_keep_their_unit() {
        for (rate, factor, expected) in [
            ("4/min", 5.0, Some("20/min")),
            ("0.1/s", 3.0, Some("0.3/s")),
            ("2 / h", 1.5, Some("3/h")),
            ("6", 5.0, None),
            ("6/fortnight", 5.0, None),
            ("-1/s", 5.0, None),
            ("NaN/s", 5.0, None),
        ] {
            assert_eq!(multiple(rate, factor).as_deref(), expected, "{factor} times {rate}");
        }
    }

    #[test]
    fn instants_in_words() {
        for (times, expected) in
            [(0, ""), (1, "8m"), (2, "8m and 13m"), (4, "8m, 13m, 18m and 23m"), (5, "8m, 13m, 18m, 23m …")]
        {
            assert_eq!(instants("8m", "5m", times), expected);
        }
        assert_eq!(instants("soon", "5m", 2), "");
    }
}
