//! What the page shows, as data.

use serde::Serialize;

use super::{
    columns::{self, Columns},
    delays::{self, Delays},
    lanes::{self, Lanes},
    series::{self, Series},
};
use crate::{
    audit::{Finding, Gap, recovered_at},
    journal::{FaultStage, FaultState, Generation, ThresholdResult},
    model::{Census, Counts, GenerationId, ScenarioName, Timestamp, Verdict},
    plan::Plan,
    publish::{
        files::yaml,
        fold::{self, fold},
        headline::Figure,
        latency::Quantiles,
        report::{FaultReport, JobCount, Report},
        status::Load,
    },
};

/// So many findings of a kind a page holds; `report.json` has all.
const MOST_FINDINGS: usize = 2_000;

/// The instant that all others count from: the start of the scenario.
#[derive(Debug, Clone, Copy)]
pub struct Origin(pub Timestamp);

impl Origin {
    /// Milliseconds from the origin, negative before it.
    pub fn to(self, at: Timestamp) -> i64 {
        (at.as_micros() - self.0.as_micros()).div_euclid(1_000)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<'a> {
    scenario: &'a ScenarioName,
    generation: &'a GenerationId,
    /// Milliseconds since 1970.
    origin: i64,
    /// Whether it began at all; otherwise the origin is when it was accepted.
    has_started: bool,
    /// As all instants in here, from the origin on.
    census_at: i64,
    dagster_version: &'a str,
    verdict: Verdict,
    summary: &'a str,
    /// What a person asks for first, beside the last run.
    figures: Vec<Figure>,
    last_run: Option<Last<'a>>,
    /// Where Dagster shows a run: its id comes last. `None`: it has no pages that can be linked.
    runs_at: Option<String>,
    counts: &'a Counts,
    /// Whether the workers' own records were read.
    effects_read: bool,
    findings: Listed<'a>,
    tolerated: Listed<'a>,
    recoveries: Listed<'a>,
    unfinished: Listed<'a>,
    copies: Listed<'a>,
    gaps: Vec<Folded<'a>>,
    thresholds: &'a [ThresholdResult],
    assumptions: &'a [String],
    load: &'a Load,
    run_latency: Option<&'a Quantiles>,
    jobs: &'a [JobCount],
    /// What the faults that lasted did, in sentences.
    effects: Vec<String>,
    faults: &'a [FaultReport],
    bands: Vec<Band>,
    series: Series,
    delays: Delays,
    lanes: Lanes,
    keys: Columns,
    environment: Vec<(&'static str, String)>,
    manifest: String,
}

/// The run before this one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Last<'a> {
    generation: &'a GenerationId,
    verdict: Verdict,
    started: Option<i64>,
    edited_since: bool,
}

/// Gaps that are alike: in one sentence, and each by itself.
#[derive(Debug, Serialize)]
struct Folded<'a> {
    reason: &'static str,
    message: String,
    each: Vec<&'a str>,
}

/// Some of so many.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    total: usize,
    shown: &'a [Finding],
}

/// The time in which a fault was in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Band {
    pub name: String,
    /// The intent.
    pub from: i64,
    /// The way back began, or what it hit was back; `None`: neither was seen.
    pub until: Option<i64>,
    /// It is proved to be gone; `None`: it is not.
    pub healed: Option<i64>,
}

/// Puts it together.
pub fn page<'a>(report: &'a Report, plan: &'a Plan, generation: &'a Generation, census: &'a Census) -> Page<'a> {
    let audit = &report.audit;
    let origin = Origin(generation.started_at.unwrap_or(generation.accepted_at));
    let bands = bands(plan, generation, census, origin);
    let delays = delays::delays(plan, generation, census, &bands, origin);
    Page {
        scenario: &report.scenario,
        generation: &report.generation,
        origin: origin.0.as_micros().div_euclid(1_000),
        has_started: generation.started_at.is_some(),
        census_at: origin.to(report.census_at),
        dagster_version: &report.dagster_version,
        verdict: audit.verdict,
        summary: &report.summary,
        figures: report.headline.figures(report.last_run.as_ref().map(|last| &last.headline)),
        last_run: report.last_run.as_ref().map(|last| Last {
            generation: &last.generation,
            verdict: last.verdict,
            started: last.started_at.map(|at| origin.to(at)),
            edited_since: last.edited_since,
        }),
        runs_at: runs_at(&generation.target.dagster.url),
        counts: &audit.counts,
        effects_read: census.completions.is_some(),
        findings: listed(&audit.findings),
        tolerated: listed(&audit.tolerated),
        recoveries: listed(&audit.recoveries),
        unfinished: listed(&audit.unfinished),
        copies: listed(&audit.copies),
        gaps: folded(&audit.gaps),
        thresholds: &audit.thresholds,
        assumptions: &audit.assumptions,
        load: &report.load,
        run_latency: report.run_latency.as_ref(),
        jobs: &report.jobs,
        effects: audit.effects.iter().map(|effect| effect.sentence()).collect(),
        faults: &report.faults,
        series: series::series(plan, generation, census, &bands, origin),
        delays,
        lanes: lanes::lanes(plan, generation, census, audit, origin),
        keys: columns::columns(plan, generation, census, audit, origin, columns::MOST_KEYS),
        environment: environment(report, generation, census),
        manifest: yaml(&report.manifest).expect("a scenario has string keys only"),
        bands,
    }
}

