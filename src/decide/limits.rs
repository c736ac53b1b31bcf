//! What ends a scenario early, and what keeps it from starting: alarms, thresholds, the wrong account.

use std::{collections::BTreeMap, time::Duration};

use super::{Decision, ready::dependency};
use crate::{
    journal::{Dependency, Event, Generation},
    model::{Observation, Query, Timestamp, Why, WhyKind},
    plan::Plan,
    spec::AbortOn,
};

/// An alarm is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// An alarm that could not be seen for so long guards nothing any more.
const BLIND: Duration = Duration::from_secs(60);

/// What has to be looked at, each with its pace.
pub fn looks(plan: &Plan, state: &Generation) -> Vec<(Query, Duration)> {
    if state.ending().is_some() || state.audit_began_at.is_some() {
        return vec![];
    }
    let alarm = plan.abort_on.as_ref().and_then(|abort_on| abort_on.alarm.clone());
    let mut looks: Vec<(Query, Duration)> = alarm.map(|name| (Query::Alarm { name }, LOOK_EVERY)).into_iter().collect();
    // What is acted on later is judged by its own ARN, at each act.
    let has_account = state.target.guard.account.is_some() && !plan.faults.is_empty();
    if has_account && state.started_at.is_none() {
        looks.push((Query::Account, LOOK_EVERY));
    }
    // A proof that cannot be had is no reason to load anything.
    if state.target.completions.is_some() && state.started_at.is_none() {
        looks.push((Query::Completions, LOOK_EVERY));
    }
    looks
}

/// What was seen and forbids a start.
pub fn forbid(state: &Generation, observation: &Observation) -> BTreeMap<Dependency, Why> {
    let mut found = BTreeMap::new();
    if state.started_at.is_some() {
        return found;
    }
    let mut forbid = |dependency: Dependency, message: String| {
        found.insert(dependency, Why { kind: WhyKind::Mismatch, message });
    };
    for (name, seen) in &observation.alarms {
        if let Some(alarm) = seen.answer.fresh().filter(|alarm| alarm.is_ringing) {
            forbid(Dependency::Alarm(name.clone()), format!("alarm {name} is in ALARM: {}", alarm.reason));
        }
    }
    let account = observation.account.as_ref().and_then(|seen| seen.answer.fresh());
    if let (Some(wanted), Some(found)) = (&state.target.guard.account, account)
        && wanted != found
    {
        let message =
            format!("the credentials are of account {found}, and the guard of the target permits {wanted} alone");
        forbid(Dependency::Account, message);
    }
    found
}

/// Ends the scenario when what `abortOn` names has come true.
pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    give_way(state, decision);
    let (Some(abort_on), Some(started_at)) = (&plan.abort_on, state.started_at) else { return };
    if state.ending().is_some() || state.audit_began_at.is_some() {
        return;
    }
    let mut blind = |dependency: &Dependency, what: &str| {
        let unseen = state.unready.get(dependency)?;
        let blind_at = unseen.at.max(started_at).plus(BLIND);
        decision.wake(blind_at);
        (now >= blind_at).then(|| format!("{what} could not be seen for {} s: {}", BLIND.as_secs(), unseen.value))
    };
    let reason = by_alarm(abort_on, observation, started_at)
        .or_else(|| by_gauge(abort_on, state, observation))
        .or_else(|| by_duplicate(abort_on, state))
        .or_else(|| {
            let name = abort_on.alarm.as_ref()?;
            blind(&Dependency::Alarm(name.clone()), &format!("alarm {name}"))
        })
        .or_else(|| {
            let metric = abort_on.when?.metric;
            blind(&dependency(&metric.query(&state.target)?), metric.word())
        });
    if let Some(reason) = reason {
        decision.notes.push(Event::Aborted { reason: format!("limits.abortOn: {reason}") });
    }
}

/// Of two dagstorms that launch the same generation, one stops: the one that began later, or that was taken for gone.
fn give_way(state: &Generation, decision: &mut Decision) {
    let is_over = state.ending().is_some() || state.audit_began_at.is_some();
    let other = state.other_writer.as_ref().filter(|other| other.value.is_first && !is_over);
    decision.notes.extend(other.map(|other| {
        let reason = format!("another dagstorm is at work: {}; this one gives way to it", other.value.reason);
        Event::Aborted { reason }
    }));
}

fn by_alarm(abort_on: &AbortOn, observation: &Observation, started_at: Timestamp) -> Option<String> {
    let name = abort_on.alarm.as_ref()?;
    let seen = observation.alarms.get(name).filter(|seen| seen.asked_at >= started_at);
    let alarm = seen.and_then(|seen| seen.answer.fresh()).filter(|alarm| alarm.is_ringing)?;
    Some(format!("alarm {name} is in ALARM: {}", alarm.reason))
}

fn by_duplicate(abort_on: &AbortOn, state: &Generation) -> Option<String> {
    let launched = state.duplicates.iter().map(|(index, runs)| {
        format!("arrival {index} was launched {} times: {}", runs.value.len(), runs.value.join(", "))
    });
    let completed = state.step_duplicates.values().map(|fact| fact.value.clone());
    launched.chain(completed).next().filter(|_| abort_on.duplicate)
}

/// Every sample of so long a time meets the condition, and so does the last look: what has not changed is not written
/// down anew.
fn by_gauge(abort_on: &AbortOn, state: &Generation, observation: &Observation) -> Option<String> {
    let when = abort_on.when?;
    let samples = state.samples.iter().rev().filter(|sample| sample.metric == when.metric);
    let mut breach = samples.take_while(|sample| when.holds(sample.value));
    let last = breach.next()?;
    let first = breach.last().unwrap_or(last);
    let (mut until, mut value) = (last.asked_at, last.value);
    if let Some((asked_at, now)) = when.metric.gauge(&state.target, observation).filter(|(at, _)| *at > until) {
        if !when.holds(now) {
            return None;
        }
        (until, value) = (asked_at, now);
    }
    let grace = abort_on.grace.map(|grace| grace.duration()).unwrap_or_default();
    let value = when.metric.show(value);
    let lasted = until.since(first.asked_at);
    (lasted >= grace).then(|| format!("`{when}` holds since {}; {} is {value}", first.asked_at, when.metric))
}
