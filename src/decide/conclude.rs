//! The end: everything sent, everything healed, everything quiet.

use std::time::Duration;

use super::{Decision, ready};
use crate::{
    journal::{Conclusion, Event, Fact, FaultStage, Generation, SubmissionStage},
    model::{DagsterView, Observation, RunCounts, RunView, Runs, Timestamp, run::announces_retries},
    plan::Plan,
};

/// Runs that are not finished are waited for until none of them has changed for this long (or `limits.maxDuration`).
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A retry that Dagster has announced is waited for this long: its daemon makes it within seconds, or may never do so (the job
/// was renamed, the daemon is down).
pub const RETRY_PATIENCE: Duration = Duration::from_secs(2 * 60);

/// Dagster announces a retry in a transaction of its own, after the one that says that the run failed.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(2);
/// Two turns of Dagster's daemon that makes retries, and what it takes to make one.
const UNANNOUNCED: Duration = Duration::from_secs(15);

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
    if let Some((asked_at, view)) = looked {
        let runs = count(state, view, asked_at);
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
    let quiet = plan.expect.quiet.duration().max(unannounced(state, counts));
    let wait = match (counts.unfinished(), counts.retrying) {
        (0, _) => quiet,
        (unfinished, retrying) if unfinished == retrying => RETRY_PATIENCE.max(quiet),
        (_, _) => PATIENCE.max(quiet),
    };
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
    } else if now >= audit_at {
        ready::look_at_dagster_now(plan, state, observation, now, decision);
    } else {
        decision.wake(audit_at);
    }
}

/// How long it is unknown whether Dagster retries a failed run. Dagster announces a retry a little later. Before 1.9 it announces
/// nothing and makes retries every 5 s.
fn unannounced(state: &Generation, counts: RunCounts) -> Duration {
    let announces = state.dagster_version.as_deref().is_none_or(announces_retries);
    match (counts.failed, announces) {
        (0, _) => Duration::ZERO,
        (_, true) => ANNOUNCED_WITHIN,
        (_, false) => UNANNOUNCED,
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
    // A run that has just failed may be run again.
    let failed = state.runs.as_ref().filter(|fact| fact.value.failed > 0);
    let known_at = failed.map_or(stop.at, |fact| fact.at.plus(unannounced(state, fact.value)));
    let drained = looked.is_some_and(|(asked_at, view)| {
        view.runs.open().next().is_none() && shows_all(state, &view.runs) && asked_at >= known_at
    });
    let patience = since.plus(plan.expect.quiet.duration());
    if drained || now >= patience {
        conclude_stopped(&stop.value, decision);
    } else {
        decision.wake(patience);
    }
}

/// Whether a look shows every run that is known: one that was acknowledged meanwhile may be under way.
fn shows_all(state: &Generation, runs: &Runs) -> bool {
    state.submissions.values().all(|submission| match &submission.stage {
        SubmissionStage::Acknowledged { run_id, .. } => runs.get(run_id).is_some(),
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

/// What was never started and never will be counts as such, not as waiting.
fn count(state: &Generation, view: &DagsterView, asked_at: Timestamp) -> RunCounts {
    let mut counts = view.runs.counts();
    let is_counted = |run: &RunView| {
        let kin = run.key.as_ref().map(|key| view.runs.of(key));
        kin.is_some_and(|kin| kin.chains.iter().any(|chain| chain.end().run_id == run.run_id))
    };
    let never = state.never_started(&view.runs, asked_at).filter(|(_, run)| is_counted(run)).count() as u32;
    counts.queued -= never;
    counts.never_started += never;
    counts
}
