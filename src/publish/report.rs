//! The report of one generation: the evidence as data. `report.json` is this, `report.md` is rendered from it.

use serde::Serialize;

use super::{
    latency::Quantiles,
    status::{self, FaultStatus},
};
use crate::{
    audit::Audit,
    journal::{Generation, State},
    model::{Census, GenerationId, RunStatus, ScenarioName, Span, Timestamp},
    plan::Plan,
};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    #[serde(flatten)]
    pub audit: Audit,
    pub summary: String,
    pub started_at: Option<Timestamp>,
    pub census_at: Timestamp,
    pub dagster_version: String,
    /// From the intended instant to the end of the run: a late launch counts as latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_latency: Option<Quantiles>,
    pub load: status::Load,
    pub jobs: Vec<JobCount>,
    pub faults: Vec<FaultReport>,
    /// The scenario as it was accepted.
    pub manifest: crate::spec::Scenario,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCount {
    pub job: String,
    pub planned: u32,
    pub succeeded: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultReport {
    #[serde(flatten)]
    pub status: FaultStatus,
    /// From the injection to the first look that showed the baseline again (looks come once a second).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_time: Option<Span>,
}

/// Puts the report together.
pub fn report(plan: &Plan, state: &State, generation: &Generation, census: &Census, audit: &Audit) -> Report {
    let status = status::status(plan, state, generation, status::Beside::default()).status;
    let started_at = generation.started_at;
    let latencies = census.runs.iter().filter_map(|record| {
        let index = record.run.key.as_ref()?.index;
        let due = started_at?.plus(plan.arrivals.get(index as usize)?.offset);
        (record.run.status == RunStatus::Success).then_some(record.run.ended_at?.since(due))
    });
    let jobs = plan.jobs.iter().enumerate().map(|(number, job)| JobCount {
        job: job.clone(),
        planned: plan.arrivals.iter().filter(|arrival| arrival.job as usize == number).count() as u32,
        succeeded: census
            .runs
            .iter()
            .filter(|record| record.run.job == *job && record.run.status == RunStatus::Success)
            .count() as u32,
    });
    let faults = status.faults.into_iter().map(|status| FaultReport {
        recovery_time: status
            .recovered_at
            .zip(status.intended_at)
            .map(|(recovered, intended)| Span::from_millis(recovered.since(intended).as_millis() as u64)),
        status,
    });
    Report {
        api_version: "dagstorm.dev/v1alpha1",
        kind: "Report",
        scenario: plan.scenario.clone(),
        generation: plan.generation.clone(),
        audit: audit.clone(),
        summary: audit.summary(),
        started_at,
        census_at: census.taken_at,
        dagster_version: census.dagster_version.clone(),
        run_latency: Quantiles::of(latencies),
        load: status.load.expect("a generation's status has its load"),
        jobs: jobs.collect(),
        faults: faults.collect(),
        manifest: generation.scenario.clone(),
    }
}
