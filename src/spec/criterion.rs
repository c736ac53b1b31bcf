//! A threshold as users write it: a text, or a map that says of what it is to hold.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, json};

use crate::model::{Metric, Span};

/// The thresholds of a metric: a list, or a single one.
#[derive(Debug)]
pub struct RawThresholds {
    pub list: Vec<RawThreshold>,
    /// It was written as a list: thresholds are found by number.
    pub is_list: bool,
}

impl<'de> Deserialize<'de> for RawThresholds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListReader;

        impl ListReader {
            fn alone(one: RawThreshold) -> RawThresholds {
                RawThresholds { list: vec![one], is_list: false }
            }
        }

        impl<'de> Visitor<'de> for ListReader {
            type Value = RawThresholds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a threshold such as `p95 < 90s`, or a list of them, as in `[\"p95 < 90s\", \"max < 2m\"]`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawThresholds, E> {
                Reader.visit_str(text).map(Self::alone)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawThresholds, A::Error> {
                Reader.visit_map(map).map(Self::alone)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawThresholds, A::Error> {
                let mut list = vec![];
                while let Some(one) = access.next_element()? {
                    list.push(one);
                }
                Ok(RawThresholds { list, is_list: true })
            }
        }

        deserializer.deserialize_any(ListReader)
    }
}

/// `"p95 < 90s"`, or `{ that: "p95 < 90s", during: base }`.
#[derive(Debug)]
pub struct RawThreshold {
    pub options: RawCriterion,
    /// It was written as a map: the text has a field of its own.
    pub is_map: bool,
}

/// A threshold and of what it must hold: of everything, unless one of `during`, `around`, `outside` is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Criterion")]
pub struct RawCriterion {
    /// An aggregate, a comparison and a value, as in `p95 < 90s`.
    #[schemars(schema_with = "text")]
    pub that: String,
    /// The name of a phase: runs that arrive in it; of gauges and `throughput`, its time.
    pub during: Option<String>,
    /// The name of a fault, or `faults` for all: what arrives, or is seen, from its injection to the proof that it is
    /// healed.
    pub around: Option<String>,
    /// The name of a fault, or `faults` for all: what arrives, or is seen, at all other times.
    pub outside: Option<String>,
    /// So much longer at both ends, with `around` and `outside`; `0s` by default.
    pub margin: Option<Span>,
    /// With fewer samples than this it is not known whether it holds: the verdict is Unknown.
    #[schemars(range(min = 1))]
    pub min_samples: Option<u32>,
    /// It is looked at while the scenario runs, and ends it as soon as it does not hold.
    #[serde(default)]
    pub abort_on_fail: bool,
    /// With `abortOnFail`: not before so long after the start; `0s` by default.
    pub grace: Option<Span>,
}

impl<'de> Deserialize<'de> for RawThreshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = RawThreshold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a threshold such as `p95 < 90s`, or a map with `that` and of what it must hold")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawThreshold, E> {
        let options = RawCriterion {
            that: text.to_owned(),
            during: None,
            around: None,
            outside: None,
            margin: None,
            min_samples: None,
            abort_on_fail: false,
            grace: None,
        };
        Ok(RawThreshold { options, is_map: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawThreshold, A::Error> {
        let options = RawCriterion::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawThreshold { options, is_map: true })
    }
}

fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "An aggregate (`p95` or any percentile, `max`, `min`, `mean`, `count`, `rate`, `last`), a comparison, a value in the metric's unit.",
        "pattern": "^\\s*(p[0-9.]+|max|min|mean|count|rate|last)\\s*(<=|>=|<|>)\\s*\\S+\\s*$",
        "examples": ["p95 < 90s", "max < 500"],
    })
}

/// Thresholds by metric.
pub fn thresholds(generator: &mut SchemaGenerator) -> Schema {
    let (text, criterion) = (text(generator), generator.subschema_for::<RawCriterion>());
    let list = |metric: Metric| {
        let list = json!({ "type": "array", "minItems": 1, "items": { "anyOf": [text, criterion] } });
        json!({ "description": metric.meaning(), "anyOf": [text, criterion, list] })
    };
    let properties: Map<String, Value> =
        Metric::ALL.map(|metric| (metric.word().to_owned(), list(metric))).into_iter().collect();
    json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
}
