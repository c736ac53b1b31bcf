//! `dagstorm explain`: a field of the manifests in words, read off the schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{
    problem::help_for,
    schema::{Kind, schema},
};

/// How wide a line of a description is, in characters.
const WIDTH: usize = 96;
const INDENT: &str = "    ";

/// Explains the field at a path such as `scenario.spec.load.arrivals` (or `spec.load`: scenarios come first).
///
/// # Errors
/// A sentence that says which part of the path is not known, and what is allowed there.
pub fn explain(path: &str) -> Result<String, String> {
    let mut segments: Vec<&str> =
        path.split(['.', '[', ']']).filter(|part| !part.is_empty() && part.parse::<usize>().is_err()).collect();
    let named =
        segments.first().and_then(|first| Kind::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(first)));
    if named.is_some() {
        segments.remove(0);
    }
    let kinds = named.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
    let mut first_error = None;
    for kind in kinds {
        let root = schema(Some(kind));
        match walk(&root, &segments) {
            Ok(found) => return Ok(render(kind, &segments, &found, &root)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| "nothing to explain".to_owned()))
}

/// A field as its schema describes it.
struct Found<'a> {
    schema: &'a Value,
    /// What is said where the field stands is more exact than what is said of its type.
    description: Option<&'a str>,
    is_required: bool,
}

fn walk<'a>(root: &'a Value, segments: &[&str]) -> Result<Found<'a>, String> {
    let mut found = Found { schema: root, description: text(root, "description"), is_required: true };
    for (number, segment) in segments.iter().enumerate() {
        let fields = fields(found.schema, root);
        let known = || fields.iter().map(|field| field.name);
        let Some(field) = fields.iter().find(|field| field.name == *segment || field.name == ANY) else {
            let place =
                if number == 0 { "a manifest".to_owned() } else { format!("`{}`", segments[..number].join(".")) };
            return Err(format!(
                "{place} has no field `{segment}`; {}",
                help_for(segment, known().collect::<Vec<_>>())
            ));
        };
        found =
            Found { schema: field.schema, description: describe(field.schema, root), is_required: field.is_required };
    }
    Ok(found)
}

/// Stands for any name that a user chooses.
const ANY: &str = "<name>";

struct Field<'a> {
    name: &'a str,
    schema: &'a Value,
    is_required: bool,
}

/// The fields below a schema: through references, lists, choices and maps.
fn fields<'a>(schema: &'a Value, root: &'a Value) -> Vec<Field<'a>> {
    let schema = resolve(schema, root);
    let mut fields: Vec<Field<'a>> = vec![];
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let own = schema["properties"].as_object().into_iter().flatten();
    fields.extend(own.map(|(name, schema)| Field { name, schema, is_required: required.contains(&name.as_str()) }));
    for choice in ["oneOf", "anyOf", "allOf"] {
        let is_all = choice == "allOf";
        for part in schema[choice].as_array().into_iter().flatten() {
            fields.extend(
                self::fields(part, root)
                    .into_iter()
                    .map(|field| Field { is_required: field.is_required && (is_all || choice == "anyOf"), ..field }),
            );
        }
    }
    if schema["items"].is_object() {
        fields.extend(self::fields(&schema["items"], root));
    }
    if schema["additionalProperties"].is_object() {
        fields.push(Field { name: ANY, schema: &schema["additionalProperties"], is_required: false });
    }
    let mut seen: Vec<&str> = vec![];
    fields.retain(|field| {
        let is_new = !seen.contains(&field.name);
        seen.push(field.name);
        is_new
    });
    fields
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    loop {
        let reference = text(schema, "$ref").and_then(|reference| reference.strip_prefix('#'));
        schema = match reference.and_then(|pointer| root.pointer(pointer)) {
            Some(next) => next,
            None => match schema["allOf"].as_array().map(Vec::as_slice) {
                Some([only]) if !schema["properties"].is_object() => only,
                _ => return schema,
            },
        };
    }
}

fn text<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

