//! A short peak over a steady rate.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, Rate, profile};
use crate::model::Span;

/// A steady rate with a peak, once or again and again. Example:
/// `spike: { base: 1/s, peak: 20/s, after: 30s, for: 10s, every: 5m }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spike {
    /// The rate outside the peak; may be zero. Example: `1/s`.
    pub base: Rate,
    /// The rate of the peak, above zero and not below `base`. Example: `20/s`.
    pub peak: Rate,
    /// When the first peak begins, counted from the phase's begin. Example: `30s`.
    pub after: Span,
    /// How long a peak lasts. Example: `10s`.
    #[serde(rename = "for")]
    pub length: Span,
    /// The time from the begin of one peak to the begin of the next, at least `after` and `for` together. Default: one
    /// peak only. Example: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// More peaks than this in one phase are a mistake.
const MOST_PEAKS: u128 = 100_000;

impl Spike {
    pub(super) fn instants(&self, length: Duration) -> profile::Instants {
        let turn = self.every.map_or(length, Span::duration);
        let turn_us = super::whole_us(turn).max(1);
        let begin_us = super::whole_us(self.after.duration()).min(turn_us);
        let end_us = begin_us.saturating_add(super::whole_us(self.length.duration())).min(turn_us);
        let (base, peak) = (self.base.per_day(), self.peak.per_day());
        let profile = profile::Profile::new();
        profile.until(begin_us, base, base).until(end_us, peak, peak).until(turn_us, base, base).instants(length)
    }

    pub(super) fn problems(&self, length: Duration) -> Vec<Problem> {
        let mut found = vec![];
        if self.peak.is_zero() {
            found.push(("peak", "a peak is above zero".to_owned()));
        } else if self.peak.per_day() < self.base.per_day() {
            let text = format!("the peak ({}) is below the base ({})", self.peak, self.base);
            found.push(("peak", text));
        }
        if self.length == Span::ZERO {
            found.push(("for", "a peak lasts longer than 0s".to_owned()));
        }
        let end = self.after.duration().saturating_add(self.length.duration());
        if end > length {
            let (end, length) = (Span::new(end), Span::new(length));
            found.push(("for", format!("the first peak ends after {end}, the phase after {length} already")));
        }
        let Some(every) = self.every else { return found };
        if every.duration() < super::LEAST_GAP {
            found.push(("every", "peaks are at least 1ms apart".to_owned()));
        } else if end > every.duration() {
            let end = Span::new(end);
            found.push(("every", format!("`every` ({every}) is at least `after` and `for` together ({end})")));
        } else if length.as_micros() / every.duration().as_micros() > MOST_PEAKS {
            found.push(("every", format!("more than {MOST_PEAKS} peaks: make `every` longer or the phase shorter")));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spike(base: &str, peak: &str, times: [u64; 2], every: Option<u64>) -> Spike {
        Spike {
            base: base.parse().expect(base),
            peak: peak.parse().expect(peak),
            after: Span::from_secs(times[0]),
            length: Span::from_secs(times[1]),
            every: every.map(Span::from_secs),
        }
    }

    #[test]
    fn a_spike_stands_out() {
        for (shape, seconds, expected_ms) in [
            (spike("1/s", "2/s", [2, 1], None), 5, vec![0, 1_000, 2_000, 2_500, 3_000, 4_000]),
            // Without a base nothing comes but the peaks, each from its begin to right before its end.
            (spike("0/s", "2/s", [2, 1], None), 5, vec![2_000, 2_500]),
            (spike("0/s", "2/s", [2, 1], Some(4)), 11, vec![2_000, 2_500, 6_000, 6_500, 10_000, 10_500]),
            // The integral goes on over the edges: half an arrival of the base is kept for the peak.
            (spike("1/s", "4/s", [0, 1], Some(2)), 4, vec![0, 250, 500, 750, 1_000, 2_000, 2_250, 2_500, 2_750, 3_000]),
            (spike("0.5/s", "1/s", [1, 2], None), 4, vec![0, 1_500, 2_500]),
            // A peak a turn that is less than one arrival.
            (spike("0/s", "6/min", [0, 5], Some(10)), 40, vec![0, 20_000]),
        ] {
            let offsets: Vec<u64> = shape.instants(Duration::from_secs(seconds)).map(|us| us / 1_000).collect();
            assert_eq!(offsets, expected_ms, "{shape:?}");
        }
    }

    #[test]
    fn a_spike_that_cannot_be_is_refused() {
        let fields = |shape: Spike, seconds: u64| -> Vec<&str> {
            shape.problems(Duration::from_secs(seconds)).into_iter().map(|(field, _)| field).collect()
        };
        assert!(fields(spike("1/s", "2/s", [2, 1], Some(3)), 3).is_empty());
        assert_eq!(fields(spike("3/s", "2/s", [2, 1], None), 9), ["peak"]);
        assert_eq!(fields(spike("0/s", "0/s", [2, 1], None), 9), ["peak"]);
        assert_eq!(fields(spike("1/s", "2/s", [2, 0], None), 9), ["for"]);
        assert_eq!(fields(spike("1/s", "2/s", [2, 8], None), 9), ["for"]);
        assert_eq!(fields(spike("1/s", "2/s", [2, 2], Some(3)), 9), ["every"]);
        assert_eq!(fields(spike("1/s", "2/s", [0, 1], Some(0)), 9), ["every"]);
        assert_eq!(fields(spike("1/s", "2/s", [0, 1], Some(1)), 100_001), ["every"]);
    }
}
