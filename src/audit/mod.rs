//! L5: the proof. The plan, the records and the census go in, a verdict comes out; it shares nothing with `decide`.

mod circumstances;
mod completions;
mod copies;
mod effects;
mod executions;
mod faults;
mod retries;
mod submissions;
#[cfg(test)]
mod tests;
mod thresholds;
mod unfinished;

pub use circumstances::TaskDeath;
pub use effects::{FaultEffect, recovered_at};
pub use executions::settles_at;
use std::{borrow::Cow, sync::Arc};
pub use thresholds::launches;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    journal::{Generation, IllegalRecord, Record, State, ThresholdResult},
    model::{Census, CompletionRecord, Counts, Key, Metric, RunRecord, TaskArn, Timestamp, Verdict, completion},
    plan::Plan,
    spec::Contract,
};

/// What the records prove.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Failed with any finding, else Unknown with any gap, else Passed.
    pub verdict: Verdict,
    /// How many keys and steps came to what.
    pub counts: Counts,
    /// What broke the contract. Any of them fails it.
    pub findings: Vec<Finding>,
    /// What the contract permits: duplicates of `atLeastOnce`, losses of `atMostOnce`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerated: Vec<Finding>,
    /// What each threshold was compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdResult>,
    /// What the faults that lasted did to the workers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<FaultEffect>,
    /// What is not proved. Without findings, any of them makes the verdict Unknown.
    pub gaps: Vec<Gap>,
    /// What had not ended, step by step where a step was open: hung, or looked at too early. Its run has a gap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Finding>,
    /// Steps that were started again after an attempt that never completed, and runs that Dagster ran again: recovery, no violation.
    pub recoveries: Vec<Finding>,
    /// Runs that carry tags of ours and are no launches of ours: of sensors, schedules, backfills, other jobs, and
    /// re-executions. They are told and not judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Finding>,
    /// What the verdict rests on.
    pub assumptions: Vec<String>,
    #[serde(skip)]
    contract: Contract,
    /// A threshold says how many may fail.
    #[serde(skip)]
    permits_failures: bool,
}

/// What the records show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FindingKind {
    /// It was ended early, by `limits.abortOn`.
    Aborted,
    /// Acknowledged, and the work is not there.
    Lost,
    /// Its run ended as FAILURE by an error of the job's own code.
    Failed,
    /// Dagster made its run and will never start it.
    NeverStarted,
    /// Another dagstorm launched it as well.
    OtherWriter,
    /// There more than once, or completed more than once.
    Duplicated,
    /// There, and never asked for.
    Unexpected,
    /// Its run is said to have failed, and the work was done.
    FalselyFailed,
    /// Started again after an attempt that never completed, or by a retry that executes all steps.
    Reexecuted,
    /// Its run failed, and Dagster ran it again: the runs of one root are one launch.
    Retried,
    /// A run that carries the tags and that nobody of ours launched.
    Copied,
    /// A threshold that does not hold.
    Threshold,
    /// A run, or a step of it, that had not ended when it was looked at last: still under way, or hung.
    Unfinished,
}

/// By whose account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Of the scenario as a whole.
    Scenario,
    /// Of a run, by Dagster's list of runs.
    Run,
    /// Of a step, by Dagster's event log.
    Step,
    /// What the workers themselves wrote down.
    Effect,
}

/// One thing that the records show, with everything that a person needs to look it up.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// By whose account.
    pub level: Level,
    /// The key of the submission; absent: it is of no single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The ids of its runs.
    pub runs: Vec<String>,
    /// The step that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// In a sentence.
    pub message: String,
    /// The attempts, in the order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The faults that were in place meanwhile; the one that certainly caused it stands alone and first in `message`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overlapping_faults: Vec<String>,
    /// The tasks that ended meanwhile: of its own workers, where those are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task_deaths: Vec<TaskDeath>,
}

impl Finding {
    /// One that is of no key.
    fn of_scenario(kind: FindingKind, message: String) -> Self {
        Self {
            kind,
            level: Level::Scenario,
            key: None,
            runs: vec![],
            step: None,
            message,
            attempts: vec![],
            overlapping_faults: vec![],
            task_deaths: vec![],
        }
    }
}

/// One start or completion of a step.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// What happened: `started`, `completed` and the like.
    pub what: Cow<'static, str>,
    /// When, by the clock of whoever wrote it down.
    pub at: Timestamp,
    /// The ECS task that did it, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskArn>,
    /// As it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<Arc<str>>,
}

