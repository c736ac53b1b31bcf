//! How long runs took, from the instant at which they were due to their end: over time, by quantile, with and without faults.

use std::time::Duration;

use serde::Serialize;

use super::{
    data::{Band, Origin},
    series::{millis, width},
};
use crate::{
    audit::launches,
    journal::{Generation, Launches},
    model::{Census, RunStatus},
    plan::Plan,
    publish::latency::Quantiles,
};

/// Quantiles need some runs each: so many intervals at most, and as many as have ten runs on the average.
const MOST_INTERVALS: u64 = 60;
const FEWEST_INTERVALS: u64 = 4;
/// So many single runs are drawn.
const MOST_DOTS: usize = 3_000;
/// Of each interval, when there are more.
const DOTS_AN_INTERVAL: usize = 50;
/// Where the curve of quantiles is drawn, in percent.
const PERCENTS: [f64; 17] =
    [1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 85.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.99];

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delays {
    /// Of the intervals, in milliseconds.
    pub width: u64,
    /// Begins of those intervals in which a run that succeeded was due; then their quantiles, in milliseconds.
    pub at: Vec<i64>,
    pub p50: Vec<i64>,
    pub p95: Vec<i64>,
    pub p99: Vec<i64>,
    /// Single runs: when they were due, how long they took, and whether they succeeded (1) or not (0).
    pub dots: Dots,
    pub groups: Vec<Group>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Dots {
    /// How many there are in all; of more than are drawn, the slowest of each interval are.
    pub total: usize,
    pub at: Vec<i64>,
    pub took: Vec<i64>,
    pub good: Vec<u8>,
}

/// Runs that succeeded and have something in common.
#[derive(Debug, PartialEq, Serialize)]
pub struct Group {
    pub name: &'static str,
    pub quantiles: Quantiles,
    /// Pairs of a percentage and milliseconds; only percentages that these are enough runs for.
    pub curve: Vec<(f64, i64)>,
}

/// A launch that ended, with the retries that Dagster made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    due: i64,
    ended: i64,
    good: bool,
}

impl Run {
    /// As everywhere: never less than nothing.
    fn took(self) -> i64 {
        (self.ended - self.due).max(0)
    }
}

/// Measures every launch that ended.
pub fn delays(plan: &Plan, generation: &Generation, census: &Census, bands: &[Band], origin: Origin) -> Delays {
    if generation.started_at.is_none() {
        return Delays::default();
    }
    let runs = ended(plan, &launches(plan, generation, census), origin);
    let last = runs.last().map_or(0, |run| run.due);
    let width = width(last, (runs.len() as u64 / 10).clamp(FEWEST_INTERVALS, MOST_INTERVALS));
    let mut delays = Delays { width, dots: dots(&runs, width), groups: groups(&runs, bands), ..Delays::default() };
    let good: Vec<Run> = runs.into_iter().filter(|run| run.good).collect();
    for interval in good.chunk_by(|a, b| a.due / width as i64 == b.due / width as i64) {
        let Some(of) = quantiles(interval) else { continue };
        delays.at.push(interval[0].due / width as i64 * width as i64);
        delays.p50.push(millis(of.p50.duration()));
        delays.p95.push(millis(of.p95.duration()));
        delays.p99.push(millis(of.p99.duration()));
    }
    delays
}

/// By the instant at which they were due.
fn ended(plan: &Plan, launches: &Launches, origin: Origin) -> Vec<Run> {
    let ended = launches.all.iter().filter_map(|one| Some((one, origin.to(one.ended_at?))));
    let mut known: Vec<(u32, i64, bool)> =
        ended.map(|(one, at)| (one.index, at, one.status == RunStatus::Success)).collect();
    known.sort_unstable();
    let mut arrivals = plan.arrivals.from(0);
    let run = |(index, ended, good)| Some(Run { due: millis(arrivals.at(index)?.offset), ended, good });
    known.into_iter().filter_map(run).collect()
}

