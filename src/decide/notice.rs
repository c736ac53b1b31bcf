//! What a look shows that is written down at once: runs that must not be, and thresholds that end a scenario early.
//!
//! It is asked after a look and not in every pass: it goes through all runs.

use super::{predecessor::named, submit::settled_at};
use crate::{
    journal::{
        Event, Evidence, FaultState, Foreign, Generation, Launches, OtherWriter, SubmissionStage, failed_by_reason,
    },
    model::{Criterion, DagsterView, Metric, Observation, RunView, Timestamp, WriterId},
    plan::Plan,
};

/// Why the one that began earlier gives way all the same.
const LAUNCHED_NONE: &str = "and this one has launched none";

/// Runs of a look at Dagster that must be told at once: two launches of one key, a run of a key that was never sent, a run that
/// will never start, a run that another dagstorm launched.
///
/// Each is told once, and only what the last look changed is gone through. A retry, and a run that copied the tags, is none of
/// them. The census at the end counts; this is what is known before.
pub fn runs(plan: &Plan, state: &Generation, view: &DagsterView, asked_at: Timestamp) -> Vec<Event> {
    if state.started_at.is_none() || state.concluded.is_some() {
        return vec![];
    }
    let mut events = vec![];
    for index in view.runs.changed() {
        arrival(plan, state, view, asked_at, index, &mut events);
    }
    let has_to_yield = |known: &OtherWriter| !known.is_first && !has_launched(plan, state, view, asked_at);
    if let Some(known) = state.other_writer.as_ref().map(|fact| &fact.value).filter(|known| has_to_yield(known))
        && !tells_of_a_writer(&events)
    {
        let (run_id, reason) = (known.run_id.clone(), format!("{}, {LAUNCHED_NONE}", known.reason));
        events.push(Event::OtherWriterSeen { run_id, reason, is_first: true });
    }
    let keyless = view.runs.changed_without_key().filter(|run| run.origin.is_launch());
    events.extend(keyless.filter_map(|run| unexpected(state, run, "was never attempted")));
    events.extend(state.never_started(&view.runs, asked_at).filter_map(|(_, run)| never_started(state, run)));
    events
}

fn arrival(
    plan: &Plan,
    state: &Generation,
    view: &DagsterView,
    asked_at: Timestamp,
    index: u32,
    events: &mut Vec<Event>,
) {
    let key = plan.key(index);
    let (kin, strange): (Vec<_>, Vec<_>) =
        view.runs.of_index(index).chains.into_iter().partition(|chain| chain.runs[0].key.as_ref() == Some(&key));
    events.extend(strange.iter().filter_map(|chain| unexpected(state, chain.runs[0], "was never attempted")));
    let mut own = vec![];
    for chain in kin {
        match state.foreign(plan, index, &chain) {
            None => own.push(chain),
            Some(Foreign::Job(_) | Foreign::Code(_)) => {}
            Some(Foreign::Writer(writer)) => {
                if !tells_of_a_writer(events) {
                    let launched = || has_launched(plan, state, view, asked_at);
                    events.extend(other_writer(state, view, writer, chain.runs[0], launched));
                }
            }
        }
    }
    let why = match state.submissions.get(&index) {
        Some(submission) => unexplained(&submission.stage),
        None => Some("was never attempted"),
    };
    if let Some(why) = why {
        events.extend(own.iter().filter_map(|chain| unexpected(state, chain.runs[0], why)));
    }
    if own.len() > 1 && !state.duplicates.contains_key(&index) {
        let mut runs: Vec<String> = own.iter().map(|chain| chain.root.to_owned()).collect();
        runs.sort_unstable();
        events.push(Event::DuplicateSeen { index, runs });
    }
}

fn tells_of_a_writer(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::OtherWriterSeen { .. }))
}

fn never_started(state: &Generation, run: &RunView) -> Option<Event> {
    if state.never_started.contains_key(&run.run_id) {
        return None;
    }
    let what = run.key.as_ref().map_or_else(|| run.run_id.clone(), ToString::to_string);
    let reason = format!("{what}: {}", run.says_never_started());
    Some(Event::NeverStartedSeen { run_id: run.run_id.clone(), reason })
}