/// Something that would have to be known for a pass, and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// One word for programs.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// Judges one generation. `records` is the scenario's whole journal.
///
/// # Errors
/// When the records contradict each other: nothing can be said then.
pub fn audit(plan: &Plan, records: &[Record], census: &Census) -> Result<Audit, IllegalRecord> {
    let mut state = State::default();
    for record in records {
        state.apply(record)?;
    }
    let generation = state.current.as_ref().filter(|generation| generation.id == plan.generation);
    let Some(generation) = generation else {
        let mut audit = Audit::new(plan);
        audit.gap("NoRecords", format!("the journal has no records of generation {}", plan.generation));
        return Ok(audit);
    };
    Ok(audit_generation(plan, generation, census))
}

/// Judges one generation by what its records add up to: read anew, never the state that `decide` went by.
///
/// The order of the census is no matter.
pub fn audit_generation(plan: &Plan, generation: &Generation, census: &Census) -> Audit {
    let census = &*in_order(census);
    let mut audit = Audit::new(plan);
    if let Some(aborted) = &generation.aborted {
        let message = format!("it was aborted at {}: {}", aborted.at, aborted.value);
        audit.found(Finding::of_scenario(FindingKind::Aborted, message));
    }
    let whole = census;
    let (census, copies) = copies::split(plan, generation, whole);
    let census = &*census;
    audit.counts.copied = copies.len() as u32;
    audit.copies = copies;
    submissions::judge(plan, generation, census, &mut audit);
    executions::judge(generation, census, &mut audit);
    completions::judge(generation, census, &mut audit);
    faults::judge(plan, generation, census, &mut audit);
    thresholds::judge(plan, generation, census, &mut audit);
    audit.effects = effects::measure(plan, generation, census);
    audit.assumptions = assumptions(generation, census);
    let Audit { findings, tolerated, recoveries, unfinished, copies, .. } = &mut audit;
    let mut lists = [findings, tolerated, recoveries, unfinished, copies];
    circumstances::explain(generation, whole, lists.iter_mut().flat_map(|list| list.iter_mut()));
    for list in lists {
        list.sort_by(|a, b| (&a.key, a.kind, a.level, &a.step).cmp(&(&b.key, b.kind, b.level, &b.step)));
    }
    audit.counts.failed_under_faults = audit.failures().filter(|one| !one.overlapping_faults.is_empty()).count() as u32;
    audit.verdict = match (audit.findings.is_empty(), audit.gaps.is_empty()) {
        (false, _) => Verdict::Failed,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Passed,
    };
    audit
}

/// By key, and by their starts where one has several; the workers' records by their steps.
fn in_order(census: &Census) -> Cow<'_, Census> {
    let order = |a: &RunRecord, b: &RunRecord| {
        let (a, b) = (&a.run, &b.run);
        (a.key.as_ref(), a.started_at, &a.run_id).cmp(&(b.key.as_ref(), b.started_at, &b.run_id))
    };
    let by_step = |a: &CompletionRecord, b: &CompletionRecord| completion::order(a).cmp(&completion::order(b));
    let records = census.completions.as_ref().map_or(&[][..], |all| &all.records);
    if census.runs.is_sorted_by(|a, b| order(a, b).is_le()) && records.is_sorted_by(|a, b| by_step(a, b).is_le()) {
        return Cow::Borrowed(census);
    }
    let mut census = census.clone();
    census.runs.sort_by(order);
    if let Some(all) = &mut census.completions {
        all.records.sort_by(by_step);
    }
    Cow::Owned(census)
}

impl Audit {
    fn new(plan: &Plan) -> Self {
        Self {
            verdict: Verdict::Unknown,
            counts: Counts { planned: plan.arrivals.len(), ..Counts::default() },
            findings: vec![],
            tolerated: vec![],
            thresholds: vec![],
            effects: vec![],
            gaps: vec![],
            unfinished: vec![],
            recoveries: vec![],
            copies: vec![],
            assumptions: vec![],
            contract: plan.expect.contract,
            permits_failures: plan.expect.thresholds.iter().any(|criterion| match criterion.metric() {
                Metric::Failures | Metric::SuccessRate => true,
                Metric::RunLatency
                | Metric::StartLatency
                | Metric::Lateness
                | Metric::RecoveryTime
                | Metric::QueueAge
                | Metric::QueueDepth
                | Metric::Workers
                | Metric::SubmissionErrors
                | Metric::Throughput => false,
            }),
        }
    }

