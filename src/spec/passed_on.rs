//! Values that are passed on to another program: a run config is read as Dagster's launchpad reads it, and a text stays
//! what was written.

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::{
    decode::{Entries, Error, Items, Reader, decode},
    left_out::LeftOut,
    problem::Problem,
    scalar::{self, Reading},
    tree::{self, Dialect, Entry, Node, Value},
};
use crate::load::no_config;

/// The names by which the types below ask a [`Node`] for their reader.
pub const PASSED_ON: &str = "dagstorm::PassedOn";
pub const WRITTEN: &str = "dagstorm::Written";

/// The namespace of the tags of YAML itself: `!!str` is one of them.
const CORE: &str = "tag:yaml.org,2002:";
const QUOTE: &str = "if a text is meant, write it in quotes";

/// A run config, as Dagster's launchpad would read it.
#[derive(Debug, Deserialize)]
#[serde(rename = "dagstorm::PassedOn")]
pub struct RunConfig(pub serde_json::Value);

/// A text. Without quotes it is what was written: `1.10`, `0123` and `yes` too.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "dagstorm::Written")]
pub struct Text(pub String);

/// Reads a run config as Dagster writes it, for a partition.
///
/// # Errors
/// What of it cannot be sent in JSON, or is no YAML.
pub fn run_config(yaml: &str) -> Result<serde_json::Value, String> {
    let words = |problem: &Problem| match problem.path.0.is_empty() {
        true => problem.message.clone(),
        false => format!("{}: {}", problem.path, problem.message),
    };
    if yaml.trim().is_empty() {
        return Ok(no_config());
    }
    let tree =
        tree::parse_of_dagster(yaml).map_err(|problems| problems.iter().map(words).collect::<Vec<_>>().join("; "))?;
    let decoded = decode::<RunConfig>(&tree, LeftOut::default());
    if let Some(problem) = decoded.problems.first() {
        return Err(words(problem));
    }
    match decoded.value {
        Some(RunConfig(config)) if config.is_object() => Ok(config),
        Some(RunConfig(serde_json::Value::Null)) => Ok(no_config()),
        Some(RunConfig(_)) | None => Err("it is no map".to_owned()),
    }
}

/// Reads a map from text to text, in which a value without quotes is what was written.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IndexMap<String, String>, D::Error> {
    let texts = IndexMap::<String, Text>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(|(key, Text(text))| (key, text)).collect())
}

/// The same where the field may be left out.
pub fn some_texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IndexMap<String, String>>, D::Error> {
    texts(deserializer).map(Some)
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A map from text to text. A number and a truth value are the text that was written.
pub fn text_map_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

/// A value that Dagster reads.
pub struct PassedOn<'de>(pub &'de Node);

impl<'de> Deserializer<'de> for PassedOn<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.0;
        match &node.value {
            Value::List(items) => {
                check_tag(node, &["seq"])?;
                visitor.visit_seq(Items::new(items, Reader::Dagster))
            }
            Value::Map(entries) => {
                check_tag(node, &["map"])?;
                visitor.visit_map(Entries::new(entries, Reader::Dagster))
            }
            Value::Removed | Value::Blank => node.deserialize_any(visitor),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {
                scalar(node, visitor)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

fn scalar<'de, V: Visitor<'de>>(node: &'de Node, visitor: V) -> Result<V::Value, Error> {
    let (reading, written) = match (&node.plain, &node.value, node.dialect) {
        (None, Value::Text(text), _) => {
            check_tag(node, &["str"])?;
            return visitor.visit_borrowed_str(text);
        }
        (Some(written), _, Dialect::Yaml) => (scalar::read(written), written.as_str()),
        (written, value, _) => (of_json(value, written.as_deref()), written.as_deref().unwrap_or_default()),
    };
    if node.tag.as_deref().and_then(|tag| tag.strip_prefix(CORE)) == Some("str") {
        return visitor.visit_borrowed_str(written);
    }
    let kind = match &reading {
        Reading::Null => "null",
        Reading::Bool(_) => "bool",
        Reading::Integer(_) | Reading::Huge => "int",
        Reading::Float(_) => "float",
        Reading::Text | Reading::Fails => "str",
    };
    check_tag(node, &[kind])?;
    match reading.json(written) {
        Some(serde_json::Value::Null) => visitor.visit_unit(),
        Some(serde_json::Value::Bool(value)) => visitor.visit_bool(value),
        Some(serde_json::Value::Number(number)) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), ..) => visitor.visit_u64(number),
            (None, Some(number), _) => visitor.visit_i64(number),
            (None, None, number) => visitor.visit_f64(number.expect("what is no whole number is a float")),
        },
        Some(_) => visitor.visit_borrowed_str(written),
        None => Err(unsendable(&reading, written)),
    }
}

