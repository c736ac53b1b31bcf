//! The end: everything sent, everything healed, everything quiet.

use std::{collections::BTreeSet, time::Duration};

use super::Decision;
use crate::{
    journal::{Conclusion, Event, Fact, FaultStage, Generation, RunCounts, SubmissionStage},
    model::{DagsterView, Observation, RunStatus, RunView, Timestamp},
    plan::Plan,
};

/// Runs that are not finished are waited for until none of them has changed for this long (or `limits.maxDuration`).
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let looked = observation.dagster.as_ref().and_then(|seen| Some((seen.asked_at, seen.answer.fresh()?)));
    let Some(started_at) = state.started_at else {
        match &state.stop {
            // Runs of a predecessor that lost its disk: what it sent last can still appear for one settle.
            Some(stop) if state.adopting.is_some() => {
                let window = state.accepted_at.plus(state.target.dagster.settle.duration());
                let looked = looked.filter(|(asked_at, _)| *asked_at >= window);
                drain(plan, state, stop, stop.at, looked, now, decision);
            }
            Some(stop) => conclude_stopped(&stop.value, decision),
            None => {}
        }
        return;
    };
    if let Some((_, view)) = looked {
        let runs = count(&view.runs);
        if state.runs.as_ref().is_none_or(|known| known.value != runs) {
            decision.notes.push(Event::Counted { runs });
            return;
        }
    }
    if !everything_is_settled(plan, state) && !is_left_in_doubt(plan, state, now, decision) {
        return;
    }
    let ends = state.aborted.as_ref().map_or(started_at.plus(plan.ends_at), |aborted| aborted.at);
    let counts = state.runs.as_ref().map(|fact| fact.value).unwrap_or_default();
    let changed_at = state.runs.as_ref().map_or(started_at, |fact| fact.at);
    let quiet_since = state.last_attempt_at().unwrap_or(started_at).max(changed_at);
    if let Some(stop) = &state.stop {
        drain(plan, state, stop, quiet_since.max(stop.at), looked, now, decision);
        return;
    }
    let quiet = plan.expect.quiet.duration();
    let wait = if counts.unfinished() == 0 { quiet } else { PATIENCE.max(quiet) };
    let by_quiet = quiet_since.max(ends).plus(wait);
    let limit = plan.max_duration.map(|limit| started_at.plus(limit).max(ends));
    let audit_at =
        if counts.unfinished() == 0 { by_quiet } else { limit.map_or(by_quiet, |limit| limit.min(by_quiet)) };
    if looked.is_some_and(|(asked_at, _)| asked_at >= audit_at) {
        if state.audit_began_at.is_none() {
            decision.notes.push(Event::AuditBegan);
        } else {
            decision.audit = true;
        }
    } else {
        decision.wake(audit_at);
    }
}

fn everything_is_settled(plan: &Plan, state: &Generation) -> bool {
    let sent = state.ending().is_some() || state.frontier >= plan.arrivals.len();
    let healed = state.faults.values().all(|fault| fault.stage != FaultStage::Open);
    sent && state.open.is_empty() && healed && state.faults.len() == plan.faults.len()
}

/// Whether a stopped generation ends although launches are in doubt: Dagster could not be asked for them in time.
fn is_left_in_doubt(plan: &Plan, state: &Generation, now: Timestamp, decision: &mut Decision) -> bool {
    let Some(stop) = &state.stop else { return false };
    let healed = state.faults.values().all(|fault| fault.stage != FaultStage::Open);
    let until = stop.at.max(state.last_attempt_at().unwrap_or(stop.at));
    let until = until.plus(state.target.dagster.settle.duration()).plus(plan.expect.quiet.duration());
    decision.wake(until);
    healed && state.faults.len() == plan.faults.len() && now >= until
}

/// Concludes what was stopped once its runs have ended, or had the quiet period since `since` to do so.
fn drain(
    plan: &Plan,
    state: &Generation,
    stop: &Fact<String>,
    since: Timestamp,
    looked: Option<(Timestamp, &DagsterView)>,
    now: Timestamp,
    decision: &mut Decision,
) {
    let looked = looked.filter(|(asked_at, _)| *asked_at >= stop.at);
    let drained = looked
        .is_some_and(|(_, view)| view.runs.iter().all(|run| run.status.is_terminal()) && shows_all(state, &view.runs));
    let patience = since.plus(plan.expect.quiet.duration());
    if drained || now >= patience {
        conclude_stopped(&stop.value, decision);
    } else {
        decision.wake(patience);
    }
}

/// Whether a look shows every run that is known: one that was acknowledged meanwhile may be under way.
fn shows_all(state: &Generation, runs: &[RunView]) -> bool {
    let shown: BTreeSet<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
    state.submissions.values().all(|submission| match &submission.stage {
        SubmissionStage::Acknowledged { run_id, .. } => shown.contains(run_id.as_str()),
        SubmissionStage::Intended
        | SubmissionStage::InDoubt(_)
        | SubmissionStage::Deferred { .. }
        | SubmissionStage::Rejected(_)
        | SubmissionStage::Absent(_)
        | SubmissionStage::Dropped { .. } => true,
    })
}

fn conclude_stopped(reason: &str, decision: &mut Decision) {
    let conclusion = Conclusion::stopped(reason);
    decision.notes.push(Event::Concluded { conclusion });
}

fn count(runs: &[RunView]) -> RunCounts {
    let mut counts = RunCounts::default();
    for run in runs {
        match run.status {
            RunStatus::Queued => counts.queued += 1,
            RunStatus::Started => counts.running += 1,
            RunStatus::Success => counts.succeeded += 1,
            RunStatus::Failure => counts.failed += 1,
            RunStatus::Canceled => counts.canceled += 1,
            RunStatus::Other(_) => counts.other += 1,
        }
    }
    counts
}
