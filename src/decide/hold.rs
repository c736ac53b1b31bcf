//! Faults that lie in an object until we take them back: injected effect by effect, taken back in the same way, and proved
//! by a look.

use std::time::Duration;

use super::{AWS_SETTLE, Act, Decision, Purpose};
use crate::{
    fault::Progress,
    journal::{Event, FaultState, Generation, Heal, HealStep},
    model::{Effect, FaultId, Observation, Outcome, Receipt, Timestamp},
    plan::PlannedFault,
};

/// What may not have arrived is sent again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// What is refused is sent again after twice as long each time, but no less often than this.
const SELDOM: Duration = Duration::from_secs(30);
/// An effect of the way back that is refused so often sends it back to its first.
const ANEW: u32 = 3;
/// Whether somebody else changed the object is judged by a look that is not older than this.
const FRESH: Duration = Duration::from_secs(2);
/// However long ago the next effect was due, no look counts that is older: this process may have stood still since. The
/// slowest look counts all the same, or what is broken would stay so: it is a few calls, and each gives up after 10 s.
const STALE: Duration = Duration::from_secs(60);

/// A queue's policy takes up to 60 s to be in force, and as long to be seen (SQS's SetQueueAttributes).
const QUEUE_SETTLE: Duration = Duration::from_secs(70);

/// Why what was taken back is taken back once more.
const THERE_AGAIN: &str = "what was taken back is there again";

/// One fault and all that is known of it.
pub(super) struct Held<'a> {
    pub id: &'a FaultId,
    pub planned: &'a PlannedFault,
    pub fault: &'a FaultState,
    pub state: &'a Generation,
    pub observation: &'a Observation,
    pub asked_at: Option<Timestamp>,
    /// Until when the baseline is waited for once nothing of ours is left.
    pub patience: Timestamp,
    pub now: Timestamp,
}

