//! The step level: raw events of Dagster's log. Started twice is not completed twice.

use std::{collections::BTreeMap, time::Duration};

use super::{Attempt, Audit, Finding, FindingKind, Level};
use crate::{
    journal::{FaultStage, FaultState, Generation},
    model::{Census, CompletionOutcome, FaultId, RunRecord, RunStatus, StepEvent, StepEventKind, TaskArn, Timestamp},
};

/// Until when an attempt may still complete that neither ended nor lost its worker to a fault of ours.
///
/// `None`: there is no such attempt. Otherwise its start, the longest attempt that was seen to complete, and the quiet
/// period: a worker that died by itself is taken for dead after that.
pub fn settles_at(generation: &Generation, census: &Census) -> Option<Timestamp> {
    let mut longest = Duration::ZERO;
    let mut last_open: Option<Timestamp> = None;
    for record in &census.runs {
        for events in by_step(record).values() {
            let attempts = attempts(events);
            let mut open: Vec<&Attempt> = vec![];
            for attempt in &attempts {
                if attempt.is_begin() {
                    open.push(attempt);
                } else if let Some(first) = (!open.is_empty()).then(|| open.remove(0)) {
                    // Which attempt ended is not recorded: the oldest is, so that the youngest stays open.
                    longest = longest.max(attempt.at.since(first.at));
                }
            }
            // One that was stopped explains one that is open, whichever of them it is.
            let stopped = |one: &&Attempt| one.is_begin() && was_stopped(generation, one.task.as_ref(), one.at);
            let explained = attempts.iter().filter(stopped).count();
            if open.len() > explained {
                last_open = last_open.max(open.last().map(|attempt| attempt.at));
            }
        }
    }
    for record in census.completions.iter().flat_map(|all| &all.records) {
        match (record.started, record.finished) {
            (Some(started), Some(finished)) => longest = longest.max(finished.since(started)),
            (Some(started), None)
                if record.outcome == CompletionOutcome::Open
                    && !was_stopped(generation, record.task.as_ref(), started) =>
            {
                last_open = last_open.max(Some(started));
            }
            (Some(_) | None, _) => {}
        }
    }
    let quiet = generation.scenario.spec.expect.quiet.duration();
    last_open.map(|at| at.plus(longest).plus(quiet))
}

/// A fault of ours stopped the worker of an attempt that began at `at`.
fn was_stopped(generation: &Generation, task: Option<&TaskArn>, at: Timestamp) -> bool {
    let Some(task) = task else { return false };
    let is_target = |fault: &FaultState| fault.targets.iter().any(|target| target.arn == *task);
    generation.faults.values().any(|fault| fault.last_attempt_at >= at && is_target(fault))
}

/// The events of each step, in the order of time.
pub fn by_step(record: &RunRecord) -> BTreeMap<&str, Vec<&StepEvent>> {
    let mut steps: BTreeMap<&str, Vec<&StepEvent>> = BTreeMap::new();
    for event in &record.events {
        steps.entry(&event.step).or_default().push(event);
    }
    for events in steps.values_mut() {
        events.sort_by_key(|event| event.at);
    }
    steps
}

pub fn judge(generation: &Generation, census: &Census, audit: &mut Audit) {
    if let Some(at) = settles_at(generation, census).filter(|at| *at > census.taken_at) {
        audit.gap("TooEarly", format!("a step that was started and did not end could still complete until {at}"));
    }
    for record in &census.runs {
        let steps = by_step(record);
        if steps.is_empty() && record.run.status == RunStatus::Success {
            audit.gap("NoEvents", format!("run {} succeeded without a single step event", record.run.run_id));
        }
        for (step, events) in steps {
            judge_step(generation, record, step, &events, audit);
        }
    }
}

fn judge_step(generation: &Generation, record: &RunRecord, step: &str, events: &[&StepEvent], audit: &mut Audit) {
    let count = |kind: StepEventKind| events.iter().filter(|event| event.kind == kind).count();
    let starts = events.iter().filter(|event| event.kind.is_begin()).count();
    let completions = count(StepEventKind::Succeeded);
    audit.counts.steps_completed += u32::from(completions > 0);
    let finding = |kind: FindingKind, often: usize| {
        let attempts = attempts(events);
        let message = times(record, step, kind, often, &attempts);
        step_finding(generation, record, step, Level::Step, kind, attempts, message)
    };
    if completions > 1 {
        audit.counts.steps_duplicated += 1;
        audit.found(finding(FindingKind::Duplicated, completions));
    } else if starts > 1 + count(StepEventKind::UpForRetry) {
        audit.counts.steps_reexecuted += 1;
        audit.recoveries.push(finding(FindingKind::Reexecuted, starts));
    }
    if completions == 0 && starts > 0 && record.run.status == RunStatus::Success && count(StepEventKind::Failed) == 0 {
        let message = format!("run {} succeeded, yet its step {step} has no completion", record.run.run_id);
        audit.gap("NoCompletion", message.clone());
        let attempts = attempts(events);
        audit.unfinished.push(step_finding(
            generation,
            record,
            step,
            Level::Step,
            FindingKind::Unfinished,
            attempts,
            message,
        ));
    }
}

