//! What the records of one generation add up to: its launches, its faults, its end.

use std::collections::{BTreeMap, BTreeSet};

pub use super::fact::{Adopting, Fact, OtherWriter, Sample, TaskLife};
use super::{
    fault::{FaultStage, FaultState},
    record::{Conclusion, Dependency, Event, Found, ResolvedChoice},
    submission::{LaunchTrouble, Submission, SubmissionStage},
};
use crate::{
    model::{FaultId, GenerationId, Metric, RunCounts, Target, TaskArn, Timestamp, Why, WriterId},
    spec::Scenario,
};

/// One generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    pub id: GenerationId,
    pub scenario: Scenario,
    pub target: Target,
    /// The data folder that its runs name; journals before that have none.
    pub writer: Option<WriterId>,
    pub accepted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub dagster_version: Option<String>,
    /// So many runs were there before this data folder knew of them: how many when they were first seen, how many now, and since
    /// when that many.
    pub adopting: Option<Adopting>,
    /// The partitions of its launches, once they are known.
    pub partitions: Option<Vec<ResolvedChoice>>,
    /// What cannot be used now, and since when.
    pub unready: BTreeMap<Dependency, Fact<Why>>,
    /// The gauges that are drawn, that nothing depends on, and that cannot be seen now.
    pub unseen: BTreeMap<Metric, Fact<Why>>,
    /// When the set of what is unready last became empty or ceased to be.
    pub readiness_changed_at: Timestamp,
    /// When something that could not be used was last seen again.
    pub readied_at: Option<Timestamp>,
    pub submissions: BTreeMap<u32, Submission>,
    /// The submissions whose fate is not known for good.
    pub open: BTreeSet<u32>,
    /// The lowest index that was never attempted.
    pub frontier: u32,
    /// How launches have gone lately.
    pub launches: LaunchTrouble,
    /// How many of the submissions are known to be runs.
    pub acknowledged: u32,
    pub faults: BTreeMap<FaultId, FaultState>,
    /// When each fault with `when`, by its name, first saw what it waits for.
    pub triggered: BTreeMap<String, Timestamp>,
    pub runs: Option<Fact<RunCounts>>,
    /// Keys of which Dagster showed more than one run, with those runs.
    pub duplicates: BTreeMap<u32, Fact<Vec<String>>>,
    /// Ended runs whose step events were read on the way.
    pub steps_read: BTreeSet<String>,
    /// Steps that were completed more than once, by their run and name, in words.
    pub step_duplicates: BTreeMap<(String, String), Fact<String>>,
    /// Runs that Dagster has made and will never start, by their ids, with what is wrong with them.
    pub never_started: BTreeMap<String, Fact<String>>,
    /// Another dagstorm launches the same generation.
    pub other_writer: Option<Fact<OtherWriter>>,
    /// Runs that nothing explains, by their ids, with what is wrong with them.
    pub unexpected: BTreeMap<String, Fact<String>>,
    /// What the gauges showed, the oldest first.
    pub samples: Vec<Sample>,
    /// The tasks that were seen to run.
    pub tasks: BTreeMap<TaskArn, TaskLife>,
    /// Of each gauge the last of its samples.
    pub last_samples: BTreeMap<Metric, Sample>,
    /// What `limits.abortOn` names came true: it is ended and judged.
    pub aborted: Option<Fact<String>>,
    /// The time for launches is over, and some were not acknowledged: it is judged without them.
    pub given_up: Option<Fact<String>>,
    pub stop: Option<Fact<String>>,
    /// After the stop, runs that are under way are ended.
    pub terminate: bool,
    /// When each of these runs was last asked to end.
    pub terminations: BTreeMap<String, Timestamp>,
    pub audit_began_at: Option<Timestamp>,
    pub concluded: Option<Fact<Conclusion>>,
}

