//! `history.jsonl`: everything that a verdict rests on. From it alone, `dagstorm audit` computes the verdict again.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::{
    audit::Audit,
    journal::{Event, Generation, Record, State},
    model::{Census, CompletionRecord, Completions, GenerationId, Names, RunRecord, ScenarioName, Timestamp},
    plan::{self, Plan},
};

/// The version of the format. A reader refuses a newer one.
pub const VERSION: u32 = 1;

/// One line. The head comes first, then the records of the generation in their order, then the runs and the workers' records; last of all what was
/// found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Line {
    /// Whose history this is, and when Dagster was asked.
    Head {
        version: u32,
        scenario: ScenarioName,
        generation: GenerationId,
        census_at: Timestamp,
        dagster_version: String,
        /// Where the workers' records lay; `None`: they were not read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        completions: Option<Completions>,
    },
    /// What dagstorm wrote down of itself.
    Record(Box<Record>),
    /// What Dagster told of a run.
    Run(Box<RunRecord>),
    /// What a worker wrote down of an attempt.
    Completion(Box<CompletionRecord>),
    /// What was found when it was written.
    Audit(serde_json::Value),
}

/// A history as it was read.
#[derive(Debug)]
pub struct History {
    pub plan: Plan,
    pub generation: Generation,
    pub census: Census,
    /// What was found when it was written; `None`: the end of the file is missing.
    pub recorded: Option<serde_json::Value>,
}

/// Why a history cannot be read: the line, from 1, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadHistory {
    pub line: usize,
    pub reason: String,
}

/// Renders the history of a generation. `records` is the scenario's whole journal.
pub fn history(report: &Report, records: &[Record], census: &Census) -> String {
    let mut text = String::new();
    let mut push = |line: &Line| {
        text.push_str(&serde_json::to_string(line).expect("a history has string keys only"));
        text.push('\n');
    };
    push(&Line::Head {
        version: VERSION,
        scenario: report.scenario.clone(),
        generation: report.generation.clone(),
        census_at: census.taken_at,
        dagster_version: census.dagster_version.clone(),
        completions: census.completions.clone().map(|all| Completions { records: vec![], ..all }),
    });
    let is_begin = |record: &&Record| matches!(&record.event, Event::Accepted { generation, .. } if *generation == report.generation);
    let begin = records.iter().rposition(|record| is_begin(&record)).unwrap_or(records.len());
    for record in &records[begin..] {
        push(&Line::Record(Box::new(record.clone())));
    }
    for run in &census.runs {
        push(&Line::Run(Box::new(run.clone())));
    }
    for record in census.completions.iter().flat_map(|all| &all.records) {
        push(&Line::Completion(Box::new(record.clone())));
    }
    push(&Line::Audit(found(&report.audit)));
    text
}

/// What an audit found, as it is recorded and compared.
pub fn found(audit: &Audit) -> serde_json::Value {
    serde_json::to_value(audit).expect("an audit has string keys only")
}

/// Reads a history, line by line: it may be larger than the memory.
///
/// # Errors
/// At the first line that is not what it should be.
pub fn read(mut source: impl BufRead) -> Result<History, BadHistory> {
    let (mut number, mut text) = (0, String::new());
    let mut reading: Option<Reading> = None;
    loop {
        text.clear();
        number += 1;
        let bad = |reason: String| BadHistory { line: number, reason };
        if source.read_line(&mut text).map_err(|error| bad(error.to_string()))? == 0 {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        match &mut reading {
            None => reading = Some(Reading::begin(line).map_err(bad)?),
            Some(reading) => reading.take(line).map_err(bad)?,
        }
    }
    let bad = |line: usize, reason: &str| BadHistory { line, reason: reason.to_owned() };
    let reading = reading.ok_or_else(|| bad(1, "the file is empty"))?;
    reading.end().ok_or_else(|| bad(number - 1, "it has no record of the generation that its head names"))
}

/// What was read so far.
struct Reading {
    generation: GenerationId,
    state: State,
    census: Census,
    recorded: Option<serde_json::Value>,
    names: Names,
}

impl Reading {
    fn begin(head: Line) -> Result<Self, String> {
        let Line::Head { version, scenario: _, generation, census_at, dagster_version, completions } = head else {
            return Err("a history begins with its head".to_owned());
        };
        if version > VERSION {
            return Err(format!(
                "it is of version {version}, and this dagstorm reads up to {VERSION}: use a newer one"
            ));
        }
        let census = Census { taken_at: census_at, dagster_version, runs: vec![], completions };
        Ok(Self { generation, state: State::default(), census, recorded: None, names: Names::default() })
    }

    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Head { .. } => return Err("there is a second head".to_owned()),
            Line::Record(mut record) => {
                // The journal may have had other generations before this one.
                record.seq = self.state.next_seq;
                self.state.apply(&record).map_err(|error| error.to_string())?;
            }
            Line::Run(mut run) => {
                run.share(&mut self.names);
                self.census.runs.push(*run);
            }
            Line::Completion(mut record) => {
                record.share(&mut self.names);
                let all = self.census.completions.as_mut();
                all.ok_or("its head says that the workers' records were not read")?.records.push(*record);
            }
            Line::Audit(value) => self.recorded = Some(value),
        }
        Ok(())
    }

    fn end(self) -> Option<History> {
        let generation = self.state.current.filter(|current| current.id == self.generation)?;
        let plan = plan::compile(&generation.scenario, &generation.id);
        Some(History { plan, generation, census: self.census, recorded: self.recorded })
    }
}