/// Another dagstorm's run of this generation, once; and once more if this one turns out to have to give way.
///
/// The one that began earlier goes on, unless it has launched nothing yet. A run that names this very generation's start is of
/// one that has adopted its runs: it took this one for gone, and goes on.
fn other_writer(
    state: &Generation,
    view: &DagsterView,
    writer: Option<&WriterId>,
    run: &RunView,
    has_launched: impl FnOnce() -> bool,
) -> Option<Event> {
    let began = (run.generation_started, writer);
    let is_adopted = began.0.is_some() && began.0 == state.started_at;
    let has_adopted = state.adopting.is_some();
    let is_first = match (is_adopted, has_adopted) {
        // Of two that have adopted, this one goes on beside the one whose runs it has adopted itself.
        (true, true) => !has_adopted_of(state, view, writer) && began.1 < state.writer.as_ref(),
        (true, false) => true,
        (false, _) => began < (state.started_at, state.writer.as_ref()),
    };
    let has_none = !is_first && !has_launched();
    let is_first = is_first || has_none;
    if state.other_writer.as_ref().is_some_and(|known| known.value.is_first || !is_first) {
        return None;
    }
    let who = named(writer);
    let key = run.key.as_ref().map(ToString::to_string).unwrap_or_default();
    let why = match (is_adopted && !has_adopted, has_none) {
        (true, _) => ", after it took this one for gone".to_owned(),
        (false, true) => format!(", {LAUNCHED_NONE}"),
        (false, false) => String::new(),
    };
    let reason = format!("{who} launched run {} of {key} meanwhile{why}", run.run_id);
    Some(Event::OtherWriterSeen { run_id: run.run_id.clone(), reason, is_first })
}

/// Whether a run may be there that this dagstorm launched: one was acknowledged, or a launch is not yet shown to be absent.
fn has_launched(plan: &Plan, state: &Generation, view: &DagsterView, asked_at: Timestamp) -> bool {
    state.acknowledged > 0 || state.open.iter().any(|index| may_have_run(plan, state, view, *index, asked_at))
}

/// Whether a look leaves it open that a launch made a run, or shows it.
fn may_have_run(plan: &Plan, state: &Generation, view: &DagsterView, index: u32, asked_at: Timestamp) -> bool {
    let submission = &state.submissions[&index];
    match submission.stage {
        SubmissionStage::Intended | SubmissionStage::InDoubt(_) => {
            asked_at < settled_at(state, submission)
                || !state.own_launches(plan, index, view.runs.of_index(index)).is_empty()
        }
        SubmissionStage::Acknowledged { .. } => true,
        SubmissionStage::Deferred { .. }
        | SubmissionStage::Rejected(_)
        | SubmissionStage::Absent(_)
        | SubmissionStage::Dropped { .. } => false,
    }
}

/// Whether a launch of this writer is acknowledged as one of this generation's: then that one was taken for gone.
fn has_adopted_of(state: &Generation, view: &DagsterView, writer: Option<&WriterId>) -> bool {
    let of_writer = view.runs.iter().filter(|run| run.writer.as_ref() == writer);
    let mut keyed = of_writer.filter_map(|run| Some((run.key.as_ref()?.index, run)));
    keyed.any(|(index, run)| state.run_of(index) == Some(run.run_id.as_str()))
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
    let launches = Launches::of(state, plan, view.into_iter().flat_map(|view| view.runs.kin()), failed_by_reason);
    let evidence = Evidence { plan, generation: state, launches: &launches, until: now, recovered: &recovered };
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
        Metric::RunLatency | Metric::StartLatency | Metric::Throughput | Metric::Failures | Metric::SuccessRate => true,
        Metric::Lateness
        | Metric::RecoveryTime
        | Metric::QueueAge
        | Metric::QueueDepth
        | Metric::Workers
        | Metric::SubmissionErrors => false,
    }
}
