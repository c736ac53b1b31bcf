//! Which job an arrival runs: drawn by weight from a stream of the scenario's seed that nothing else uses.

use std::sync::Arc;

use indexmap::IndexMap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::model::Partitioning;

/// One choice of a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighted {
    pub job: String,
    pub weight: f64,
    /// The run's configuration; an object.
    #[serde(default = "no_config", skip_serializing_if = "is_no_config")]
    pub run_config: serde_json::Value,
    /// Tags of the run beside dagstorm's own.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
    /// The partition that it runs for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partitioning>,
    /// The assets that are selected, as `a/b`; empty: the whole job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
}

impl Weighted {
    /// A job with this weight, without configuration and tags.
    pub fn new(job: impl Into<String>, weight: f64) -> Self {
        Self {
            job: job.into(),
            weight,
            run_config: no_config(),
            tags: IndexMap::new(),
            partition: None,
            assets: vec![],
        }
    }
}

/// What a run without configuration is launched with: the empty object.
pub fn no_config() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

fn is_no_config(config: &serde_json::Value) -> bool {
    config.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Jobs with their weights; the sum of the weights is above zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobMix {
    pub jobs: Vec<Weighted>,
}

/// The ChaCha streams of jobs begin here, one a phase. Those below belong to targets of faults, those from 1,000,000 on
/// to arrivals. The keys of partitions are drawn otherwise.
const JOBS_STREAM: u64 = 1_000;

impl JobMix {
    /// An endless draw of indices into `jobs`. The shape of the arrivals has no part in it.
    pub fn draw(&self, seed: u64, phase: u64) -> Draw {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(JOBS_STREAM.wrapping_add(phase));
        let weights: Arc<[f64]> = self.jobs.iter().map(|choice| choice.weight).collect();
        Draw { rng, total: weights.iter().sum(), weights }
    }
}

/// See [`JobMix::draw`].
#[derive(Debug, Clone)]
pub struct Draw {
    rng: ChaCha8Rng,
    weights: Arc<[f64]>,
    total: f64,
}

impl Iterator for Draw {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut point = self.rng.random::<f64>() * self.total;
        for (index, weight) in self.weights.iter().enumerate() {
            if point < *weight {
                return Some(index);
            }
            point -= weight;
        }
        // Rounding may leave a little of the last weight.
        Some(self.weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(weights: &[f64]) -> JobMix {
        JobMix { jobs: weights.iter().map(|weight| Weighted::new("a_job", *weight)).collect() }
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

    #[test]
    fn what_is_not_said_is_not_written() {
        let plain = serde_json::to_string(&Weighted::new("a_job", 1.0)).expect("it serializes");
        assert_eq!(plain, r#"{"job":"a_job","weight":1.0}"#, "or the digest of every old scenario changes");
        let text = r#"{"job":"a_job","weight":1.0,"runConfig":{"ops":{}},"tags":{"team":"data"}}"#;
        let full: Weighted = serde_json::from_str(text).expect("it reads");
        assert_eq!(serde_json::to_string(&full).expect("it serializes"), text);
    }
}
