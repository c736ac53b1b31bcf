//! Thresholds: what was measured, against what was asked for. Without samples nothing holds and nothing fails.

use std::time::Duration;

use super::{Audit, Finding, FindingKind, effects::recovered_at};
use crate::{
    journal::{FaultStage, Generation, Held, ThresholdResult, held},
    model::{Aggregate, Census, Metric, RunRecord, RunStatus, Timestamp, Weighed},
    plan::Plan,
};

pub fn judge(plan: &Plan, generation: &Generation, census: &Census, audit: &mut Audit) {
    for threshold in &plan.expect.thresholds {
        let measured = measure(threshold.metric, threshold.aggregate, plan, generation, census, audit);
        let holds = measured.value.map(|value| threshold.comparison.holds(value, threshold.value));
        let value = measured.value.map(|value| threshold.show(value));
        let (name, samples) = (threshold.to_string(), measured.samples);
        match (&value, holds) {
            (Some(value), Some(false)) => {
                let message = format!(
                    "{} {} is {value} over {samples} samples; the threshold is {name}",
                    threshold.metric, threshold.aggregate
                );
                audit.found(Finding::of_scenario(FindingKind::Threshold, message));
            }
            (Some(_), _) => {}
            (None, _) => audit.gap("NoSamples", format!("nothing was measured for the threshold {name}")),
        }
        audit.thresholds.push(ThresholdResult { threshold: name, value, samples, holds });
    }
}

struct Measured {
    value: Option<f64>,
    samples: u64,
}

fn measure(
    metric: Metric,
    aggregate: Aggregate,
    plan: &Plan,
    generation: &Generation,
    census: &Census,
    audit: &Audit,
) -> Measured {
    let Some(started_at) = generation.started_at else { return Measured { value: None, samples: 0 } };
    let elapsed = census.taken_at.since(started_at).as_secs_f64();
    let of = |samples: Vec<f64>| Measured { samples: samples.len() as u64, value: aggregate.of(samples, elapsed) };
    let since_arrival = |instant: fn(&RunRecord) -> Option<Timestamp>| {
        of(plan.delays(started_at, runs(census, instant)).iter().map(Duration::as_secs_f64).collect())
    };
    match metric {
        Metric::RunLatency => {
            since_arrival(|record| record.run.ended_at.filter(|_| record.run.status == RunStatus::Success))
        }
        Metric::StartLatency => since_arrival(|record| record.run.started_at),
        Metric::Lateness => {
            let sent = generation.submissions.iter().filter(|(_, submission)| submission.attempts > 0);
            let sent = sent.map(|(index, submission)| (*index, submission.first_attempt_at)).collect();
            of(plan.delays(started_at, sent).iter().map(Duration::as_secs_f64).collect())
        }
        Metric::RecoveryTime => {
            let healed = generation.faults.values().filter(|fault| matches!(fault.stage, FaultStage::Healed(_)));
            let recovered =
                healed.filter_map(|fault| Some(recovered_at(fault, census)?.since(fault.intended_at).as_secs_f64()));
            of(recovered.collect())
        }
        Metric::QueueAge | Metric::QueueDepth | Metric::Workers => {
            let weigh = |held: Held| Weighed { value: held.value, weight: held.length.as_secs_f64() };
            let samples: Vec<Weighed> = held(generation, metric, census.taken_at).into_iter().map(weigh).collect();
            Measured { samples: samples.len() as u64, value: aggregate.weighed(samples, elapsed) }
        }
        // One number for the whole, whichever aggregate is asked for; a rate is over the time.
        Metric::SubmissionErrors => {
            let counts = &audit.counts;
            let errors = f64::from(counts.rejected + counts.resolved_absent + counts.dropped);
            let due = u64::from(counts.attempted + counts.dropped);
            let value = if aggregate == Aggregate::Rate { errors / elapsed.max(f64::MIN_POSITIVE) } else { errors };
            Measured { value: (due > 0).then_some(value), samples: due }
        }
        Metric::Throughput => throughput(started_at, census),
    }
}

/// Completed runs over the time from the start to the last completion.
fn throughput(started_at: Timestamp, census: &Census) -> Measured {
    let completed = census.runs.iter().filter(|record| record.run.status == RunStatus::Success);
    let ends: Vec<Timestamp> = completed.filter_map(|record| record.run.ended_at).collect();
    let lasted = ends.iter().max().map(|last| last.since(started_at).as_secs_f64()).filter(|seconds| *seconds > 0.0);
    Measured { value: lasted.map(|seconds| ends.len() as f64 / seconds), samples: ends.len() as u64 }
}

/// Of each run with a key: its index and an instant.
fn runs(census: &Census, instant: fn(&RunRecord) -> Option<Timestamp>) -> Vec<(u32, Timestamp)> {
    census.runs.iter().filter_map(|record| Some((record.run.key.as_ref()?.index, instant(record)?))).collect()
}
