//! Thresholds: what was measured, against what was asked for. Without samples nothing holds and nothing fails.

use std::collections::BTreeSet;

use super::{Audit, Finding, FindingKind, effects::recovered_at};
use crate::{
    journal::{Evidence, FaultState, Generation, Launches, ThresholdResult},
    model::{Census, runs::kin},
    plan::Plan,
};

pub fn judge(plan: &Plan, generation: &Generation, census: &Census, audit: &mut Audit) {
    let recovered = |fault: &FaultState| recovered_at(fault, census);
    let launches = launches(plan, generation, census);
    let evidence = Evidence { plan, generation, launches: &launches, until: census.taken_at, recovered: &recovered };
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

/// The launches of the census, as they are measured. Copies of their tags are not among them.
pub fn launches(plan: &Plan, generation: &Generation, census: &Census) -> Launches {
    let own_errors: BTreeSet<&str> = census
        .runs
        .iter()
        .filter(|record| record.own_error().is_some())
        .map(|record| record.run.run_id.as_str())
        .collect();
    let of_a_key = census.runs.chunk_by(|a, b| a.run.key == b.run.key).filter_map(|some| {
        let key = some[0].run.key.as_ref()?;
        let is_planned = key.scenario == plan.scenario && key.generation == plan.generation;
        is_planned.then(|| (key.index, kin(some.iter().map(|record| &record.run))))
    });
    let mut launches = Launches::of(generation, plan, of_a_key, |run| own_errors.contains(run.run_id.as_str()));
    let there: BTreeSet<u32> = launches.all.iter().map(|one| one.index).collect();
    let acknowledged = generation.submissions.keys().filter(|index| generation.run_of(**index).is_some());
    launches.gone = acknowledged.copied().filter(|index| !there.contains(index)).collect();
    launches
}
