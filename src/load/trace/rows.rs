//! What the rows of a trace say, collected: their times, and what each launches.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Numbers, TraceError,
    time::{self, ALLOWED, Kind, clip},
    wrong,
};

/// What the rows of a trace say beside their times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rows {
    /// Each once.
    pub kinds: Vec<RowKind>,
    /// Of each row, sorted by time, the index of its kind.
    #[serde(with = "shared")]
    pub of: Arc<Vec<u32>>,
}

/// What some rows have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RowKind {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
    /// What is set in the job's run config; an object.
    #[serde(default = "super::super::no_config", skip_serializing_if = "is_empty")]
    pub run_config: Value,
}

fn is_empty(config: &Value) -> bool {
    config.as_object().is_some_and(Map::is_empty)
}

impl RowKind {
    /// The run config of a job with what the row sets in it.
    pub fn run_config_in(&self, config: &Value) -> Value {
        let mut config = config.clone();
        merge(&mut config, &self.run_config);
        config
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(key) {
                    Some(own) => merge(own, value),
                    None => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// The value that a cell of a table sets in a run config: a text. An empty cell sets nothing.
///
/// A table has no types. What a cell is taken for is decided here and nowhere else.
pub fn config_value(cell: &str) -> Option<Value> {
    (!cell.is_empty()).then(|| Value::String(cell.to_owned()))
}

/// One row as it was read.
pub struct Row<'a> {
    pub time: Cow<'a, str>,
    pub job: Option<Cow<'a, str>>,
    /// Each tag with its value; an empty one is no tag.
    pub tags: Vec<(&'a String, Cow<'a, str>)>,
    /// Each field with its value; `None` sets nothing.
    pub run_config: Vec<(&'a String, Option<Value>)>,
}

/// The most rows of a trace.
pub const MOST_ROWS: usize = 1_000_000;
/// The most combinations of job, tags and run config: a plan holds each of them.
const MOST_KINDS: usize = 100_000;

/// The rows so far, and what is wrong with some.
pub struct Collected<'a> {
    numbers: Numbers,
    /// The only jobs that a row may name.
    jobs: Option<BTreeSet<&'a str>>,
    rows: Vec<(i64, u32)>,
    /// What kind of time the first row has.
    first: Option<(Kind, u64)>,
    kinds: Vec<RowKind>,
    known: BTreeMap<String, u32>,
    /// The first wrong line of each sort, and how many more there are.
    errors: BTreeMap<Sort, (TraceError, usize)>,
}

/// Mistakes of one sort are told once: they usually have one cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Row,
    Mixed,
    Job(String),
}

impl<'a> Collected<'a> {
    pub fn new(numbers: Numbers, jobs: Option<&[&'a str]>) -> Self {
        let jobs = jobs.map(|jobs| jobs.iter().copied().collect());
        let (rows, first, kinds, known, errors) = (vec![], None, vec![], BTreeMap::new(), BTreeMap::new());
        Self { numbers, jobs, rows, first, kinds, known, errors }
    }

    /// Takes a row, or what is wrong with it.
    ///
    /// # Errors
    /// There is room for no more.
    pub fn add(&mut self, line: u64, row: Result<Row<'_>, String>) -> Result<(), TraceError> {
        if self.rows.len() >= MOST_ROWS {
            return Err(wrong(line, format!("a trace has {MOST_ROWS} rows at most")));
        }
        let read = row.and_then(|row| Ok((time::read(&row.time, self.numbers)?, row)));
        let ((kind, micros), row) = match read {
            Ok(read) => read,
            Err(message) => {
                self.fail(Sort::Row, line, message);
                return Ok(());
            }
        };
        let (first, first_line) = *self.first.get_or_insert((kind, line));
        if first != kind {
            let message =
                format!("this is {kind}, and line {first_line} has {first}: all rows of a trace are of one kind");
            self.fail(Sort::Mixed, line, message);
        }
        if let Some(job) = row.job.as_deref()
            && let Some(jobs) = &self.jobs
            && !jobs.contains(job)
        {
            let known = jobs.iter().take(20).map(|job| format!("`{job}`")).collect::<Vec<_>>().join(", ");
            let message = if job.is_empty() {
                "the row names no job".to_owned()
            } else {
                format!("`{}` is none of the phase's jobs: {known}", clip(job))
            };
            self.fail(Sort::Job(clip(job)), line, message);
        }
        let kind = self.intern(row);
        if self.kinds.len() > MOST_KINDS {
            return Err(wrong(
                line,
                format!("the rows have more than {MOST_KINDS} combinations of job, tags and config"),
            ));
        }
        self.rows.push((micros, kind));
        Ok(())
    }

    fn fail(&mut self, sort: Sort, line: u64, message: String) {
        self.errors.entry(sort).and_modify(|(_, more)| *more += 1).or_insert((wrong(line, message), 0));
    }

    fn intern(&mut self, row: Row<'_>) -> u32 {
        let mut run_config = Value::Object(Map::new());
        for (path, value) in row.run_config {
            if let Some(value) = value {
                let parts: Vec<&str> = path.split('.').collect();
                let nested = parts
                    .iter()
                    .rev()
                    .fold(value, |value, part| Value::Object(Map::from_iter([((*part).to_owned(), value)])));
                merge(&mut run_config, &nested);
            }
        }
        let tags = row.tags.into_iter().filter(|(_, value)| !value.is_empty());
        let kind = RowKind {
            job: row.job.map(Cow::into_owned),
            tags: tags.map(|(tag, value)| (tag.clone(), value.into_owned())).collect(),
            run_config,
        };
        let name = serde_json::to_string(&kind).expect("a kind has string keys only, so it always serializes");
        *self.known.entry(name).or_insert_with(|| {
            self.kinds.push(kind);
            self.kinds.len() as u32 - 1
        })
    }

    /// The offsets, sorted, counted from the earliest where they are instants; with what the rows say, if that is wanted.
    ///
    /// # Errors
    /// The wrong lines, the first of each sort.
    pub fn finish(mut self, wants_rows: bool) -> Result<(Vec<u64>, Option<Rows>), Vec<TraceError>> {
        if !self.errors.is_empty() {
            let mut errors: Vec<TraceError> = self.errors.into_values().map(counted).collect();
            errors.sort_by_key(|error| error.line);
            errors.truncate(MOST_ERRORS);
            return Err(errors);
        }
        let Some((kind, _)) = self.first else {
            return Err(vec![wrong(0, format!("the trace has no row; {ALLOWED}"))]);
        };
        self.rows.sort_by_key(|(micros, _)| *micros);
        let base = match kind {
            Kind::Seconds => 0,
            Kind::Epoch | Kind::Zoned | Kind::Local => self.rows.first().map_or(0, |(micros, _)| *micros),
        };
        let offset = |micros: i64| u64::try_from(micros.saturating_sub(base)).unwrap_or(0);
        let offsets = self.rows.iter().map(|(micros, _)| offset(*micros)).collect();
        let says_more = self.kinds.len() > 1 || self.kinds.iter().any(|kind| *kind != RowKind::plain());
        let of = || Arc::new(self.rows.iter().map(|(_, kind)| *kind).collect());
        let rows = (wants_rows && says_more).then(|| Rows { of: of(), kinds: self.kinds.clone() });
        Ok((offsets, rows))
    }
}

/// So many wrong lines of different sorts are named.
const MOST_ERRORS: usize = 10;

fn counted((error, more): (TraceError, usize)) -> TraceError {
    match more {
        0 => error,
        1 => TraceError { message: format!("{} (and one more line is like that)", error.message), ..error },
        _ => TraceError { message: format!("{} (and {more} more lines are like that)", error.message), ..error },
    }
}

impl RowKind {
    fn plain() -> Self {
        Self { job: None, tags: IndexMap::new(), run_config: super::super::no_config() }
    }
}

/// A shared list is written as a list.
pub mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(list: &Arc<Vec<T>>, serializer: S) -> Result<S::Ok, S::Error> {
        list.as_ref().serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Vec<T>>, D::Error> {
        Vec::deserialize(deserializer).map(Arc::new)
    }
}