impl Held<'_> {
    pub fn decide(&self, decision: &mut Decision) {
        match &self.fault.heal {
            None => match self.reason_to_heal() {
                Some(reason) => self.begin_to_heal(reason, decision),
                None => self.inject(decision),
            },
            // There is nothing to take back, or nothing of it ever came about: no right is needed for that.
            Some(_) if self.is_gone() || !self.fault.may_be_in_place() => {
                if let Some(asked_at) = self.asked_at {
                    decision.notes.push(Event::Healed { fault: self.id.clone(), asked_at });
                }
            }
            Some(heal) => match (heal.undone_at(), next(heal)) {
                (Some(undone_at), _) => self.prove(heal, undone_at, decision),
                (None, Some((number, step))) => self.take_back(heal, number, step, decision),
                (None, None) => {}
            },
        }
    }

    /// Whether a look of late shows that somebody's change stands in the way. A process that ends looks once more: the change
    /// may be gone by now.
    pub fn is_in_the_way(&self) -> bool {
        let late = self.now.minus(STALE);
        let since = self.observation.leaving.map_or(late, |told_at| told_at.max(late));
        matches!(self.progress(since), Progress::Foreign(_))
    }

    /// A change is decided by no look that was asked earlier.
    fn oldest_look(&self) -> Timestamp {
        let late = self.now.minus(STALE);
        self.observation.awoke_at.map_or(late, |awoke_at| awoke_at.max(late))
    }

    fn begin_to_heal(&self, reason: String, decision: &mut Decision) {
        decision.notes.push(Event::HealBegan { fault: self.id.clone(), reason });
    }

    /// What it changes does not exist any more, as a look shows that what was sent cannot outlast.
    fn is_gone(&self) -> bool {
        self.asked_at.is_some_and(|asked_at| asked_at >= self.fault.last_attempt_at.plus(self.settle()))
            && self.progress(self.fault.last_attempt_at) == Progress::Gone
    }

    /// How long after its last call an effect can still come about, or not show yet.
    fn settle(&self) -> Duration {
        let is_of_queue = |effect: &Effect| matches!(effect, Effect::DenyQueue { .. });
        if self.fault.inject.iter().any(is_of_queue) { QUEUE_SETTLE } else { AWS_SETTLE }
    }

    fn ends(&self) -> Timestamp {
        self.fault.intended_at.plus(self.planned.length.unwrap_or_default())
    }

    fn reason_to_heal(&self) -> Option<String> {
        let settled = self.asked_at.is_some_and(|asked_at| asked_at >= self.fault.last_attempt_at.plus(self.settle()));
        if let Some(ending) = self.state.ending() {
            Some(ending.value.clone())
        } else if self.observation.leaving.is_some() {
            Some("dagstorm ends".to_owned())
        } else if self.now >= self.ends() {
            Some("its time is over".to_owned())
        } else if self.state.target.guard.denied_until(self.now).is_some() {
            Some("a deny window of the target has begun".to_owned())
        } else if let Some(reason) = self.fault.refusal() {
            Some(format!("it could not be injected: {reason}"))
        } else if self.is_injected() && settled {
            self.disturbance()
        } else {
            None
        }
    }

    /// What somebody else has done to the object while the fault was in place.
    fn disturbance(&self) -> Option<String> {
        match self.progress(self.fault.last_attempt_at) {
            Progress::Intact | Progress::Marked => Some("somebody else has taken it back".to_owned()),
            Progress::Foreign(difference) => Some(difference),
            Progress::Gone => Some("what it changes is gone".to_owned()),
            Progress::NotYet if self.fault.seen_at.is_some() => {
                Some("somebody else has taken a part of it back".to_owned())
            }
            Progress::Unseen | Progress::NotYet | Progress::Broken | Progress::Recovering | Progress::Steady => None,
        }
    }

    fn is_injected(&self) -> bool {
        self.fault.outcomes.iter().all(|outcome| matches!(outcome, Some(Outcome::Done(_))))
    }

    fn progress(&self, since: Timestamp) -> Progress {
        let injected = super::inject::injected(self.state, self.id, self.fault);
        self.planned.fault.progress(&self.state.target, &injected, self.observation, since)
    }

    /// Sends the next effect of the injection, once all before it are done, and unless somebody else changes the object.
    fn inject(&self, decision: &mut Decision) {
        decision.wake(self.ends());
        if let Some(denied) = self.state.target.guard.next_denied(self.now) {
            decision.wake(denied);
        }
        if let Some(asked_at) = self.asked_at.filter(|_| self.fault.seen_at.is_none())
            && self.progress(self.fault.last_attempt_at) == Progress::Broken
        {
            decision.notes.push(Event::FaultSeen { fault: self.id.clone(), asked_at });
        }
        let is_done = |number: usize| matches!(self.fault.outcomes[number], Some(Outcome::Done(_)));
        let Some(number) = (0..self.fault.inject.len()).find(|number| !is_done(*number)) else { return };
        let again = match (self.fault.sent_at[number], &self.fault.outcomes[number]) {
            (None, _) => self.fault.last_attempt_at,
            (Some(sent_at), None) => sent_at.plus(AWS_SETTLE),
            (Some(_), Some(_)) => self.fault.last_attempt_at.plus(AGAIN),
        };
        if again > self.now {
            decision.wake(again);
            return;
        }
        let is_change = !matches!(self.fault.inject[number], Effect::RehearseRules { .. } | Effect::Mark { .. });
        // The first change waits for a look that shows the mark: without, nobody else could tell of the change.
        let is_marked_now = number > 0 && matches!(self.fault.inject[number - 1], Effect::Mark { .. });
        let since = if is_change && is_marked_now { self.fault.last_attempt_at } else { again.minus(FRESH) };
        let since = since.max(self.oldest_look());
        match self.progress(since) {
            Progress::Unseen | Progress::Gone => return,
            Progress::Foreign(difference) => return self.begin_to_heal(difference, decision),
            Progress::Intact | Progress::Steady if is_change => {
                let missing_at = self.fault.last_attempt_at.plus(AWS_SETTLE);
                if self.now >= missing_at {
                    self.begin_to_heal("its mark is not on the object".to_owned(), decision);
                }
                return decision.wake(missing_at);
            }
            Progress::Intact
            | Progress::NotYet
            | Progress::Marked
            | Progress::Broken
            | Progress::Recovering
            | Progress::Steady => {}
        }
        let effect = number as u32;
        decision.intents.push(Event::InjectIntended { fault: self.id.clone(), effect });
        let purpose = Purpose::Inject { fault: self.id.clone(), effect };
        decision.acts.push(Act { purpose, effect: self.fault.inject[number].clone(), due: None });
    }

    /// Sends the next effect of the way back, unless that would overwrite what somebody else has done.
    fn take_back(&self, heal: &Heal, number: usize, step: &HealStep, decision: &mut Decision) {
        let last = heal.steps.iter().filter_map(|step| step.known_at).max().unwrap_or(heal.began_at);
        let again = match (step.sent_at, &step.outcome) {
            (None, _) => last,
            (Some(sent_at), None) => sent_at.plus(AWS_SETTLE),
            (Some(sent_at), Some(_)) => step.known_at.unwrap_or(sent_at).plus(self.backoff(step.tries)),
        };
        if again > self.now {
            decision.wake(again);
            return;
        }
        let since = again.minus(FRESH).max(self.oldest_look());
        match self.progress(since) {
            Progress::Unseen | Progress::Gone => return,
            Progress::Foreign(difference) => return self.stall(difference, decision),
            Progress::Intact
            | Progress::NotYet
            | Progress::Marked
            | Progress::Broken
            | Progress::Recovering
            | Progress::Steady => self.unstall(decision),
        }
        // What an earlier effect took back may be there again: a call that was late can be what stands in the way.
        if number > 0 && step.tries >= ANEW && matches!(step.outcome, Some(Outcome::Refused { retry: true, .. })) {
            return self.begin_to_heal("a part of the way back was refused: it is taken anew".to_owned(), decision);
        }
        let effect = &self.fault.undo.effects[number];
        let is_unmark = matches!(effect, Effect::Unmark { .. });
        if is_unmark && step.sent_at.is_none() && !self.may_unmark(heal, decision) {
            return;
        }
        let number = number as u32;
        if is_unmark && matches!(self.progress(since), Progress::Intact | Progress::Steady) {
            // Nothing of ours is on the object: what is there now is another's.
            let outcome = Outcome::Done(Receipt::Changed);
            return decision.notes.push(Event::HealTried { fault: self.id.clone(), effect: number, outcome });
        }
        decision.intents.push(Event::HealIntended { fault: self.id.clone(), effect: number });
        let purpose = Purpose::Heal { fault: self.id.clone(), effect: number };
        decision.acts.push(Act { purpose, effect: effect.clone(), due: None });
    }

    /// Whether nothing but the mark is left, and nothing that was sent can come about any more: until then, the mark is
    /// all that tells of it where no journal does.
    fn may_unmark(&self, heal: &Heal, decision: &mut Decision) -> bool {
        let settled_at =
            self.fault.sent_at.iter().flatten().max().map_or(self.now, |sent_at| sent_at.plus(self.settle()));
        let is_change = |(effect, _): &(&Effect, &HealStep)| !matches!(effect, Effect::Unmark { .. });
        let changes = self.fault.undo.effects.iter().zip(&heal.steps).filter(is_change);
        let taken_back_at = changes.filter_map(|(_, step)| step.known_at).max().unwrap_or(heal.began_at);
        match self.progress(settled_at.max(taken_back_at)) {
            Progress::Marked | Progress::Intact | Progress::Recovering | Progress::Steady => return true,
            Progress::Unseen | Progress::Gone | Progress::NotYet | Progress::Broken | Progress::Foreign(_) => {}
        }
        let again = taken_back_at.plus(AGAIN);
        if matches!(self.progress(again), Progress::NotYet | Progress::Broken) {
            self.begin_to_heal(THERE_AGAIN.to_owned(), decision);
        }
        decision.wake(settled_at);
        decision.wake(again);
        false
    }

    /// Everything was taken back, as the answers say: a look asked late enough must say so too.
    fn prove(&self, heal: &Heal, undone_at: Timestamp, decision: &mut Decision) {
        let window = undone_at.max(self.fault.last_attempt_at.plus(self.settle()));
        let asked_at = self.asked_at.unwrap_or(heal.began_at);
        let fault = || self.id.clone();
        match self.progress(undone_at) {
            Progress::Unseen | Progress::Gone => {}
            Progress::Steady | Progress::Intact => {
                self.unstall(decision);
                if self.fault.steady_at.is_none() {
                    decision.notes.push(Event::FaultSteady { fault: fault(), asked_at });
                }
                if asked_at >= window {
                    decision.notes.push(Event::Healed { fault: fault(), asked_at });
                }
            }
            Progress::Recovering if self.now >= self.patience => {
                let reason = "its service did not run what it wants in time; nothing of ours is left".to_owned();
                decision.notes.push(Event::FaultGivenUp { fault: fault(), reason });
            }
            Progress::Recovering => decision.wake(self.patience),
            // An answer may have come late, or a change may not show yet.
            Progress::NotYet | Progress::Marked | Progress::Broken if asked_at >= undone_at.plus(AGAIN) => {
                self.begin_to_heal(THERE_AGAIN.to_owned(), decision);
            }
            Progress::NotYet | Progress::Marked | Progress::Broken => decision.wake(undone_at.plus(AGAIN)),
            Progress::Foreign(difference) => self.stall(difference, decision),
        }
        decision.wake(window);
    }

    /// How long after a refusal it is tried again. A process that ends has no time to wait for longer.
    fn backoff(&self, tries: u32) -> Duration {
        let doublings = if self.observation.leaving.is_some() { 0 } else { tries.saturating_sub(1).min(8) };
        AGAIN.saturating_mul(1 << doublings).min(SELDOM)
    }

    fn stall(&self, reason: String, decision: &mut Decision) {
        if self.fault.stalled.as_ref() != Some(&reason) {
            decision.notes.push(Event::FaultStalled { fault: self.id.clone(), reason });
        }
    }

    fn unstall(&self, decision: &mut Decision) {
        if self.fault.stalled.is_some() {
            decision.notes.push(Event::FaultUnstalled { fault: self.id.clone() });
        }
    }
}

/// The first effect of the way back that is not done.
fn next(heal: &Heal) -> Option<(usize, &HealStep)> {
    heal.steps.iter().enumerate().find(|(_, step)| !matches!(step.outcome, Some(Outcome::Done(_))))
}
