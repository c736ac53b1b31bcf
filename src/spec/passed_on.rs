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
    let tree = tree::parse_of_dagster(yaml)
        .map_err(|problems| problems.iter().map(words).collect::<Vec<_>>().join("; "))?;
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
mod tests {
    use serde_json::{Value as Json, json};

    use super::run_config;
    use crate::spec::{Manifest, load, no_attachments};

    /// The job's run config and tags, or the errors.
    fn job(file: &str, job: &str) -> Result<(Json, Json), Vec<String>> {
        let text = match file {
            "a.json" => format!(
                r#"{{ "apiVersion": "dagstorm.dev/v1alpha1", "kind": "Scenario", "metadata": {{ "name": "a" }}, "spec": {{
                "target": "t", "load": [{{ "name": "b", "for": "1s", "arrivals": {{ "constant": {{ "rate": "1/s" }} }},
                "jobs": {{ "j": {job} }} }}] }} }}"#
            ),
            _ => format!(
                "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: {{ name: a }}\nspec:\n  target: t\n  load:\n  \
                 - name: b\n    for: 1s\n    arrivals: {{ constant: {{ rate: 1/s }} }}\n    jobs:\n      j:\n        {job}"
            ),
        };
        match load(file, text.as_bytes(), &no_attachments).pop().expect("a document").content {
            Ok(Manifest::Scenario(scenario)) => {
                let job = &scenario.spec.load[0].jobs.jobs[0];
                Ok((job.run_config.clone(), json!(job.tags)))
            }
            Ok(Manifest::Target(_)) => panic!("a target"),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_run_config_is_what_the_launchpad_would_send() {
        for (written, sent) in [
            (
                "{ a: yes, b: 81e47, c: 0123, d: 1_000, e: 1:30 }",
                json!({"a": true, "b": "81e47", "c": 83, "d": 1000, "e": 90}),
            ),
            (
                "{ a: 2026-01-02, b: 1.10, c: 1e3, d: 0x1F, e: 0o17 }",
                json!({"a": "2026-01-02", "b": 1.1, "c": "1e3", "d": 31, "e": "0o17"}),
            ),
            (
                "{ a: ~, b: , c: null, d: 12345678901234567890 }",
                json!({"a": null, "b": null, "c": null, "d": 12_345_678_901_234_567_890_u64}),
            ),
            ("{ a: \"yes\", b: '0123', c: \"1e3\", d: \"\" }", json!({"a": "yes", "b": "0123", "c": "1e3", "d": ""})),
            ("{ a: [on, 'on', [0123, {b: no}]] }", json!({"a": [true, "on", [83, {"b": false}]]})),
            ("{ a: &x 0123, b: *x, c: &y 'yes', d: *y }", json!({"a": 83, "b": 83, "c": "yes", "d": "yes"})),
            (
                "{ a: !!str 0123, b: !!int 83, c: !!bool true, d: !!str yes, e: !!map {} }",
                json!({"a": "0123", "b": 83, "c": true, "d": "yes", "e": {}}),
            ),
            (
                "\n          a: |-\n            yes\n          b: >-\n            0123\n          c: |\n            yes\n",
                json!({"a": "yes", "b": "0123", "c": "yes\n"}),
            ),
            (
                "\n          a:\n            yes # said so\n          b: |- # no |\n            0123",
                json!({"a": true, "b": "0123"}),
            ),
            ("\n          a: |-\n            yes", json!({"a": "yes"})),
            ("\n          a: # no |\n            yes", json!({"a": true})),
            ("\n          a: one\n            two\n          é: no", json!({"a": "one two", "é": false})),
            ("{ '0123': 1, \"yes\": 2, on_call: 3, =: 4 }", json!({"0123": 1, "yes": 2, "on_call": 3, "=": 4})),
            (
                "{ a: <, b: ., c: .5, d: -.5, e: 08, f: -0 }",
                json!({"a": "<", "b": ".", "c": 0.5, "d": "-.5", "e": "08", "f": 0}),
            ),
        ] {
            let read = job("a.yaml", &format!("runConfig: {written}"));
            assert_eq!(read.map(|(config, _)| config), Ok(sent), "{written}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused_with_its_reading() {
        for (written, words) in [
            (
                "a: .inf",
                "runConfig.a: `.inf` is infinity to Dagster, and a launch is sent as JSON, which has no such number; if a text is meant, write it in quotes",
            ),
            ("a: -.inf", "`-.inf` is infinity to Dagster"),
            ("a: .nan", "`.nan` is no number (NaN) to Dagster"),
            ("a: [1.0e+999]", "runConfig.a[0]: `1.0e+999` is infinity to Dagster"),
            (
                "a: 123456789012345678901",
                "`123456789012345678901` is a number of more than 64 bits to Dagster, and cannot be sent exactly",
            ),
            ("a: -9223372036854775809", "`-9223372036854775809` is a number of more than 64 bits"),
            ("a: 0x_", "Dagster's launchpad fails at `0x_`"),
            ("a: =", "Dagster's launchpad fails at `=`"),
            (
                "yes: 1",
                "runConfig.yes: the key `yes` is the truth value `true` to Dagster, and a launch is sent as JSON, whose keys are texts; if the text is meant, write `\"yes\"`",
            ),
            ("a: { 0123: 1 }", "the key `0123` is the number `83` to Dagster"),
            ("a: !!float 1", "the tag `!!float` says otherwise than the value"),
            ("a: !!int '5'", "the tag `!!int` says otherwise than the value"),
            ("a: !secret key", "the tag `!secret` says otherwise than the value"),
            ("a: !!int 0o8", "the tag before this value does not fit it"),
            ("a: !!bool maybe", "the tag before this value does not fit it"),
            ("a: !!float a", "the tag before this value does not fit it"),
            ("a: !!timestamp 2026-01-02", "the tag before this value does not fit it: leave the tag out"),
            ("a: !!set { b }", "the tag `!!set` says otherwise"),
        ] {
            let errors = job("a.yaml", &format!("runConfig: {{ {written} }}")).expect_err(written);
            assert!(errors.len() == 1 && errors[0].contains(words), "{written}: {errors:?}");
        }
        let errors = job("a.yaml", "runConfig: { a: .inf, b: { c: .nan, yes: 1 } }").expect_err("three");
        assert_eq!(errors.len(), 3, "all at once: {errors:?}");
    }

    #[test]
    fn what_dagster_writes_for_a_partition_is_read_back() {
        for (yaml, read) in [
            ("{}\n", json!({})),
            ("", json!({})),
            (
                "ops:\n  a:\n    config:\n      day: '2026-11-20'\n      n: 1\n      t: 2026-01-02\n      p: '010'\n",
                json!({ "ops": { "a": { "config": { "day": "2026-11-20", "n": 1, "t": "2026-01-02", "p": "010" } } } }),
            ),
            ("a: &id001\n- 1\nb: *id001\n", json!({ "a": [1], "b": [1] })),
            (
                "a: one two three four five six seven eight nine ten eleven twelve thirteen fourteen\n  fifteen\n",
                json!({ "a": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen" }),
            ),
        ] {
            assert_eq!(run_config(yaml), Ok(read), "{yaml}");
        }
        for (yaml, words) in
            [("- a\n", "it is no map"), ("a: .inf\n", "a: `.inf` is infinity"), ("a: [", "not valid YAML")]
        {
            let error = run_config(yaml).expect_err(yaml);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_tag_is_the_text_that_was_written() {
        for (written, text) in [
            ("1.10", "1.10"),
            ("81e4712", "81e4712"),
            ("0123", "0123"),
            ("0x1F", "0x1F"),
            ("1_000", "1_000"),
            ("yes", "yes"),
            ("True", "True"),
            ("2026-01-02", "2026-01-02"),
            ("12345678901234567890123", "12345678901234567890123"),
            (".inf", ".inf"),
            ("-0", "-0"),
            ("\"\"", ""),
            ("'~'", "~"),
            ("!!str ~", "~"),
            ("!!str 5", "5"),
            ("a: b", "a: b"),
        ] {
            let written = if written.contains(": ") { format!("'{written}'") } else { written.to_owned() };
            let read = job("a.yaml", &format!("tags: {{ k: {written} }}"));
            assert_eq!(read.map(|(_, tags)| tags), Ok(json!({ "k": text })), "{written}");
        }
        for (written, words) in [
            (
                "~",
                "tags.k: `~` is nothing (null), where a text is expected; if the text is meant, write `\"~\"`; else leave it out",
            ),
            ("null", "`null` is nothing (null)"),
            ("", "tags.k: is empty, where a text is expected; write `\"\"` for the empty text, or leave it out"),
            ("[a]", "expected a text, found a list"),
            ("{ a: b }", "expected a text, found a map"),
            ("!secret 5", "the tag `!secret`"),
        ] {
            let errors = job("a.yaml", &format!("tags: {{ k: {written} }}")).expect_err(written);
            assert!(errors.len() == 1 && errors[0].contains(words), "{written}: {errors:?}");
        }
    }

    #[test]
    fn in_json_the_types_are_those_of_json() {
        let written = r#"{ "runConfig": { "a": 1e3, "b": "yes", "c": -0, "d": 0.1, "e": null, "f": true, "0123": "0123" }, "tags": { "k": "0123" } }"#;
        let (config, tags) = job("a.json", written).expect("it reads");
        let sent = json!({ "a": 1000.0, "b": "yes", "c": 0, "d": 0.1, "e": null, "f": true, "0123": "0123" });
        assert_eq!((config, tags), (sent, json!({ "k": "0123" })));
        for (written, words) in [
            (
                r#"{ "runConfig": { "a": 123456789012345678901 } }"#,
                "`123456789012345678901` is a number of more than 64 bits",
            ),
            (r#"{ "tags": { "k": 5 } }"#, "expected a text, found the number `5`: put it in quotes"),
            (r#"{ "tags": { "k": 1.10 } }"#, "expected a text, found the number `1.10`: put it in quotes"),
            (r#"{ "tags": { "k": true } }"#, "expected a text, found `true`"),
            (r#"{ "tags": { "k": null } }"#, "expected a text, found nothing"),
        ] {
            let errors = job("a.json", written).expect_err(written);
            assert!(errors.len() == 1 && errors[0].contains(words), "{written}: {errors:?}");
        }
    }

    #[test]
    fn a_message_quotes_what_was_written() {
        for (field, words) in [
            ("weight: 81e4712", "`81e4712` is no finite number"),
            ("weight: .inf", "`.inf` is no finite number"),
            ("weight: -1.50", "`-1.5"),
            ("job: 1", "unknown field `job`"),
        ] {
            let errors = job("a.yaml", field).expect_err(field);
            assert!(errors[0].contains(words) && !errors[0].contains("`inf`"), "{field}: {errors:?}");
        }
        for (name, words) in
            [("81e4712", "the number `81e4712`"), ("1.10", "the number `1.10`"), ("0x1F", "the number `0x1F`")]
        {
            let text = format!(
                "apiVersion: dagstorm.dev/v1alpha1\nkind: Target\nmetadata: {{ name: a }}\nspec: {{ dagster: {{ url: 'http://x/graphql', location: {name} }} }}"
            );
            let errors = load("a.yaml", text.as_bytes(), &no_attachments).pop().expect("one").content.expect_err(name);
            assert!(
                errors[0].message.contains(&format!("expected a text, found {words}: put it in quotes")),
                "{errors:?}"
            );
        }
    }
}
