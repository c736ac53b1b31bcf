//! What the index over all reports shows, as data.

use serde::Serialize;

use crate::{
    model::{GenerationId, ScenarioName, Verdict},
    publish::{
        headline::Figure,
        shelf::{Entry, Unreadable},
    },
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shelf<'a> {
    /// As in a report: instants count from here.
    origin: i64,
    pub scenarios: Vec<Scenario<'a>>,
    unreadable: Vec<Unreadable>,
}

/// All runs of a scenario, the newest first.
#[derive(Debug, Serialize)]
pub struct Scenario<'a> {
    name: &'a ScenarioName,
    runs: Vec<Run<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    generation: &'a GenerationId,
    verdict: Verdict,
    summary: &'a str,
    /// Milliseconds since 1970.
    started: Option<i64>,
    audited: i64,
    dagster_version: &'a str,
    /// Whether the scenario was edited between the run before it and this one.
    edited: bool,
    /// The four numbers in words, beside those of the run before it.
    figures: Vec<Figure>,
    /// The same as numbers: milliseconds, a second, a share, milliseconds.
    numbers: [Option<f64>; 4],
}

/// Scenarios in the order of their last reports, the newest first.
pub fn shelf<'a>(entries: &[&'a Entry], unreadable: Vec<Unreadable>) -> Shelf<'a> {
    let mut sorted: Vec<&Entry> = entries.to_vec();
    sorted.sort_by_key(|entry| (entry.census_at, &entry.generation.digest, entry.generation.repeat));
    let mut scenarios: Vec<(&ScenarioName, Vec<&Entry>)> = vec![];
    for entry in sorted.into_iter().rev() {
        match scenarios.iter_mut().find(|(name, _)| **name == entry.scenario) {
            Some((_, runs)) => runs.push(entry),
            None => scenarios.push((&entry.scenario, vec![entry])),
        }
    }
    let scenario = |(name, entries): (&'a ScenarioName, Vec<&'a Entry>)| {
        let runs = entries.iter().enumerate().map(|(place, entry)| run(entry, entries.get(place + 1).copied()));
        Scenario { name, runs: runs.collect() }
    };
    Shelf { origin: 0, scenarios: scenarios.into_iter().map(scenario).collect(), unreadable }
}

fn run<'a>(entry: &'a Entry, before: Option<&Entry>) -> Run<'a> {
    let headline = &entry.headline;
    let millis = |span: crate::model::Span| span.seconds() * 1000.0;
    Run {
        generation: &entry.generation,
        verdict: entry.verdict,
        summary: &entry.summary,
        started: entry.started_at.map(|at| at.as_micros().div_euclid(1_000)),
        audited: entry.census_at.as_micros().div_euclid(1_000),
        dagster_version: &entry.dagster_version,
        edited: before.is_some_and(|before| before.generation.digest != entry.generation.digest),
        figures: headline.figures(before.map(|before| &before.headline)),
        numbers: [
            headline.latency_p95.map(millis),
            headline.throughput,
            headline.success_rate,
            headline.recovery.map(millis),
        ],
    }
}
