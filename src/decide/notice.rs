//! What a look shows that is written down at once: runs that must not be, and thresholds that end a scenario early.
//!
//! It is asked after a look and not in every pass: it goes through all runs.

use std::collections::BTreeMap;

use crate::{
    journal::{Event, Evidence, FaultState, Generation, SubmissionStage},
    model::{Criterion, DagsterView, Metric, Observation, RunView, Timestamp},
    plan::Plan,
};

/// Runs that a look at Dagster shows and that nothing explains: two of one key, or one of a key that was never sent.
///
/// Each is told once. Whatever the census shows in the end counts; this is what is known before.
pub fn runs(plan: &Plan, state: &Generation, view: &DagsterView) -> Vec<Event> {
    if state.started_at.is_none() || state.concluded.is_some() {
        return vec![];
    }
    let mut events = vec![];
    let mut by_index: BTreeMap<u32, Vec<&RunView>> = BTreeMap::new();
    for run in &view.runs {
        let key = run.key.as_ref().filter(|key| **key == plan.key(key.index));
        match key.and_then(|key| Some((key.index, &state.submissions.get(&key.index)?.stage))) {
            Some((index, stage)) => {
                by_index.entry(index).or_default().push(run);
                events.extend(unexplained(stage).and_then(|why| unexpected(state, run, why)));
            }
            None => events.extend(unexpected(state, run, "was never attempted")),
        }
    }
    let doubled = by_index.into_iter().filter(|(index, runs)| runs.len() > 1 && !state.duplicates.contains_key(index));
    events.extend(doubled.map(|(index, runs)| {
        let mut runs: Vec<String> = runs.into_iter().map(|run| run.run_id.clone()).collect();
        runs.sort_unstable();
        Event::DuplicateSeen { index, runs }
    }));
    events
}

/// Why a key can have no run; `None`: it may have one.
fn unexplained(stage: &SubmissionStage) -> Option<&'static str> {
    match stage {
        SubmissionStage::Rejected(_) => Some("was rejected"),
        SubmissionStage::Absent(_) => Some("was counted as never launched"),
        SubmissionStage::Dropped { .. } => Some("was dropped"),
        SubmissionStage::Intended
        | SubmissionStage::InDoubt(_)
        | SubmissionStage::Deferred { .. }
        | SubmissionStage::Acknowledged { .. } => None,
    }
}

fn unexpected(state: &Generation, run: &RunView, why: &str) -> Option<Event> {
    if state.unexpected.contains_key(&run.run_id) {
        return None;
    }
    let what = run.key.as_ref().map_or("a run without a key".to_owned(), ToString::to_string);
    let reason = format!("{what} {why}, yet Dagster has {}", run.run_id);
    Some(Event::UnexpectedSeen { run_id: run.run_id.clone(), reason })
}

/// Ends the scenario by the first threshold with `abortOnFail` that does not hold over what is known so far.
pub fn breach(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp) -> Option<Event> {
    let started_at = state.started_at?;
    if state.ending().is_some() || state.audit_began_at.is_some() || state.concluded.is_some() {
        return None;
    }
    let due = plan
        .expect
        .thresholds
        .iter()
        .filter(|criterion| criterion.abort_after.is_some_and(|grace| now >= started_at.plus(grace.duration())));
    let due: Vec<&Criterion> = due.collect();
    if due.is_empty() {
        return None;
    }
    let seen = observation.dagster.as_ref().filter(|seen| seen.asked_at >= started_at);
    let view = seen.and_then(|seen| seen.answer.fresh());
    let recovered = |fault: &FaultState| fault.steady_at;
    let runs = view.into_iter().flat_map(|view| &view.runs).collect();
    let evidence = Evidence { plan, generation: state, runs, until: now, recovered: &recovered };
    due.into_iter().find_map(|criterion| {
        let threshold = &criterion.threshold;
        // A failed look decides nothing: it shows no runs, and that is not none.
        let measured = (view.is_some() || !is_of_runs(criterion.metric())).then(|| evidence.measure(criterion))?;
        let enough = measured.samples >= u64::from(criterion.min_samples.unwrap_or_default());
        let value = measured.value.filter(|value| enough && !threshold.comparison.holds(*value, threshold.value))?;
        let (name, value, samples) = (criterion.name(), threshold.show(value), measured.samples);
        let reason = format!("expect.thresholds: {name} does not hold: it is {value} over {samples} samples");
        Some(Event::Aborted { reason })
    })
}

/// Whether it is read off the runs that Dagster shows.
fn is_of_runs(metric: Metric) -> bool {
    match metric {
        Metric::RunLatency | Metric::StartLatency | Metric::Throughput => true,
        Metric::Lateness
        | Metric::RecoveryTime
        | Metric::QueueAge
        | Metric::QueueDepth
        | Metric::Workers
        | Metric::SubmissionErrors => false,
    }
}
