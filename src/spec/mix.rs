//! A mix of jobs as users write it: a map of weights, or a list.

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    partition::RawPartition,
    passed_on::{RunConfig, Text, text_map_schema, texts},
};
use crate::{load::no_config, model::schema::text_schema};

/// `{ fast_job: 70%, slow_job: { weight: 30%, runConfig: … } }` or `[ { job: fast_job, weight: 70% }, … ]`.
#[derive(Debug)]
pub struct RawMix {
    pub jobs: Vec<RawJob>,
    /// It was written as a list: jobs are found by number, not by name.
    pub is_list: bool,
}

/// One choice of a mix.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Job")]
pub struct RawJob {
    /// The name of the Dagster job. It may be left out beside `assets`: Dagster's own job of assets runs them then.
    pub job: Option<String>,
    /// Its weight; 1 by default.
    #[serde(default)]
    pub weight: RawWeight,
    /// The run config, as Dagster's launchpad takes it.
    #[serde(default = "no_run_config")]
    #[schemars(with = "serde_json::Value")]
    pub run_config: RunConfig,
    /// Tags of the run, beside dagstorm's own.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    pub tags: IndexMap<String, String>,
    /// The partition that a run is for: its key; `latest`; `{ each: all }` or `{ each: [a, b] }`, one after another;
    /// `{ draw: all }` or `{ draw: [a, b] }`, by the seed. Dagster's config and tags of the partition are sent with it.
    pub partition: Option<RawPartition>,
    /// The assets that are materialized, as `prefix/name`; by default all of the job.
    pub assets: Option<Vec<Text>>,
}

/// What a map of weights says of one job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Options")]
struct RawOptions {
    /// Its weight; 1 by default.
    #[serde(default)]
    weight: RawWeight,
    /// The run config, as Dagster's launchpad takes it.
    #[serde(default = "no_run_config")]
    #[schemars(with = "serde_json::Value")]
    run_config: RunConfig,
    /// Tags of the run, beside dagstorm's own.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    tags: IndexMap<String, String>,
    /// The partition that a run is for: its key; `latest`; `{ each: all }` or `{ each: [a, b] }`, one after another;
    /// `{ draw: all }` or `{ draw: [a, b] }`, by the seed. Dagster's config and tags of the partition are sent with it.
    partition: Option<RawPartition>,
    /// The assets that are materialized, as `prefix/name`; by default all of the job.
    assets: Option<Vec<Text>>,
}

/// `70%` or a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawWeight {
    pub number: f64,
    /// It was written with a `%`.
    pub is_percent: bool,
}

impl Default for RawWeight {
    fn default() -> Self {
        Self { number: 1.0, is_percent: false }
    }
}

text_schema!(
    RawWeight,
    "Weight",
    "A weight: a number from zero up, of which only the proportions count; or a percentage. Percentages add up to 100%.",
    "^[0-9]+(\\.[0-9]+)?%?$" or number,
    [3, "70%"]
);

/// The largest weight: sums of these stay exact enough to draw by.
const HEAVIEST: f64 = 1e9;

impl<'de> Deserialize<'de> for RawWeight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WeightReader)
    }
}

struct WeightReader;

impl WeightReader {
    fn check<E: de::Error>(number: f64, text: &dyn fmt::Display) -> Result<RawWeight, E> {
        if (0.0..=HEAVIEST).contains(&number) {
            return Ok(RawWeight { number, is_percent: false });
        }
        Err(E::custom(format!("`{text}` is not a weight: write a number from 0 to 1000000000, as in `3` or `70%`")))
    }
}

impl Visitor<'_> for WeightReader {
    type Value = RawWeight;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a weight such as `3` or `70%`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawWeight, E> {
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
        let weight = Self::check(number.parse().ok().filter(|_| plain).unwrap_or(f64::NAN), &text)?;
        Ok(RawWeight { is_percent: text.ends_with('%'), ..weight })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawWeight, E> {
        Self::check(number as f64, &number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawWeight, E> {
        Self::check(number as f64, &number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<RawWeight, E> {
        Self::check(number, &number)
    }
}

impl<'de> Deserialize<'de> for RawMix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MixReader)
    }
}

struct MixReader;

impl<'de> Visitor<'de> for MixReader {
    type Value = RawMix;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jobs with their weights, as in `{ fast_job: 70%, slow_job: 30% }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawMix, A::Error> {
        let mut jobs = vec![];
        while let Some(job) = access.next_key::<String>()? {
            let RawShare(options) = access.next_value()?;
            let RawOptions { weight, run_config, tags, partition, assets } = options;
            jobs.push(RawJob { job: Some(job), weight, run_config, tags, partition, assets });
        }
        Ok(RawMix { jobs, is_list: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawMix, A::Error> {
        let mut jobs = vec![];
        while let Some(job) = access.next_element()? {
            jobs.push(job);
        }
        Ok(RawMix { jobs, is_list: true })
    }
}

/// A weight, or a map of options.
struct RawShare(RawOptions);

impl<'de> Deserialize<'de> for RawShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = RawOptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a weight such as `70%`, or a map with `weight`, `runConfig`, `tags`, `partition`, `assets`",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawOptions, E> {
                WeightReader.visit_str(text).map(alone)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawOptions, E> {
                WeightReader.visit_u64(number).map(alone)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawOptions, E> {
                WeightReader.visit_i64(number).map(alone)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<RawOptions, E> {
                WeightReader.visit_f64(number).map(alone)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawOptions, A::Error> {
                RawOptions::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Reader).map(Self)
    }
}

fn alone(weight: RawWeight) -> RawOptions {
    RawOptions { weight, run_config: no_run_config(), tags: IndexMap::new(), partition: None, assets: None }
}

fn no_run_config() -> RunConfig {
    RunConfig(no_config())
}

impl JsonSchema for RawMix {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Jobs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let weight = generator.subschema_for::<RawWeight>();
        let options = generator.subschema_for::<RawOptions>();
        let job = generator.subschema_for::<RawJob>();
        json_schema!({
            "description": "Jobs with their weights: a map from job to weight (or to `{ weight, runConfig, tags, partition, assets }`), or a list of `{ job, weight, runConfig, tags, partition, assets }`.",
            "examples": [{ "fast_job": "70%", "slow_job": "30%" }],
            "anyOf": [
                { "type": "object", "minProperties": 1, "additionalProperties": { "anyOf": [weight, options] } },
                { "type": "array", "minItems": 1, "items": job },
            ],
        })
    }
}
