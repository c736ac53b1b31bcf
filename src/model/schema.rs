//! JSON Schema: the settings of all schemas, and the types that are texts.

use schemars::{
    Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};

/// The formats that draft-07 defines: a strict validator refuses a schema with any other.
pub const FORMATS: [&str; 17] = [
    "date-time",
    "date",
    "time",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

/// draft-07 without the formats that Rust's own types bring, such as `uint32`: their bounds stand beside them.
pub fn draft07() -> SchemaSettings {
    SchemaSettings::draft07().with_transform(RecursiveTransform(NoForeignFormats))
}

#[derive(Debug, Clone)]
struct NoForeignFormats;

impl Transform for NoForeignFormats {
    fn transform(&mut self, schema: &mut Schema) {
        let is_foreign = |format: &serde_json::Value| !FORMATS.iter().any(|known| format == known);
        if schema.get("format").is_some_and(is_foreign) {
            schema.remove("format");
        }
    }
}

/// Gives a type the schema of a text: description, pattern, examples.
///
/// With `or integer` or `or number`, a bare number is allowed as well.
macro_rules! text_schema {
    ($type:ty, $name:literal, $description:literal, $pattern:literal, [$($example:literal),+]) => {
        crate::model::schema::text_schema!(@ $type, $name, $description, "string", $pattern, [$($example),+]);
    };
    ($type:ty, $name:literal, $description:literal, $pattern:literal or integer, [$($example:literal),+]) => {
        crate::model::schema::text_schema!(@ $type, $name, $description, ["string", "integer"], $pattern, [$($example),+]);
    };
    ($type:ty, $name:literal, $description:literal, $pattern:literal or number, [$($example:literal),+]) => {
        crate::model::schema::text_schema!(@ $type, $name, $description, ["string", "number"], $pattern, [$($example),+]);
    };
    (@ $type:ty, $name:literal, $description:literal, $kind:tt, $pattern:literal, [$($example:literal),+]) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": $kind,
                    "description": $description,
                    "pattern": $pattern,
                    "examples": [$($example),+],
                })
            }
        }
    };
}
pub(crate) use text_schema;
