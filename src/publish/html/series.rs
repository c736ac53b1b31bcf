//! What happened over time, in intervals of one width: arrivals, completions, runs under way, the gauges.

use std::time::Duration;

use serde::Serialize;

use super::data::{Band, Origin};
use crate::{
    audit::launches,
    journal::Generation,
    model::{Census, Metric, RunStatus},
    plan::Plan,
};

/// So many intervals a plot has at most; and how many arrivals each has on the average at least, for a plot of ones and
/// zeros is a comb that shows nothing. Of a load that is sparser than that, the plot has a few wide ones.
const MOST_INTERVALS: u64 = 120;
const FEWEST_INTERVALS: u64 = 12;
const FEWEST_ARRIVALS: u64 = 4;
/// So many ends of tasks are marked.
const MOST_DEATHS: usize = 500;
/// Gauges with more samples than this are shown by interval.
const MOST_SAMPLES: usize = 2_000;
/// Widths that people can read, in milliseconds.
const WIDTHS: [u64; 22] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

/// Interval `i` begins `i` widths after the origin.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Of the intervals of `due`, `completed` and `failed`, in milliseconds.
    pub width: u64,
    /// Of those of `under_way` and `executing`.
    pub fine_width: u64,
    /// Where the story ends, from the origin.
    pub end: i64,
    /// Arrivals whose instant came.
    pub due: Vec<u32>,
    pub completed: Vec<u32>,
    /// Runs that ended otherwise.
    pub failed: Vec<u32>,
    /// Runs that were sent and had not ended: the most at once.
    pub under_way: Vec<u32>,
    /// Runs that had started and had not ended: the most at once.
    pub executing: Vec<u32>,
    /// Runs that had not ended when Dagster was asked last.
    pub left: usize,
    pub queue_depth: Option<Gauge>,
    pub workers: Option<Gauge>,
    /// Ends of tasks that were seen: between two looks one may end and another come, and their number stays.
    pub deaths: Deaths,
}

/// Ends of tasks, in the order of time.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Deaths {
    /// How many there are in all; the first are shown.
    pub total: usize,
    pub shown: Vec<Death>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Death {
    pub at: i64,
    pub task: String,
    pub service: String,
    /// The faults that stopped it.
    pub by: Vec<String>,
}

/// A gauge that was sampled.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gauge {
    pub samples: usize,
    pub at: Vec<i64>,
    pub value: Vec<f64>,
    /// Each is the extreme of its interval: the deepest queue, the fewest workers.
    pub by_interval: bool,
}

/// Counts it all.
pub fn series(plan: &Plan, generation: &Generation, census: &Census, bands: &[Band], origin: Origin) -> Series {
    let end = end(plan, generation, census, bands, origin);
    let enough = (u64::from(plan.arrivals.len()) / FEWEST_ARRIVALS).clamp(FEWEST_INTERVALS, MOST_INTERVALS);
    let (intervals, fine) = (Intervals::over(end, enough), Intervals::over(end, MOST_INTERVALS));
    let stop = generation.ending().map_or(i64::MAX, |fact| origin.to(fact.at));
    let is_due = |offset: &i64| generation.started_at.is_some() && *offset <= stop;
    let due = plan.arrivals.from(0).map(|arrival| arrival.offset.as_millis() as i64).take_while(is_due);
    let launches = launches(plan, generation, census);
    let ended = |wanted: bool| {
        let ended = launches.all.iter().filter(move |one| (one.status == RunStatus::Success) == wanted);
        ended.filter_map(|one| one.ended_at).map(|at| origin.to(at))
    };
    let spans = |from_launch: bool| {
        launches.all.iter().filter_map(move |one| {
            let sent = generation.submissions.get(&one.index).map(|known| known.departure().at());
            let from = if from_launch { sent.or(one.started_at)? } else { one.started_at? };
            Some((origin.to(from), one.ended_at.map(|at| origin.to(at))))
        })
    };
    Series {
        width: intervals.width as u64,
        fine_width: fine.width as u64,
        end,
        due: intervals.count(due),
        completed: intervals.count(ended(true)),
        failed: intervals.count(ended(false)),
        under_way: fine.most_at_once(spans(true)),
        executing: fine.most_at_once(spans(false)),
        left: census.runs.iter().filter(|record| !record.run.status.is_terminal()).count(),
        queue_depth: gauge(generation, Metric::QueueDepth, f64::max, &fine, origin),
        workers: gauge(generation, Metric::Workers, f64::min, &fine, origin),
        deaths: deaths(generation, end, origin),
    }
}

/// Of all services: it is told which.
fn deaths(generation: &Generation, end: i64, origin: Origin) -> Deaths {
    let ended = generation.tasks.iter().filter_map(|(task, life)| {
        let at = origin.to(life.left_at?);
        let stops = generation.faults.iter().filter(|(_, fault)| fault.targets.iter().any(|one| one.arn == *task));
        let by = stops.map(|(id, _)| id.to_string()).collect();
        Some(Death { at, task: task.id().to_owned(), service: life.service.clone(), by })
    });
    let mut shown: Vec<Death> = ended.filter(|death| death.at >= 0 && death.at <= end).collect();
    shown.sort_by(|one, other| (one.at, &one.task).cmp(&(other.at, &other.task)));
    let total = shown.len();
    shown.truncate(MOST_DEATHS);
    Deaths { total, shown }
}