impl Generation {
    pub(super) fn new(id: GenerationId, scenario: &Scenario, target: &Target, at: Timestamp) -> Self {
        Self {
            id,
            scenario: scenario.clone(),
            target: target.clone(),
            accepted_at: at,
            started_at: None,
            dagster_version: None,
            writer: None,
            adopting: None,
            partitions: None,
            never_started: BTreeMap::new(),
            other_writer: None,
            unready: BTreeMap::new(),
            unseen: BTreeMap::new(),
            readiness_changed_at: at,
            readied_at: None,
            submissions: BTreeMap::new(),
            open: BTreeSet::new(),
            frontier: 0,
            launches: LaunchTrouble::default(),
            acknowledged: 0,
            faults: BTreeMap::new(),
            triggered: BTreeMap::new(),
            runs: None,
            duplicates: BTreeMap::new(),
            steps_read: BTreeSet::new(),
            step_duplicates: BTreeMap::new(),
            unexpected: BTreeMap::new(),
            samples: vec![],
            tasks: BTreeMap::new(),
            last_samples: BTreeMap::new(),
            aborted: None,
            given_up: None,
            stop: None,
            terminate: false,
            terminations: BTreeMap::new(),
            audit_began_at: None,
            concluded: None,
        }
    }

    /// Nothing was ever sent to the target, so it may still be exchanged.
    pub fn is_untouched(&self) -> bool {
        self.faults.values().all(|fault| fault.inject.is_empty())
            && self.submissions.values().all(|submission| match submission.stage {
                SubmissionStage::Deferred { .. } | SubmissionStage::Dropped { .. } => true,
                SubmissionStage::Intended
                | SubmissionStage::InDoubt(_)
                | SubmissionStage::Acknowledged { .. }
                | SubmissionStage::Rejected(_)
                | SubmissionStage::Absent(_) => false,
            })
    }

    /// Why nothing new begins any more, if so: it was stopped, aborted, or the time for launches is over.
    pub fn ending(&self) -> Option<&Fact<String>> {
        self.stop.as_ref().or(self.aborted.as_ref()).or(self.given_up.as_ref())
    }

    /// The last instant at which something was sent that could still have an effect.
    pub fn last_attempt_at(&self) -> Option<Timestamp> {
        let submissions = self.submissions.values().map(|submission| submission.last_attempt_at);
        submissions.chain(self.faults.values().map(|fault| fault.last_attempt_at)).max()
    }