    /// Files what was found: the contract says whether it is a violation.
    fn found(&mut self, finding: Finding) {
        let tolerated = match (self.contract, finding.kind) {
            (Contract::AtLeastOnce, FindingKind::Duplicated)
            | (Contract::AtMostOnce, FindingKind::Lost | FindingKind::Failed | FindingKind::NeverStarted) => true,
            (Contract::ExactlyOnce | Contract::AtLeastOnce, FindingKind::Failed) => self.permits_failures,
            (
                Contract::ExactlyOnce | Contract::AtLeastOnce | Contract::AtMostOnce,
                FindingKind::Aborted
                | FindingKind::Lost
                | FindingKind::NeverStarted
                | FindingKind::OtherWriter
                | FindingKind::Duplicated
                | FindingKind::Unexpected
                | FindingKind::FalselyFailed
                | FindingKind::Reexecuted
                | FindingKind::Retried
                | FindingKind::Copied
                | FindingKind::Threshold
                | FindingKind::Unfinished,
            ) => false,
        };
        if tolerated { &mut self.tolerated } else { &mut self.findings }.push(finding);
    }

    /// The launches that failed by their own code, permitted or not.
    fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(&self.tolerated).filter(|finding| finding.kind == FindingKind::Failed)
    }

    fn gap(&mut self, reason: &'static str, message: String) {
        self.gaps.push(Gap { reason, message });
    }

    /// The verdict in one sentence.
    pub fn summary(&self) -> String {
        let counts = &self.counts;
        match self.verdict {
            Verdict::Failed => {
                let first = self.findings.first().map(|finding| finding.message.as_str()).unwrap_or_default();
                match self.findings.len() {
                    1 => first.to_owned(),
                    more => format!("{more} findings; the first: {first}"),
                }
            }
            Verdict::Unknown | Verdict::Stopped => {
                let gaps: Vec<&str> = self.gaps.iter().map(|gap| gap.message.as_str()).collect();
                format!("not proved: {}", gaps.join("; "))
            }
            Verdict::Passed => {
                let often = match self.contract {
                    Contract::ExactlyOnce => "exactly once",
                    Contract::AtLeastOnce => "at least once",
                    Contract::AtMostOnce => "at most once",
                };
                let mut text = format!(
                    "{} of {} acknowledged runs completed {often} ({} steps",
                    counts.completed, counts.acknowledged, counts.steps_completed
                );
                if counts.steps_reexecuted > 0 {
                    let again = counts.steps_reexecuted;
                    text.push_str(&format!(", {again} re-executed after an attempt that never completed"));
                }
                if counts.effects_completed > 0 {
                    text.push_str(&format!(", {} by the workers' own records", counts.effects_completed));
                }
                text.push(')');
                if counts.retried > 0 {
                    text.push_str(&format!("; Dagster ran {} of them again after a failure", counts.retried));
                }
                if counts.failed > 0 {
                    text.push_str(&format!(
                        "; {} failed by their own code, as the thresholds permit ({} of them while a fault was in place)",
                        counts.failed, counts.failed_under_faults
                    ));
                }
                if counts.adopted > 0 {
                    text.push_str(&format!(
                        "; {} of them were adopted: launched before this data folder knew",
                        counts.adopted
                    ));
                }
                text
            }
        }
    }
}

fn assumptions(generation: &Generation, census: &Census) -> Vec<String> {
    vec![
        format!(
            "A launch appears within the settle window of {} after its last attempt, or never.",
            generation.target.dagster.settle
        ),
        format!(
            "Dagster's event log is complete {} after the last change of a run.",
            generation.scenario.spec.expect.quiet
        ),
        format!("Executions are counted from raw step events of Dagster {}.", census.dagster_version),
        match (&census.completions, completions::skew(census)) {
            (None, _) => {
                "Not checked: what the workers did and did not report. The target does not say where their own records lie \
                 (spec.completions)."
                    .to_owned()
            }
            (Some(all), None) => format!("The workers' own records were read from {}.", all.source),
            (Some(all), Some((widest, steps))) => format!(
                "The workers' own records were read from {}; their clocks and Dagster's were within {widest} of each other, \
                 by {steps} steps.",
                all.source
            ),
        },
    ]
}
