//! Which job an arrival runs: drawn by weight from a stream of the scenario's seed that nothing else uses.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// One choice of a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighted {
    pub job: String,
    pub weight: f64,
}

/// Jobs with their weights; the sum of the weights is above zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobMix {
    pub jobs: Vec<Weighted>,
}

/// ChaCha streams below this number belong to other choices (targets of faults).
const FIRST_STREAM: u64 = 1_000;

impl JobMix {
    /// An endless draw of indices into `jobs`. The shape of the arrivals has no part in it.
    pub fn draw(&self, seed: u64, phase: u64) -> impl Iterator<Item = usize> + use<'_> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(FIRST_STREAM + phase);
        let total: f64 = self.jobs.iter().map(|choice| choice.weight).sum();
        std::iter::repeat_with(move || {
            let mut point = rng.random::<f64>() * total;
            for (index, choice) in self.jobs.iter().enumerate() {
                if point < choice.weight {
                    return index;
                }
                point -= choice.weight;
            }
            self.jobs.iter().rposition(|choice| choice.weight > 0.0).unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(weights: &[f64]) -> JobMix {
        JobMix { jobs: weights.iter().map(|weight| Weighted { job: "a_job".to_owned(), weight: *weight }).collect() }
    }

    #[test]
    fn a_draw_follows_the_weights_and_the_seed() {
        let mix = mix(&[70.0, 30.0, 0.0]);
        let draw = |seed, phase| mix.draw(seed, phase).take(10_000).collect::<Vec<_>>();
        assert_eq!(draw(7, 0), draw(7, 0));
        assert_ne!(draw(7, 0), draw(8, 0));
        assert_ne!(draw(7, 0), draw(7, 1));
        let first = draw(7, 0).iter().filter(|index| **index == 0).count();
        assert!((6_800..7_200).contains(&first), "{first}");
        assert!(!draw(7, 0).contains(&2), "a weight of zero is never drawn");
    }
}
