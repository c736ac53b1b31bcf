//! What was measured on both sides, quantile by quantile, and whether the difference means anything.

use serde::Serialize;

use super::{
    Side,
    measured::{Source, run_latency, sorted, start_latency, throughput},
    shift::{FEWEST, Quantile, interval},
};
use crate::{
    model::{Metric, Span},
    publish::latency::Quantiles,
};

/// One number on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measure {
    pub metric: Metric,
    /// The job or the fault that it is of; absent: the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// `p50`, `p95`, `p99`, `max`, or `value` where there is but one.
    pub quantile: String,
    /// In seconds, in pieces or per second, as the metric is.
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// How many samples each rests on.
    pub samples: [u64; 2],
    /// After − before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
    /// The same as a share of what was before; absent where that was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative: Option<f64>,
    /// Between which bounds the change lies, with 99 % confidence; absent where the samples themselves are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    pub judgement: Judgement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Judgement {
    /// Worse beyond the tolerance, and by more than chance: slower, deeper, less throughput.
    Slower,
    Faster,
    WithinTolerance,
    /// Beyond the tolerance, yet by no more than chance does.
    WithinNoise,
    TooFewSamples,
    /// It was measured on one side alone.
    OneSided,
}

/// The samples of one side, sorted, or the quantiles that a report kept of them.
enum Samples {
    Each(Vec<f64>),
    Kept(Option<Quantiles>),
}

impl Samples {
    fn count(&self) -> u64 {
        match self {
            Self::Each(sorted) => sorted.len() as u64,
            Self::Kept(kept) => kept.as_ref().map_or(0, |kept| kept.samples as u64),
        }
    }

    fn at(&self, quantile: Quantile) -> Option<f64> {
        match self {
            Self::Each(sorted) => quantile.of(sorted),
            Self::Kept(kept) => {
                let kept = kept.as_ref()?;
                let span: Span = match quantile {
                    Quantile::Percent(50) => kept.p50,
                    Quantile::Percent(95) => kept.p95,
                    Quantile::Percent(99) => kept.p99,
                    Quantile::Percent(_) => return None,
                    Quantile::Max => kept.max,
                };
                Some(span.duration().as_secs_f64())
            }
        }
    }
}

/// A change below this means nothing, whatever share it is of.
fn least(metric: Metric) -> f64 {
    match metric {
        Metric::RunLatency | Metric::StartLatency | Metric::Lateness => 0.1,
        // Looks come once a second.
        Metric::RecoveryTime | Metric::QueueAge => 1.0,
        Metric::QueueDepth => 10.0,
        Metric::Workers | Metric::SubmissionErrors => 1.0,
        Metric::Throughput | Metric::Failures | Metric::SuccessRate => 0.0,
    }
}

/// Whether more of it is better.
fn is_gain(metric: Metric) -> bool {
    match metric {
        Metric::Throughput | Metric::Workers | Metric::SuccessRate => true,
        Metric::RunLatency
        | Metric::StartLatency
        | Metric::Lateness
        | Metric::RecoveryTime
        | Metric::QueueAge
        | Metric::QueueDepth
        | Metric::SubmissionErrors
        | Metric::Failures => false,
    }
}

/// Everything that can be compared, in the order in which a person asks.
pub fn measures(before: &Side, after: &Side, tolerance: f64) -> Vec<Measure> {
    let both = [before, after];
    let judge = Judge { tolerance };
    let mut found = judge.quantiles(Metric::RunLatency, None, &both.map(|side| latency(side, None)), &Quantile::ALL);
    let jobs = jobs(&both);
    for job in jobs.iter().filter(|_| jobs.len() > 1) {
        let samples = both.map(|side| latency(side, Some(job)));
        found.extend(judge.quantiles(Metric::RunLatency, Some(job), &samples, &Quantile::ALL));
    }
    let starts = both.map(|side| Samples::Each(start_latency(&side.measured.runs)));
    found.extend(judge.quantiles(Metric::StartLatency, None, &starts, &Quantile::ALL));
    found.extend(judge.quantiles(Metric::Lateness, None, &both.map(lateness), &Quantile::ALL));
    found.extend(recoveries(&judge, &both));
    let rates = both.map(|side| throughput(&side.measured.runs, side.report.started_at));
    let [(old, old_samples), (new, new_samples)] =
        rates.map(|rate| rate.map_or((None, 0), |(rate, count)| (Some(rate), count)));
    let number = Number { values: [old, new], samples: [old_samples, new_samples], interval: None, fewest: FEWEST };
    found.extend(judge.one(Metric::Throughput, None, "value", number));
    for metric in [Metric::QueueDepth, Metric::QueueAge] {
        let gauge =
            both.map(|side| Samples::Each(sorted(side.measured.gauges.get(&metric).cloned().unwrap_or_default())));
        // One look follows another: they are not independent, and an interval would promise too much.
        let [old, new] = [&gauge[0], &gauge[1]].map(|samples| samples.at(Quantile::Max));
        let samples = [gauge[0].count(), gauge[1].count()];
        let number = Number { values: [old, new], samples, interval: None, fewest: FEWEST };
        found.extend(judge.one(metric, None, "max", number));
    }
    found
}

