//! The effect level: what the workers themselves wrote down, against what Dagster says of the same steps. Only counts decide:
//! the clocks of workers may differ, and their records come in any order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Attempt, Audit, Finding, FindingKind, Level,
    executions::{COMPLETED, STARTED, by_step, step_finding},
};
use crate::{
    journal::Generation,
    model::{Census, CompletionOutcome, CompletionRecord, RunRecord, RunStatus, Span, StepEventKind},
};

/// The records of each step of each run.
pub type OfSteps<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a CompletionRecord>>;

pub fn of_steps(census: &Census) -> OfSteps<'_> {
    let mut steps: OfSteps<'_> = BTreeMap::new();
    for record in census.completions.iter().flat_map(|all| &all.records) {
        steps.entry((&record.run_id, &record.step)).or_default().push(record);
    }
    steps
}

/// The steps that a worker has recorded as completed, by run.
pub fn completed_steps(census: &Census) -> BTreeSet<(&str, &str)> {
    let records = census.completions.iter().flat_map(|all| &all.records);
    records.filter(|record| record.is_completed()).map(|record| (record.run_id.as_str(), &*record.step)).collect()
}

pub fn judge(generation: &Generation, census: &Census, audit: &mut Audit) {
    let Some(completions) = &census.completions else { return };
    if completions.unreadable > 0 {
        let (count, source, first) = (completions.unreadable, &completions.source, completions.reasons.join("; "));
        audit.gap("UnreadableRecords", format!("{count} records of {source} could not be read: {first}"));
    }
    if completions.records.is_empty() {
        // A wrong table is no thousand losses.
        if audit.counts.steps_completed > 0 {
            let source = &completions.source;
            audit.gap("NoRecordsOfWork", format!("{source} has no record of any run of this generation"));
        }
        return;
    }
    let mut steps = of_steps(census);
    for run in &census.runs {
        for (step, events) in by_step(run) {
            let records = steps.remove(&(run.run.run_id.as_str(), step)).unwrap_or_default();
            let count = |kind: StepEventKind| events.iter().filter(|event| event.kind == kind).count();
            let seen = Seen {
                successes: count(StepEventKind::Succeeded),
                starts: events.iter().filter(|event| event.kind.is_begin()).count(),
                retries: count(StepEventKind::UpForRetry),
            };
            judge_step(&Work { generation, run, step, records: &records }, Some(&seen), audit);
        }
    }
    let runs: BTreeMap<&str, &RunRecord> = census.runs.iter().map(|run| (run.run.run_id.as_str(), run)).collect();
    for ((run_id, step), records) in steps {
        match runs.get(run_id) {
            Some(run) => judge_step(&Work { generation, run, step, records: &records }, None, audit),
            None => judge_unknown_run(run_id, step, &records, audit),
        }
    }
}

/// What workers recorded of one step of a run that Dagster has.
struct Work<'a> {
    generation: &'a Generation,
    run: &'a RunRecord,
    step: &'a str,
    records: &'a [&'a CompletionRecord],
}

/// What Dagster's log shows of it.
struct Seen {
    successes: usize,
    starts: usize,
    retries: usize,
}

impl Work<'_> {
    fn completions(&self) -> usize {
        self.records.iter().filter(|record| record.is_completed()).count()
    }

    fn finding(&self, kind: FindingKind, message: String) -> Finding {
        let attempts = attempts(self.records);
        step_finding(self.generation, self.run, self.step, Level::Effect, kind, attempts, message)
    }

    /// Who completed it and when, for a sentence.
    fn completed_by(&self) -> String {
        let record = self.records.iter().find(|record| record.is_completed());
        let worker = record.and_then(|record| record.worker.as_deref()).unwrap_or("a worker");
        match record.and_then(|record| record.finished) {
            Some(at) => format!("{worker} completed it at {at}"),
            None => format!("{worker} completed it"),
        }
    }
}

