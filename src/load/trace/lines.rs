//! Traces as JSON Lines: a number, a text or an object in each line.

use serde_json::{Map, Value};

use super::{
    RawTrace, TraceError,
    columns::Columns,
    rows::{Collected, Row},
    time::ALLOWED,
    wrong,
};

/// Reads the lines. A field that seems to name jobs, and is not used, comes back.
pub fn read(raw: &RawTrace, bytes: &[u8], collected: &mut Collected<'_>) -> Result<Option<String>, TraceError> {
    let mut layout: Option<Columns<String>> = None;
    let mut unused_job = None;
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            let what = "the line is no JSON; each line has a number, a text or an object";
            collected.add(line, Err(what.to_owned()))?;
            continue;
        };
        let Some(object) = value.as_object() else {
            let is_enough = raw.columns.is_none();
            let row = if is_enough { alone(&value) } else { Err("the line has no fields: write an object".to_owned()) };
            collected.add(line, row)?;
            continue;
        };
        let columns = match layout.take() {
            Some(columns) => columns,
            None => {
                let fields: Vec<&str> = object.keys().map(String::as_str).collect();
                unused_job = raw.unused_job(&fields);
                begin(raw, &fields).map_err(|message| wrong(line, message))?
            }
        };
        collected.add(line, fields_of(&columns, object))?;
        layout = Some(columns);
    }
    Ok(unused_job)
}

fn begin(raw: &RawTrace, fields: &[&str]) -> Result<Columns<String>, String> {
    // A field other than the time may be missing in one line and be there in the next.
    let mut known = fields.to_vec();
    let optional = raw.columns.iter().flat_map(|columns| columns.tags.values().chain(columns.run_config.values()));
    known.extend(optional.map(String::as_str).filter(|name| !fields.contains(name)));
    raw.columns_of(&known, |_, name| name.to_owned()).map_err(|message| {
        message.replace("column", "field").replace("the header has", "the object has").replace("`fields:", "`columns:")
    })
}

fn alone(value: &Value) -> Result<Row<'_>, String> {
    Ok(Row { time: time(value)?, job: None, tags: vec![], run_config: vec![] })
}

fn fields_of<'a>(columns: &'a Columns<String>, object: &'a Map<String, Value>) -> Result<Row<'a>, String> {
    let field = |name: &String| object.get(name).filter(|value| !value.is_null());
    let needed = |name: &String| field(name).ok_or_else(|| format!("the object has no field `{name}`"));
    let mut row = Row { time: time(needed(&columns.time)?)?, job: None, tags: vec![], run_config: vec![] };
    if let Some(name) = &columns.job {
        row.job =
            Some(text(needed(name)?).ok_or_else(|| format!("the field `{name}` is not the name of a job"))?.into());
    }
    for (tag, name) in &columns.tags {
        let value = field(name)
            .map(|value| text(value).ok_or_else(|| format!("the field `{name}` is no text: a tag's value is one")));
        row.tags.push((tag, value.transpose()?.unwrap_or_default().into()));
    }
    for (path, name) in &columns.run_config {
        row.run_config.push((path, field(name).cloned()));
    }
    Ok(row)
}

/// A text, or a number or a boolean as one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn time(value: &Value) -> Result<std::borrow::Cow<'_, str>, String> {
    match value {
        Value::String(text) => Ok(text.into()),
        // As text again, so that a number is read by one rule.
        Value::Number(number) => Ok(number.to_string().into()),
        Value::Array(_) => Err("a JSON array is not read: write one object in each line".to_owned()),
        Value::Null | Value::Bool(_) | Value::Object(_) => {
            Err(format!("each line has a number, a text or an object with the time; {ALLOWED}"))
        }
    }
}
