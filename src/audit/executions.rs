//! The step level: raw events of Dagster's log. Started twice is not completed twice.

use std::{collections::BTreeMap, time::Duration};

use super::{Attempt, Audit, Finding, FindingKind, Level};
use crate::{
    journal::{FaultStage, FaultState, Generation},
    model::{Census, FaultId, RunRecord, RunStatus, StepEvent, StepEventKind, TaskArn, Timestamp},
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
                if attempt.what == STARTED {
                    open.push(attempt);
                } else if let Some(first) = (!open.is_empty()).then(|| open.remove(0)) {
                    // Which attempt ended is not recorded: the oldest is, so that the youngest stays open.
                    longest = longest.max(attempt.at.since(first.at));
                }
            }
            // One that was stopped explains one that is open, whichever of them it is.
            let was_stopped = |attempt: &Attempt| {
                generation.faults.values().any(|fault| {
                    let targets = |task: &TaskArn| fault.targets.iter().any(|target| target.arn == *task);
                    fault.last_attempt_at >= attempt.at && attempt.task.as_ref().is_some_and(targets)
                })
            };
            let explained = attempts.iter().filter(|one| one.what == STARTED && was_stopped(one)).count();
            if open.len() > explained {
                last_open = last_open.max(open.last().map(|attempt| attempt.at));
            }
        }
    }
    let quiet = generation.scenario.spec.expect.quiet.duration();
    last_open.map(|at| at.plus(longest).plus(quiet))
}

fn by_step(record: &RunRecord) -> BTreeMap<&str, Vec<&StepEvent>> {
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
    let (starts, completions) = (count(StepEventKind::Started), count(StepEventKind::Succeeded));
    audit.counts.steps_completed += u32::from(completions > 0);
    if completions > 1 {
        audit.counts.steps_duplicated += 1;
        let finding = step_finding(generation, record, step, events, FindingKind::Duplicated, completions);
        audit.found(finding);
    } else if starts > 1 + count(StepEventKind::UpForRetry) {
        audit.counts.steps_reexecuted += 1;
        let finding = step_finding(generation, record, step, events, FindingKind::Reexecuted, starts);
        audit.recoveries.push(finding);
    }
    if completions == 0 && starts > 0 && record.run.status == RunStatus::Success && count(StepEventKind::Failed) == 0 {
        audit
            .gap("NoCompletion", format!("run {} succeeded, yet its step {step} has no completion", record.run.run_id));
    }
}

fn step_finding(
    generation: &Generation,
    record: &RunRecord,
    step: &str,
    events: &[&StepEvent],
    kind: FindingKind,
    times: usize,
) -> Finding {
    let attempts = attempts(events);
    let (from, to) = (attempts[0].at, attempts[attempts.len() - 1].at);
    let overlapping: Vec<(&FaultId, &FaultState)> =
        generation.faults.iter().filter(|(_, fault)| overlaps(fault, from, to)).collect();
    let name = record.run.key.as_ref().map_or_else(|| record.run.run_id.clone(), ToString::to_string);
    let verb = if kind == FindingKind::Duplicated { "completed" } else { "started" };
    let mut message = format!("{name}: step {step} was {verb} {times} times");
    if kind == FindingKind::Reexecuted {
        message.push_str(" and completed ");
        message.push_str(if attempts.iter().any(|attempt| attempt.what == COMPLETED) { "once" } else { "never" });
    }
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
        level: Level::Step,
        key: record.run.key.clone(),
        runs: vec![record.run.run_id.clone()],
        step: Some(step.to_owned()),
        message,
        attempts,
        overlapping_faults: named,
    }
}

const STARTED: &str = "started";
const COMPLETED: &str = "completed";

/// Starts and completions, each with the task whose claim came last before it.
fn attempts(events: &[&StepEvent]) -> Vec<Attempt> {
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
            StepEventKind::Restarted => "restarted",
            StepEventKind::Skipped => "skipped",
        };
        let task =
            event.task.clone().or_else(|| (event.kind == StepEventKind::Started).then(|| claimed.clone()).flatten());
        attempts.push(Attempt { what, at: event.at, task });
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
    let started = attempts.iter().filter(|attempt| attempt.what == STARTED && attempt.at <= fault.last_attempt_at);
    started
        .filter_map(|attempt| attempt.task.as_ref())
        .find(|task| fault.targets.iter().any(|target| target.arn == **task))
}
