//! What workers write down of their own work: the effect level of the audit. Pure: how a record is read, and how records add
//! up. Where they lie is `world`'s matter.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Key, Names, TaskArn, Timestamp};

/// Records that could not be read are counted; so many are quoted.
const MOST_QUOTED: usize = 3;
/// An epoch beyond this is of milliseconds: in seconds it would be the year 5138.
const MOST_SECONDS: f64 = 1e11;

/// Where the workers' records lie and how they are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletionsTarget {
    pub source: CompletionSource,
    pub fields: CompletionFields,
    /// The outcomes that say that the work was done.
    pub completed: Vec<String>,
}

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CompletionSource {
    /// A table. The variable holds its database's address, which is never recorded.
    Postgres { url_from_env: String, table: String },
    /// A file of JSON lines, or a folder of such files, however deep.
    Jsonl { path: String },
    /// An SQS queue with a record a message. It is read, and left as it is.
    Queue { name: String },
}

impl CompletionSource {
    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Postgres { table, .. } => format!("table {table}"),
            Self::Jsonl { path } => path.clone(),
            Self::Queue { name } => format!("queue {name}"),
        }
    }
}

/// What the parts of a record are called there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletionFields {
    /// Unique among all records: what has the same is one record, written in parts or twice.
    pub id: String,
    /// Dagster's run.
    pub run: String,
    /// Its step.
    pub step: String,
    /// The run's tag `dagstorm/key`.
    pub key: String,
    pub worker: String,
    /// The ARN of its ECS task.
    pub task: String,
    pub started: String,
    pub finished: String,
    pub outcome: String,
}

impl Default for CompletionFields {
    fn default() -> Self {
        let name = |name: &str| name.to_owned();
        Self {
            id: name("id"),
            run: name("run_id"),
            step: name("step_key"),
            key: name("scenario_key"),
            worker: name("worker"),
            task: name("task_arn"),
            started: name("started"),
            finished: name("finished"),
            outcome: name("outcome"),
        }
    }
}

/// One attempt at a step, as its worker has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletionRecord {
    pub run_id: String,
    pub step: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskArn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    pub outcome: CompletionOutcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CompletionOutcome {
    /// The work was done.
    Completed,
    /// It ended otherwise, in the worker's word.
    Other(String),
    /// Its worker has not said how it ended.
    Open,
}

impl CompletionRecord {
    /// Has it share its texts with others.
    pub fn share(&mut self, names: &mut Names) {
        names.share(&mut self.step);
        self.key.iter_mut().for_each(|key| names.share_key(key));
        self.worker.iter_mut().for_each(|worker| names.share(worker));
        self.task.iter_mut().for_each(|task| names.share(&mut task.0));
    }

    pub fn is_completed(&self) -> bool {
        self.outcome == CompletionOutcome::Completed
    }

    /// Its first and last known instants.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let from = self.started.or(self.finished)?;
        Some((from, self.finished.unwrap_or(from).max(from)))
    }
}

/// All records of one generation, complete or not at all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completions {
    /// Where they lay, for people.
    pub source: String,
    /// So many records could not be read: whose they are is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: u32,
    /// Why, of the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// A history has a line for each of them instead.
    #[serde(skip)]
    pub records: Vec<CompletionRecord>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Gathers the records of one generation, whatever order they come in.
#[derive(Debug)]
pub struct Gathering<'a> {
    target: &'a CompletionsTarget,
    /// What its keys begin with: `scenario/generation/`.
    prefix: String,
    names: Names,
    by_id: BTreeMap<String, CompletionRecord>,
    without: Vec<CompletionRecord>,
    unreadable: u32,
    reasons: Vec<String>,
}

impl<'a> Gathering<'a> {
    /// `prefix` is what the keys of the generation begin with.
    pub fn new(target: &'a CompletionsTarget, prefix: String) -> Self {
        Self {
            target,
            prefix,
            names: Names::default(),
            by_id: BTreeMap::new(),
            without: vec![],
            unreadable: 0,
            reasons: vec![],
        }
    }

    /// Takes a record in that is of one of `runs`, or whose key is of the generation; others are nobody's matter. `at` says
    /// where it lies, for people.
    /// `id` stands for one that the record does not have itself.
    pub fn take(&mut self, text: &str, id: Option<&str>, at: &dyn Fn() -> String, is_ours: &dyn Fn(&str) -> bool) {
        match self.read(text, is_ours) {
            Ok(Some((own, record))) => self.add(own.or_else(|| id.map(str::to_owned)), record, at),
            Ok(None) => {}
            Err(reason) => self.lose(&at(), &reason),
        }
    }

