//! What differs in how two runs were set up, so that nobody compares apples with pears.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// One field that differs. `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// As `spec.load[base].arrivals.constant.rate`.
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Every field that differs between two manifests. Items of lists are matched by their `name` or `job`, where they have
/// one, else by their place.
pub fn differences(path: &str, before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = vec![];
    compare(path, Some(before), Some(after), &mut found);
    found
}

/// One field by itself, if it differs.
pub fn difference(field: &str, before: Option<&str>, after: Option<&str>) -> Option<Difference> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    (before != after).then(|| Difference { field: field.to_owned(), before: owned(before), after: owned(after) })
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            // Sorted, whatever the order of a map is in this build.
            for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&inner, old.get(name), new.get(name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => match (names(old), names(new)) {
            (Some(old_names), Some(new_names)) => {
                let both = old_names.iter().chain(new_names.iter().filter(|name| !old_names.contains(name)));
                for name in both {
                    let old = place(&old_names, name).map(|place| &old[place]);
                    let new = place(&new_names, name).map(|place| &new[place]);
                    compare(&format!("{path}[{name}]"), old, new, found);
                }
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => {
                for place in 0..old.len().max(new.len()) {
                    compare(&format!("{path}[{place}]"), old.get(place), new.get(place), found);
                }
            }
        },
        (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) | (None, None) => {
            let (before, after) = (before.map(text), after.map(text));
            found.push(Difference { field: path.to_owned(), before, after });
        }
    }
}

/// The names of a list's items, if each has one of its own.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let mut names: Vec<&str> = vec![];
    for item in items {
        let name = item.get("name").or_else(|| item.get("job"))?.as_str()?;
        if names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

fn place(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|other| *other == name)
}

/// On one line.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_matched_by_name() {
        let before = json!({ "spec": { "seed": 1, "target": "a", "load": [
            { "name": "base", "for": "5m", "jobs": [{ "job": "fast", "weight": 70.0 }, { "job": "slow", "weight": 30.0 }] },
            { "name": "spikes" },
        ], "faults": [] } });
        let after = json!({ "spec": { "seed": 1, "target": "b", "load": [
            { "name": "more" },
            { "name": "base", "for": "6m", "jobs": [{ "job": "slow", "weight": 50.0 }, { "job": "fast", "weight": 70.0 }] },
        ], "faults": [] , "limits": { "maxRuns": 5 } } });
        let shown: Vec<String> = differences("", &before, &after)
            .into_iter()
            .map(|found| format!("{} {:?} {:?}", found.field, found.before, found.after))
            .collect();
        assert_eq!(
            shown,
            [
                r#"spec.limits None Some("{\"maxRuns\":5}")"#,
                r#"spec.load[base].for Some("5m") Some("6m")"#,
                r#"spec.load[base].jobs[slow].weight Some("30.0") Some("50.0")"#,
                r#"spec.load[spikes] Some("{\"name\":\"spikes\"}") None"#,
                r#"spec.load[more] None Some("{\"name\":\"more\"}")"#,
                r#"spec.target Some("a") Some("b")"#,
            ]
        );
        assert_eq!(differences("", &before, &before), []);
    }

    #[test]
    fn lists_without_names_are_matched_by_place() {
        let shown = differences("list", &json!([1, 2, { "name": "x" }, { "name": "x" }]), &json!([1, 3]));
        let fields: Vec<&str> = shown.iter().map(|found| found.field.as_str()).collect();
        assert_eq!(fields, ["list[1]", "list[2]", "list[3]"]);
        assert_eq!(difference("dagster", Some("1"), Some("1")), None);
        assert!(difference("dagster", Some("1"), None).is_some());
    }
}
