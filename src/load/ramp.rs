//! A rate that grows or falls evenly.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, Rate, profile};

/// A rate that goes evenly from one value to another over the whole phase. Example: `ramp: { from: 0/s, to: 10/s }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ramp {
    /// The rate at the phase's begin; may be zero if `to` is not. Example: `0/s`.
    pub from: Rate,
    /// The rate at the phase's end; may be zero if `from` is not. Example: `10/s`.
    pub to: Rate,
}

impl Ramp {
    pub(super) fn instants(&self, length: Duration) -> profile::Instants {
        let profile = profile::Profile::new();
        profile.until(super::whole_us(length), self.from.per_day(), self.to.per_day()).instants(length)
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        if self.from.is_zero() && self.to.is_zero() {
            return vec![("to", "a ramp from zero to zero has no arrival: one end is above zero".to_owned())];
        }
        vec![]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instants(from: &str, to: &str, seconds: u64) -> Vec<u64> {
        let shape = Ramp { from: from.parse().expect(from), to: to.parse().expect(to) };
        shape.instants(Duration::from_secs(seconds)).collect()
    }

    #[test]
    fn a_ramp_arrives_when_its_integral_says_so() {
        // rate t/10, integral t²/20: the n-th at sqrt(20 n).
        let up: Vec<u64> = (0..5).map(|n| (f64::sqrt(20.0 * f64::from(n)) * 1e6).round() as u64).collect();
        assert_eq!(instants("0/s", "1/s", 10), up);
        assert_eq!(instants("60/min", "60/min", 3), [0, 1_000_000, 2_000_000]);
        // rate 1 - t/10, integral t - t²/20: the n-th at 10 - sqrt(100 - 20 n).
        let down: Vec<u64> =
            (0..5).map(|n| ((10.0 - f64::sqrt(100.0 - 20.0 * f64::from(n))) * 1e6).round() as u64).collect();
        assert_eq!(instants("1/s", "0/s", 10), down);
    }

    #[test]
    fn a_ramp_counts_exactly() {
        for (from, to, seconds, count) in [
            ("0/s", "10/s", 20, 100),
            ("10/s", "0/s", 20, 100),
            ("0/min", "7/min", 3_600, 210),
            ("7/min", "0/min", 3_600, 210),
            ("0.3/s", "0/s", 2_000, 300),
            ("1/s", "9/s", 60, 300),
            ("0/s", "2000/s", 1_000, 1_000_000),
            ("2000/s", "0/s", 1_000, 1_000_000),
            ("0/s", "1/h", 7_201, 2),
            ("0/s", "0/s", 10, 0),
        ] {
            assert_eq!(instants(from, to, seconds).len(), count, "{from} to {to} for {seconds}s");
        }
    }
}
