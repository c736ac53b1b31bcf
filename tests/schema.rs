//! The JSON Schema says yes to every good manifest, and sees most of what is wrong with the bad ones: as much as a schema
//! can see. Whatever the schema refuses, the loader refuses as well.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail loudly")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use dagstorm::{
    publish,
    spec::{self, Kind, load},
};
use serde_json::Value;

fn files(folder: &str) -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path
                .extension()
                .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
            {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found.sort();
    found
}

/// The documents of a file, by another reader of YAML than the loader's tree; none where they are no YAML at all.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Value>(text)
        .unwrap_or_default()
        .into_iter()
        .filter(|value| !value.is_null())
        .collect()
}

fn is_good(path: &Path) -> bool {
    let folder = path.parent().unwrap();
    let read = |name: &str| fs::read(folder.join(name)).map_err(|error| error.to_string());
    let documents = load("a.yaml", &fs::read(path).unwrap(), &read);
    !documents.is_empty() && documents.iter().all(|document| document.content.is_ok())
}

#[test]
fn the_schema_agrees_with_the_loader() {
    let schema = spec::schema(None);
    assert!(jsonschema::draft7::meta::is_valid(&schema), "it is a draft-07 schema");
    let validator = jsonschema::draft7::new(&schema).unwrap();
    for path in files("manifests").into_iter().chain(files("tests/manifests/good")) {
        let text = fs::read_to_string(&path).unwrap();
        for document in documents(text.trim_start_matches('\u{feff}')) {
            let errors: Vec<String> =
                validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(errors.is_empty(), "{}:\n{}", path.display(), errors.join("\n"));
        }
    }
    let (mut seen, mut all) = (0, 0);
    for path in files("tests/manifests/bad") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let found = documents(&text);
        let refused = found.iter().any(|document| !validator.is_valid(document));
        // What only shows between documents is judged when they are put together.
        assert!(!refused || !is_good(&path), "the schema refuses {} and the loader does not", path.display());
        all += 1;
        seen += usize::from(refused || found.is_empty());
    }
    println!("the schema sees what is wrong with {seen} of {all} bad manifests");
    assert!(seen * 2 >= all, "{seen} of {all}");
}

#[test]
fn every_field_is_described() {
    let manifests = Kind::ALL.map(|kind| (kind.word(), spec::schema(Some(kind))));
    for (word, schema) in manifests.into_iter().chain([("Report", publish::report_schema())]) {
        let mut missing = vec![];
        describe(&schema, &schema, word, &mut missing, 0);
        assert!(missing.is_empty(), "no description of {}", missing.join(", "));
    }
}

#[test]
fn the_kept_schema_of_reports_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let kept: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(kept, publish::report_schema(), "`dagstorm schema report > docs/report.schema.json` renews it");
}

/// Walks the properties, through references.
fn describe(schema: &Value, root: &Value, path: &str, missing: &mut Vec<String>, depth: usize) {
    assert!(depth < 20, "{path}");
    let reference = schema["$ref"].as_str().and_then(|reference| root.pointer(&reference[1..]));
    if let Some(target) = reference {
        return describe(target, root, path, missing, depth + 1);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let here = format!("{path}.{name}");
        let mut at = field;
        // What stands at a variant of one field is said of that field.
        let is_variant = schema["description"].is_string() && schema["required"] == serde_json::json!([name]);
        let mut described = at["description"].is_string() || (is_variant && schema["additionalProperties"] == false);
        while let (false, Some(target)) = (described, at["$ref"].as_str().and_then(|name| root.pointer(&name[1..]))) {
            at = target;
            described = at["description"].is_string();
        }
        if !described {
            missing.push(here.clone());
        }
        describe(field, root, &here, missing, depth + 1);
    }
    for list in ["oneOf", "anyOf", "allOf"] {
        for part in schema[list].as_array().into_iter().flatten() {
            describe(part, root, path, missing, depth + 1);
        }
    }
    for one in ["items", "additionalProperties"] {
        if schema[one].is_object() {
            describe(&schema[one], root, path, missing, depth + 1);
        }
    }
}

/// The formats of draft-07. A strict validator refuses to compile a schema with any other.
const FORMATS: [&str; 17] = [
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

#[test]
fn the_schemas_have_only_formats_of_draft_07() {
    fn walk(schema: &Value, path: &str, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                if let Some(format) = fields.get("format").and_then(Value::as_str)
                    && !FORMATS.contains(&format)
                {
                    found.push(format!("{path}: {format}"));
                }
                fields.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, path, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let schemas = [spec::schema(None), publish::report_schema()];
    for schema in schemas.into_iter().chain(Kind::ALL.map(|kind| spec::schema(Some(kind)))) {
        let mut found = vec![];
        walk(&schema, "", &mut found);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
