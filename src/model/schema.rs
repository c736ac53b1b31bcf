//! JSON Schema of the types that are texts.

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
