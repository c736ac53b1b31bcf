//! Thresholds: what was measured, against what was asked for. Without samples nothing holds and nothing fails.

use super::{Audit, Finding, FindingKind, effects::recovered_at};
use crate::{
    journal::{Evidence, FaultState, Generation, ThresholdResult},
    model::Census,
    plan::Plan,
};

pub fn judge(plan: &Plan, generation: &Generation, census: &Census, audit: &mut Audit) {
    let recovered = |fault: &FaultState| recovered_at(fault, census);
    let runs = census.runs.iter().map(|record| &record.run).collect();
    let evidence = Evidence { plan, generation, runs, until: census.taken_at, recovered: &recovered };
    for criterion in &plan.expect.thresholds {
        let (name, threshold) = (criterion.name(), &criterion.threshold);
        let measured = evidence.measure(criterion);
        let (samples, value) = (measured.samples, measured.value.map(|value| threshold.show(value)));
        let too_few = criterion.min_samples.filter(|least| samples < u64::from(*least));
        let holds = measured.value.filter(|_| too_few.is_none());
        let holds = holds.map(|value| threshold.comparison.holds(value, threshold.value));
        match (&value, holds, too_few) {
            (None, ..) => audit.gap("NoSamples", format!("nothing was measured for the threshold {name}")),
            (Some(_), _, Some(least)) => {
                let message = format!("the threshold {name} has {samples} samples, and asks for {least}");
                audit.gap("TooFewSamples", message);
            }
            (Some(value), Some(false), None) => {
                let message = format!(
                    "{} {} is {value} over {samples} samples; the threshold is {name}",
                    threshold.metric, threshold.aggregate
                );
                audit.found(Finding::of_scenario(FindingKind::Threshold, message));
            }
            (Some(_), Some(true) | None, None) => {}
        }
        audit.thresholds.push(ThresholdResult { threshold: name, value, samples, holds });
    }
}
