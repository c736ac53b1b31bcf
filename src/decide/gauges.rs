//! Gauges: sampled for the thresholds and for whoever reads the report, and watched for the faults that wait for one.

use std::{collections::BTreeSet, time::Duration};

use super::{Decision, ready::LOOK_EVERY};
use crate::{
    journal::{Dependency, Event, Generation, Sample},
    model::{FaultId, Metric, Observation, Query, Timestamp, When},
    plan::Plan,
};

/// A gauge is looked at this seldom, while nobody needs it and it cannot be seen.
const SELDOM: Duration = Duration::from_secs(10);
/// A changed value is written down this long after the last one …
const CHANGE_AFTER: Duration = Duration::from_secs(1);
/// … and one that stays the same this long: what is not written stands for no time that was not seen.
const SAME_AFTER: Duration = Duration::from_secs(10);

/// What has to be looked at for gauges, each with its pace: before the start, what the scenario cannot do without.
pub fn looks(plan: &Plan, state: &Generation, now: Timestamp) -> Vec<(Query, Duration)> {
    if is_over(state) {
        return vec![];
    }
    let started = state.started_at.is_some();
    let calm =
        |metric: Metric| if state.unseen.contains_key(&metric) { SELDOM.max(metric.pace()) } else { metric.pace() };
    let sampled = if started { Metric::GAUGES.into_iter().collect() } else { plan.sampled() };
    let sampled = sampled.into_iter().map(|metric| (metric, if started { calm(metric) } else { LOOK_EVERY }));
    let watched = waiting(plan, state, now).map(|(_, when)| (when.metric, LOOK_EVERY.max(when.metric.pace() / 2)));
    sampled.chain(watched).filter_map(|(metric, pace)| Some((metric.query(&state.target)?, pace))).collect()
}

/// The gauges that are looked at to be drawn alone: nothing waits for them, and it is no matter if they cannot be seen.
pub fn spare(plan: &Plan, state: &Generation) -> Vec<(Metric, Query)> {
    let by_faults = plan.faults.iter().filter_map(|planned| planned.fault.query(&state.target));
    let triggers = plan.faults.iter().filter_map(|planned| planned.when).map(|when| when.metric);
    let needed = plan.sampled().into_iter().chain(triggers).filter_map(|metric| metric.query(&state.target));
    let needed: BTreeSet<Query> = needed.chain(by_faults).collect();
    let gauges = Metric::GAUGES.into_iter().filter_map(|metric| Some((metric, metric.query(&state.target)?)));
    gauges.filter(|(_, query)| !needed.contains(query)).collect()
}

fn is_over(state: &Generation) -> bool {
    state.ending().is_some() || state.audit_began_at.is_some()
}

/// The faults that still wait for a gauge, by their first occurrence.
fn waiting<'a>(plan: &'a Plan, state: &'a Generation, now: Timestamp) -> impl Iterator<Item = (&'a FaultId, When)> {
    let over = state.started_at.is_some_and(|started| now >= started.plus(plan.ends_at));
    let first = plan.faults.iter().filter(move |fault| !over && fault.id.occurrence == 1);
    first
        .filter(|fault| !state.triggered.contains_key(&fault.id.name))
        .filter_map(|fault| Some((&fault.id, fault.when?)))
}

/// Notes samples and triggers.
pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let Some(started_at) = state.started_at.filter(|_| !is_over(state)) else { return };
    for metric in Metric::GAUGES {
        let mut last = state.last_samples.get(&metric).copied();
        for (asked_at, value) in metric.readings(&state.target, observation) {
            let sample = Sample { metric, asked_at, value };
            if asked_at >= started_at && is_news(sample, last) {
                decision.notes.push(Event::Sampled { metric, asked_at, value });
                last = Some(sample);
            }
        }
    }
    for (fault, when) in waiting(plan, state, now) {
        if let Some((asked_at, value)) = when.metric.gauge(&state.target, observation)
            && asked_at >= started_at
            && when.holds(value)
        {
            decision.notes.push(Event::FaultTriggered { fault: fault.name.clone(), asked_at, value });
        }
    }
    note_unseen(plan, state, observation, started_at, decision);
}

/// Whether a reading is written down: it differs, or the last one was long ago.
fn is_news(sample: Sample, last: Option<Sample>) -> bool {
    let Some(last) = last else { return true };
    let after = if sample.value == last.value { SAME_AFTER } else { CHANGE_AFTER };
    sample.asked_at >= last.asked_at.plus(after)
}

/// Says of a gauge that is drawn alone that it cannot be seen, once, and that it can be seen again.
fn note_unseen(
    plan: &Plan,
    state: &Generation,
    observation: &Observation,
    started_at: Timestamp,
    decision: &mut Decision,
) {
    for (metric, query) in spare(plan, state) {
        let Some((_, why)) = observation.state_of(&query).filter(|(asked_at, _)| *asked_at >= started_at) else {
            continue;
        };
        let (dependency, known) = (Dependency::Gauge(metric), state.unseen.get(&metric));
        match (why, known) {
            (Some(why), known) if known.is_none_or(|known| known.value.kind != why.kind) => {
                decision.notes.push(Event::Unready { dependency, why: why.clone() });
            }
            (None, Some(_)) => decision.notes.push(Event::Readied { dependency }),
            (Some(_), _) | (None, None) => {}
        }
    }
}
