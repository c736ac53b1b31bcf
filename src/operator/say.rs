//! One log line an event, with the ids that the executor, the workers and the autoscaler log too.

use crate::{
    journal::{Event, Record},
    model::ScenarioName,
    plan::Plan,
    publish,
};

/// Logs what a record says.
pub fn say(plan: Option<&Plan>, scenario: &ScenarioName, record: &Record) {
    let key = |index: &u32| plan.map(|plan| plan.key(*index).to_string()).unwrap_or_default();
    if let Event::Submitted { index, run_id, found } = &record.event {
        tracing::info!(%scenario, key = key(index), run_id, ?found, "launched");
    } else if let Event::SubmitIntended { index, attempt, .. } = &record.event {
        tracing::debug!(%scenario, key = key(index), attempt, "launching");
    } else if let Event::SubmitSent { index, attempt, sent_at } = &record.event {
        tracing::debug!(%scenario, key = key(index), attempt, %sent_at, "sent");
    } else if let Event::SubmitRefused { index, reason, retry } = &record.event {
        tracing::warn!(%scenario, key = key(index), reason, retry, "launch refused");
    } else if let Event::SubmitInDoubt { index, reason } | Event::SubmitAbsent { index, reason } = &record.event {
        tracing::warn!(%scenario, key = key(index), reason, "launch in doubt");
    } else {
        for event in publish::for_people(scenario, std::slice::from_ref(record)) {
            if event.is_warning() {
                tracing::warn!(%scenario, reason = event.reason, "{}", event.message);
            } else {
                tracing::info!(%scenario, reason = event.reason, "{}", event.message);
            }
        }
    }
}
