//! The JSON Schema (draft-07) of the manifests, from the very types that read them.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::raw::{API_VERSION, Raw, RawPeer, RawScenario, RawTarget};
use crate::model::schema::draft07;

/// The kinds of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Scenario,
    Target,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Scenario, Self::Target];

    pub fn word(self) -> &'static str {
        match self {
            Self::Scenario => "Scenario",
            Self::Target => "Target",
        }
    }
}

/// The schema of one kind, or of any manifest: editors complete and check with it.
pub fn schema(kind: Option<Kind>) -> Value {
    let mut generator = draft07().into_generator();
    let mut parts: Vec<(Kind, Value)> = vec![];
    for each in Kind::ALL.into_iter().filter(|each| kind.is_none_or(|kind| kind == *each)) {
        let schema = match each {
            Kind::Scenario => generator.root_schema_for::<Raw<RawScenario>>(),
            Kind::Target => generator.root_schema_for::<Raw<RawTarget>>(),
        };
        parts.push((each, schema.to_value()));
    }
    let mut definitions = Map::new();
    for (each, part) in &mut parts {
        let Some(object) = part.as_object_mut() else { continue };
        object.remove("$schema");
        if let Some(Value::Object(own)) = object.remove("definitions") {
            definitions.extend(own);
        }
        object.insert("title".to_owned(), json!(each.word()));
        if let Some(properties) = object.get_mut("properties") {
            properties["apiVersion"] = json!({ "const": API_VERSION, "description": "The version of this API." });
            properties["kind"] = json!({ "const": each.word(), "description": "What the manifest describes." });
        }
    }
    let mut root = match (kind, parts.pop()) {
        (Some(_), Some((_, Value::Object(part)))) => part,
        (_, last) => {
            parts.extend(last);
            either(parts, &mut definitions)
        }
    };
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("definitions".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

/// By its kind, a manifest follows one schema or the other.
fn either(parts: Vec<(Kind, Value)>, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let mut branches = vec![];
    for (kind, part) in parts {
        let name = format!("{}Manifest", kind.word());
        branches.push(json!({
            "if": { "properties": { "kind": { "const": kind.word() } }, "required": ["kind"] },
            "then": { "$ref": format!("#/definitions/{name}") },
        }));
        definitions.insert(name, part);
    }
    let root = json!({
        "title": "dagstorm manifest",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": API_VERSION, "description": "The version of this API." },
            "kind": { "enum": Kind::ALL.map(Kind::word), "description": "What the manifest describes." },
        },
        "allOf": branches,
    });
    match root {
        Value::Object(root) => root,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Peers by name.
pub fn peers(generator: &mut SchemaGenerator) -> Schema {
    let peer = generator.subschema_for::<RawPeer>();
    json_schema!({ "type": "object", "additionalProperties": peer })
}
