//! Dagster's own GraphQL schemas, and whether a request fits one.

use std::{collections::BTreeMap, io::Read, sync::Mutex};

use apollo_compiler::{ExecutableDocument, Schema, request::coerce_variable_values, validation::Valid};
use flate2::read::GzDecoder;
use serde_json::Value;

/// The schema of one version of Dagster.
pub struct Sdl {
    pub version: String,
    schema: Valid<Schema>,
    /// Documents that were judged already.
    documents: Mutex<BTreeMap<String, Result<Valid<ExecutableDocument>, String>>>,
}

impl Sdl {
    /// The oldest version that is supported.
    pub fn oldest() -> Self {
        Self::read(include_bytes!("../contract/oldest.graphql.gz"))
    }

    /// The version that the local stack runs; `make sdl` writes it.
    pub fn installed() -> Self {
        Self::read(include_bytes!("../contract/installed.graphql.gz"))
    }

    fn read(bytes: &[u8]) -> Self {
        let mut text = String::new();
        GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        let version = text.lines().next().and_then(|line| line.strip_prefix("# Dagster ")).unwrap().to_owned();
        let schema = Schema::parse_and_validate(text, "schema.graphql").unwrap_or_else(|error| panic!("{error}"));
        Self { version, schema, documents: Mutex::default() }
    }

    /// Whether Dagster would carry the request out.
    ///
    /// # Errors
    /// What Dagster would say against it.
    pub fn judge(&self, document: &str, variables: &Value) -> Result<(), String> {
        let mut documents = self.documents.lock().unwrap();
        let known = documents.entry(document.to_owned()).or_insert_with(|| {
            let parsed = ExecutableDocument::parse_and_validate(&self.schema, document, "document.graphql");
            parsed.map_err(|wrong| wrong.errors.to_string())
        });
        let document = known.as_ref().map_err(Clone::clone)?;
        let operation = document.operations.get(None).map_err(|error| error.message().to_string())?;
        let values = serde_json::from_value(variables.clone()).map_err(|error| format!("variables: {error}"))?;
        coerce_variable_values(&self.schema, operation, &values).map_err(|error| error.message().to_string())?;
        Ok(())
    }

    /// The names of a union's members.
    pub fn members(&self, of: &str) -> Vec<String> {
        let union = self.schema.get_union(of).unwrap_or_else(|| panic!("there is no union {of}"));
        union.members.iter().map(ToString::to_string).collect()
    }

    /// The words of an enumeration.
    pub fn words(&self, of: &str) -> Vec<String> {
        let words = self.schema.get_enum(of).unwrap_or_else(|| panic!("there is no enum {of}"));
        words.values.keys().map(ToString::to_string).collect()
    }

    /// Whether the schema has such a field of such a type.
    pub fn has_field(&self, of: &str, field: &str) -> bool {
        self.schema.type_field(of, field).is_ok()
    }
}
