//! The JSON Schema (draft-07) of `report.json`, from the very types that write it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::report::{API_VERSION, Report};
use crate::model::schema::draft07;

/// What every `report.json` of this version holds to. Fields may come to it; none goes without another `apiVersion`.
pub fn report_schema() -> Value {
    let generator = draft07().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Report>().to_value();
    schema["title"] = json!("dagstorm report");
    schema["properties"]["apiVersion"] = json!({ "const": API_VERSION, "description": "The version of this form." });
    schema["properties"]["kind"] = json!({ "const": "Report", "description": "What the document is." });
    schema
}

/// A scenario in a report: what it is named is promised, what its spec looks like within is not.
pub fn manifest(generator: &mut SchemaGenerator) -> Schema {
    let name = generator.subschema_for::<crate::model::ScenarioName>();
    json_schema!({
        "type": "object",
        "description": "The scenario as it was accepted, with its defaults.",
        "required": ["name", "spec"],
        "properties": {
            "name": name,
            "labels": {
                "type": "object",
                "description": "Its labels.",
                "additionalProperties": { "type": "string" },
            },
            "suspend": { "type": "boolean", "description": "Whether its manifest kept it from starting." },
            "deletion": { "enum": ["drain", "terminate"], "description": "What becomes of its runs when it is deleted." },
            "spec": { "type": "object", "description": "What was asked for, in its accepted form." },
        },
    })
}
