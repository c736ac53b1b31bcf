//! The report of one generation: the evidence as data. `report.json` is this, `report.md` is rendered from it.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    fold,
    headline::{Headline, LastRun},
    latency::Quantiles,
    status::{self, FaultStatus},
};
use crate::{
    audit::{Audit, launches, recovered_at},
    journal::{Generation, Launches, State},
    model::{Census, GenerationId, ScenarioName, Span, Timestamp},
    plan::Plan,
};

/// What stands as `apiVersion` in every report.
pub const API_VERSION: &str = "dagstorm.dev/v1alpha1";

/// The verdict of one generation of a scenario, with everything that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this form.
    pub api_version: &'static str,
    /// What the document is.
    pub kind: &'static str,
    /// Whose report it is.
    pub scenario: ScenarioName,
    /// Of which version of the scenario, and of which of its repeats.
    pub generation: GenerationId,
    #[serde(flatten)]
    pub audit: Audit,
    /// The verdict in one sentence.
    pub summary: String,
    /// The four numbers that a person asks for first.
    pub headline: Headline,
    /// The run of the same scenario before this one, where its report was in the same data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// The instant from which all offsets count; null: it never started.
    pub started_at: Option<Timestamp>,
    /// When Dagster was asked for everything that it knows.
    pub census_at: Timestamp,
    /// As Dagster calls itself.
    pub dagster_version: String,
    /// From the intended instant to the end of the run: a late launch counts as latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_latency: Option<Quantiles>,
    /// How the launches went.
    pub load: status::Load,
    /// Each job of the load.
    pub jobs: Vec<JobCount>,
    /// Each occurrence of each fault that was planned.
    pub faults: Vec<FaultReport>,
    /// The scenario as it was accepted.
    #[schemars(schema_with = "super::schema::manifest")]
    pub manifest: crate::spec::Scenario,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobCount {
    /// Its name in Dagster.
    pub job: String,
    /// Arrivals that the plan has of it.
    pub planned: u32,
    /// Launches of it that ended as SUCCESS, retries included.
    pub succeeded: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultReport {
    #[serde(flatten)]
    pub status: FaultStatus,
    /// From the injection to the first look that showed the baseline again (looks come once a second), with the queue moving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_time: Option<Span>,
    /// The same in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_time_seconds: Option<f64>,
}

/// Puts the report together.
pub fn report(plan: &Plan, state: &State, generation: &Generation, census: &Census, audit: &Audit) -> Report {
    let status = status::status(plan, state, generation, status::Beside::default()).status;
    let started_at = generation.started_at;
    let launches = launches(plan, generation, census);
    let ended: Vec<(u32, Timestamp)> =
        launches.succeeded().filter_map(|one| Some((one.index, one.ended_at?))).collect();
    let ends: Vec<Timestamp> = ended.iter().map(|(_, at)| *at).collect();
    let latencies = started_at.map_or(vec![], |started_at| plan.delays(started_at, ended));
    let run_latency = Quantiles::of(latencies.into_iter());
    let faults: Vec<FaultReport> = status.faults.into_iter().map(|status| fault(status, generation, census)).collect();
    let recoveries = faults.iter().filter_map(|fault| fault.recovery_time);
    Report {
        api_version: API_VERSION,
        kind: "Report",
        scenario: plan.scenario.clone(),
        generation: plan.generation.clone(),
        summary: fold::sentence(audit),
        headline: Headline::of(run_latency.as_ref(), &ends, started_at, &audit.counts, recoveries),
        last_run: None,
        audit: audit.clone(),
        started_at,
        census_at: census.taken_at,
        dagster_version: census.dagster_version.clone(),
        run_latency,
        load: status.load.expect("a generation's status has its load"),
        jobs: jobs(plan, &launches),
        faults,
        manifest: generation.scenario.clone(),
    }
}

fn fault(status: FaultStatus, generation: &Generation, census: &Census) -> FaultReport {
    let known = status.name.parse().ok().and_then(|id| generation.faults.get(&id));
    let recovered = known.and_then(|fault| Some(recovered_at(fault, census)?.since(fault.intended_at)));
    let recovery_time = recovered.map(|length| Span::new(length).to_the_millisecond());
    FaultReport { status, recovery_time, recovery_time_seconds: recovery_time.map(Span::seconds) }
}

fn jobs(plan: &Plan, launches: &Launches) -> Vec<JobCount> {
    let mut succeeded: BTreeMap<u32, u32> = BTreeMap::new();
    launches.succeeded().for_each(|one| *succeeded.entry(one.index).or_default() += 1);
    let mut jobs: IndexMap<&str, JobCount> = IndexMap::new();
    for choice in &plan.choices {
        let count = || JobCount { job: choice.job.clone(), planned: 0, succeeded: 0 };
        jobs.entry(&choice.job).or_insert_with(count);
    }
    for (index, arrival) in (0..).zip(plan.arrivals.from(0)) {
        let job = plan.choices[arrival.choice as usize].job.as_str();
        let count = jobs.get_mut(job).expect("every choice has its job");
        count.planned += 1;
        count.succeeded += succeeded.get(&index).copied().unwrap_or_default();
    }
    jobs.into_values().collect()
}
