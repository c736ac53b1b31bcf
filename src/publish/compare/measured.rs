//! What was measured one by one, from the files that stand beside a report: quantiles alone are too coarse to compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    audit::launches,
    model::{Metric, RunStatus, Timestamp},
    publish::history::History,
};

/// Where the samples are from, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Source {
    #[serde(rename = "history.jsonl")]
    History,
    #[serde(rename = "keys.csv")]
    Keys,
    /// Nothing but the quantiles of the report itself.
    #[serde(rename = "report.json")]
    Report,
}

/// One run as it went.
#[derive(Debug, Clone, PartialEq)]
pub struct RunTimes {
    pub job: String,
    /// When it was to be sent.
    pub due: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub succeeded: bool,
}

/// Everything that was measured in one generation, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub source: Source,
    pub runs: Vec<RunTimes>,
    /// In seconds, of each launch; `None`: not known.
    pub lateness: Option<Vec<f64>>,
    /// What each gauge showed.
    pub gauges: BTreeMap<Metric, Vec<f64>>,
    /// The target as it was accepted.
    pub target: Option<serde_json::Value>,
}

impl Measured {
    /// Of a report that stands alone.
    pub fn nothing() -> Self {
        Self { source: Source::Report, runs: vec![], lateness: None, gauges: BTreeMap::new(), target: None }
    }
}

/// From a whole history.
///
/// # Panics
/// Never: a target has string keys only.
pub fn of_history(history: &History) -> Measured {
    let History { plan, generation, census, recorded: _ } = history;
    let mut gauges: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for sample in &generation.samples {
        gauges.entry(sample.metric).or_default().push(sample.value);
    }
    let mut runs = vec![];
    let mut lateness = vec![];
    if let Some(started_at) = generation.started_at {
        let mut launched = launches(plan, generation, census).all;
        launched.sort_by_key(|one| one.index);
        let mut arrivals = plan.arrivals.from(0);
        for run in launched {
            let Some(arrival) = arrivals.at(run.index) else { continue };
            runs.push(RunTimes {
                job: plan.choices[arrival.choice as usize].job.clone(),
                due: started_at.plus(arrival.offset),
                started: run.started_at,
                ended: run.ended_at,
                succeeded: run.status == RunStatus::Success,
            });
        }
        let sent = generation.submissions.iter().filter(|(_, submission)| submission.attempts > 0);
        let sent = sent.map(|(index, submission)| (*index, submission.departure().at())).collect();
        lateness = plan.delays(started_at, sent).iter().map(std::time::Duration::as_secs_f64).collect();
    }
    Measured {
        source: Source::History,
        runs,
        lateness: Some(lateness),
        gauges,
        target: Some(serde_json::to_value(&generation.target).expect("a target has string keys only")),
    }
}

#[derive(Deserialize)]
struct Row {
    job: String,
    due: Option<Timestamp>,
    status: String,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

/// From a `keys.csv`: the runs alone.
///
/// # Errors
/// At the first line that is not what it should be.
pub fn of_keys(text: &str) -> Result<Measured, csv::Error> {
    let mut runs = vec![];
    for row in csv::Reader::from_reader(text.as_bytes()).into_deserialize::<Row>() {
        let row = row?;
        let Some(due) = row.due.filter(|_| !row.status.is_empty()) else { continue };
        runs.push(RunTimes {
            job: row.job,
            due,
            started: row.started,
            ended: row.ended,
            succeeded: row.status.split(' ').all(|status| status == "SUCCESS"),
        });
    }
    Ok(Measured { source: Source::Keys, runs, ..Measured::nothing() })
}

/// In seconds, from the intended instant, sorted; of one job or of all.
pub fn run_latency(runs: &[RunTimes], job: Option<&str>) -> Vec<f64> {
    let ended = runs.iter().filter(|run| run.succeeded && job.is_none_or(|job| run.job == job));
    sorted(ended.filter_map(|run| Some(run.ended?.since(run.due).as_secs_f64())).collect())
}

/// The same, to the start of the run.
pub fn start_latency(runs: &[RunTimes]) -> Vec<f64> {
    sorted(runs.iter().filter_map(|run| Some(run.started?.since(run.due).as_secs_f64())).collect())
}

/// Completed runs a second, from the start to the last completion, and how many they are.
pub fn throughput(runs: &[RunTimes], started_at: Option<Timestamp>) -> Option<(f64, u64)> {
    let ends: Vec<Timestamp> = runs.iter().filter(|run| run.succeeded).filter_map(|run| run.ended).collect();
    let lasted = ends.iter().max()?.since(started_at?).as_secs_f64();
    (lasted > 0.0).then(|| (ends.len() as f64 / lasted, ends.len() as u64))
}

pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "\
key,job,due,attempts,outcome,run_id,status,started,ended,latency_s,steps_started,steps_completed,findings
a/ab-1/0,fast,2026-11-24T12:00:00Z,1,acknowledged,r0,SUCCESS,2026-11-24T12:00:02Z,2026-11-24T12:00:10Z,10,1,1,
a/ab-1/1,slow,2026-11-24T12:00:05Z,1,acknowledged,r1,SUCCESS SUCCESS,2026-11-24T12:00:06Z,2026-11-24T12:00:25Z,20,1,1,duplicated (run)
a/ab-1/2,slow,2026-11-24T12:00:10Z,1,acknowledged,r2,FAILURE,2026-11-24T12:00:13Z,2026-11-24T12:00:14Z,4,1,0,lost (run)
a/ab-1/3,fast,2026-11-24T12:00:15Z,0,notSent,,,,,,0,0,
";

    #[test]
    fn keys_tell_how_long_runs_took() {
        let measured = of_keys(KEYS).expect("keys");
        assert_eq!((measured.source, measured.runs.len()), (Source::Keys, 3));
        assert_eq!(run_latency(&measured.runs, None), [10.0, 20.0]);
        assert_eq!(run_latency(&measured.runs, Some("slow")), [20.0]);
        assert_eq!(start_latency(&measured.runs), [1.0, 2.0, 3.0]);
        let started = "2026-11-24T12:00:00Z".parse().expect("an instant");
        assert_eq!(throughput(&measured.runs, Some(started)), Some((2.0 / 25.0, 2)));
        assert_eq!(throughput(&measured.runs, None), None);
        assert_eq!(throughput(&[], Some(started)), None);
    }

    #[test]
    fn what_is_no_keys_file_is_an_error() {
        for text in ["a,b\n1,2\n", &KEYS.replace("12:00:14Z,4", "soon,4")] {
            assert!(of_keys(text).is_err(), "{text}");
        }
    }
}
