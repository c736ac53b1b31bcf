//! The partition of a job's runs as users write it: a key, `latest`, `{ each: … }` or `{ draw: … }`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::passed_on::{Text, WRITTEN};
use crate::model::{Keys, Partitioning};

const LATEST: &str = "latest";
const ALL: &str = "all";

/// See [`Partitioning`].
#[derive(Debug)]
pub enum RawPartition {
    /// A key, or `latest`.
    One(Partitioning),
    Several(RawChoice),
}

/// The ways to choose among several keys; exactly one is given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawChoice {
    pub each: Option<RawKeys>,
    pub draw: Option<RawKeys>,
}

/// `all`, or a list of keys.
#[derive(Debug)]
pub struct RawKeys(pub Keys);

impl<'de> Deserialize<'de> for RawPartition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A key without quotes is what was written: `2026-01-02`, `010` and `1.10` too.
        deserializer.deserialize_newtype_struct(WRITTEN, PartitionReader)
    }
}

struct PartitionReader;

impl<'de> Visitor<'de> for PartitionReader {
    type Value = RawPartition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a partition key, `latest`, `{ each: all }` or `{ draw: all }`")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawPartition, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawPartition, E> {
        if text.is_empty() {
            return Err(E::custom("is empty: write a partition key, `latest`, `{ each: all }` or `{ draw: all }`"));
        }
        let is_latest = text == LATEST;
        Ok(RawPartition::One(if is_latest { Partitioning::Latest } else { Partitioning::Key(text.to_owned()) }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPartition, A::Error> {
        RawChoice::deserialize(MapAccessDeserializer::new(map)).map(RawPartition::Several)
    }
}

impl<'de> Deserialize<'de> for RawKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeysReader)
    }
}

struct KeysReader;

impl<'de> Visitor<'de> for KeysReader {
    type Value = RawKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`all`, or a list of partition keys")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawKeys, E> {
        if text == ALL {
            return Ok(RawKeys(Keys::All));
        }
        Err(E::custom(format!("expected `all` or a list of partition keys, as in `[{text}]`")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawKeys, A::Error> {
        let mut keys = vec![];
        while let Some(Text(key)) = access.next_element()? {
            keys.push(key);
        }
        Ok(RawKeys(Keys::These(keys)))
    }
}

impl JsonSchema for RawPartition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Partition key".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<Text>();
        let keys = json_schema!({ "anyOf": [{ "const": ALL }, { "type": "array", "minItems": 1, "items": key }] });
        let choice = |word: &str| json_schema!({ "type": "object", "properties": { word: keys }, "required": [word], "additionalProperties": false });
        json_schema!({
            "description": "The partition that a run is for: its key; `latest`, the last one when the scenario starts; `each`, one after another; `draw`, by the seed.",
            "examples": ["2026-11-30", LATEST, { "each": ALL }, { "draw": ["eu", "us"] }],
            "anyOf": [key, choice("each"), choice("draw")],
        })
    }
}
