//! The step events of runs that have ended and what their workers recorded, read in the background while the scenario
//! runs: what was completed twice is told then, and not only at the end.
//!
//! A run is read once, when a look shows that it has ended; what its steps do later, the census sees. A failed look reads
//! nothing, and the same runs are asked for again.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    journal::{Event, Generation},
    model::{Observation, Query, StepEventKind, StepsView, Timestamp},
    plan::Plan,
};

/// So often, so many runs: it costs Dagster little, and falls behind a load of more than five runs a second.
pub(super) const EVERY: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 50;

/// The runs to read now, the longest ended first.
pub fn look(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp) -> Option<Query> {
    let is_over = state.stop.is_some() || state.audit_began_at.is_some();
    if state.started_at.is_none() || is_over {
        return None;
    }
    let is_recent = observation.steps.as_ref().is_some_and(|seen| seen.asked_at.plus(EVERY) > now);
    let view = observation.dagster.as_ref().filter(|_| !is_recent)?.answer.fresh()?;
    let unread = view.runs.unread().filter(|run| !state.steps_read.contains(&run.run_id));
    let run_ids: Vec<String> = unread.take(AT_ONCE).map(|run| run.run_id.clone()).collect();
    (!run_ids.is_empty()).then(|| Query::Steps {
        scenario: plan.scenario.clone(),
        generation: plan.generation.clone(),
        version: view.version.clone(),
        run_ids,
    })
}

/// What the answer shows: steps that were completed more than once, by either account, and that these runs are read.
///
/// What was asked for and is not there is read as well: it is for the census to miss it.
pub fn notice(state: &Generation, run_ids: &[String], view: &StepsView) -> Vec<Event> {
    if state.concluded.is_some() {
        return vec![];
    }
    let unread: Vec<&String> = run_ids.iter().filter(|run_id| !state.steps_read.contains(*run_id)).collect();
    let mut events = vec![];
    for record in view.runs.iter().filter(|record| unread.contains(&&record.run.run_id)) {
        let run_id = &record.run.run_id;
        let name = record.name();
        // Of a batch that a crash tore, the first part may be there.
        let is_news = |step: &str| !state.step_duplicates.contains_key(&(run_id.clone(), step.to_owned()));
        let mut told = |step: &str, reason: String| {
            events.push(Event::StepDuplicateSeen { run_id: run_id.clone(), step: step.to_owned(), reason });
        };
        let succeeded = record.events.iter().filter(|event| event.kind == StepEventKind::Succeeded);
        let completed = often(succeeded.map(|event| &*event.step));
        for (step, times) in completed.iter().filter(|(step, times)| **times > 1 && is_news(step)) {
            told(step, format!("{name}: step {step} was completed {times} times in run {run_id}"));
        }
        let recorded = view.work.iter().filter(|work| work.run_id == *run_id && work.is_completed());
        let done = often(recorded.map(|work| &*work.step));
        let is_said = |step: &str| completed.get(step).is_some_and(|times| *times > 1);
        for (step, times) in done.into_iter().filter(|(step, times)| *times > 1 && is_news(step) && !is_said(step)) {
            let by = "by its workers' records";
            told(step, format!("{name}: the work of step {step} was done {times} times in run {run_id}, {by}"));
        }
    }
    if !unread.is_empty() {
        events.push(Event::StepsRead { run_ids: unread.into_iter().cloned().collect() });
    }
    events
}

/// How often each of them comes.
fn often<'a>(steps: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u32> {
    let mut counts = BTreeMap::new();
    for step in steps {
        *counts.entry(step).or_default() += 1;
    }
    counts
}
