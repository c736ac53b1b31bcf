//! What the records of one scenario add up to. Replaying them gives the same state as living through them.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Conclusion, Dependency, Event, Found, Record, RunCounts};
use crate::{
    model::{Effect, FaultId, GenerationId, Outcome, Target, TaskView, Timestamp, Undo, Why},
    spec::Scenario,
};

/// One scenario's state: its past generations, and the one that lives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The sequence number that the next record must have.
    pub next_seq: u64,
    /// The highest epoch seen.
    pub epoch: u64,
    pub current: Option<Generation>,
    /// Generations that concluded, the oldest first. None of them ever runs again.
    pub past: Vec<Summary>,
    pub concluded: BTreeSet<GenerationId>,
}

/// What stays of a generation that concluded.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub generation: GenerationId,
    pub accepted_at: Timestamp,
    pub concluded_at: Timestamp,
    /// The epoch of the process that concluded it.
    pub epoch: u64,
    pub conclusion: Conclusion,
}

/// One generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    pub id: GenerationId,
    pub scenario: Scenario,
    pub target: Target,
    pub accepted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub dagster_version: Option<String>,
    /// So many runs were there before this data folder knew of them.
    pub adopting: Option<u32>,
    /// What cannot be used now, and since when.
    pub unready: BTreeMap<Dependency, Fact<Why>>,
    /// When the set of what is unready last became empty or ceased to be.
    pub readiness_changed_at: Timestamp,
    pub submissions: BTreeMap<u32, Submission>,
    /// The submissions whose fate is not known for good.
    pub open: BTreeSet<u32>,
    /// The lowest index that was never attempted.
    pub frontier: u32,
    pub faults: BTreeMap<FaultId, FaultState>,
    pub runs: Option<Fact<RunCounts>>,
    pub stop: Option<Fact<String>>,
    pub audit_began_at: Option<Timestamp>,
    pub concluded: Option<Fact<Conclusion>>,
}

/// Something that was written down, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact<T> {
    pub at: Timestamp,
    pub value: T,
}

/// One key's way.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    pub first_attempt_at: Timestamp,
    pub last_attempt_at: Timestamp,
    pub attempts: u32,
    pub stage: SubmissionStage,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SubmissionStage {
    /// Intended; no outcome is written yet. After a crash it is as good as in doubt.
    Intended,
    InDoubt(String),
    /// Refused at this instant; the same key will be sent again.
    Deferred {
        at: Timestamp,
        reason: String,
    },
    Acknowledged {
        at: Timestamp,
        run_id: String,
        found: Found,
    },
    Rejected(String),
    Absent(String),
}

impl Submission {
    /// Whether its fate is known for good.
    pub fn is_settled(&self) -> bool {
        match self.stage {
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) | SubmissionStage::Deferred { .. } => false,
            SubmissionStage::Acknowledged { .. } | SubmissionStage::Rejected(_) | SubmissionStage::Absent(_) => true,
        }
    }
}

/// One fault's way.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultState {
    pub targets: Vec<TaskView>,
    pub inject: Vec<Effect>,
    pub undo: Undo,
    pub intended_at: Timestamp,
    /// The last instant at which an injection was intended or tried.
    pub last_attempt_at: Timestamp,
    /// What came of each effect of the injection; `None`: nothing yet.
    pub outcomes: Vec<Option<Outcome>>,
    pub seen_at: Option<Timestamp>,
    pub steady_at: Option<Timestamp>,
    pub stage: FaultStage,
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

/// A record that does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} is illegal: {reason}")]
pub struct IllegalRecord {
    pub seq: u64,
    pub reason: String,
}

impl State {
    /// Takes one record in.
    ///
    /// # Errors
    /// When the record does not follow from the state; the state is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        let illegal = |reason: String| IllegalRecord { seq: record.seq, reason };
        if record.seq != self.next_seq {
            return Err(illegal(format!("expected number {}", self.next_seq)));
        }
        if record.epoch < self.epoch {
            return Err(illegal(format!("epoch {} is older than {}", record.epoch, self.epoch)));
        }
        if let Event::Accepted { generation, scenario, target } = &record.event {
            self.accept(record.at, generation, scenario, target).map_err(illegal)?;
        } else {
            let living = self.current.as_mut().filter(|current| current.concluded.is_none());
            let current = living.ok_or_else(|| illegal("no generation lives".to_owned()))?;
            current.apply(record.at, &record.event).map_err(illegal)?;
            if let Some(Fact { value: conclusion, .. }) = &current.concluded {
                self.concluded.insert(current.id.clone());
                self.past.push(Summary {
                    generation: current.id.clone(),
                    accepted_at: current.accepted_at,
                    concluded_at: record.at,
                    epoch: record.epoch,
                    conclusion: conclusion.clone(),
                });
            }
        }
        self.next_seq += 1;
        self.epoch = record.epoch;
        Ok(())
    }

    fn accept(
        &mut self,
        at: Timestamp,
        generation: &GenerationId,
        scenario: &Scenario,
        target: &Target,
    ) -> Result<(), String> {
        if self.living().is_some() {
            return Err("a generation is accepted while another lives".to_owned());
        }
        if self.concluded.contains(generation) {
            return Err(format!("generation {generation} was concluded already"));
        }
        self.current = Some(Generation::new(generation.clone(), scenario, target, at));
        Ok(())
    }

    /// The generation that still has work to do.
    pub fn living(&self) -> Option<&Generation> {
        self.current.as_ref().filter(|current| current.concluded.is_none())
    }

    /// How often a spec of this digest was concluded.
    pub fn repeats_of(&self, digest: &str) -> u32 {
        self.concluded
            .iter()
            .filter(|generation| generation.digest == digest)
            .map(|generation| generation.repeat)
            .max()
            .unwrap_or(0)
    }
}

