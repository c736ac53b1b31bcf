//! What goes to CloudWatch.

use std::time::Duration;

use indexmap::IndexMap;

use crate::{
    journal::Launched,
    model::{Datum, DatumUnit, Observation, ScenarioName, Target, Timestamp},
    plan::Plan,
};

/// `QueueDepth` (visible and in flight: all that waits or is worked on) and `WorkerCount`. A failed look gives no datum.
pub fn gauges(target: &Target, observation: &Observation, at: Timestamp) -> Vec<Datum> {
    let mut data = vec![];
    let queue = observation.queue.as_ref().and_then(|seen| seen.answer.fresh());
    if let (Some(view), Some(queue)) = (queue, &target.queue) {
        let dimensions: IndexMap<_, _> = [("queue".to_owned(), queue.name.clone())].into_iter().collect();
        data.push(Datum {
            name: "QueueDepth",
            unit: DatumUnit::Count,
            at,
            values: vec![(view.visible + view.in_flight) as f64],
            dimensions,
        });
    }
    for (service, seen) in &observation.services {
        if let Some(view) = seen.answer.fresh() {
            let dimensions: IndexMap<_, _> = [("service".to_owned(), service.clone())].into_iter().collect();
            let values = vec![f64::from(view.running)];
            data.push(Datum { name: "WorkerCount", unit: DatumUnit::Count, at, values, dimensions });
        }
    }
    data
}

/// `RunLatency` of launches that ended, retries included: from the intended instant, so that a late launch is not hidden.
pub fn latencies<'a>(
    scenario: &ScenarioName,
    plan: &Plan,
    started_at: Timestamp,
    ended: impl Iterator<Item = &'a Launched>,
    at: Timestamp,
) -> Option<Datum> {
    let ends = ended.filter_map(|one| Some((one.index, one.ended_at?))).collect();
    let values: Vec<f64> = plan.delays(started_at, ends).iter().map(Duration::as_secs_f64).collect();
    let dimensions: IndexMap<_, _> = [("scenario".to_owned(), scenario.to_string())].into_iter().collect();
    (!values.is_empty()).then_some(Datum { name: "RunLatency", unit: DatumUnit::Seconds, at, values, dimensions })
}
