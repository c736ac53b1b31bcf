//! What the records of one fault add up to.

use super::generation::Fact;
use crate::model::{Copies, Effect, Object, Outcome, Receipt, TaskView, Timestamp, Undo};

/// One fault's way.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultState {
    pub targets: Vec<TaskView>,
    /// What it changes: no other fault may have it meanwhile.
    pub objects: Vec<Object>,
    pub inject: Vec<Effect>,
    pub undo: Undo,
    pub intended_at: Timestamp,
    /// The last instant at which an injection was intended or tried.
    pub last_attempt_at: Timestamp,
    /// What came of each effect of the injection; `None`: nothing yet.
    pub outcomes: Vec<Option<Outcome>>,
    /// When each effect of the injection was last sent; `None`: never.
    pub sent_at: Vec<Option<Timestamp>>,
    /// Whether a try of each effect of the injection before the last one may have come about.
    pub doubted: Vec<bool>,
    pub seen_at: Option<Timestamp>,
    /// The way back, once it is taken.
    pub heal: Option<Heal>,
    /// Why it cannot be taken back, as long as it cannot.
    pub stalled: Option<String>,
    pub steady_at: Option<Timestamp>,
    pub stage: FaultStage,
}

/// The way back of a fault that is taken back by us.
#[derive(Debug, Clone, PartialEq)]
pub struct Heal {
    /// When it was first taken, and why: the fault's time ended then, however often it had to be taken anew.
    pub cause: Fact<String>,
    pub began_at: Timestamp,
    pub reason: String,
    /// One for each effect of the undo.
    pub steps: Vec<HealStep>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealStep {
    pub sent_at: Option<Timestamp>,
    pub tries: u32,
    /// What came of the last try; `None`: nothing yet.
    pub outcome: Option<Outcome>,
    /// When that became known.
    pub known_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultStage {
    /// It may be in place: the finalizer holds the generation until it is healed.
    Open,
    Healed(Timestamp),
    /// Its service did not come back in time, and there is nothing of ours to undo.
    GivenUp(String),
    Skipped(String),
}

impl FaultState {
    pub(crate) fn new(at: Timestamp, targets: &[TaskView], objects: &[Object], inject: &[Effect], undo: &Undo) -> Self {
        let at_once = |(number, effect): (usize, &Effect)| number == 0 || !effect.waits_for_earlier();
        Self {
            targets: targets.to_vec(),
            objects: objects.to_vec(),
            inject: inject.to_vec(),
            undo: undo.clone(),
            intended_at: at,
            last_attempt_at: at,
            outcomes: vec![None; inject.len()],
            doubted: vec![false; inject.len()],
            sent_at: inject.iter().enumerate().map(|one| at_once(one).then_some(at)).collect(),
            seen_at: None,
            heal: None,
            stalled: None,
            steady_at: None,
            stage: FaultStage::Open,
        }
    }

    pub(super) fn skipped(at: Timestamp, reason: &str) -> Self {
        Self { stage: FaultStage::Skipped(reason.to_owned()), ..Self::new(at, &[], &[], &[], &Undo::default()) }
    }

    /// Whether it lies in an object until we take it back.
    pub fn is_held(&self) -> bool {
        !self.undo.effects.is_empty()
    }

    /// Why it was not injected, or not whole: an effect of it was refused for good.
    pub fn refusal(&self) -> Option<&str> {
        self.outcomes.iter().flatten().find_map(|outcome| match outcome {
            Outcome::Refused { reason, retry: false } => Some(reason.as_str()),
            Outcome::Refused { retry: true, .. } | Outcome::Done(_) | Outcome::Unknown { .. } => None,
        })
    }

    /// What became of the messages that it copied; `None`: it copied none, or no answer says so.
    pub fn copies(&self) -> Option<&Copies> {
        self.outcomes.iter().flatten().find_map(|outcome| match outcome {
            Outcome::Done(Receipt::Copied(copies)) => Some(copies),
            Outcome::Done(_) | Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        })
    }

    /// Whether anything of it may have come about: what was refused has not, and a rehearsal changes nothing.
    pub fn may_be_in_place(&self) -> bool {
        let is_refused = |number: usize| matches!(self.outcomes[number], Some(Outcome::Refused { .. }));
        self.inject.iter().enumerate().any(|(number, effect)| {
            let changes = !matches!(effect, Effect::RehearseRules { .. });
            changes && (self.doubted[number] || self.sent_at[number].is_some() && !is_refused(number))
        })
    }

    /// Whether all that we changed is taken back, as far as the answers say.
    pub fn is_undone(&self) -> bool {
        !self.is_held() || !self.may_be_in_place() || self.heal.as_ref().is_some_and(|heal| heal.undone_at().is_some())
    }

    pub(super) fn intended(&mut self, at: Timestamp, effect: u32) -> Result<(), String> {
        let known = self.slot(effect)?.take();
        let number = effect as usize;
        let was_sent = self.sent_at[number].is_some();
        self.doubted[number] |= was_sent && !matches!(known, Some(Outcome::Refused { .. }));
        self.sent_at[number] = Some(at);
        self.last_attempt_at = at;
        Ok(())
    }

    pub(super) fn tried(&mut self, at: Timestamp, effect: u32, outcome: &Outcome) -> Result<(), String> {
        *self.slot(effect)? = Some(outcome.clone());
        self.last_attempt_at = at;
        Ok(())
    }

    fn slot(&mut self, effect: u32) -> Result<&mut Option<Outcome>, String> {
        self.outcomes.get_mut(effect as usize).ok_or_else(|| format!("the fault has no effect {effect}"))
    }

    pub(super) fn heal_began(&mut self, at: Timestamp, reason: &str) -> Result<(), String> {
        if !self.is_held() {
            return Err("a fault without a way back is healed by itself".to_owned());
        }
        let cause = match self.heal.take() {
            Some(earlier) => earlier.cause,
            None => Fact { at, value: reason.to_owned() },
        };
        let steps = vec![HealStep::default(); self.undo.effects.len()];
        self.heal = Some(Heal { cause, began_at: at, reason: reason.to_owned(), steps });
        Ok(())
    }

    pub(super) fn heal_intended(&mut self, at: Timestamp, effect: u32) -> Result<(), String> {
        let step = self.step(effect)?;
        *step = HealStep { sent_at: Some(at), tries: step.tries + 1, outcome: None, known_at: None };
        Ok(())
    }

    pub(super) fn heal_tried(&mut self, at: Timestamp, effect: u32, outcome: &Outcome) -> Result<(), String> {
        let step = self.step(effect)?;
        step.outcome = Some(outcome.clone());
        step.known_at = Some(at);
        Ok(())
    }

    fn step(&mut self, effect: u32) -> Result<&mut HealStep, String> {
        let heal = self.heal.as_mut().ok_or_else(|| "the way back has not begun".to_owned())?;
        heal.steps.get_mut(effect as usize).ok_or_else(|| format!("the way back has no effect {effect}"))
    }

    pub(super) fn give_up(&mut self, reason: &str) -> Result<(), String> {
        if !self.is_undone() {
            return Err("a fault is given up, and there is something to undo".to_owned());
        }
        self.stage = FaultStage::GivenUp(reason.to_owned());
        Ok(())
    }
}

impl Heal {
    /// When the last effect was done, if all were.
    pub fn undone_at(&self) -> Option<Timestamp> {
        let done = |step: &HealStep| matches!(step.outcome, Some(Outcome::Done(_))).then_some(step.known_at).flatten();
        self.steps.iter().map(done).collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
    }

    /// Why the way back does not get on, if it was refused.
    pub fn refusal(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| match &step.outcome {
            Some(Outcome::Refused { reason, .. } | Outcome::Unknown { reason }) => Some(reason.as_str()),
            Some(Outcome::Done(_)) | None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_that_is_taken_anew_keeps_when_and_why_it_was_first_taken() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let undo = Undo { effects: vec![Effect::AllowQueue { url: "q".to_owned() }], steady: None };
        let mut fault = FaultState::new(at(0), &[], &[], &[], &undo);
        fault.heal_began(at(5), "a deny window").expect("it is held");
        fault.heal_intended(at(6), 0).expect("a step");
        fault.heal_began(at(90), "it is there again").expect("it is held");
        let heal = fault.heal.expect("it is taken back");
        assert_eq!(heal.cause, Fact { at: at(5), value: "a deny window".to_owned() });
        assert_eq!((heal.began_at, heal.reason.as_str()), (at(90), "it is there again"));
        assert_eq!(heal.steps, [HealStep::default()], "from its first step on");
    }
}