    fn read(
        &self,
        text: &str,
        is_ours: &dyn Fn(&str) -> bool,
    ) -> Result<Option<(Option<String>, CompletionRecord)>, String> {
        let fields = &self.target.fields;
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(text) else {
            return Err("it is no JSON object".to_owned());
        };
        let run_id = required(&object, &fields.run)?;
        let key = word(&object, &fields.key)?;
        if !is_ours(&run_id) && !key.as_ref().is_some_and(|key| key.starts_with(&self.prefix)) {
            return Ok(None);
        }
        let finished = instant(&object, &fields.finished)?;
        let outcome = match word(&object, &fields.outcome)? {
            Some(word) if self.target.completed.contains(&word) => CompletionOutcome::Completed,
            Some(word) => CompletionOutcome::Other(word),
            None if finished.is_some() => CompletionOutcome::Completed,
            None => CompletionOutcome::Open,
        };
        let record = CompletionRecord {
            step: required(&object, &fields.step)?.into(),
            run_id,
            key: key.and_then(|key| key.parse().ok()),
            worker: word(&object, &fields.worker)?.map(Arc::from),
            task: word(&object, &fields.task)?.map(|arn| TaskArn(arn.into())),
            started: instant(&object, &fields.started)?,
            finished,
            outcome,
        };
        Ok(Some((word(&object, &fields.id)?, record)))
    }

    fn add(&mut self, id: Option<String>, mut record: CompletionRecord, at: &dyn Fn() -> String) {
        record.share(&mut self.names);
        let Some(id) = id else { return self.without.push(record) };
        match self.by_id.get_mut(&id) {
            None => drop(self.by_id.insert(id, record)),
            Some(known) if known.run_id == record.run_id && known.step == record.step => join(known, record),
            Some(_) => self.lose(&at(), &format!("its id `{id}` is that of another step too")),
        }
    }

    fn lose(&mut self, at: &str, reason: &str) {
        self.unreadable += 1;
        if self.reasons.len() < MOST_QUOTED {
            self.reasons.push(format!("{at}: {reason}"));
        }
    }

    /// All of them, in an order of their own.
    pub fn end(self) -> Completions {
        let mut records: Vec<CompletionRecord> = self.by_id.into_values().chain(self.without).collect();
        records.sort_by(|a, b| order(a).cmp(&order(b)));
        Completions {
            source: self.target.source.describe(),
            unreadable: self.unreadable,
            reasons: self.reasons,
            records,
        }
    }
}

type Order<'a> = (&'a str, &'a str, Option<Timestamp>, Option<Timestamp>, &'a CompletionOutcome, Option<&'a str>);

/// By run, step and time: equal records alone share a place.
pub fn order(record: &CompletionRecord) -> Order<'_> {
    (&record.run_id, &record.step, record.started, record.finished, &record.outcome, record.worker.as_deref())
}

/// Two parts of one record, or the same twice: what is known of either is known. Said completed once is completed.
fn join(known: &mut CompletionRecord, other: CompletionRecord) {
    let is_better = other.outcome < known.outcome;
    known.key = known.key.take().or(other.key);
    known.worker = known.worker.take().or(other.worker);
    known.task = known.task.take().or(other.task);
    known.started = known.started.into_iter().chain(other.started).min();
    known.finished = known.finished.into_iter().chain(other.finished).min();
    if is_better {
        known.outcome = other.outcome;
    }
}

fn required(object: &Map<String, Value>, field: &str) -> Result<String, String> {
    word(object, field)?.ok_or_else(|| format!("it has no field `{field}`"))
}

/// A text, or a number as text.
fn word(object: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(format!("its field `{field}` is no text")),
    }
}

