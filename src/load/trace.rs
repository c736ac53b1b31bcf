//! Arrivals that really happened, read from a file.

mod columns;
mod lines;
mod rows;
mod table;
mod time;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use indexmap::IndexMap;
pub use rows::{RowKind, Rows, config_value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use rows::Collected;

/// Arrivals at the times that a file lists, such as an export of production's runs. Example:
/// `trace: { file: traces/monday.csv, columns: { time: created_at, job: job_name }, speed: 10 }`.
///
/// A file that ends in `.csv`, `.tsv` or `.txt` has a time in each row; one that ends in `.jsonl`, `.ndjson` or `.json`
/// has a number, a string or an object in each line. A time is a number of seconds since the phase's begin, or a date and
/// a time such as `2026-11-27 08:00:24` or `2026-11-27T08:00:24Z`, which counts from the earliest one. They need not be
/// sorted; at most 1,000,000 are read. What comes after the phase's end is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTrace {
    /// The file's path, relative to the manifest and inside its folder. Example: `traces/monday.csv`.
    pub file: String,
    /// The column (CSV) or the field (JSON Lines) that holds the time; short for `columns: { time: … }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What the columns of the file hold, by their names in its header (CSV), or the fields of its objects (JSON Lines).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<RawColumns>,
    /// What a number is where a time belongs. Default: `seconds` since the phase's begin.
    #[serde(default, skip_serializing_if = "Numbers::is_default")]
    pub numbers: Numbers,
    /// How many times faster than recorded, above zero. Default: `1`. Example: `60` plays an hour in a minute.
    #[serde(default = "as_recorded")]
    pub speed: f64,
}

/// The columns of a trace, by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "TraceColumns")]
pub struct RawColumns {
    /// When the run was launched. Default: the only column, or the one with a name such as `time` or `created_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Which job each arrival launches: one of the phase's `jobs`, whose run config and tags it gets. Default: jobs are
    /// drawn by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Tags of the run, each with the column that holds its value. An empty cell is no tag. Example: `{ team: owner }`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub tags: IndexMap<String, String>,
    /// Fields of the run config, each with the column that holds its value: a text in CSV, any value in JSON Lines. An
    /// empty cell sets nothing. Example: `{ ops.load.config.day: day }`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub run_config: IndexMap<String, String>,
}

/// What a number is where a time belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Numbers {
    /// Seconds since the phase's begin.
    #[default]
    Seconds,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMilliseconds,
}

impl Numbers {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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
    #[serde(with = "rows::shared")]
    pub offsets_us: Arc<Vec<u64>>,
    /// What the rows say beside their times, in the order of `offsets_us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
}

/// What is wrong with a trace. Lines count from 1; 0 means the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TraceError {
    pub line: u64,
    pub message: String,
}

/// A file that was read.
#[derive(Debug)]
pub struct Reading {
    pub trace: Trace,
    /// A column that seems to name jobs, and that nothing uses.
    pub unused_job: Option<String>,
}

impl RawTrace {
    /// Everything that is wrong with the fields themselves: the path below `trace`, and a sentence.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = vec![];
        let Some(columns) = &self.columns else { return problems };
        if self.column.is_some() && columns.time.is_some() {
            problems.push(("column".to_owned(), "`columns.time` says the same: leave `column` out".to_owned()));
        }
        let paths: Vec<Vec<&str>> = columns.run_config.keys().map(|path| path.split('.').collect()).collect();
        for (number, path) in paths.iter().enumerate() {
            let is_empty = path.iter().any(|part| part.trim().is_empty());
            let is_inside = paths[..number].iter().any(|other| path.starts_with(other) || other.starts_with(path));
            let why = match (is_empty, is_inside) {
                (true, _) => "is no field of a run config: write names with dots between, as in `ops.load.config.day`",
                (_, true) => "cannot be set beside another field that it is in, or that is in it",
                (false, false) => continue,
            };
            problems.push(("columns.runConfig".to_owned(), format!("`{}` {why}", path.join("."))));
        }
        problems
    }

    /// Reads the file's bytes. `jobs`: the only ones that its rows may name, if they are known.
    ///
    /// # Errors
    /// The lines that are wrong, the first of each kind; or what is wrong with the file as a whole.
    pub fn read(&self, bytes: &[u8], jobs: Option<&[&str]>) -> Result<Reading, Vec<TraceError>> {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(vec![wrong(0, format!("`{}` is UTF-16: save it as UTF-8", self.file))]);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut collected = Collected::new(self.numbers, jobs);
        let ending = self.file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let read = match ending.as_deref() {
            Some("csv" | "txt") => table::read(self, None, bytes, &mut collected),
            Some("tsv") => table::read(self, Some(b'\t'), bytes, &mut collected),
            Some("jsonl" | "ndjson" | "json") => lines::read(self, bytes, &mut collected),
            Some(_) | None => {
                let endings = "`.csv`, `.tsv`, `.txt`, `.jsonl`, `.ndjson` or `.json`";
                Err(wrong(0, format!("the name of a trace ends in {endings}; `{}` does not", self.file)))
            }
        };
        let unused_job = read.map_err(|error| vec![error])?;
        let (offsets_us, rows) = collected.finish(self.columns.is_some())?;
        let (file, column) = (self.file.clone(), self.column.clone());
        let trace = Trace { file, column, speed: self.speed, offsets_us: Arc::new(offsets_us), rows };
        Ok(Reading { trace, unused_job })
    }

    fn time_column(&self) -> Option<&str> {
        self.column.as_deref().or_else(|| self.columns.as_ref()?.time.as_deref())
    }
}

impl Trace {
    pub(super) fn instants(&self, length: Duration) -> Instants {
        let length_us = super::whole_us(length);
        Instants { offsets_us: Arc::clone(&self.offsets_us), speed: self.speed, length_us, index: 0 }
    }

    /// How many rows come at or after the end of a phase of this length, and when the last one comes.
    pub fn cut(&self, length: Duration) -> Option<(usize, Duration)> {
        let length_us = super::whole_us(length);
        let inside = self.offsets_us.partition_point(|recorded| played(*recorded, self.speed) < length_us);
        let last = Duration::from_micros(played(*self.offsets_us.last()?, self.speed));
        Some((self.offsets_us.len() - inside, last)).filter(|(count, _)| *count > 0)
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

/// When a row is played that was recorded at this offset.
fn played(recorded_us: u64, speed: f64) -> u64 {
    if speed == 1.0 { recorded_us } else { (recorded_us as f64 / speed).round() as u64 }
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
        let instant = played(*self.offsets_us.get(self.index)?, self.speed);
        self.index += 1;
        Some(instant).filter(|instant| *instant < self.length_us)
    }
}

fn wrong(line: u64, message: String) -> TraceError {
    TraceError { line, message }
}

#[cfg(test)]
mod tests;
