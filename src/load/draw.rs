//! Which job an arrival runs: drawn by weight from a stream of the scenario's seed that nothing else uses.

use std::{collections::BTreeMap, sync::Arc};

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
        let weights: Arc<[f64]> = self.jobs.iter().map(|choice| choice.weight).collect();
        Draw::Weighted { rng: Box::new(stream(seed, phase)), total: weights.iter().sum(), weights }
    }

    /// Of each arrival the index of its choice: of the job that it names, or of any job where it names none. A job that
    /// occurs more than once is drawn by the weights of its occurrences.
    pub fn assign<'a>(&self, seed: u64, phase: u64, named: impl Iterator<Item = Option<&'a str>>) -> Vec<usize> {
        let mut rng = stream(seed, phase);
        let mut weights: BTreeMap<Option<&str>, Vec<f64>> = BTreeMap::new();
        let weight = |choice: &Weighted, name: Option<&str>| match name {
            Some(name) if choice.job != name => 0.0,
            Some(_) | None => choice.weight,
        };
        let one = |name: Option<&'a str>| {
            let weights =
                weights.entry(name).or_insert_with(|| self.jobs.iter().map(|choice| weight(choice, name)).collect());
            let point = rng.random::<f64>() * weights.iter().sum::<f64>();
            // What is named is launched, also where its weight is zero.
            let own = || self.jobs.iter().position(|choice| Some(choice.job.as_str()) == name);
            at(point, weights).or_else(own).unwrap_or(0)
        };
        named.map(one).collect()
    }
}

fn stream(seed: u64, phase: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(JOBS_STREAM.wrapping_add(phase));
    rng
}

/// The index of the weight in which a point of their sum lies; `None` if none is above zero.
fn at(mut point: f64, weights: &[f64]) -> Option<usize> {
    for (index, weight) in weights.iter().enumerate() {
        if point < *weight {
            return Some(index);
        }
        point -= weight;
    }
    // Rounding may leave a little of the last weight.
    weights.iter().rposition(|weight| *weight > 0.0)
}

/// See [`JobMix::draw`].
#[derive(Debug, Clone)]
pub enum Draw {
    Weighted {
        rng: Box<ChaCha8Rng>,
        weights: Arc<[f64]>,
        total: f64,
    },
    /// As it was recorded.
    Listed {
        choices: Arc<[u32]>,
        next: usize,
    },
}

impl Draw {
    /// Gives these indices, one after the other.
    pub fn listed(choices: Vec<u32>) -> Self {
        Self::Listed { choices: choices.into(), next: 0 }
    }
}

impl Iterator for Draw {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Weighted { rng, weights, total } => {
                let point = rng.random::<f64>() * *total;
                Some(at(point, weights).unwrap_or(0))
            }
            Self::Listed { choices, next } => {
                *next += 1;
                choices.get(*next - 1).map(|choice| *choice as usize)
            }
        }
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
    fn what_arrivals_name_is_launched() {
        let jobs = [("a", 1.0), ("b", 3.0), ("b", 1.0), ("c", 0.0)];
        let mix = JobMix { jobs: jobs.map(|(job, weight)| Weighted::new(job, weight)).to_vec() };
        let assign = |name: Option<&'static str>| mix.assign(7, 0, std::iter::repeat_n(name, 1_000));
        assert_eq!(assign(None), mix.draw(7, 0).take(1_000).collect::<Vec<_>>(), "without names nothing changes");
        assert!(assign(Some("a")).iter().all(|index| *index == 0));
        assert!(assign(Some("c")).iter().all(|index| *index == 3), "a weight of zero is no reason to launch another");
        let named = assign(Some("b"));
        let often = named.iter().filter(|index| **index == 1).count();
        assert!(named.iter().all(|index| [1, 2].contains(index)) && (680..820).contains(&often), "{often}");
        assert_eq!(Draw::listed(vec![2, 0]).collect::<Vec<_>>(), [2, 0]);
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