/// `seen`: what Dagster's log shows of the step; `None`: nothing at all.
fn judge_step(work: &Work<'_>, seen: Option<&Seen>, audit: &mut Audit) {
    let (name, step, done) = (work.run.name(), work.step, work.completions());
    audit.counts.effects_completed += u32::from(done > 0);
    let is_seen = seen.is_some_and(|seen| seen.successes > 0);
    let is_begun_again = seen.is_some_and(|seen| {
        let once = 1 + seen.retries;
        work.records.len() > once && seen.starts <= once
    });
    if done > 1 {
        audit.counts.effects_duplicated += 1;
        let message = format!("{name}: the work of step {step} was done {done} times, by its workers' records");
        audit.found(work.finding(FindingKind::Duplicated, message));
    } else if done == 0 && is_seen {
        audit.counts.effects_lost += 1;
        let message = format!("{name}: Dagster says that step {step} completed, and no worker has recorded it");
        audit.found(work.finding(FindingKind::Lost, message));
    } else if done == 1 && seen.is_none() && work.run.run.status == RunStatus::Success {
        audit.counts.effects_unexpected += 1;
        let by = work.completed_by();
        let message = format!("{name}: work of step {step} was done that Dagster's log knows nothing of: {by}");
        audit.found(work.finding(FindingKind::Unexpected, message));
    } else if done == 1 && !is_seen {
        judge_unseen(work, audit);
    } else if is_begun_again {
        let times = work.records.len();
        let message = format!("{name}: the work of step {step} was begun {times} times and done {done} times");
        audit.recoveries.push(work.finding(FindingKind::Reexecuted, message));
    }
}

/// Done once, and Dagster's log has no success of it. A run that is called a success has that gap already.
fn judge_unseen(work: &Work<'_>, audit: &mut Audit) {
    let status = &work.run.run.status;
    if *status == RunStatus::Success || !status.is_terminal() {
        return;
    }
    let is_said = |finding: &Finding| {
        finding.kind == FindingKind::FalselyFailed
            && finding.level == Level::Run
            && finding.runs.contains(&work.run.run.run_id)
    };
    if !audit.findings.iter().any(is_said) {
        let (name, step, by) = (work.run.name(), work.step, work.completed_by());
        let message = format!("{name}: Dagster says {status}, yet the work of step {step} was done: {by}");
        audit.found(work.finding(FindingKind::FalselyFailed, message));
    }
}

fn judge_unknown_run(run_id: &str, step: &str, records: &[&CompletionRecord], audit: &mut Audit) {
    let key = records.iter().find_map(|record| record.key.clone());
    let name = key.as_ref().map_or_else(|| "a run without a key".to_owned(), ToString::to_string);
    audit.counts.effects_unexpected += 1;
    audit.found(Finding {
        kind: FindingKind::Unexpected,
        level: Level::Effect,
        key,
        runs: vec![run_id.to_owned()],
        step: Some(step.to_owned()),
        message: format!("{name}: a worker took up step {step} of run {run_id}, which Dagster does not have"),
        attempts: attempts(records),
        overlapping_faults: vec![],
        task_deaths: vec![],
    });
}

/// Begins and ends, in the order of time as far as the workers' clocks tell it.
pub fn attempts(records: &[&CompletionRecord]) -> Vec<Attempt> {
    let mut attempts = vec![];
    for record in records {
        let mut push = |what: &str, at| {
            let what = what.to_owned().into();
            attempts.push(Attempt { what, at, task: record.task.clone(), worker: record.worker.clone() });
        };
        record.started.into_iter().for_each(|at| push(STARTED, at));
        let word = match &record.outcome {
            CompletionOutcome::Completed => COMPLETED,
            CompletionOutcome::Other(word) => word,
            CompletionOutcome::Open => continue,
        };
        record.finished.into_iter().for_each(|at| push(word, at));
    }
    attempts.sort_by_key(|attempt| attempt.at);
    attempts
}

/// By how much the workers' clocks differ from Dagster's at most, by the steps that both say completed once: and how many
/// those are.
pub fn skew(census: &Census) -> Option<(Span, u32)> {
    let steps = of_steps(census);
    let (mut widest, mut count) = (Duration::ZERO, 0);
    for run in &census.runs {
        for (step, events) in by_step(run) {
            let records = steps.get(&(run.run.run_id.as_str(), step)).map_or(&[][..], Vec::as_slice);
            let mut finished = records.iter().filter(|record| record.is_completed()).map(|record| record.finished);
            let mut succeeded = events.iter().filter(|event| event.kind == StepEventKind::Succeeded);
            if let (Some(Some(finished)), None, Some(success), None) =
                (finished.next(), finished.next(), succeeded.next(), succeeded.next())
            {
                widest = widest.max(finished.since(success.at)).max(success.at.since(finished));
                count += 1;
            }
        }
    }
    (count > 0).then(|| (Span::from_millis(widest.as_millis() as u64), count))
}