fn jobs(both: &[&Side; 2]) -> Vec<String> {
    let mut jobs: Vec<String> = vec![];
    for job in both.iter().flat_map(|side| &side.report.jobs) {
        if !jobs.contains(&job.job) {
            jobs.push(job.job.clone());
        }
    }
    jobs
}

fn latency(side: &Side, job: Option<&str>) -> Samples {
    match side.measured.source {
        Source::History | Source::Keys => Samples::Each(run_latency(&side.measured.runs, job)),
        // The report has no quantiles of single jobs.
        Source::Report => Samples::Kept(side.report.run_latency.clone().filter(|_| job.is_none())),
    }
}

fn lateness(side: &Side) -> Samples {
    match &side.measured.lateness {
        Some(lateness) => Samples::Each(sorted(lateness.clone())),
        None => Samples::Kept(side.report.load.lateness.clone()),
    }
}

/// Of each fault by itself, where it was measured; and of all together.
fn recoveries(judge: &Judge, both: &[&Side; 2]) -> Vec<Measure> {
    let of = |side: &Side, name: &str| {
        let fault = side.report.faults.iter().find(|fault| fault.name == name)?;
        Some(fault.recovery_time?.duration().as_secs_f64())
    };
    let mut names: Vec<&str> = vec![];
    for fault in both.iter().flat_map(|side| &side.report.faults) {
        if !names.contains(&fault.name.as_str()) {
            names.push(&fault.name);
        }
    }
    let each = |side: &Side| sorted(names.iter().filter_map(|name| of(side, name)).collect());
    let all = both.map(|side| Samples::Each(each(side)));
    let mut found = judge.quantiles(Metric::RecoveryTime, None, &all, &[Quantile::Percent(50), Quantile::Max]);
    for name in names {
        let values = both.map(|side| of(side, name));
        let samples = values.map(|value| u64::from(value.is_some()));
        let number = Number { values, samples, interval: None, fewest: FEWEST };
        found.extend(judge.one(Metric::RecoveryTime, Some(name), "value", number));
    }
    found
}

/// One number on both sides, and what it rests on.
#[derive(Clone, Copy)]
struct Number {
    values: [Option<f64>; 2],
    samples: [u64; 2],
    interval: Option<[f64; 2]>,
    /// Fewer samples than this say nothing.
    fewest: u64,
}

struct Judge {
    /// As a share.
    tolerance: f64,
}

impl Judge {
    fn quantiles(
        &self,
        metric: Metric,
        of: Option<&str>,
        samples: &[Samples; 2],
        quantiles: &[Quantile],
    ) -> Vec<Measure> {
        let counts = [samples[0].count(), samples[1].count()];
        let measure = |quantile: &Quantile| {
            let values = [samples[0].at(*quantile), samples[1].at(*quantile)];
            let interval = match samples {
                [Samples::Each(before), Samples::Each(after)] => interval(*quantile, before, after),
                [Samples::Kept(_), _] | [_, Samples::Kept(_)] => None,
            };
            let number = Number { values, samples: counts, interval, fewest: quantile.fewest() };
            self.one(metric, of, &quantile.word(), number)
        };
        quantiles.iter().filter_map(measure).collect()
    }

    /// `None`: neither side has measured it.
    fn one(&self, metric: Metric, of: Option<&str>, quantile: &str, number: Number) -> Option<Measure> {
        let Number { values: [before, after], samples, interval, fewest } = number;
        let change = before.zip(after).map(|(before, after)| after - before);
        let relative = change.zip(before).filter(|(_, before)| *before > 0.0).map(|(change, before)| change / before);
        let judgement = match change {
            None if before.is_none() && after.is_none() => return None,
            None => Judgement::OneSided,
            Some(_) if samples.iter().any(|count| *count < fewest) => Judgement::TooFewSamples,
            Some(change) => self.judge(metric, change, relative, interval),
        };
        Some(Measure {
            metric,
            of: of.map(str::to_owned),
            quantile: quantile.to_owned(),
            before,
            after,
            samples,
            change,
            relative,
            // Of too few samples it would promise too much.
            interval: interval.filter(|_| judgement != Judgement::TooFewSamples),
            judgement,
        })
    }

    fn judge(&self, metric: Metric, change: f64, relative: Option<f64>, interval: Option<[f64; 2]>) -> Judgement {
        // From nothing to something is beyond any share.
        let is_beyond = relative.is_none_or(|relative| relative.abs() > self.tolerance);
        if change == 0.0 || change.abs() < least(metric) || !is_beyond {
            return Judgement::WithinTolerance;
        }
        let is_noise = interval.is_some_and(|[low, high]| low <= 0.0 && high >= 0.0);
        match (is_noise, (change > 0.0) == is_gain(metric)) {
            (true, _) => Judgement::WithinNoise,
            (false, true) => Judgement::Faster,
            (false, false) => Judgement::Slower,
        }
    }
}
