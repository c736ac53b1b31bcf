//! Arrivals that really happened, read from a file.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::model::Timestamp;

/// Arrivals at the times that a file lists, such as a recording of production. Example:
/// `trace: { file: traces/monday.csv, column: created_at, speed: 10 }`.
///
/// A file that ends in `.csv`, `.tsv` or `.txt` has a time in each row; one that ends in `.jsonl`, `.ndjson` or `.json`
/// has a number, a string or an object in each line. A time is a number of seconds since the phase's begin, or an RFC
/// 3339 instant, which counts from the earliest one. They need not be sorted; at most 1,000,000 are read. What comes after
/// the phase's end is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTrace {
    /// The file's path, relative to the manifest and inside its folder. Example: `traces/monday.csv`.
    pub file: String,
    /// The column (CSV, which needs a header then) or the field (JSON Lines) that holds the time. Default: the first
    /// column, the field `time`. Example: `created_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How many times faster than recorded, above zero. Default: `1`. Example: `60` plays an hour in a minute.
    #[serde(default = "as_recorded")]
    pub speed: f64,
}

fn as_recorded() -> f64 {
    1.0
}

/// A trace that was read: it needs its file no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trace {
    pub file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub speed: f64,
    /// The times as recorded, in microseconds since the begin, sorted.
    #[serde(with = "shared")]
    pub offsets_us: Arc<Vec<u64>>,
}

/// What is wrong with a trace. Lines count from 1; 0 means the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TraceError {
    pub line: u64,
    pub message: String,
}

/// The most rows of a trace.
const MOST_ROWS: usize = 1_000_000;
const SECOND_US: f64 = 1e6;
const ALLOWED: &str =
    "a time is a number of seconds from zero up, as in `12.5`, or an RFC 3339 instant, as in `2026-11-24T12:00:00Z`";

impl RawTrace {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// The first line that holds no time, or what is wrong with the file as a whole.
    pub fn read(&self, bytes: &[u8]) -> Result<Trace, TraceError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut times = Times::default();
        let ending = self.file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("csv" | "txt") => self.read_table(b',', bytes, &mut times)?,
            Some("tsv") => self.read_table(b'\t', bytes, &mut times)?,
            Some("jsonl" | "ndjson" | "json") => self.read_lines(bytes, &mut times)?,
            Some(_) | None => {
                let endings = "`.csv`, `.tsv`, `.txt`, `.jsonl`, `.ndjson` or `.json`";
                return Err(wrong(0, format!("the name of a trace ends in {endings}; `{}` does not", self.file)));
            }
        }
        let offsets_us = Arc::new(times.offsets()?);
        Ok(Trace { file: self.file.clone(), column: self.column.clone(), speed: self.speed, offsets_us })
    }

    fn read_table(&self, delimiter: u8, bytes: &[u8], times: &mut Times) -> Result<(), TraceError> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let mut column = None;
        let mut row = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            let more = reader.read_record(&mut row).map_err(|error| {
                let line = error.position().map_or(line, csv::Position::line);
                wrong(line, "the line cannot be read: it is not UTF-8".to_owned())
            })?;
            if !more {
                return Ok(());
            }
            let line = row.position().map_or(line, csv::Position::line);
            let Some(index) = column else {
                let (index, is_header) = self.header(&row, line)?;
                column = Some(index);
                if !is_header {
                    times.add(line, row.get(index).unwrap_or_default())?;
                }
                continue;
            };
            let Some(cell) = row.get(index) else {
                let text = format!("the row has {} columns, and the time is in column {}", row.len(), index + 1);
                return Err(wrong(line, text));
            };
            times.add(line, cell)?;
        }
    }

    /// Which column holds the times, and whether the first row is a header.
    fn header(&self, row: &csv::StringRecord, line: u64) -> Result<(usize, bool), TraceError> {
        let Some(name) = &self.column else {
            // A word, and not a number with a slip in it.
            let cell = row.get(0).unwrap_or_default();
            let is_word = cell.starts_with(|c: char| c.is_alphabetic() || c == '_');
            return Ok((0, is_word && Time::read(cell).is_none()));
        };
        match row.iter().position(|cell| cell == name) {
            Some(index) => Ok((index, true)),
            None => {
                let columns: Vec<String> = row.iter().take(20).map(|cell| format!("`{}`", clip(cell))).collect();
                let text = format!("there is no column `{name}`; the header has {}", columns.join(", "));
                Err(wrong(line, text))
            }
        }
    }

    fn read_lines(&self, bytes: &[u8], times: &mut Times) -> Result<(), TraceError> {
        let field = self.column.as_deref().unwrap_or("time");
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| {
                wrong(
                    line,
                    format!("the line is no JSON; each line has a number, a string or an object with `{field}`"),
                )
            })?;
            let value = match value.as_object() {
                Some(object) => {
                    object.get(field).ok_or_else(|| wrong(line, format!("the object has no field `{field}`")))?
                }
                None => &value,
            };
            match value {
                serde_json::Value::String(text) => times.add(line, text)?,
                // As text again, so that a number is read by one rule.
                serde_json::Value::Number(number) => times.add(line, &number.to_string())?,
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => {
                    let text = format!("a line has a number, a string or an object with `{field}`; {ALLOWED}");
                    return Err(wrong(line, text));
                }
            }
        }
        Ok(())
    }
}

