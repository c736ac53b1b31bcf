//! Launches: each key once, at its instant, whether or not earlier ones were answered.

use std::{collections::BTreeMap, time::Duration};

use indexmap::IndexMap;

use super::{Act, Decision, Purpose};
use crate::{
    journal::{Event, Found, Generation, Submission, SubmissionStage},
    model::{Effect, Observation, RunView, Timestamp},
    plan::{Arrival, Plan, Walk},
};

/// A launch that was in doubt and absent so often is given up: something swallows it.
const MOST_ATTEMPTS_IN_DOUBT: u32 = 5;
/// The waits between refused attempts of one key.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An answer that is this much later than the request's time-out will not come.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let Some(started_at) = state.started_at else { return };
    if !state.open.is_empty() {
        settle_open(plan, state, observation, now, decision);
    }
    if state.stop.is_some() {
        return;
    }
    let mut room = plan.max_in_flight.map(|most| Room { most, taken: in_flight(state, observation) });
    for (index, arrival) in (state.frontier..).zip(plan.arrivals.from(state.frontier)) {
        let due = started_at.plus(arrival.offset);
        if due > now {
            decision.wake(due);
            return;
        }
        if state.submissions.contains_key(&index) {
            continue;
        }
        if let Some(Room { most, taken }) = &mut room {
            if *taken >= *most {
                decision.notes.push(Event::SubmitDropped { index, in_flight: *taken });
                continue;
            }
            *taken += 1;
        }
        send(plan, arrival, started_at, index, 1, decision);
    }
}

/// What `limits.maxInFlight` leaves.
struct Room {
    most: u32,
    taken: u32,
}

/// The runs under way: all that may be runs, but those that are known to have ended.
fn in_flight(state: &Generation, observation: &Observation) -> u32 {
    let view = observation.dagster.as_ref().and_then(|seen| seen.answer.fresh());
    let ended = |run: &&RunView| run.key.is_some() && run.status.is_terminal();
    let ended = view.map_or(0, |view| view.runs.iter().filter(ended).count() as u32);
    let counted = state.runs.as_ref().map_or(0, |fact| fact.value.done());
    (state.acknowledged + state.open.len() as u32).saturating_sub(ended.max(counted))
}

fn settle_open(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let looked = observation.dagster.as_ref().and_then(|seen| Some((seen.asked_at, seen.answer.fresh()?)));
    let found: BTreeMap<u32, &str> = looked
        .iter()
        .flat_map(|(_, view)| &view.runs)
        .filter_map(|run| Some((run.key.as_ref()?, run.run_id.as_str())))
        .filter(|(key, _)| **key == plan.key(key.index))
        .map(|(key, run_id)| (key.index, run_id))
        .collect();
    let mut arrivals = plan.arrivals.from(state.open.first().copied().unwrap_or_default());
    for index in &state.open {
        let submission = &state.submissions[index];
        if let Some(run_id) = found.get(index).filter(|_| waits_for_a_look(state, submission, now)) {
            let run_id = (*run_id).to_owned();
            decision.notes.push(Event::Submitted { index: *index, run_id, found: Found::LookedUp });
            continue;
        }
        match &submission.stage {
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) => {
                let window = submission.last_attempt_at.plus(state.target.dagster.settle.duration());
                if looked.is_some_and(|(asked_at, _)| asked_at >= window) {
                    resend_or_give_up(plan, &mut arrivals, state, *index, decision);
                } else {
                    decision.wake(window);
                }
            }
            SubmissionStage::Deferred { at, reason } => {
                let again = at.plus(wait(submission.attempts));
                if state.stop.is_some() {
                    let reason = format!("stopped before it could be sent: {reason}");
                    decision.notes.push(Event::SubmitRefused { index: *index, reason, retry: false });
                } else if again <= now {
                    send_again(plan, &mut arrivals, state, *index, decision);
                } else {
                    decision.wake(again);
                }
            }
            SubmissionStage::Acknowledged { .. }
            | SubmissionStage::Rejected(_)
            | SubmissionStage::Absent(_)
            | SubmissionStage::Dropped { .. } => {}
        }
    }
}

/// Whether only a look-up can still tell: the answer was lost, or it is overdue (a crash, or a call that never ended).
fn waits_for_a_look(state: &Generation, submission: &Submission, now: Timestamp) -> bool {
    match submission.stage {
        SubmissionStage::InDoubt(_) => true,
        SubmissionStage::Intended => {
            let overdue = state.target.dagster.request_timeout.duration() + ANSWER_MARGIN;
            now >= submission.last_attempt_at.plus(overdue)
        }
        SubmissionStage::Deferred { .. }
        | SubmissionStage::Acknowledged { .. }
        | SubmissionStage::Rejected(_)
        | SubmissionStage::Absent(_)
        | SubmissionStage::Dropped { .. } => false,
    }
}

fn resend_or_give_up(plan: &Plan, arrivals: &mut Walk<'_>, state: &Generation, index: u32, decision: &mut Decision) {
    let absent = |reason: &str| Event::SubmitAbsent { index, reason: reason.to_owned() };
    if state.stop.is_some() {
        decision.notes.push(absent("looked up after the stop: it was never launched"));
    } else if state.submissions[&index].attempts >= MOST_ATTEMPTS_IN_DOUBT {
        decision.notes.push(absent("looked up after every attempt: it was never launched"));
    } else {
        send_again(plan, arrivals, state, index, decision);
    }
}

fn send_again(plan: &Plan, arrivals: &mut Walk<'_>, state: &Generation, index: u32, decision: &mut Decision) {
    let started_at = state.started_at.expect("only a started generation has submissions");
    let arrival = arrivals.at(index).expect("only planned arrivals are submitted");
    let attempt = state.submissions[&index].attempts + 1;
    send(plan, arrival, started_at, index, attempt, decision);
}

fn send(plan: &Plan, arrival: Arrival, started_at: Timestamp, index: u32, attempt: u32, decision: &mut Decision) {
    let choice = &plan.choices[arrival.choice as usize];
    let key = plan.key(index);
    let mut tags: IndexMap<String, String> = [
        ("dagstorm/key", key.to_string()),
        ("dagstorm/scenario", plan.scenario.to_string()),
        ("dagstorm/generation", plan.generation.to_string()),
        ("dagstorm/started", started_at.to_string()),
    ]
    .into_iter()
    .map(|(tag, value)| (tag.to_owned(), value))
    .collect();
    for (tag, value) in &choice.tags {
        // Ours say what the run is; they are not for the manifest to change.
        tags.entry(tag.clone()).or_insert_with(|| value.clone());
    }
    let effect = Effect::LaunchRun { key, job: choice.job.clone(), tags, run_config: choice.run_config.clone() };
    decision.intents.push(Event::SubmitIntended { index, attempt });
    decision.acts.push(Act { purpose: Purpose::Submit { index, attempt }, effect });
}

/// Doubles with every attempt.
fn wait(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(LONGEST_WAIT)
}
