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
            let more = reader.read_record(&mut row).map_err(|error| {
                let line = line(bytes, error.position());
                wrong(line, "the line cannot be read: it is not UTF-8".to_owned())
            })?;
            if !more {
                return Ok(());
            }
            let wrong = |message| wrong(line(bytes, row.position()), message);
            let (index, is_header) = match column {
                Some(index) => (index, false),
                None => self.header(&row).map_err(wrong)?,
            };
            column = Some(index);
            if is_header {
                continue;
            }
            let few = || format!("the row has {} columns, and the time is in column {}", row.len(), index + 1);
            let added = row.get(index).ok_or_else(few).and_then(|cell| times.add(cell));
            added.map_err(wrong)?;
        }
    }

    /// Which column holds the times, and whether the first row is a header.
    fn header(&self, row: &csv::StringRecord) -> Result<(usize, bool), String> {
        let Some(name) = &self.column else {
            // A word, and not a number with a slip in it.
            let cell = row.get(0).unwrap_or_default();
            let is_word = cell.starts_with(|c: char| c.is_alphabetic() || c == '_');
            return Ok((0, is_word && Time::read(cell).is_none()));
        };
        row.iter().position(|cell| cell == name).map(|index| (index, true)).ok_or_else(|| {
            let columns: Vec<String> = row.iter().take(20).map(|cell| format!("`{}`", clip(cell))).collect();
            format!("there is no column `{name}`; the header has {}", columns.join(", "))
        })
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
            let added = match value {
                serde_json::Value::String(text) => times.add(text),
                // As text again, so that a number is read by one rule.
                serde_json::Value::Number(number) => times.add(&number.to_string()),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => {
                    Err(format!("a line has a number, a string or an object with `{field}`; {ALLOWED}"))
                }
            };
            added.map_err(|message| wrong(line, message))?;
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
    fn add(&mut self, text: &str) -> Result<(), String> {
        if self.seconds_us.len() + self.instants.len() >= MOST_ROWS {
            return Err(format!("a trace has {MOST_ROWS} rows at most"));
        }
        match Time::read(text) {
            Some(Time::Seconds(seconds)) if seconds.is_finite() && seconds >= 0.0 => {
                self.seconds_us.push((seconds * SECOND_US).round() as u64);
            }
            Some(Time::Instant(instant)) => self.instants.push(instant),
            Some(Time::Seconds(_)) | None => return Err(format!("`{}` is not a time: {ALLOWED}", clip(text))),
        }
        if !self.seconds_us.is_empty() && !self.instants.is_empty() {
            return Err("seconds and RFC 3339 instants do not mix: all rows of a trace are of one kind".to_owned());
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

/// The line of a row. The reader's own count stands before the blank lines that it passed over.
fn line(bytes: &[u8], position: Option<&csv::Position>) -> u64 {
    let start = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(bytes.len());
    let (before, behind) = bytes.split_at(start.min(bytes.len()));
    let blank = behind.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    before.iter().chain(blank).filter(|byte| **byte == b'\n').count() as u64 + 1
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

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(file: &str, column: Option<&str>) -> RawTrace {
        RawTrace { file: file.to_owned(), column: column.map(str::to_owned), speed: 1.0 }
    }

    #[test]
    fn traces_read() {
        for (file, column, text, expected) in [
            ("a.csv", None, "1.5\n0\n2\n", vec![0, 1_500_000, 2_000_000]),
            ("a.csv", None, "\u{feff}time,job\r\n0.25,a\r\n\r\n1,b\r\n", vec![250_000, 1_000_000]),
            ("a.CSV", Some("at"), "job, at\na, 3\nb, 1e-6\n", vec![1, 3_000_000]),
            ("a.txt", None, "2026-11-24T12:00:01Z\n2026-11-24T13:00:00.5+01:00\n", vec![0, 500_000]),
            ("a.tsv", Some("t"), "x\tt\n,\t1\n", vec![1_000_000]),
            ("a.csv", Some("when it was"), "\"when it was\"\n\"7\"\n", vec![7_000_000]),
            ("a.jsonl", None, "1\n\"2\"\n\n{\"time\": 0.5}\n", vec![500_000, 1_000_000, 2_000_000]),
            ("a.ndjson", Some("at"), "{\"at\":\"2026-11-24T12:00:00Z\",\"time\":9}", vec![0]),
        ] {
            let trace = raw(file, column).read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(*trace.offsets_us, expected, "{text}");
            assert!(trace.problems(Duration::from_secs(10)).is_empty());
        }
    }

    #[test]
    fn a_bad_trace_names_its_line() {
        let many = "0\n".repeat(MOST_ROWS + 1);
        for (file, column, text, line, words) in [
            ("a.parquet", None, "1", 0, "ends in"),
            ("a", None, "1", 0, "ends in"),
            ("a.csv", None, "", 0, "no row"),
            ("a.csv", None, "time\n", 0, "no row"),
            ("a.csv", None, "1\ntwo\n", 2, "`two` is not a time: a time is"),
            ("a.csv", None, "1O.5\n2\n", 1, "`1O.5` is not a time"),
            ("a.csv", None, "1\n\n-2\n", 3, "`-2`"),
            ("a.csv", None, "1\nNaN\n", 2, "`NaN`"),
            ("a.csv", None, "inf\n", 1, "`inf`"),
            ("a.csv", None, "1\n2026-11-24T12:00:00Z\n", 2, "do not mix"),
            ("a.csv", Some("at"), "time,job\n1,a\n", 1, "no column `at`; the header has `time`, `job`"),
            ("a.csv", Some("at"), "job,at\na\n", 2, "has 1 columns, and the time is in column 2"),
            ("a.csv", None, &many, MOST_ROWS as u64 + 1, "1000000 rows"),
            ("a.jsonl", None, "1\n{\"at\": 1}", 2, "no field `time`"),
            ("a.jsonl", None, "{\"time\": null}", 1, "a number, a string or an object"),
            ("a.json", None, "[1, 2]", 1, "a number, a string or an object"),
            ("a.jsonl", None, "1\n{", 2, "no JSON"),
        ] {
            let error = raw(file, column).read(text.as_bytes()).expect_err(words);
            assert!(error.line == line && error.message.contains(words), "{error:?} instead of {line}: {words}");
        }
        let error = raw("a.csv", None).read(b"1\n\xff\xfe\n").expect_err("it is not UTF-8");
        assert_eq!((error.line, error.message.contains("UTF-8")), (2, true), "{error:?}");
    }

    #[test]
    fn a_trace_plays_faster_and_ends_with_its_phase() {
        let mut trace = raw("a.csv", None).read(b"0\n3\n10\n20").expect("it reads");
        let count = |trace: &Trace, seconds| trace.instants(Duration::from_secs(seconds)).count();
        assert_eq!((count(&trace, 10), count(&trace, 11)), (2, 3));
        trace.speed = 2.0;
        assert_eq!(trace.instants(Duration::from_secs(9)).collect::<Vec<_>>(), [0, 1_500_000, 5_000_000]);
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            trace.speed = speed;
            assert_eq!(trace.problems(Duration::from_secs(9))[0].0, "speed");
        }
        let late = raw("a.csv", None).read(b"10\n").expect("it reads");
        assert_eq!(late.problems(Duration::from_secs(10))[0].0, "file", "no row is inside the phase");
    }

    #[test]
    fn a_trace_survives_the_journal() {
        let trace = raw("a.csv", None).read(b"0\n3").expect("it reads");
        let text = serde_json::to_string(&trace).expect("it serializes");
        assert_eq!(text, r#"{"file":"a.csv","speed":1.0,"offsetsUs":[0,3000000]}"#);
        assert_eq!(serde_json::from_str::<Trace>(&text).expect("it reads"), trace);
    }
}
