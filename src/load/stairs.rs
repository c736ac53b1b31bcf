//! A rate that goes from level to level.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, Rate, profile};

/// A rate that goes from one value to another in levels of equal length and equal height. Example:
/// `stairs: { from: 1/s, to: 10/s, steps: 4 }` has 1, 4, 7 and 10 arrivals a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stairs {
    /// The rate of the first level; may be zero if `to` is not. Example: `1/s`.
    pub from: Rate,
    /// The rate of the last level; may be zero if `from` is not. Example: `10/s`.
    pub to: Rate,
    /// How many levels there are, from 2 to 1000. Example: `4`.
    #[schemars(range(min = 2, max = 1000))]
    pub steps: u32,
}

/// More levels than this are a ramp.
const MOST_STEPS: u32 = 1_000;

impl Stairs {
    /// The levels begin at whole microseconds.
    pub(super) fn instants(&self, length: Duration) -> profile::Instants {
        let steps = self.steps.clamp(1, MOST_STEPS);
        let (from, to) = (self.from.per_day(), self.to.per_day());
        let length_us = u128::from(super::whole_us(length));
        let levels = (0..steps).fold(profile::Profile::new(), |profile, step| {
            let end_us = length_us * u128::from(step + 1) / u128::from(steps);
            let rate = from + (to - from) * f64::from(step) / f64::from(steps - 1).max(1.0);
            profile.until(u64::try_from(end_us).unwrap_or(u64::MAX), rate, rate)
        });
        levels.instants(length)
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = vec![];
        if !(2..=MOST_STEPS).contains(&self.steps) {
            found.push(("steps", format!("stairs have from 2 to {MOST_STEPS} steps")));
        }
        if self.from.is_zero() && self.to.is_zero() {
            found.push(("to", "stairs from zero to zero have no arrival: one end is above zero".to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instants(from: &str, to: &str, steps: u32, seconds: u64) -> Vec<u64> {
        let shape = Stairs { from: from.parse().expect(from), to: to.parse().expect(to), steps };
        shape.instants(Duration::from_secs(seconds)).collect()
    }

    #[test]
    fn stairs_go_level_by_level() {
        assert_eq!(instants("1/s", "2/s", 2, 4), [0, 1_000_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000]);
        assert_eq!(instants("2/s", "1/s", 2, 4), [0, 500_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000]);
        // A level of zero: the first arrival waits for the next one.
        assert_eq!(instants("0/s", "2/s", 2, 4), [2_000_000, 2_500_000, 3_000_000, 3_500_000]);
        assert_eq!(instants("1/s", "0/s", 2, 4), [0, 1_000_000]);
        // 1 + 4 + 7 + 10 a second, 15 s each.
        assert_eq!(instants("1/s", "10/s", 4, 60).len(), 330);
        assert_eq!(instants("1/s", "10/s", 1_000, 1_000).len(), 5_500);
    }
}
