//! Gauges: sampled for the thresholds, and watched for the faults that wait for one.

use std::time::Duration;

use super::{Decision, ready::LOOK_EVERY};
use crate::{
    journal::{Event, Generation},
    model::{FaultId, Metric, Observation, Query, Timestamp, When},
    plan::Plan,
};

/// A threshold's gauge is sampled this often.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// What has to be looked at for gauges, each with its pace.
pub fn looks(plan: &Plan, state: &Generation, now: Timestamp) -> Vec<(Query, Duration)> {
    if state.ending().is_some() || state.audit_began_at.is_some() {
        return vec![];
    }
    let started = state.started_at.is_some();
    let sampled = plan.sampled().into_iter().map(|metric| (metric, if started { SAMPLE_EVERY } else { LOOK_EVERY }));
    let watched = waiting(plan, state, now).map(|(_, when)| (when.metric, LOOK_EVERY));
    sampled.chain(watched).filter_map(|(metric, pace)| Some((metric.query(&state.target)?, pace))).collect()
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
    let Some(started_at) = state.started_at else { return };
    if state.ending().is_some() || state.audit_began_at.is_some() {
        return;
    }
    let value =
        |metric: Metric| metric.gauge(&state.target, observation).filter(|(asked_at, _)| *asked_at >= started_at);
    for metric in plan.sampled() {
        let last = state.samples.iter().rev().find(|sample| sample.metric == metric).map(|sample| sample.asked_at);
        if let Some((asked_at, value)) = value(metric)
            && last.is_none_or(|last| asked_at >= last.plus(SAMPLE_EVERY))
        {
            decision.notes.push(Event::Sampled { metric, asked_at, value });
        }
    }
    for (fault, when) in waiting(plan, state, now) {
        if let Some((asked_at, value)) = value(when.metric)
            && when.holds(value)
        {
            decision.notes.push(Event::FaultTriggered { fault: fault.name.clone(), asked_at, value });
        }
    }
}