/// The first width of which no more than `most` cover the time until `end`.
pub fn width(end: i64, most: u64) -> u64 {
    let end = u64::try_from(end).unwrap_or(0);
    WIDTHS.into_iter().find(|width| end / width < most).unwrap_or_else(|| end / most + 1)
}

/// The last thing of interest: the end of the load, of a run, of a fault.
fn end(plan: &Plan, generation: &Generation, census: &Census, bands: &[Band], origin: Origin) -> i64 {
    let planned = i64::try_from(plan.ends_at.as_millis()).unwrap_or(i64::MAX);
    let load = generation.ending().map_or(planned, |fact| origin.to(fact.at).min(planned));
    let runs = census.runs.iter().filter_map(|record| record.run.ended_at).map(|at| origin.to(at));
    let faults = bands.iter().map(|band| band.healed.or(band.until).unwrap_or(band.from));
    runs.chain(faults).fold(load, i64::max).max(1_000)
}

struct Intervals {
    width: i64,
    count: usize,
}

impl Intervals {
    fn over(end: i64, most: u64) -> Self {
        let width = width(end, most);
        Self { width: width as i64, count: (end as u64 / width + 1) as usize }
    }

    fn of(&self, at: i64) -> Option<usize> {
        usize::try_from(at.div_euclid(self.width)).ok().filter(|interval| *interval < self.count)
    }

    fn count(&self, instants: impl Iterator<Item = i64>) -> Vec<u32> {
        let mut counts = vec![0; self.count];
        for interval in instants.filter_map(|at| self.of(at)) {
            counts[interval] += 1;
        }
        counts
    }

    /// Of things that each last from one instant to another, or to the end, the most at once.
    fn most_at_once(&self, spans: impl Iterator<Item = (i64, Option<i64>)>) -> Vec<u32> {
        let mut changes: Vec<(i64, i32)> = vec![];
        for (from, to) in spans {
            changes.push((from, 1));
            changes.extend(to.map(|to| (to.max(from), -1)));
        }
        // At one instant what begins comes first: it was there, however shortly.
        changes.sort_unstable_by_key(|(at, change)| (*at, -change));
        let mut changes = changes.into_iter().peekable();
        let (mut now, mut most) = (0_i32, Vec::with_capacity(self.count));
        for interval in 0..self.count {
            let begin = self.width * interval as i64;
            while let Some((_, change)) = changes.next_if(|(at, _)| *at < begin) {
                now += change;
            }
            let mut highest = now;
            while let Some((_, change)) = changes.next_if(|(at, _)| *at < begin + self.width) {
                now += change;
                highest = highest.max(now);
            }
            most.push(highest.max(0) as u32);
        }
        most
    }
}

/// `None`: there are no samples.
fn gauge(
    generation: &Generation,
    metric: Metric,
    extreme: fn(f64, f64) -> f64,
    intervals: &Intervals,
    origin: Origin,
) -> Option<Gauge> {
    let samples = generation.samples.iter().filter(|sample| sample.metric == metric);
    let mut points: Vec<(i64, f64)> = samples
        .map(|sample| (origin.to(sample.asked_at), sample.value))
        .filter(|(at, _)| intervals.of(*at).is_some())
        .collect();
    points.sort_by_key(|(at, _)| *at);
    let samples = points.len();
    let by_interval = samples > MOST_SAMPLES;
    if by_interval {
        let mut kept: Vec<(i64, f64)> = vec![];
        for (at, value) in points {
            let begin = at.div_euclid(intervals.width) * intervals.width;
            match kept.last_mut() {
                Some(last) if last.0 == begin => last.1 = extreme(last.1, value),
                Some(_) | None => kept.push((begin, value)),
            }
        }
        points = kept;
    }
    let (at, value) = points.into_iter().unzip();
    (samples > 0).then_some(Gauge { samples, at, value, by_interval })
}

/// A length in whole milliseconds.
pub fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_one_that_people_can_read() {
        for (end, most, wanted) in [
            (0, 240, 100),
            (24_000, 240, 200),
            (23_999, 240, 100),
            (300_000, 240, 2_000),
            (1_200_000, 240, 10_000),
            (300_000, 40, 10_000),
            (-5, 240, 100),
            (3_000_000_000_000, 240, 12_500_000_001),
        ] {
            assert_eq!(width(end, most), wanted, "{end} {most}");
            assert!(end < 0 || end as u64 / wanted < most, "{end} {most}");
        }
    }

    #[test]
    fn the_most_at_once_outlives_an_interval_and_counts_what_was_short() {
        let intervals = Intervals { width: 10, count: 4 };
        for (spans, wanted) in [
            (vec![], [0, 0, 0, 0]),
            (vec![(0, Some(5)), (6, Some(9))], [1, 0, 0, 0]),
            (vec![(0, Some(5)), (5, Some(9))], [2, 0, 0, 0]),
            (vec![(5, Some(25)), (12, None)], [1, 2, 2, 1]),
            (vec![(-20, Some(11)), (7, Some(7))], [2, 1, 0, 0]),
            (vec![(30, Some(400)), (39, None), (40, None)], [0, 0, 0, 2]),
        ] {
            assert_eq!(intervals.most_at_once(spans.clone().into_iter()), wanted, "{spans:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_counted_nowhere() {
        let intervals = Intervals { width: 10, count: 2 };
        assert_eq!(intervals.count([-1, 0, 9, 10, 19, 20].into_iter()), [2, 2]);
    }
}