    #[allow(clippy::too_many_lines, reason = "one arm an event, each a line or a call")]
    pub(super) fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), String> {
        match event {
            Event::Accepted { .. } => return Err("accepted twice".to_owned()),
            Event::Compacted { .. } => return Err("records are compacted while a generation lives".to_owned()),
            Event::Retargeted { target } => self.retarget(at, target)?,
            Event::Unready { dependency, why } => self.unready(at, dependency, why),
            Event::Readied { dependency } => self.readied(at, dependency),
            Event::PartitionsResolved { choices } => {
                if self.started_at.is_some() || self.partitions.replace(choices.clone()).is_some() {
                    return Err("the partitions are resolved after the start, or twice".to_owned());
                }
            }
            Event::WriterNamed { writer } => self.writer = Some(writer.clone()),
            Event::Adopting { runs } => {
                let first = self.adopting.map_or(*runs, |known| known.first);
                self.adopting = Some(Adopting { first, runs: *runs, since: at });
            }
            Event::Started { at, dagster_version } => self.start(*at, dagster_version)?,
            Event::SubmitIntended { index, attempt, due } => {
                // It is sent at its instant, so that counts: not when it was written down.
                self.submit_intended(due.map_or(at, |due| due.max(at)), *index, *attempt)?;
            }
            Event::SubmitSent { index, attempt, sent_at } => {
                self.open_submission(*index)?
                    .sent(*attempt, *sent_at)
                    .map_err(|error| format!("arrival {index}: {error}"))?;
            }
            Event::Submitted { index, run_id, found } => self.submitted(at, *index, run_id, *found)?,
            Event::SubmitRefused { index, reason, retry: true } => {
                self.open_submission(*index)?.stage = SubmissionStage::Deferred { at, reason: reason.clone() };
                self.launches.failed(at, reason);
            }
            Event::SubmitRefused { index, reason, retry: false } => {
                self.launches.answered();
                self.settle(*index, SubmissionStage::Rejected(reason.clone()))?;
            }
            Event::SubmitInDoubt { index, reason } => {
                self.open_submission(*index)?.stage = SubmissionStage::InDoubt(reason.clone());
                self.launches.failed(at, reason);
            }
            Event::SubmitAbsent { index, reason } => self.settle(*index, SubmissionStage::Absent(reason.clone()))?,
            Event::SubmitDropped { index, in_flight } => {
                self.unsent(at, *index, SubmissionStage::Dropped { in_flight: *in_flight })?;
            }
            Event::Sampled { metric, asked_at, value } => {
                let sample = Sample { metric: *metric, asked_at: *asked_at, value: *value };
                self.samples.push(sample);
                self.last_samples.insert(*metric, sample);
            }
            Event::TasksChanged { service, asked_at, came, left } => {
                self.tasks_changed(service, *asked_at, came, left)?;
            }
            Event::FaultTriggered { fault, asked_at, value: _ } => {
                if self.triggered.insert(fault.clone(), *asked_at).is_some() {
                    return Err(format!("fault {fault} is triggered twice"));
                }
            }
            Event::FaultIntended { fault, targets, objects, inject, undo } => {
                self.add_fault(fault, FaultState::new(at, targets, objects, inject, undo))?;
            }
            Event::InjectIntended { fault, effect } => self.open_fault(fault)?.intended(at, *effect)?,
            Event::InjectTried { fault, effect, outcome } => self.open_fault(fault)?.tried(at, *effect, outcome)?,
            Event::HealBegan { fault, reason } => self.open_fault(fault)?.heal_began(at, reason)?,
            Event::HealIntended { fault, effect } => self.open_fault(fault)?.heal_intended(at, *effect)?,
            Event::HealTried { fault, effect, outcome } => self.open_fault(fault)?.heal_tried(at, *effect, outcome)?,
            Event::FaultStalled { fault, reason } => self.open_fault(fault)?.stalled = Some(reason.clone()),
            Event::FaultUnstalled { fault } => self.open_fault(fault)?.stalled = None,
            Event::FaultSeen { fault, asked_at } => self.open_fault(fault)?.seen_at = Some(*asked_at),
            Event::FaultSteady { fault, asked_at } => self.open_fault(fault)?.steady_at = Some(*asked_at),
            Event::Healed { fault, asked_at } => self.open_fault(fault)?.stage = FaultStage::Healed(*asked_at),
            Event::FaultGivenUp { fault, reason } => self.open_fault(fault)?.give_up(reason)?,
            Event::FaultSkipped { fault, reason } => self.add_fault(fault, FaultState::skipped(at, reason))?,
            Event::DuplicateSeen { index, runs } => {
                if self.duplicates.insert(*index, Fact { at, value: runs.clone() }).is_some() {
                    return Err(format!("the duplicate of arrival {index} is told twice"));
                }
            }
            Event::StepsRead { run_ids } => self.steps_read.extend(run_ids.iter().cloned()),
            Event::StepDuplicateSeen { run_id, step, reason } => {
                let (key, fact) = ((run_id.clone(), step.clone()), Fact { at, value: reason.clone() });
                if self.step_duplicates.insert(key, fact).is_some() {
                    return Err(format!("the duplicate of step {step} of run {run_id} is told twice"));
                }
            }
            Event::UnexpectedSeen { run_id, reason } => {
                if self.unexpected.insert(run_id.clone(), Fact { at, value: reason.clone() }).is_some() {
                    return Err(format!("run {run_id} is told twice"));
                }
            }
            Event::NeverStartedSeen { run_id, reason } => {
                if self.never_started.insert(run_id.clone(), Fact { at, value: reason.clone() }).is_some() {
                    return Err(format!("run {run_id} is told twice"));
                }
            }
            Event::OtherWriterSeen { run_id, reason, is_first } => {
                let value = OtherWriter { run_id: run_id.clone(), reason: reason.clone(), is_first: *is_first };
                if self.other_writer.as_ref().is_some_and(|known| known.value.is_first || !is_first) {
                    return Err("another writer is told twice".to_owned());
                }
                self.other_writer = Some(Fact { at, value });
            }
            Event::Counted { runs } => self.runs = Some(Fact { at, value: *runs }),
            Event::Aborted { reason } => {
                if self.started_at.is_none() || self.aborted.is_some() {
                    return Err("aborted before it began, or twice".to_owned());
                }
                self.aborted = Some(Fact { at, value: reason.clone() });
            }
            Event::LoadGivenUp { reason } => {
                if self.started_at.is_none() || self.given_up.is_some() {
                    return Err("launches are given up before the start, or twice".to_owned());
                }
                self.given_up = Some(Fact { at, value: reason.clone() });
            }
            Event::StopRequested { reason, terminate } => {
                self.stop.get_or_insert_with(|| Fact { at, value: reason.clone() });
                self.terminate |= *terminate;
            }
            Event::TerminateIntended { run_id } => {
                self.terminations.insert(run_id.clone(), at);
            }
            Event::TerminateTried { run_id, .. } => {
                let known = self.terminations.get_mut(run_id);
                *known.ok_or_else(|| format!("run {run_id} was ended without an intent"))? = at;
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

    fn tasks_changed(
        &mut self,
        service: &str,
        asked_at: Timestamp,
        came: &[TaskArn],
        left: &[TaskArn],
    ) -> Result<(), String> {
        for task in came {
            let life = TaskLife { service: service.to_owned(), seen_at: asked_at, left_at: None };
            self.tasks.insert(task.clone(), life);
        }
        for task in left {
            let life = self.tasks.get_mut(task).ok_or_else(|| format!("task {} left and never came", task.id()))?;
            life.left_at = Some(asked_at);
        }
        Ok(())
    }

    fn retarget(&mut self, at: Timestamp, target: &Target) -> Result<(), String> {
        if !self.is_untouched() {
            return Err("the target is exchanged after it was acted on".to_owned());
        }
        self.target = target.clone();
        // What was said of the old one does not hold for the new one.
        self.unready.clear();
        self.unseen.clear();
        self.adopting = None;
        self.partitions = None;
        self.readiness_changed_at = at;
        Ok(())
    }

    fn start(&mut self, at: Timestamp, dagster_version: &str) -> Result<(), String> {
        if self.started_at.replace(at).is_some() {
            return Err("started twice".to_owned());
        }
        self.dagster_version = Some(dagster_version.to_owned());
        self.readiness_changed_at = self.readiness_changed_at.max(at);
        Ok(())
    }

    fn unready(&mut self, at: Timestamp, dependency: &Dependency, why: &Why) {
        if let Dependency::Gauge(metric) = dependency {
            self.unseen.insert(*metric, Fact { at, value: why.clone() });
            return;
        }
        if self.unready.is_empty() {
            self.readiness_changed_at = at;
        }
        self.unready.insert(dependency.clone(), Fact { at, value: why.clone() });
    }

    fn readied(&mut self, at: Timestamp, dependency: &Dependency) {
        if let Dependency::Gauge(metric) = dependency {
            self.unseen.remove(metric);
            return;
        }
        if self.unready.remove(dependency).is_some() {
            self.readied_at = Some(at);
            if self.unready.is_empty() {
                self.readiness_changed_at = at;
            }
        }
    }

    fn submit_intended(&mut self, at: Timestamp, index: u32, attempt: u32) -> Result<(), String> {
        let submission =
            self.submissions.entry(index).or_insert_with(|| Submission::new(at, SubmissionStage::Intended));
        if submission.is_settled() {
            return Err(format!("arrival {index} is sent again after its fate was known"));
        }
        if attempt != submission.attempts + 1 {
            return Err(format!("arrival {index}: attempt {attempt} follows {}", submission.attempts));
        }
        let was_in_doubt = matches!(submission.stage, SubmissionStage::Intended | SubmissionStage::InDoubt(_));
        submission.doubts += u32::from(attempt > 1 && was_in_doubt);
        submission.attempts = attempt;
        submission.last_attempt_at = at;
        submission.sent_at = None;
        submission.stage = SubmissionStage::Intended;
        self.open.insert(index);
        self.advance();
        Ok(())
    }

    fn submitted(&mut self, at: Timestamp, index: u32, run_id: &str, found: Found) -> Result<(), String> {
        let stage = SubmissionStage::Acknowledged { at, run_id: run_id.to_owned(), found };
        if found == Found::Acknowledged {
            self.launches.answered();
        }
        if found != Found::Adopted {
            return self.settle(index, stage);
        }
        self.unsent(at, index, stage)
    }

    /// A fate without an attempt of ours.
    fn unsent(&mut self, at: Timestamp, index: u32, stage: SubmissionStage) -> Result<(), String> {
        self.count(&stage);
        let submission = Submission::new(at, stage);
        if self.submissions.insert(index, submission).is_some() {
            return Err(format!("arrival {index} is adopted or dropped, yet known"));
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
        self.open_submission(index)?;
        self.count(&stage);
        self.open_submission(index)?.stage = stage;
        self.open.remove(&index);
        Ok(())
    }

    fn count(&mut self, stage: &SubmissionStage) {
        self.acknowledged += u32::from(matches!(stage, SubmissionStage::Acknowledged { .. }));
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