/// RFC 3339, without a zone in UTC; or seconds or milliseconds since the epoch.
fn instant(object: &Map<String, Value>, field: &str) -> Result<Option<Timestamp>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("its field `{field}` is no instant: {what}");
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let number = number.as_f64().filter(|number| number.is_finite()).ok_or_else(|| wrong(number))?;
            let seconds = if number.abs() > MOST_SECONDS { number / 1_000.0 } else { number };
            Ok(Some(Timestamp::from_seconds(seconds)))
        }
        Some(Value::String(text)) => {
            let zoned = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse());
            zoned.map(Some).map_err(|_| wrong(text))
        }
        Some(other @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => Err(wrong(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(lines: &[&str]) -> Completions {
        let target = CompletionsTarget {
            source: CompletionSource::Jsonl { path: "records".to_owned() },
            fields: CompletionFields::default(),
            completed: vec!["completed".to_owned()],
        };
        let mut gathering = Gathering::new(&target, "a/0123456789ab-1/".to_owned());
        for (number, line) in lines.iter().enumerate() {
            gathering.take(line, None, &|| format!("line {}", number + 1), &|run| run.starts_with("ours"));
        }
        gathering.end()
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        let whole = r#"{"id":7,"run_id":"ours","step_key":"work","scenario_key":"a/0123456789ab-1/3","worker":"w1",
            "task_arn":"arn:x","started":"2026-11-26T10:00:00+00:00","finished":"2026-11-26T11:00:00.5","outcome":"completed"}"#;
        let record = &gathered(&[whole]).records[0];
        assert_eq!((record.run_id.as_str(), &*record.step, record.worker.as_deref()), ("ours", "work", Some("w1")));
        assert_eq!(record.key.as_ref().map(|key| key.index), Some(3));
        assert_eq!(record.finished, Some("2026-11-26T11:00:00.500Z".parse().expect("an instant")));
        assert!(record.is_completed());
        for (rest, outcome) in [
            (r#""finished":1764154800"#, CompletionOutcome::Completed),
            (r#""finished":1764154800123"#, CompletionOutcome::Completed),
            (r#""started":1764154800.5"#, CompletionOutcome::Open),
            (r#""outcome":null"#, CompletionOutcome::Open),
            (r#""finished":1764154800,"outcome":"failed""#, CompletionOutcome::Other("failed".to_owned())),
        ] {
            let all = gathered(&[&format!(r#"{{"run_id":"ours","step_key":"work",{rest}}}"#)]);
            assert_eq!((all.records[0].outcome.clone(), all.unreadable), (outcome, 0), "{rest}");
            let year = all.records[0].finished.map_or(2025, |at| at.to_string()[..4].parse::<u32>().expect("a year"));
            assert_eq!(year, 2025, "{rest}");
        }
    }

    #[test]
    fn what_is_of_others_is_left_out_and_what_cannot_be_read_is_counted() {
        let all = gathered(&[
            r#"{"run_id":"theirs","step_key":"work"}"#,
            r#"{"run_id":"theirs","step_key":"work","scenario_key":"a/0123456789ab-2/3"}"#,
            r#"{"run_id":"strange","step_key":"work","scenario_key":"a/0123456789ab-1/3"}"#,
            "torn",
            r#"{"step_key":"work"}"#,
            r#"{"run_id":"ours","step_key":["work"]}"#,
            r#"{"run_id":"ours","step_key":"work","finished":"yesterday"}"#,
        ]);
        let runs: Vec<&str> = all.records.iter().map(|record| record.run_id.as_str()).collect();
        assert_eq!(runs, ["strange"], "its key is ours, and its run is not known");
        assert_eq!(all.unreadable, 4);
        assert_eq!(
            all.reasons,
            [
                "line 4: it is no JSON object",
                "line 5: it has no field `run_id`",
                "line 6: its field `step_key` is no text",
            ]
        );
    }

    #[test]
    fn parts_of_one_record_are_joined_in_any_order() {
        let begin = r#"{"id":"x","run_id":"ours","step_key":"work","started":10,"worker":"w1"}"#;
        let end = r#"{"id":"x","run_id":"ours","step_key":"work","finished":20,"outcome":"completed"}"#;
        let other = r#"{"id":"x","run_id":"ours","step_key":"other"}"#;
        let (one, two) = (gathered(&[begin, end, end]), gathered(&[end, begin]));
        assert_eq!(one, two);
        assert_eq!(one.records.len(), 1);
        let record = &one.records[0];
        assert!(record.is_completed() && record.started < record.finished);
        assert_eq!(gathered(&[begin, other]).reasons, ["line 2: its id `x` is that of another step too"]);
        let twice = r#"{"run_id":"ours","step_key":"work","finished":20}"#;
        assert_eq!(gathered(&[twice, twice]).records.len(), 2, "without an id each is one");
    }
}
