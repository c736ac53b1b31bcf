//! Which runs of a key are this data folder's launches of it, and why others are not.

use super::{generation::Generation, submission::SubmissionStage};
use crate::{
    model::{Chain, RunStatus, RunView, Runs, Timestamp, WriterId, runs::Kin},
    plan::Plan,
};

/// A launch as it is measured: from its first run to the end of its last one.
#[derive(Debug, Clone, PartialEq)]
pub struct Launched {
    pub index: u32,
    /// When its first run started.
    pub started_at: Option<Timestamp>,
    /// When its last run ended; `None`: it is under way, or a retry is announced.
    pub ended_at: Option<Timestamp>,
    /// Of its last run.
    pub status: RunStatus,
    /// It ended as FAILURE by an error of its own code.
    pub failed: bool,
}

/// The launches of a generation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Launches {
    pub all: Vec<Launched>,
    /// Arrivals that were acknowledged and of which Dagster has no run.
    pub gone: Vec<u32>,
}

impl Launches {
    /// The generation's own launches. `failed` tells an error of the job's own code from a death of its worker.
    pub fn of<'a>(
        generation: &Generation,
        plan: &Plan,
        kin: impl Iterator<Item = (u32, Kin<'a>)>,
        failed: impl Fn(&RunView) -> bool,
    ) -> Self {
        let launched = |index: u32, chain: &Chain<'_>| Launched {
            index,
            started_at: chain.runs.iter().filter_map(|run| run.started_at).min(),
            ended_at: chain.end().ended_at.filter(|_| chain.has_ended()),
            status: chain.end().status.clone(),
            failed: chain.has_ended() && failed(chain.end()),
        };
        let all = kin.flat_map(|(index, kin)| {
            let own = generation.own_launches(plan, index, kin);
            own.iter().map(|chain| launched(index, chain)).collect::<Vec<_>>()
        });
        Self { all: all.collect(), gone: vec![] }
    }

    pub fn succeeded(&self) -> impl Iterator<Item = &Launched> {
        self.all.iter().filter(|launched| launched.status == RunStatus::Success)
    }
}

/// Whether a run failed by its own code, by what Dagster says of the run alone.
pub fn failed_by_reason(run: &RunView) -> bool {
    run.status == RunStatus::Failure
        && matches!(
            run.failure_reason.as_deref(),
            Some("STEP_FAILURE" | "RUN_EXCEPTION" | "JOB_INITIALIZATION_FAILURE") | None
        )
}

/// Why a launched run that carries a key of a generation is not the launch of that key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign<'a> {
    /// It is of another job: somebody copied the tags.
    Job(&'a str),
    /// It is of the same job in another code location: somebody copied the tags.
    Code(&'a str),
    /// Another dagstorm launched it; `None`: one before runs named their writers.
    Writer(Option<&'a WriterId>),
}

impl Generation {
    /// Why a chain with the key of this arrival is none of this data folder's; `None`: it is.
    ///
    /// What was acknowledged or adopted is its own, whatever the tags say.
    pub fn foreign<'a>(&self, plan: &Plan, index: u32, chain: &Chain<'a>) -> Option<Foreign<'a>> {
        if self.run_of(index) == Some(chain.root) {
            return None;
        }
        let run = chain.runs[0];
        // One that was never planned is of no job.
        if plan.arrivals.get(index).is_some_and(|arrival| *run.job != *plan.choices[arrival.choice as usize].job) {
            return Some(Foreign::Job(&run.job));
        }
        let code = self.target.dagster.code();
        if let Some(other) = run.repository.as_deref().filter(|other| *other != code) {
            return Some(Foreign::Code(other));
        }
        (self.writer.is_some() && run.writer != self.writer).then_some(Foreign::Writer(run.writer.as_ref()))
    }

    /// The run that an arrival was acknowledged as.
    pub fn run_of(&self, index: u32) -> Option<&str> {
        match &self.submissions.get(&index)?.stage {
            SubmissionStage::Acknowledged { run_id, .. } => Some(run_id),
            SubmissionStage::Intended
            | SubmissionStage::InDoubt(_)
            | SubmissionStage::Deferred { .. }
            | SubmissionStage::Rejected(_)
            | SubmissionStage::Absent(_)
            | SubmissionStage::Dropped { .. } => None,
        }
    }

    /// The launches of an arrival that are this data folder's own.
    pub fn own_launches<'a>(&self, plan: &Plan, index: u32, kin: Kin<'a>) -> Vec<Chain<'a>> {
        kin.chains.into_iter().filter(|chain| self.foreign(plan, index, chain).is_none()).collect()
    }

    /// The runs that Dagster had made when they were seen at `asked_at`, and that it will never start: a settle has passed since
    /// the last attempt to launch them.
    pub fn never_started<'a>(
        &'a self,
        runs: &'a Runs,
        asked_at: Timestamp,
    ) -> impl Iterator<Item = (u32, &'a RunView)> {
        runs.not_started().filter_map(move |run| {
            let index = run.key.as_ref().filter(|key| key.generation == self.id)?.index;
            is_never_started(self, index, run, asked_at).then_some((index, run))
        })
    }
}

/// Whether a run that Dagster had only made by then will never be started: a settle has passed since the last attempt to
/// launch it.
pub fn is_never_started(generation: &Generation, index: u32, run: &RunView, asked_at: Timestamp) -> bool {
    let Some(submission) = generation.submissions.get(&index) else { return false };
    // A retry is made later than the launch, by Dagster's clock.
    let made_at = run.created_at.filter(|_| !run.origin.is_launch());
    let since = made_at.map_or(submission.last_attempt_at, |at| at.max(submission.last_attempt_at));
    let settle = generation.target.dagster.settle.duration();
    run.status == RunStatus::NotStarted && since.plus(settle) <= asked_at
}