/// What happened to a step of a run. `message` says it; whose worker a fault stopped meanwhile is added to it.
pub fn step_finding(
    generation: &Generation,
    record: &RunRecord,
    step: &str,
    level: Level,
    kind: FindingKind,
    attempts: Vec<Attempt>,
    mut message: String,
) -> Finding {
    // Without an attempt that has a time, the run's own stands for it.
    let from = attempts.first().map(|attempt| attempt.at).or(record.run.started_at);
    let to = attempts.last().map(|attempt| attempt.at).or(record.run.ended_at);
    let meanwhile = |fault: &FaultState| from.zip(to).is_some_and(|(from, to)| overlaps(fault, from, to));
    let overlapping: Vec<(&FaultId, &FaultState)> =
        generation.faults.iter().filter(|(_, fault)| meanwhile(fault)).collect();
    let kills: Vec<(&FaultId, &FaultState, &TaskArn)> =
        overlapping.iter().filter_map(|(id, fault)| Some((*id, *fault, killed_task(fault, &attempts)?))).collect();
    for (number, (id, fault, task)) in kills.iter().enumerate() {
        let mark = if number == 0 { ":" } else { "," };
        message.push_str(&format!("{mark} {id} stopped its worker {} at {}", task.id(), fault.intended_at));
    }
    let named = if kills.is_empty() {
        overlapping.iter().map(|(id, _)| id.to_string()).collect()
    } else {
        kills.iter().map(|(id, ..)| id.to_string()).collect()
    };
    Finding {
        kind,
        level,
        key: record.run.key.clone(),
        runs: vec![record.run.run_id.clone()],
        step: Some(step.to_owned()),
        message,
        attempts,
        overlapping_faults: named,
        task_deaths: vec![],
    }
}

/// How often a step was started or completed, in a sentence.
fn times(record: &RunRecord, step: &str, kind: FindingKind, times: usize, attempts: &[Attempt]) -> String {
    let name = record.name();
    if kind == FindingKind::Duplicated {
        return format!("{name}: step {step} was completed {times} times");
    }
    let ended = if attempts.iter().any(|attempt| attempt.what == COMPLETED) { "once" } else { "never" };
    format!("{name}: step {step} was started {times} times and completed {ended}")
}

pub const STARTED: &str = "started";
const RESTARTED: &str = "restarted";
pub const COMPLETED: &str = "completed";

impl Attempt {
    /// The work began; a declared retry begins with a restart.
    pub fn is_begin(&self) -> bool {
        self.what == STARTED || self.what == RESTARTED
    }
}

/// Starts and completions, each with the task whose claim came last before it.
pub fn attempts(events: &[&StepEvent]) -> Vec<Attempt> {
    let mut claimed: Option<TaskArn> = None;
    let mut attempts = vec![];
    for event in events {
        let what = match event.kind {
            StepEventKind::Claimed => {
                claimed.clone_from(&event.task);
                continue;
            }
            StepEventKind::Started => STARTED,
            StepEventKind::Succeeded => COMPLETED,
            StepEventKind::Failed => "failed",
            StepEventKind::UpForRetry => "up for retry",
            StepEventKind::Restarted => RESTARTED,
            StepEventKind::Skipped => "skipped",
        };
        let task = event.task.clone().or_else(|| event.kind.is_begin().then(|| claimed.clone()).flatten());
        attempts.push(Attempt { what: what.into(), at: event.at, task, worker: None });
    }
    attempts
}

/// The fault was in place at some time between the two instants.
pub fn overlaps(fault: &FaultState, from: Timestamp, to: Timestamp) -> bool {
    let healed = match &fault.stage {
        FaultStage::Open | FaultStage::GivenUp(_) => None,
        FaultStage::Healed(at) => Some(*at),
        FaultStage::Skipped(_) => return false,
    };
    fault.intended_at <= to && healed.is_none_or(|healed| healed >= from)
}

/// The task of an attempt that the fault stopped while the attempt was under way.
fn killed_task<'a>(fault: &FaultState, attempts: &'a [Attempt]) -> Option<&'a TaskArn> {
    let started = attempts.iter().filter(|attempt| attempt.is_begin() && attempt.at <= fault.last_attempt_at);
    started
        .filter_map(|attempt| attempt.task.as_ref())
        .find(|task| fault.targets.iter().any(|target| target.arn == **task))
}