fn dots(runs: &[Run], width: u64) -> Dots {
    let mut kept: Vec<Run> = vec![];
    if runs.len() <= MOST_DOTS {
        kept.extend(runs);
    } else {
        for interval in runs.chunk_by(|a, b| a.due / width as i64 == b.due / width as i64) {
            let mut slowest = interval.to_vec();
            slowest.sort_by_key(|run| (run.good, -run.took()));
            slowest.truncate(DOTS_AN_INTERVAL);
            slowest.sort_by_key(|run| run.due);
            kept.extend(slowest);
        }
    }
    Dots {
        total: runs.len(),
        at: kept.iter().map(|run| run.due).collect(),
        took: kept.iter().map(|run| run.took()).collect(),
        good: kept.iter().map(|run| u8::from(run.good)).collect(),
    }
}

/// All; and, where there were faults, those that one overlapped and the others.
fn groups(runs: &[Run], bands: &[Band]) -> Vec<Group> {
    let overlaps = |run: &Run| {
        let until = |band: &Band| band.until.or(band.healed).unwrap_or(i64::MAX);
        bands.iter().any(|band| run.due < until(band) && run.ended > band.from)
    };
    let good = || runs.iter().filter(|run| run.good).copied();
    let mut named: Vec<(&str, Vec<Run>)> = vec![("all runs", good().collect())];
    if !bands.is_empty() {
        named.push(("overlapped by a fault", good().filter(overlaps).collect()));
        named.push(("the others", good().filter(|run| !overlaps(run)).collect()));
    }
    let group = |(name, runs): (&'static str, Vec<Run>)| {
        let quantiles = quantiles(&runs)?;
        let mut took: Vec<i64> = runs.into_iter().map(Run::took).collect();
        took.sort_unstable();
        Some(Group { name, quantiles, curve: curve(&took) })
    };
    named.into_iter().filter_map(group).collect()
}

fn quantiles(runs: &[Run]) -> Option<Quantiles> {
    Quantiles::of(runs.iter().map(|run| Duration::from_millis(run.took() as u64)))
}

/// Nearest rank. A percentage beyond the last but one value says nothing that the maximum does not.
fn curve(sorted: &[i64]) -> Vec<(f64, i64)> {
    let count = sorted.len() as f64;
    let told = PERCENTS.into_iter().filter(|percent| count * (100.0 - percent) / 100.0 >= 1.0 || *percent <= 50.0);
    told.map(|percent| (percent, sorted[((count * percent / 100.0).ceil() as usize).clamp(1, sorted.len()) - 1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(due: i64, ended: i64) -> Run {
        Run { due, ended, good: true }
    }

    #[test]
    fn a_curve_ends_where_there_are_too_few_runs() {
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!(curve(&hundred).last(), Some(&(99.0, 99)));
        assert_eq!(curve(&[7]).last(), Some(&(50.0, 7)));
        assert_eq!(curve(&hundred)[5], (50.0, 50));
    }

    #[test]
    fn runs_that_a_fault_overlapped_are_apart() {
        let band = |from, until| Band { name: "cut#1".to_owned(), from, until, healed: Some(9_999) };
        let runs = [run(0, 100), run(50, 350), run(400, 500), run(600, 700)];
        let names = |bands: &[Band]| -> Vec<(&str, usize)> {
            groups(&runs, bands).iter().map(|group| (group.name, group.quantiles.samples)).collect()
        };
        assert_eq!(names(&[]), [("all runs", 4)]);
        let apart = |hit, others| vec![("all runs", 4), ("overlapped by a fault", hit), ("the others", others)];
        assert_eq!(names(&[band(100, Some(400))]), apart(1, 3));
        assert_eq!(names(&[band(99, Some(401))]), apart(3, 1));
        assert_eq!(names(&[band(650, None)]), apart(1, 3), "it never ended but by its proof");
        assert_eq!(names(&[band(9_000, None)]), [("all runs", 4), ("the others", 4)]);
    }

    #[test]
    fn of_many_runs_the_failed_and_the_slowest_are_drawn() {
        let mut runs: Vec<Run> = (0..5_000).map(|number| run(number, 2 * number)).collect();
        runs[17].good = false;
        let drawn = dots(&runs, 10_000);
        assert_eq!((drawn.total, drawn.at.len()), (5_000, DOTS_AN_INTERVAL));
        assert_eq!((drawn.at[0], drawn.good[0]), (17, 0));
        assert_eq!((drawn.at[49], drawn.took[49], drawn.good[49]), (4_999, 4_999, 1));
        assert_eq!(dots(&runs[..100], 10_000).at.len(), 100);
    }
}