fn folded(gaps: &[Gap]) -> Vec<Folded<'_>> {
    let folded = fold(gaps.iter().map(|gap| (gap.reason, gap.message.as_str())));
    let one = |folded: fold::Folded| Folded {
        reason: gaps[folded.places[0]].reason,
        each: match &folded.places[..] {
            [_] => vec![],
            many => many.iter().map(|place| gaps[*place].message.as_str()).collect(),
        },
        message: folded.message,
    };
    folded.into_iter().map(one).collect()
}

fn listed(all: &[Finding]) -> Listed<'_> {
    Listed { total: all.len(), shown: &all[..all.len().min(MOST_FINDINGS)] }
}

/// The faults that were injected, in the order of their begins.
fn bands(plan: &Plan, generation: &Generation, census: &Census, origin: Origin) -> Vec<Band> {
    let known = plan.faults.iter().filter_map(|planned| Some((&planned.id, generation.faults.get(&planned.id)?)));
    let injected = known.filter(|(_, fault)| fault.may_be_in_place());
    let mut bands: Vec<Band> = injected
        .map(|(id, fault)| Band {
            name: id.to_string(),
            from: origin.to(fault.intended_at),
            until: over(fault, census).map(|at| origin.to(at)),
            healed: match fault.stage {
                FaultStage::Healed(at) => Some(origin.to(at)),
                FaultStage::Open | FaultStage::GivenUp(_) | FaultStage::Skipped(_) => None,
            },
        })
        .collect();
    bands.sort_by_key(|band| band.from);
    bands
}

fn over(fault: &FaultState, census: &Census) -> Option<Timestamp> {
    fault.heal.as_ref().map(|heal| heal.cause.at).or_else(|| recovered_at(fault, census))
}

/// An address as it may be shown to anyone: what stands behind a `?` may be a secret. A password is in no address.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The address of Dagster's pages of runs; only what a browser opens as a page.
fn runs_at(url: &str) -> Option<String> {
    let address = without_query(url);
    let is_page = address.starts_with("http://") || address.starts_with("https://");
    let base = address.trim_end_matches('/').trim_end_matches("/graphql").trim_end_matches('/');
    is_page.then(|| format!("{base}/runs/"))
}

/// Where it took place, by name; no value of a header, no password.
fn environment(report: &Report, generation: &Generation, census: &Census) -> Vec<(&'static str, String)> {
    let target = &generation.target;
    let mut facts = vec![
        ("Target", target.name.to_string()),
        ("Dagster", format!("{} at {}", report.dagster_version, without_query(&target.dagster.url))),
        ("Code location", format!("{}, repository {}", target.dagster.location, target.dagster.repository)),
        ("Request time-out and settle", format!("{}, {}", target.dagster.request_timeout, target.dagster.settle)),
    ];
    let variables = target.dagster.headers_from_env.iter();
    let variables: Vec<String> = variables.map(|(header, variable)| format!("{header} from {variable}")).collect();
    if !variables.is_empty() {
        facts.push(("Headers, from variables", variables.join(", ")));
    }
    if let Some(account) = &target.guard.account {
        facts.push(("AWS account", account.clone()));
    }
    if let Some(region) = &target.guard.region {
        facts.push(("AWS region", region.clone()));
    }
    if let Some(ecs) = &target.ecs {
        facts.push(("ECS cluster", ecs.cluster.clone()));
        let services: Vec<String> = ecs.services.iter().map(|(role, name)| format!("{role}: {name}")).collect();
        facts.push(("ECS services", services.join(", ")));
    }
    if let Some(queue) = &target.queue {
        facts.push(("Queue", queue.name.clone()));
        facts.extend(queue.dead_letters.iter().map(|name| ("Dead letters", name.clone())));
    }
    if let Some(network) = &target.network {
        let peers: Vec<&str> = network.peers.keys().map(String::as_str).collect();
        facts.push(("Network", format!("workers {}, peers {}", network.workers_group, peers.join(", "))));
    }
    let read = census.completions.as_ref().map_or("not read".to_owned(), |all| all.source.clone());
    facts.push(("Workers' own records", read));
    facts.push(("Accepted", generation.accepted_at.to_string()));
    facts.push(("dagstorm", env!("CARGO_PKG_VERSION").to_owned()));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_linked_where_dagster_shows_them() {
        for (url, wanted) in [
            ("http://127.0.0.1:3000/graphql", Some("http://127.0.0.1:3000/runs/")),
            ("https://org.dagster.cloud/prod/graphql?token=x", Some("https://org.dagster.cloud/prod/runs/")),
            ("https://dagster.example.com/graphql/", Some("https://dagster.example.com/runs/")),
            ("https://dagster.example.com", Some("https://dagster.example.com/runs/")),
            ("javascript:alert(1)//graphql", None),
            ("file:///graphql", None),
        ] {
            assert_eq!(runs_at(url).as_deref(), wanted, "{url}");
        }
    }
}