fn describe<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a str> {
    text(schema, "description").or_else(|| text(resolve(schema, root), "description")).or_else(|| {
        let mut choices = schema["anyOf"].as_array().into_iter().flatten();
        choices.find_map(|choice| text(resolve(choice, root), "description"))
    })
}

/// The type in a word or two.
fn kind_of(schema: &Value, root: &Value) -> String {
    let schema = resolve(schema, root);
    if schema.get("const").is_some() || schema["enum"].is_array() {
        return "string".to_owned();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[choice].as_array() {
            let mut kinds: Vec<String> = vec![];
            for kind in parts.iter().map(|part| kind_of(part, root)).filter(|kind| kind != "null") {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            return kinds.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", kind_of(&schema["items"], root)),
        Value::String(kind) if kind == "object" && schema["additionalProperties"].is_object() => {
            format!("map of {}", kind_of(&schema["additionalProperties"], root))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}

/// The words of which one must be chosen.
fn choices<'a>(schema: &'a Value, root: &'a Value) -> Vec<(&'a str, Option<&'a str>)> {
    let schema = resolve(schema, root);
    let mut words: Vec<(&str, Option<&str>)> =
        schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|word| (word, None)).collect();
    for part in schema["oneOf"].as_array().into_iter().chain(schema["anyOf"].as_array()).flatten() {
        match text(part, "const") {
            Some(word) => words.push((word, text(part, "description"))),
            None => words.extend(choices(part, root)),
        }
    }
    words
}

fn render(kind: Kind, segments: &[&str], found: &Found<'_>, root: &Value) -> String {
    let mut out = String::new();
    let path = if segments.is_empty() { "(the whole manifest)".to_owned() } else { segments.join(".") };
    let required = if found.is_required && !segments.is_empty() { " -required-" } else { "" };
    let _ = writeln!(out, "KIND:   {}\nFIELD:  {path} <{}>{required}", kind.word(), kind_of(found.schema, root));
    if let Some(description) = found.description {
        let _ = writeln!(out, "\nDESCRIPTION:");
        wrap(&mut out, description, INDENT);
    }
    facts(&mut out, found.schema, root);
    let words = choices(found.schema, root);
    if !words.is_empty() {
        let _ = writeln!(out, "\nCHOICES:");
        for (word, description) in words {
            let _ = writeln!(out, "{INDENT}{word}");
            if let Some(description) = description {
                wrap(&mut out, description, "        ");
            }
        }
    }
    let fields = fields(found.schema, root);
    if !fields.is_empty() {
        let _ = writeln!(out, "\nFIELDS:");
        for field in fields {
            let required = if field.is_required { " -required-" } else { "" };
            let _ = writeln!(out, "{INDENT}{} <{}>{required}", field.name, kind_of(field.schema, root));
            if let Some(description) = describe(field.schema, root) {
                wrap(&mut out, description, "        ");
            }
        }
    }
    out
}

/// Default, pattern and examples.
fn facts(out: &mut String, schema: &Value, root: &Value) {
    let resolved = resolve(schema, root);
    let only = resolved["anyOf"].as_array().map(Vec::as_slice);
    let inner = match only {
        Some([value, null] | [null, value]) if null["type"] == "null" => resolve(value, root),
        _ => resolved,
    };
    let fact = |key: &str| schema.get(key).or_else(|| resolved.get(key)).or_else(|| inner.get(key));
    if let Some(default) = fact("default").filter(|default| !is_plain(default)) {
        let _ = writeln!(out, "\nDEFAULT:\n{INDENT}{}", show(default));
    }
    if let Some(examples) = fact("examples").and_then(Value::as_array) {
        let _ = writeln!(out, "\nEXAMPLES:");
        for example in examples {
            let _ = writeln!(out, "{INDENT}{}", show(example));
        }
    }
}

/// Defaults that say nothing.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty() || map.values().all(is_plain),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => flow(map),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn flow(map: &Map<String, Value>) -> String {
    let fields: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", show(value))).collect();
    format!("{{ {} }}", fields.join(", "))
}

fn wrap(out: &mut String, text: &str, indent: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 1 > WIDTH - indent.len() {
            let _ = writeln!(out, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{indent}{line}");
}
