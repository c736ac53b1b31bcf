//! L5: what to do next. Pure: the plan, the state, what was seen and the time go in; a decision comes out.

mod bounds;
mod breaker;
mod conclude;
mod gauges;
mod hold;
mod inject;
mod limits;
pub mod notice;
pub mod partitions;
mod predecessor;
mod ready;
pub mod steps;
mod submit;
mod tasks;
mod terminate;
#[cfg(test)]
mod tests;
mod turn;

use std::time::Duration;

pub use bounds::gives_up_at;
pub use breaker::is_open;
pub use conclude::PATIENCE;
pub use inject::stalled;
pub use turn::{Turn, Waiting, may_run_again, turn};

use crate::{
    journal::{Event, FaultStage, Found, Generation},
    model::{Effect, FaultId, Observation, Outcome, Query, Receipt, Timestamp},
    plan::Plan,
};

/// What a pass wants. Events are appended and durable before any act is sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// What is now known.
    pub notes: Vec<Event>,
    /// What is about to be done.
    pub intents: Vec<Event>,
    pub acts: Vec<Act>,
    /// What has to be looked at now.
    pub looks: Vec<Query>,
    /// Whether the records can be read and judged now.
    pub audit: bool,
    /// When to decide again if nothing happens before. Always in the future.
    pub wake_at: Option<Timestamp>,
    now: Option<Timestamp>,
}

/// One effect to send, and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    pub purpose: Purpose,
    pub effect: Effect,
    /// When to send it; `None`: at once.
    pub due: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    Submit { index: u32, attempt: u32 },
    Inject { fault: FaultId, effect: u32 },
    Heal { fault: FaultId, effect: u32 },
    Terminate { run_id: String },
}

/// The longest that one AWS call can be in flight, and a margin: what it has not done by then it will not do.
pub const AWS_SETTLE: Duration = Duration::from_secs(15);

/// A call that is sent later than this after its intent is not sent: the windows count from the intent.
///
/// So a window is as long as the longest call in flight, and this: [`AWS_SETTLE`] has room for it.
pub const SEND_SLACK: Duration = Duration::from_secs(1);

impl Decision {
    /// Asks for another pass at `instant`, unless an earlier one is wanted.
    ///
    /// What was due already waits for a look or an answer: time alone brings it no further, so it wakes nobody.
    fn wake(&mut self, instant: Timestamp) {
        if self.now.is_some_and(|now| instant <= now) {
            return;
        }
        self.wake_at = Some(self.wake_at.map_or(instant, |earlier| earlier.min(instant)));
    }

    /// Takes a fault's intent and its acts out again, and asks for another pass at `again`.
    pub fn withdraw(&mut self, fault: &FaultId, again: Timestamp) {
        self.intents.retain(|event| !matches!(event, Event::FaultIntended { fault: other, .. } if other == fault));
        self.acts.retain(|act| !matches!(&act.purpose, Purpose::Inject { fault: other, .. } if other == fault));
        self.wake(again);
    }

    fn is_settled(&self) -> bool {
        self.notes.is_empty() && self.intents.is_empty()
    }
}

/// Decides. Every call with the same arguments gives the same answer.
pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp) -> Decision {
    let mut decision = Decision { now: Some(now), ..Decision::default() };
    if state.concluded.is_some() {
        return decision;
    }
    if observation.leaving.is_some() {
        ready::look_at_faults(state, observation, now, plan, &mut decision);
        inject::heal(plan, state, observation, now, &mut decision);
        return decision;
    }
    ready::decide(plan, state, observation, now, &mut decision);
    inject::heal(plan, state, observation, now, &mut decision);
    if state.started_at.is_some() {
        tasks::decide(state, observation, &mut decision);
        gauges::decide(plan, state, observation, now, &mut decision);
        limits::decide(plan, state, observation, now, &mut decision);
    }
    // After an end, also one that is only about to be written down, nothing new goes out.
    let is_aborted = decision.notes.iter().any(|event| matches!(event, Event::Aborted { .. }));
    let is_under_way = state.started_at.is_some() && !is_aborted;
    if is_under_way && bounds::decide(plan, state, now, &mut decision) {
        submit::decide(plan, state, observation, now, &mut decision);
    }
    terminate::decide(state, observation, now, &mut decision);
    if is_under_way {
        inject::decide(plan, state, observation, now, &mut decision);
    }
    // Notes change the state that a conclusion is drawn from: it is drawn in the next pass, when they are durable.
    if decision.is_settled() {
        conclude::decide(plan, state, observation, now, &mut decision);
    }
    decision
}

/// The event that records when the request of a launch went out; `None`: it did not, or its fate is known already.
pub fn sent(state: &Generation, purpose: &Purpose, sent_at: Option<Timestamp>) -> Option<Event> {
    let Purpose::Submit { index, attempt } = purpose else { return None };
    let submission = state.submissions.get(index)?;
    let is_open = submission.attempts == *attempt && !submission.is_settled();
    let sent_at = sent_at.filter(|_| is_open && submission.sent_at.is_none())?;
    Some(Event::SubmitSent { index: *index, attempt: *attempt, sent_at })
}

/// The event that records what came of an act; `None` if its fate became known in another way meanwhile.
pub fn outcome(state: &Generation, purpose: &Purpose, outcome: Outcome) -> Option<Event> {
    match purpose {
        Purpose::Submit { index, attempt } => {
            let submission = state.submissions.get(index)?;
            if submission.attempts != *attempt || submission.is_settled() {
                return None;
            }
            Some(match outcome {
                Outcome::Done(Receipt::Launched { run_id }) => {
                    Event::Submitted { index: *index, run_id, found: Found::Acknowledged }
                }
                Outcome::Done(
                    Receipt::Stopping
                    | Receipt::Terminating
                    | Receipt::Published
                    | Receipt::Changed
                    | Receipt::Copied(_),
                ) => Event::SubmitInDoubt { index: *index, reason: "the answer was not a launch's".to_owned() },
                Outcome::Refused { reason, retry } => Event::SubmitRefused { index: *index, reason, retry },
                Outcome::Unknown { reason } => Event::SubmitInDoubt { index: *index, reason },
            })
        }
        Purpose::Terminate { run_id } => {
            let lives = state.concluded.is_none() && state.terminations.contains_key(run_id);
            lives.then(|| Event::TerminateTried { run_id: run_id.clone(), outcome })
        }
        Purpose::Inject { fault, effect } => {
            let open = state.faults.get(fault)?.stage == FaultStage::Open;
            open.then(|| Event::InjectTried { fault: fault.clone(), effect: *effect, outcome })
        }
        Purpose::Heal { fault, effect } => {
            let known = state.faults.get(fault)?;
            // An answer to a try of an earlier way back says nothing of this one.
            let step = known.heal.as_ref()?.steps.get(*effect as usize)?;
            let waits = known.stage == FaultStage::Open && step.sent_at.is_some() && step.outcome.is_none();
            waits.then(|| Event::HealTried { fault: fault.clone(), effect: *effect, outcome })
        }
    }
}
