//! An even pace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rate;

/// Arrivals at an even pace, the first at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Constant {
    pub rate: Rate,
}

impl Constant {
    /// Each instant is computed from its index, so that no error adds up.
    pub fn offsets(&self, length: Duration) -> impl Iterator<Item = Duration> + use<> {
        let rate = self.rate;
        (0..).map(move |index| rate.instant(index)).take_while(move |offset| *offset < length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_pace_counts_exactly() {
        let shape = Constant { rate: "6/min".parse().expect("a rate") };
        let offsets: Vec<u64> = shape.offsets(Duration::from_secs(30)).map(|offset| offset.as_secs()).collect();
        assert_eq!(offsets, [0, 10, 20], "the end of the phase is no arrival");
        let fast = Constant { rate: "3/s".parse().expect("a rate") };
        assert_eq!(fast.offsets(Duration::from_secs(100)).count(), 300);
    }
}
