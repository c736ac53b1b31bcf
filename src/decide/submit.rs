//! Launches: each key once, at its instant, whether or not earlier ones were answered.

use std::{collections::BTreeMap, time::Duration};

use indexmap::IndexMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Act, Decision, Purpose, SEND_SLACK,
    breaker::{self, Gate},
    partitions,
};
use crate::{
    journal::{Event, Found, Generation, ResolvedChoice, Submission, SubmissionStage},
    model::{Effect, Key, Observation, RunView, Timestamp},
    plan::{Arrival, Plan, Walk},
};

/// A launch that was in doubt and absent so often is given up: something swallows it.
const MOST_ATTEMPTS_IN_DOUBT: u32 = 5;
/// The waits between refused attempts of one key.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An answer that is this much later than the request's time-out will not come.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Intents are made durable up to this long before their instant, so that the disk delays no launch …
const AHEAD: Duration = Duration::from_millis(200);
/// … as soon as the next one is this near: what comes in between shares one write.
const NEAR: Duration = Duration::from_millis(100);

pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let Some(started_at) = state.started_at else { return };
    let lanes = state.target.dagster.max_concurrent_launches.saturating_sub(observation.launching);
    let partitions = state.partitions.as_deref().unwrap_or_default();
    let mut sending = Sending { plan, partitions, started_at, now, lanes, gate: breaker::gate(state, now), decision };
    if !state.open.is_empty() {
        settle_open(state, observation, &mut sending);
    }
    if state.ending().is_some() {
        return;
    }
    let mut room = plan.max_in_flight.map(|most| Room { most, taken: in_flight(state, observation) });
    let arrivals = plan.arrivals.from(state.frontier);
    let mut horizon = now.plus(NEAR);
    for (index, arrival) in (state.frontier..).zip(arrivals) {
        let due = started_at.plus(arrival.offset);
        if due > horizon {
            sending.decision.wake(due.minus(NEAR));
            return;
        }
        if state.submissions.contains_key(&index) {
            continue;
        }
        // One is near: what follows it closely is written with it.
        horizon = now.plus(AHEAD);
        if let Some(Room { most, taken }) = &mut room {
            if *taken >= *most {
                sending.decision.notes.push(Event::SubmitDropped { index, in_flight: *taken });
                continue;
            }
            *taken += 1;
        }
        if !sending.send(arrival, index, 1) {
            return;
        }
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

fn settle_open(state: &Generation, observation: &Observation, sending: &mut Sending<'_>) {
    let (plan, now) = (sending.plan, sending.now);
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
            sending.decision.notes.push(Event::Submitted { index: *index, run_id, found: Found::LookedUp });
            continue;
        }
        match &submission.stage {
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) => {
                let window = submission.last_attempt_at.plus(state.target.dagster.settle.duration() + SEND_SLACK);
                if looked.is_some_and(|(asked_at, _)| asked_at >= window) {
                    resend_or_give_up(&mut arrivals, state, *index, sending);
                } else {
                    sending.decision.wake(window);
                }
            }
            SubmissionStage::Deferred { at, reason } => {
                let again = at.plus(wait(plan.seed, *index, submission.attempts));
                if state.ending().is_some() {
                    let reason = format!("the end was asked for before it could be sent: {reason}");
                    sending.decision.notes.push(Event::SubmitRefused { index: *index, reason, retry: false });
                } else if again <= now {
                    send_again(&mut arrivals, state, *index, sending);
                } else {
                    sending.decision.wake(again);
                }
            }
            SubmissionStage::Acknowledged { .. }
            | SubmissionStage::Rejected(_)
            | SubmissionStage::Absent(_)
            | SubmissionStage::Dropped { .. } => {}
        }
    }
}

/// When the answer to the last attempt will not come any more.
pub(super) fn overdue_at(state: &Generation, submission: &Submission) -> Timestamp {
    submission.last_attempt_at.plus(state.target.dagster.request_timeout.duration() + ANSWER_MARGIN)
}