impl Trace {
    pub(super) fn instants(&self, length: Duration) -> Instants {
        let length_us = super::whole_us(length);
        Instants { offsets_us: Arc::clone(&self.offsets_us), speed: self.speed, length_us, index: 0 }
    }

    pub(super) fn problems(&self, length: Duration) -> Vec<Problem> {
        if !self.speed.is_finite() || self.speed <= 0.0 {
            return vec![("speed", format!("the speed ({}) is a number above zero", self.speed))];
        }
        match (self.offsets_us.first(), self.instants(length).next()) {
            (None, _) => vec![("file", format!("`{}` has no row", self.file))],
            (Some(first), None) => {
                let first = crate::model::Span::new(Duration::from_micros(*first));
                let text = format!(
                    "no row of `{}` is inside the phase: the first is at {first} (numbers count seconds from the phase's begin)",
                    self.file
                );
                vec![("file", text)]
            }
            (Some(_), Some(_)) => vec![],
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Instants {
    offsets_us: Arc<Vec<u64>>,
    speed: f64,
    length_us: u64,
    index: usize,
}

impl Iterator for Instants {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let recorded = *self.offsets_us.get(self.index)?;
        let instant = if self.speed == 1.0 { recorded } else { (recorded as f64 / self.speed).round() as u64 };
        self.index += 1;
        Some(instant).filter(|instant| *instant < self.length_us)
    }
}

/// The times of a file, all of one kind.
#[derive(Default)]
struct Times {
    seconds_us: Vec<u64>,
    instants: Vec<Timestamp>,
}

enum Time {
    Seconds(f64),
    Instant(Timestamp),
}

impl Time {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse().map(Self::Seconds).or_else(|_| text.parse().map(Self::Instant)).ok()
    }
}

impl Times {
    fn add(&mut self, line: u64, text: &str) -> Result<(), TraceError> {
        if self.seconds_us.len() + self.instants.len() >= MOST_ROWS {
            return Err(wrong(line, format!("a trace has {MOST_ROWS} rows at most")));
        }
        match Time::read(text) {
            Some(Time::Seconds(seconds)) if seconds.is_finite() && seconds >= 0.0 => {
                self.seconds_us.push((seconds * SECOND_US).round() as u64);
            }
            Some(Time::Instant(instant)) => self.instants.push(instant),
            Some(Time::Seconds(_)) | None => {
                return Err(wrong(line, format!("`{}` is not a time: {ALLOWED}", clip(text))));
            }
        }
        if !self.seconds_us.is_empty() && !self.instants.is_empty() {
            let text = "seconds and RFC 3339 instants do not mix: all rows of a trace are of one kind";
            return Err(wrong(line, text.to_owned()));
        }
        Ok(())
    }

    /// Sorted, and counted from the earliest where they are instants.
    fn offsets(mut self) -> Result<Vec<u64>, TraceError> {
        if let Some(first) = self.instants.iter().min().copied() {
            let micros = |instant: Timestamp| u64::try_from(instant.since(first).as_micros()).unwrap_or(u64::MAX);
            self.seconds_us.extend(self.instants.into_iter().map(micros));
        }
        if self.seconds_us.is_empty() {
            return Err(wrong(0, format!("the trace has no row; {ALLOWED}")));
        }
        self.seconds_us.sort_unstable();
        Ok(self.seconds_us)
    }
}

fn wrong(line: u64, message: String) -> TraceError {
    TraceError { line, message }
}

/// So much of a wrong text as a message needs.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A shared list is written as a list.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(list: &Arc<Vec<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
        list.as_ref().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Vec<u64>>, D::Error> {
        Vec::deserialize(deserializer).map(Arc::new)
    }
}