fn unsendable(reading: &Reading, written: &str) -> Error {
    let message = match reading {
        Reading::Integer(_) | Reading::Huge => {
            format!("`{written}` is a number of more than 64 bits to Dagster, and cannot be sent exactly")
        }
        Reading::Fails => format!("Dagster's launchpad fails at `{written}`"),
        Reading::Null | Reading::Bool(_) | Reading::Float(_) | Reading::Text => format!(
            "`{written}` is {} to Dagster, and a launch is sent as JSON, which has no such number",
            reading.words()
        ),
    };
    Error::refused(message, QUOTE)
}

/// What a scalar is in JSON; a whole number of more than 64 bits is none that can be told exactly.
fn of_json(value: &Value, written: Option<&str>) -> Reading {
    match value {
        Value::Bool(value) => Reading::Bool(*value),
        Value::Integer(number) => Reading::Integer(*number),
        Value::Float(_) if !written.unwrap_or_default().contains(['.', 'e', 'E']) => Reading::Huge,
        Value::Float(number) => Reading::Float(*number),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Removed | Value::Blank => Reading::Null,
        Value::Text(_) => Reading::Text,
    }
}

/// A tag may say what the value is anyway.
fn check_tag(node: &Node, kinds: &[&str]) -> Result<(), Error> {
    let Some(tag) = &node.tag else { return Ok(()) };
    if tag.strip_prefix(CORE).is_some_and(|kind| kinds.contains(&kind)) {
        return Ok(());
    }
    let tag = tag.strip_prefix(CORE).map_or_else(|| tag.clone(), |kind| format!("!!{kind}"));
    let message =
        format!("the tag `{tag}` says otherwise than the value, and JSON, in which a launch is sent, has no tags");
    Err(Error::refused(message, "leave the tag out; for a text, write the value in quotes"))
}

/// A key of a run config. JSON has none but texts.
pub fn check_key(entry: &Entry) -> Result<(), Error> {
    if !entry.is_plain || entry.node.dialect == Dialect::Json || entry.key == "=" {
        return Ok(());
    }
    let reading = scalar::read(&entry.key);
    if reading == Reading::Text {
        return Ok(());
    }
    let (key, words) = (&entry.key, reading.words());
    let message = format!("the key `{key}` is {words} to Dagster, and a launch is sent as JSON, whose keys are texts");
    Err(Error::refused(message, format!("if the text is meant, write `\"{key}\"`")))
}

/// A value of a map from text to text.
pub struct Written<'de>(pub &'de Node);

impl<'de> Deserializer<'de> for Written<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.0;
        match (&node.value, node.plain.as_deref(), node.dialect) {
            (Value::Text(text), ..) => {
                check_tag(node, &["str"])?;
                visitor.visit_borrowed_str(text)
            }
            (Value::Null, Some(""), Dialect::Yaml) => {
                let help = "write `\"\"` for the empty text, or leave it out";
                Err(Error::refused("is empty, where a text is expected".to_owned(), help))
            }
            (Value::Null, Some(written), Dialect::Yaml) => {
                let message = format!("`{written}` is nothing (null), where a text is expected");
                Err(Error::refused(message, format!("if the text is meant, write `\"{written}\"`; else leave it out")))
            }
            (Value::Bool(_) | Value::Integer(_) | Value::Float(_), Some(written), Dialect::Yaml) => {
                check_tag(node, &["bool", "int", "float"])?;
                visitor.visit_borrowed_str(written)
            }
            (Value::Float(number), ..) if !number.is_finite() => {
                Err(serde::de::Error::invalid_type(Unexpected::Float(*number), &visitor))
            }
            (
                Value::Null
                | Value::Bool(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::List(_)
                | Value::Map(_)
                | Value::Removed
                | Value::Blank,
                ..,
            ) => node.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