/// Whether only a look-up can still tell: the answer was lost, or it is overdue (a crash, or a call that never ended).
fn waits_for_a_look(state: &Generation, submission: &Submission, now: Timestamp) -> bool {
    match submission.stage {
        SubmissionStage::InDoubt(_) => true,
        SubmissionStage::Intended => now >= overdue_at(state, submission),
        SubmissionStage::Deferred { .. }
        | SubmissionStage::Acknowledged { .. }
        | SubmissionStage::Rejected(_)
        | SubmissionStage::Absent(_)
        | SubmissionStage::Dropped { .. } => false,
    }
}

fn resend_or_give_up(arrivals: &mut Walk<'_>, state: &Generation, index: u32, sending: &mut Sending<'_>) {
    let absent = |reason: &str| Event::SubmitAbsent { index, reason: reason.to_owned() };
    if state.ending().is_some() {
        sending.decision.notes.push(absent("looked up after the end was asked for: it was never launched"));
    } else if state.submissions[&index].doubts + 1 >= MOST_ATTEMPTS_IN_DOUBT {
        sending.decision.notes.push(absent("looked up after every attempt in doubt: it was never launched"));
    } else {
        send_again(arrivals, state, index, sending);
    }
}

fn send_again(arrivals: &mut Walk<'_>, state: &Generation, index: u32, sending: &mut Sending<'_>) {
    let arrival = arrivals.at(index).expect("only planned arrivals are submitted");
    sending.send(arrival, index, state.submissions[&index].attempts + 1);
}

/// What is sent in this pass.
struct Sending<'a> {
    plan: &'a Plan,
    partitions: &'a [ResolvedChoice],
    started_at: Timestamp,
    now: Timestamp,
    /// So many more may wait for their answers.
    lanes: u32,
    gate: Gate,
    decision: &'a mut Decision,
}

impl Sending<'_> {
    /// Intends a launch and sends it at its instant, unless the breaker or too many open answers hold it back. False: they do.
    fn send(&mut self, arrival: Arrival, index: u32, attempt: u32) -> bool {
        // An answer makes room, and wakes by itself.
        if self.lanes == 0 {
            return false;
        }
        match self.gate {
            Gate::All => {}
            Gate::One => self.gate = Gate::None(None),
            Gate::None(until) => {
                if let Some(until) = until {
                    self.decision.wake(until);
                }
                return false;
            }
        }
        self.lanes -= 1;
        let due = Some(self.started_at.plus(arrival.offset)).filter(|due| *due > self.now);
        let choice = &self.plan.choices[arrival.choice as usize];
        let key = self.plan.key(index);
        let partition = partitions::of(choice, arrival, self.partitions);
        let (run_config, more) = partitions::merged(choice, partition);
        let tags = tags(self.plan, &key, self.started_at, &more);
        let (job, assets) = (choice.job.clone(), choice.assets.clone());
        let effect = Effect::LaunchRun { key, job, assets, tags, run_config };
        self.decision.intents.push(Event::SubmitIntended { index, attempt, due });
        self.decision.acts.push(Act { purpose: Purpose::Submit { index, attempt }, effect, due });
        true
    }
}

/// Ours say what the run is; they are not for the manifest to change.
fn tags(plan: &Plan, key: &Key, started_at: Timestamp, more: &IndexMap<String, String>) -> IndexMap<String, String> {
    let own = [
        ("dagstorm/key", key.to_string()),
        ("dagstorm/scenario", plan.scenario.to_string()),
        ("dagstorm/generation", plan.generation.to_string()),
        ("dagstorm/started", started_at.to_string()),
    ];
    let mut tags: IndexMap<String, String> = own.into_iter().map(|(tag, value)| (tag.to_owned(), value)).collect();
    for (tag, value) in more {
        tags.entry(tag.clone()).or_insert_with(|| value.clone());
    }
    tags
}

/// Doubles with every attempt; at least half of it, the rest is drawn, so that what failed together does not come back
/// together.
fn wait(seed: u64, index: u32, attempts: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(LONGEST_WAIT);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(index) << 32 | u64::from(attempts));
    longest / 2 + longest.mul_f64(rng.random::<f64>() / 2.0)
}
