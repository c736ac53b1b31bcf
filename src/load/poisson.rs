//! Arrivals that do not know of each other.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, Rate};

/// Arrivals at random with a steady mean rate, as from many users who do not know of each other. The scenario's seed
/// decides them: the same seed, the same instants. Example: `poisson: { rate: 2/s }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Poisson {
    /// The mean rate, above zero. Example: `2/s`.
    pub rate: Rate,
}

/// The ChaCha streams of arrivals begin here, one a phase. Those of jobs are below.
const ARRIVALS_STREAM: u64 = 1_000_000;

impl Poisson {
    pub(super) fn instants(&self, length: Duration, seed: u64, phase: u64) -> Instants {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(ARRIVALS_STREAM.wrapping_add(phase));
        let length_us = super::whole_us(length);
        Instants { rng, mean_gap_ns: self.rate.mean_gap_ns(), elapsed_ns: 0, length_us }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        super::refuse_zero("rate", self.rate)
    }
}

/// Exponential gaps, as whole nanoseconds: their sum is exact on every machine.
#[derive(Debug, Clone)]
pub(super) struct Instants {
    rng: ChaCha8Rng,
    mean_gap_ns: f64,
    elapsed_ns: u64,
    length_us: u64,
}

impl Iterator for Instants {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let gap_ns = -libm::log(1.0 - self.rng.random::<f64>()) * self.mean_gap_ns;
        // An infinite or huge gap saturates, and so does the sum: there is no next arrival then.
        self.elapsed_ns =
            if gap_ns.is_finite() { self.elapsed_ns.saturating_add(gap_ns.round() as u64) } else { u64::MAX };
        Some(self.elapsed_ns.saturating_add(500) / 1_000).filter(|instant| *instant < self.length_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rate_no_arrival() {
        let none = Poisson { rate: "0/s".parse().expect("a rate") };
        assert_eq!(none.instants(Duration::from_secs(1_000), 7, 0).next(), None);
        assert_eq!(none.problems().len(), 1);
        let some = Poisson { rate: "1/s".parse().expect("a rate") };
        assert!(some.instants(Duration::from_secs(1_000), 7, 0).next().is_some_and(|first| first > 0));
    }
}
