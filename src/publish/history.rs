//! `history.jsonl`: everything that a verdict rests on. From it alone, `dagstorm audit` computes the verdict again.

use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::{
    audit::Audit,
    journal::{Event, Generation, Record, State},
    model::{Census, CompletionRecord, Completions, GenerationId, RunRecord, ScenarioName, Timestamp},
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

/// Reads a history.
///
/// # Errors
/// At the first line that is not what it should be.
pub fn read(text: &str) -> Result<History, BadHistory> {
    let mut lines =
        text.lines().enumerate().map(|(number, line)| (number + 1, line)).filter(|(_, line)| !line.is_empty());
    let parse = |line: usize, text: &str| {
        serde_json::from_str::<Line>(text).map_err(|error| BadHistory { line, reason: error.to_string() })
    };
    let bad = |line: usize, reason: &str| BadHistory { line, reason: reason.to_owned() };
    let (number, first) = lines.next().ok_or_else(|| bad(1, "the file is empty"))?;
    let Line::Head { version, scenario: _, generation, census_at, dagster_version, completions } =
        parse(number, first)?
    else {
        return Err(bad(number, "a history begins with its head"));
    };
    if version > VERSION {
        let reason = format!("it is of version {version}, and this dagstorm reads up to {VERSION}: use a newer one");
        return Err(bad(number, &reason));
    }
    let mut state = State::default();
    let mut census = Census { taken_at: census_at, dagster_version, runs: vec![], completions };
    let (mut recorded, mut last) = (None, number);
    for (number, text) in lines {
        last = number;
        match parse(number, text)? {
            Line::Head { .. } => return Err(bad(number, "there is a second head")),
            Line::Record(mut record) => {
                // The journal may have had other generations before this one.
                record.seq = state.next_seq;
                state.apply(&record).map_err(|error| bad(number, &error.to_string()))?;
            }
            Line::Run(run) => census.runs.push(*run),
            Line::Completion(record) => match &mut census.completions {
                Some(all) => all.records.push(*record),
                None => return Err(bad(number, "its head says that the workers' records were not read")),
            },
            Line::Audit(value) => recorded = Some(value),
        }
    }
    let generation = state.current.filter(|current| current.id == generation);
    let generation = generation.ok_or_else(|| bad(last, "it has no record of the generation that its head names"))?;
    let plan = plan::compile(&generation.scenario, &generation.id);
    Ok(History { plan, generation, census, recorded })
}