impl Generation {
    fn new(id: GenerationId, scenario: &Scenario, target: &Target, at: Timestamp) -> Self {
        Self {
            id,
            scenario: scenario.clone(),
            target: target.clone(),
            accepted_at: at,
            started_at: None,
            dagster_version: None,
            adopting: None,
            unready: BTreeMap::new(),
            readiness_changed_at: at,
            submissions: BTreeMap::new(),
            open: BTreeSet::new(),
            frontier: 0,
            faults: BTreeMap::new(),
            runs: None,
            stop: None,
            audit_began_at: None,
            concluded: None,
        }
    }

    /// Nothing was ever sent to the target, so it may still be exchanged.
    pub fn is_untouched(&self) -> bool {
        self.faults.values().all(|fault| fault.inject.is_empty())
            && self.submissions.values().all(|submission| match submission.stage {
                SubmissionStage::Deferred { .. } => true,
                SubmissionStage::Intended
                | SubmissionStage::InDoubt(_)
                | SubmissionStage::Acknowledged { .. }
                | SubmissionStage::Rejected(_)
                | SubmissionStage::Absent(_) => false,
            })
    }

    /// The last instant at which something was sent that could still have an effect.
    pub fn last_attempt_at(&self) -> Option<Timestamp> {
        let submissions = self.submissions.values().map(|submission| submission.last_attempt_at);
        submissions.chain(self.faults.values().map(|fault| fault.last_attempt_at)).max()
    }

    fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), String> {
        match event {
            Event::Accepted { .. } => return Err("accepted twice".to_owned()),
            Event::Retargeted { target } => {
                if !self.is_untouched() {
                    return Err("the target is exchanged after it was acted on".to_owned());
                }
                self.target = (**target).clone();
                // What was said of the old one does not hold for the new one.
                self.unready.clear();
                self.adopting = None;
                self.readiness_changed_at = at;
            }
            Event::Unready { dependency, why } => self.unready(at, dependency, why),
            Event::Readied { dependency } => self.readied(at, dependency),
            Event::Adopting { runs } => self.adopting = Some(*runs),
            Event::Started { at, dagster_version } => {
                if self.started_at.replace(*at).is_some() {
                    return Err("started twice".to_owned());
                }
                self.dagster_version = Some(dagster_version.clone());
                self.readiness_changed_at = self.readiness_changed_at.max(*at);
            }
            Event::SubmitIntended { index, attempt } => self.submit_intended(at, *index, *attempt)?,
            Event::Submitted { index, run_id, found } => self.submitted(at, *index, run_id, *found)?,
            Event::SubmitRefused { index, reason, retry: true } => {
                self.open_submission(*index)?.stage = SubmissionStage::Deferred { at, reason: reason.clone() };
            }
            Event::SubmitRefused { index, reason, retry: false } => {
                self.settle(*index, SubmissionStage::Rejected(reason.clone()))?;
            }
            Event::SubmitInDoubt { index, reason } => {
                self.open_submission(*index)?.stage = SubmissionStage::InDoubt(reason.clone());
            }
            Event::SubmitAbsent { index, reason } => self.settle(*index, SubmissionStage::Absent(reason.clone()))?,
            Event::FaultIntended { fault, targets, inject, undo } => {
                self.add_fault(fault, FaultState::new(at, targets, inject, undo))?;
            }
            Event::InjectIntended { fault, effect } => self.open_fault(fault)?.tried(at, *effect, None)?,
            Event::InjectTried { fault, effect, outcome } => {
                self.open_fault(fault)?.tried(at, *effect, Some(outcome.clone()))?;
            }
            Event::FaultSeen { fault, asked_at } => self.open_fault(fault)?.seen_at = Some(*asked_at),
            Event::FaultSteady { fault, asked_at } => self.open_fault(fault)?.steady_at = Some(*asked_at),
            Event::Healed { fault, asked_at } => self.open_fault(fault)?.stage = FaultStage::Healed(*asked_at),
            Event::FaultGivenUp { fault, reason } => {
                let state = self.open_fault(fault)?;
                if !state.undo.effects.is_empty() {
                    return Err(format!("fault {fault} is given up, and there is something to undo"));
                }
                state.stage = FaultStage::GivenUp(reason.clone());
            }
            Event::FaultSkipped { fault, reason } => {
                let nothing = FaultState::new(at, &[], &[], &Undo::default());
                self.add_fault(fault, FaultState { stage: FaultStage::Skipped(reason.clone()), ..nothing })?;
            }
            Event::Counted { runs } => self.runs = Some(Fact { at, value: *runs }),
            Event::StopRequested { reason } => {
                self.stop.get_or_insert_with(|| Fact { at, value: reason.clone() });
            }
            Event::AuditBegan => self.audit_began_at = Some(at),
            Event::Concluded { conclusion } => {
                if self.faults.values().any(|fault| fault.stage == FaultStage::Open) {
                    return Err("concluded with an open fault".to_owned());
                }
                self.concluded = Some(Fact { at, value: conclusion.clone() });
            }
        }
        Ok(())
    }

    fn unready(&mut self, at: Timestamp, dependency: &Dependency, why: &Why) {
        if self.unready.is_empty() {
            self.readiness_changed_at = at;
        }
        self.unready.insert(dependency.clone(), Fact { at, value: why.clone() });
    }

    fn readied(&mut self, at: Timestamp, dependency: &Dependency) {
        if self.unready.remove(dependency).is_some() && self.unready.is_empty() {
            self.readiness_changed_at = at;
        }
    }

    fn submit_intended(&mut self, at: Timestamp, index: u32, attempt: u32) -> Result<(), String> {
        let submission = self.submissions.entry(index).or_insert(Submission {
            first_attempt_at: at,
            last_attempt_at: at,
            attempts: 0,
            stage: SubmissionStage::Intended,
        });
        if submission.is_settled() {
            return Err(format!("arrival {index} is sent again after its fate was known"));
        }
        if attempt != submission.attempts + 1 {
            return Err(format!("arrival {index}: attempt {attempt} follows {}", submission.attempts));
        }
        submission.attempts = attempt;
        submission.last_attempt_at = at;
        submission.stage = SubmissionStage::Intended;
        self.open.insert(index);
        self.advance();
        Ok(())
    }

    fn submitted(&mut self, at: Timestamp, index: u32, run_id: &str, found: Found) -> Result<(), String> {
        let stage = SubmissionStage::Acknowledged { at, run_id: run_id.to_owned(), found };
        if found != Found::Adopted {
            return self.settle(index, stage);
        }
        let adopted = Submission { first_attempt_at: at, last_attempt_at: at, attempts: 0, stage };
        if self.submissions.insert(index, adopted).is_some() {
            return Err(format!("arrival {index} is adopted, yet known"));
        }
        self.advance();
        Ok(())
    }

    /// A submission whose fate is still to be known.
    fn open_submission(&mut self, index: u32) -> Result<&mut Submission, String> {
        let submission = self.submissions.get_mut(&index).filter(|submission| !submission.is_settled());
        submission.ok_or_else(|| format!("arrival {index} has an outcome and no open intent"))
    }

    fn settle(&mut self, index: u32, stage: SubmissionStage) -> Result<(), String> {
        self.open_submission(index)?.stage = stage;
        self.open.remove(&index);
        Ok(())
    }

    /// Moves the frontier behind the arrivals that have a submission.
    fn advance(&mut self) {
        while self.submissions.contains_key(&self.frontier) {
            self.frontier += 1;
        }
    }

    fn add_fault(&mut self, id: &FaultId, fault: FaultState) -> Result<(), String> {
        match self.faults.insert(id.clone(), fault) {
            Some(_) => Err(format!("fault {id} is known already")),
            None => Ok(()),
        }
    }

    fn open_fault(&mut self, id: &FaultId) -> Result<&mut FaultState, String> {
        let fault = self.faults.get_mut(id).filter(|fault| fault.stage == FaultStage::Open);
        fault.ok_or_else(|| format!("fault {id} is not open"))
    }
}

impl FaultState {
    fn new(at: Timestamp, targets: &[TaskView], inject: &[Effect], undo: &Undo) -> Self {
        Self {
            targets: targets.to_vec(),
            inject: inject.to_vec(),
            undo: undo.clone(),
            intended_at: at,
            last_attempt_at: at,
            outcomes: vec![None; inject.len()],
            seen_at: None,
            steady_at: None,
            stage: FaultStage::Open,
        }
    }

    fn tried(&mut self, at: Timestamp, effect: u32, outcome: Option<Outcome>) -> Result<(), String> {
        let slot = self.outcomes.get_mut(effect as usize);
        *slot.ok_or_else(|| format!("the fault has no effect {effect}"))? = outcome;
        self.last_attempt_at = at;
        Ok(())
    }
}
