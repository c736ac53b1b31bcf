//! What else happened while something went wrong: faults that were in place, tasks that ended.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Attempt, Finding, executions::overlaps};
use crate::{
    journal::Generation,
    model::{Census, RunRecord, RunStatus, TaskArn, Timestamp},
};

/// A task that ended while something went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskDeath {
    /// Which one.
    pub task: TaskArn,
    /// As ECS calls it.
    pub service: String,
    /// The look that no longer showed it running; it ended at most one look earlier.
    pub seen_at: Timestamp,
    /// The faults that stopped it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopped_by: Vec<String>,
}

/// Adds to each finding of a run what overlapped it.
pub fn explain<'a>(generation: &Generation, census: &Census, findings: impl Iterator<Item = &'a mut Finding>) {
    let mut runs: Option<BTreeMap<&str, &RunRecord>> = None;
    for finding in findings {
        // Made for the first finding: most audits have none.
        let runs =
            runs.get_or_insert_with(|| census.runs.iter().map(|record| (record.run.run_id.as_str(), record)).collect());
        let its: Vec<&RunRecord> = finding.runs.iter().filter_map(|id| runs.get(id.as_str()).copied()).collect();
        if finding.attempts.is_empty() && finding.step.is_none() {
            finding.attempts = of_runs(&its);
        }
        let instants = || finding.attempts.iter().map(|attempt| attempt.at);
        let Some((from, to)) = instants().min().zip(instants().max()) else { continue };
        if finding.overlapping_faults.is_empty() {
            let meanwhile = generation.faults.iter().filter(|(_, fault)| overlaps(fault, from, to));
            finding.overlapping_faults = meanwhile.map(|(id, _)| id.to_string()).collect();
        }
        finding.task_deaths = deaths(generation, &finding.attempts, from, to);
    }
}

/// What Dagster says of whole runs.
fn of_runs(runs: &[&RunRecord]) -> Vec<Attempt> {
    let mut attempts = vec![];
    for record in runs {
        let mut push = |what: &'static str, at: Option<Timestamp>| {
            attempts.extend(at.map(|at| Attempt { what: what.into(), at, task: None, worker: None }));
        };
        push("run started", record.run.started_at);
        let ended = match record.run.status {
            RunStatus::Success => "run succeeded",
            RunStatus::Failure => "run failed",
            RunStatus::Canceled => "run canceled",
            RunStatus::NotStarted
            | RunStatus::Queued
            | RunStatus::Managed
            | RunStatus::Starting
            | RunStatus::Started
            | RunStatus::Suspended
            | RunStatus::Canceling
            | RunStatus::Other(_) => continue,
        };
        push(ended, record.run.ended_at);
    }
    attempts.sort_by_key(|attempt| attempt.at);
    attempts
}

/// The ends of the attempts' own tasks, where those are known; else of all tasks that ended meanwhile.
fn deaths(generation: &Generation, attempts: &[Attempt], from: Timestamp, to: Timestamp) -> Vec<TaskDeath> {
    let is_named = attempts.iter().any(|attempt| attempt.task.is_some());
    let is_own = |task: &TaskArn| attempts.iter().any(|attempt| attempt.task.as_ref() == Some(task));
    let died = generation.tasks.iter().filter_map(|(task, life)| {
        let seen_at = life.left_at?;
        // Its own worker ends a look later than its last sign of life.
        let is_meant = if is_named { is_own(task) && seen_at >= from } else { seen_at >= from && seen_at <= to };
        is_meant.then(|| {
            let stops = generation.faults.iter().filter(|(_, fault)| fault.targets.iter().any(|one| one.arn == *task));
            let stopped_by = stops.map(|(id, _)| id.to_string()).collect();
            TaskDeath { task: task.clone(), service: life.service.clone(), seen_at, stopped_by }
        })
    });
    died.collect()
}
