//! An even pace.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, Rate};

/// An even pace: the first arrival at once, then one after every equal gap. Example: `constant: { rate: 6/min }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Constant {
    /// Arrivals a unit of time, above zero. Example: `6/min` is one every ten seconds.
    pub rate: Rate,
}

impl Constant {
    pub(super) fn instants(&self, length: Duration) -> Instants {
        Instants { rate: self.rate, length_us: super::whole_us(length), index: 0 }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        super::refuse_zero("rate", self.rate)
    }
}

/// Each instant is computed from its index, so that no error adds up.
#[derive(Debug, Clone)]
pub(super) struct Instants {
    rate: Rate,
    length_us: u64,
    index: u64,
}

impl Iterator for Instants {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let instant = self.rate.instant_us(self.index).filter(|instant| *instant < self.length_us)?;
        self.index += 1;
        Some(instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instants(rate: &str, length_us: u64) -> Instants {
        Constant { rate: rate.parse().expect(rate) }.instants(Duration::from_micros(length_us))
    }

    #[test]
    fn an_even_pace_counts_exactly() {
        let offsets: Vec<u64> = instants("6/min", 30_000_000).collect();
        assert_eq!(offsets, [0, 10_000_000, 20_000_000], "the end of the phase is no arrival");
        for (rate, length_us, count) in [
            ("3/s", 100_000_000, 300),
            ("7/s", 3_600_000_000, 25_200),
            ("0.1/s", 30_000_000, 3),
            ("0.3/s", 1_000_000_000, 300),
            ("1/h", 3_600_000_000, 1),
            ("1/h", 3_600_000_001, 2),
            ("10000/s", 100_000_000, 1_000_000),
            ("0/s", 1_000_000, 0),
            ("1/s", 0, 0),
        ] {
            assert_eq!(instants(rate, length_us).count(), count, "{rate} for {length_us}us");
        }
    }
}
