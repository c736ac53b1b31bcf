//! Launches: each key once, at its instant, whether or not earlier ones were answered.

use std::time::Duration;

use indexmap::IndexMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Act, Decision, Purpose, SEND_SLACK,
    breaker::{self, Gate},
    partitions,
};
use crate::{
    journal::{Dependency, Event, Found, Generation, ResolvedChoice, Submission, SubmissionStage},
    model::{DagsterView, Effect, Key, LocationState, Observation, Timestamp, WriterId, tags},
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
    // While no process was at work, another dagstorm may have taken over.
    let is_blind = observation.is_blind();
    let lanes = state.target.dagster.max_concurrent_launches.saturating_sub(observation.launching);
    let mut sending = Sending {
        plan,
        partitions: state.partitions.as_deref().unwrap_or_default(),
        writer: state.writer.as_ref(),
        started_at,
        now,
        lanes: if is_blind { 0 } else { lanes },
        gate: breaker::gate(state, now),
        decision,
    };
    if !state.open.is_empty() {
        settle_open(state, observation, &mut sending);
    }
    if state.ending().is_some() || is_blind {
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
    let ended = view.map_or(0, |view| view.runs.counts().done());
    let counted = state.runs.as_ref().map_or(0, |fact| fact.value.done());
    (state.acknowledged + state.open.len() as u32).saturating_sub(ended.max(counted))
}

/// The run that an arrival's launch made, by a look.
fn launched<'a>(plan: &Plan, state: &Generation, view: &'a DagsterView, index: u32) -> Option<&'a str> {
    let own = state.own_launches(plan, index, view.runs.of(&plan.key(index)));
    own.first().map(|chain| chain.root)
}

fn settle_open(state: &Generation, observation: &Observation, sending: &mut Sending<'_>) {
    let (plan, now) = (sending.plan, sending.now);
    let looked = observation.dagster.as_ref().and_then(|seen| Some((seen.asked_at, seen.answer.fresh()?)));
    let mut arrivals = plan.arrivals.from(state.open.first().copied().unwrap_or_default());
    for index in &state.open {
        let submission = &state.submissions[index];
        let found = looked.filter(|_| waits_for_a_look(state, submission, now));
        if let Some(run_id) = found.and_then(|(_, view)| launched(plan, state, view, *index)) {
            let run_id = run_id.to_owned();
            sending.decision.notes.push(Event::Submitted { index: *index, run_id, found: Found::LookedUp });
            continue;
        }
        match &submission.stage {
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) => {
                let window = settled_at(state, submission);
                if looked.is_some_and(|(asked_at, _)| asked_at >= window) {
                    resend_or_give_up(&mut arrivals, state, *index, sending);
                } else {
                    sending.decision.wake(window);
                }
            }
            SubmissionStage::Deferred { at, reason } => {
                let again = at.plus(wait(plan.seed, *index, submission.attempts));
                let arrival = arrivals.at(*index).expect("only planned arrivals are submitted");
                let missing = missing(state, observation, &plan.choices[arrival.choice as usize].job, *at);
                if let Some(reason) = no_more(state, reason).or(missing) {
                    sending.decision.notes.push(Event::SubmitRefused { index: *index, reason, retry: false });
                } else if again <= now {
                    sending.send(arrival, *index, submission.attempts + 1);
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

/// Why a launch that was refused is not sent again, whatever refused it; `None`: it is.
fn no_more(state: &Generation, reason: &str) -> Option<String> {
    match (&state.stop, &state.aborted, &state.given_up) {
        (None, None, None) => None,
        (None, None, Some(_)) => Some(format!("not acknowledged in time: {reason}")),
        (_, _, _) => Some(format!("the end was asked for before it could be sent: {reason}")),
    }
}

/// Why a launch that was refused at `at` would be refused for good: a look asked later shows that its code location is
/// loaded and has no such job. A location that is not loaded says nothing of its jobs.
fn missing(state: &Generation, observation: &Observation, job: &str, at: Timestamp) -> Option<String> {
    let seen = observation.dagster.as_ref().filter(|seen| seen.asked_at > at)?;
    match &seen.answer.fresh()?.location.as_ref()?.state {
        LocationState::Lacks { jobs, message, .. } if jobs.iter().any(|missing| missing == job) => {
            // Noted in an earlier pass: all launches of it get the same reason.
            let since = state.unready.get(&Dependency::Jobs)?.at;
            Some(format!("{message} (first seen at {since})"))
        }
        LocationState::Lacks { .. } | LocationState::Ready | LocationState::NotLoaded(_) | LocationState::Absent(_) => {
            None
        }
    }
}

/// From when on a look shows the run of the last attempt, if there is one.
pub(super) fn settled_at(state: &Generation, submission: &Submission) -> Timestamp {
    submission.last_attempt_at.plus(state.target.dagster.settle.duration() + SEND_SLACK)
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
    writer: Option<&'a WriterId>,
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
        let tags = tags(self.plan, self.writer, &key, self.started_at, &more);
        let (job, assets) = (choice.job.clone(), choice.assets.clone());
        let effect = Effect::LaunchRun { key, job, assets, tags, run_config };
        self.decision.intents.push(Event::SubmitIntended { index, attempt, due });
        self.decision.acts.push(Act { purpose: Purpose::Submit { index, attempt }, effect, due });
        true
    }
}

/// Ours say what the run is; they are not for the manifest to change.
fn tags(
    plan: &Plan,
    writer: Option<&WriterId>,
    key: &Key,
    started_at: Timestamp,
    more: &IndexMap<String, String>,
) -> IndexMap<String, String> {
    let own = [
        (tags::KEY, Some(key.to_string())),
        (tags::SCENARIO, Some(plan.scenario.to_string())),
        (tags::GENERATION, Some(plan.generation.to_string())),
        (tags::STARTED, Some(started_at.to_string())),
        (tags::WRITER, writer.map(ToString::to_string)),
    ];
    let own = own.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
    let mut tags: IndexMap<String, String> = own.collect();
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
