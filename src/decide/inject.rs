//! Faults: injected at their time within the guards, and watched until the baseline is back.

use std::time::Duration;

use super::{AWS_SETTLE, Act, Decision, PATIENCE, Purpose, hold::Held};
use crate::{
    fault::{Aim, Aiming, First, Injected, Progress},
    journal::{Event, FaultStage, FaultState, Generation},
    model::{Effect, FaultId, Object, Observation, Outcome, Query, Timestamp},
    plan::{Plan, PlannedFault},
};

/// A mark tells whoever finds it to wait so long after the fault's end: until then it is healed by the one who knows it.
const GRACE: Duration = Duration::from_secs(60);

/// Targets are chosen by a look that is not older than this.
const FRESH: Duration = Duration::from_secs(2);

/// Injects what is due. A fault that cannot be injected while the load lasts is skipped, with the reason.
pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let Some(started_at) = state.started_at else { return };
    let ends = started_at.plus(plan.ends_at);
    for (number, planned) in plan.faults.iter().enumerate() {
        if state.faults.contains_key(&planned.id) {
            continue;
        }
        let due = begins(state, planned);
        let skip = |reason: String| Event::FaultSkipped { fault: planned.id.clone(), reason };
        if let Some(ending) = state.ending() {
            decision.notes.push(skip(format!("the scenario ended first: {}", ending.value)));
        } else if let Some(due) = due.filter(|due| *due > now) {
            decision.wake(due);
        } else if let (None, Some(when)) = (due, planned.when) {
            if now >= ends {
                decision.notes.push(skip(format!("`{when}` did not come true while the load lasted")));
            } else {
                decision.wake(ends);
            }
        } else {
            let is_over = now >= ends;
            match aim(plan, state, number, observation, now) {
                Aim::Ready { .. } if is_over => {
                    decision.notes.push(skip("the load ended before it was its turn".to_owned()));
                }
                Aim::Ready { objects, .. } if has_one_of(state, &objects) => decision.wake(ends),
                Aim::Ready { targets, objects, inject, undo } => {
                    let at_once = |one: &(usize, &Effect)| one.0 == 0 || !one.1.waits_for_earlier();
                    for (effect, what) in inject.iter().enumerate().filter(at_once) {
                        let purpose = Purpose::Inject { fault: planned.id.clone(), effect: effect as u32 };
                        decision.acts.push(Act { purpose, effect: what.clone(), due: None });
                    }
                    let fault = planned.id.clone();
                    decision.intents.push(Event::FaultIntended { fault, targets, objects, inject, undo });
                    // One fault a pass: the next is judged by the state that this one leaves.
                    return;
                }
                Aim::Wait(reason) if is_over => {
                    decision.notes.push(skip(format!("the load ended before it could be injected: {reason}")));
                }
                Aim::Wait(_) => {
                    decision.wake(ends);
                    if let Some(until) = state.target.guard.denied_until(now) {
                        decision.wake(until);
                    }
                }
                Aim::Never(reason) => decision.notes.push(skip(reason)),
            }
        }
    }
}

/// When a fault is due. `None`: what it waits for has not come true.
pub(super) fn begins(state: &Generation, planned: &PlannedFault) -> Option<Timestamp> {
    let from = match planned.when {
        Some(_) => *state.triggered.get(&planned.id.name)?,
        None => state.started_at?,
    };
    Some(from.plus(planned.offset))
}

/// Whether an open fault of the same scenario changes one of these objects.
fn has_one_of(state: &Generation, objects: &[Object]) -> bool {
    let open = state.faults.values().filter(|fault| fault.stage == FaultStage::Open);
    open.flat_map(|fault| &fault.objects).any(|object| objects.contains(object))
}

fn shares_targets(plan: &Plan, state: &Generation, number: usize) -> bool {
    let query = plan.faults[number].fault.query(&state.target);
    // One that was planned for later may have come first: this one waited.
    plan.faults.iter().any(|other| {
        let open = state.faults.get(&other.id).is_some_and(|fault| fault.stage == FaultStage::Open);
        open && other.fault.query(&state.target) == query
    })
}

fn aim(plan: &Plan, state: &Generation, number: usize, observation: &Observation, now: Timestamp) -> Aim {
    if let Some(until) = state.target.guard.denied_until(now) {
        return Aim::Wait(format!("a deny window of target `{}` lasts until {until}", state.target.name));
    }
    // Two faults on one service would blur whose recovery is measured: one after the other.
    if shares_targets(plan, state, number) {
        return Aim::Wait("another fault on the same service is not healed".to_owned());
    }
    let planned = &plan.faults[number];
    planned.fault.aim(&Aiming {
        target: &state.target,
        observation,
        not_before: now.minus(FRESH),
        seed: plan.seed,
        stream: planned.stream,
        reason: format!("dagstorm {}", identity(state, &planned.id)),
        fault: mark_of(state, &planned.id),
        first: first(state, &planned.id),
        writer: state.writer.as_ref(),
        heal_by: now.plus(planned.length.unwrap_or_default()).plus(GRACE),
    })
}

/// What has to be looked at for a fault: around what it may change, or at just that once it is open.
pub(super) fn watch(state: &Generation, planned: &PlannedFault) -> Option<Query> {
    match state.faults.get(&planned.id).filter(|fault| fault.stage == FaultStage::Open) {
        Some(fault) => planned.fault.watch(&state.target, &fault.objects),
        None => planned.fault.query(&state.target),
    }
}

/// What the first occurrence of a fault chose; `None`: this is the first.
fn first<'a>(state: &'a Generation, id: &FaultId) -> Option<First<'a>> {
    let first = FaultId { name: id.name.clone(), occurrence: 1 };
    let fault = state.faults.get(&first).filter(|_| id.occurrence > 1)?;
    Some(First { targets: &fault.targets, at: fault.intended_at })
}

/// `scenario/generation/fault.occurrence`: the tags of ECS and SQS take no `#`.
fn mark_of(state: &Generation, id: &FaultId) -> String {
    identity(state, id).replace('#', ".")
}

/// `scenario/generation/fault#occurrence`.
fn identity(state: &Generation, id: &FaultId) -> String {
    format!("{}/{}/{id}", state.scenario.name, state.id)
}

pub(super) fn injected<'a>(state: &Generation, id: &FaultId, fault: &'a FaultState) -> Injected<'a> {
    Injected {
        fault: mark_of(state, id),
        targets: &fault.targets,
        objects: &fault.objects,
        undo: &fault.undo,
        outcomes: &fault.outcomes,
    }
}

/// Watches every open fault, and takes back what it is time to take back. It comes before anything else, also in a generation that was stopped.
pub fn heal(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    for (id, fault) in state.faults.iter().filter(|(_, fault)| fault.stage == FaultStage::Open) {
        let planned = plan.fault(id).expect("a fault of the journal is a fault of its plan");
        let patience = patience(plan, state, fault);
        let asked_at = watch(state, planned).and_then(|query| observation.asked_at(&query));
        if fault.is_held() {
            Held { id, planned, fault, state, observation, asked_at, patience, now }.decide(decision);
            continue;
        }
        let injected = injected(state, id, fault);
        let progress = planned.fault.progress(&state.target, &injected, observation, fault.last_attempt_at);
        decision.wake(patience);
        let Some(asked_at) = asked_at else { continue };
        let gone = matches!(progress, Progress::Broken | Progress::Steady);
        if gone && fault.seen_at.is_none() {
            decision.notes.push(Event::FaultSeen { fault: id.clone(), asked_at });
        }
        // What nobody replaces does not recover.
        if progress == Progress::Steady && fault.steady_at.is_none() && fault.undo.steady.is_some() {
            decision.notes.push(Event::FaultSteady { fault: id.clone(), asked_at });
        }
        let window = fault.last_attempt_at.plus(AWS_SETTLE);
        let may_inject = may_inject(plan, state, observation, now);
        let settled = asked_at >= window;
        match progress {
            Progress::Steady if settled => decision.notes.push(Event::Healed { fault: id.clone(), asked_at }),
            // The targets never went, and will not go any more: there is nothing to heal.
            Progress::Intact if settled && (!may_inject || is_refused(fault)) => {
                decision.notes.push(Event::Healed { fault: id.clone(), asked_at });
            }
            _ if now >= patience => {
                let reason =
                    "its service did not run what it wants in time; nothing of ours is left to undo".to_owned();
                decision.notes.push(Event::FaultGivenUp { fault: id.clone(), reason });
            }
            Progress::Intact | Progress::NotYet if may_inject => {
                let since = now.minus(FRESH);
                let may = |effect: &Effect, others: &[&Effect]| {
                    planned.fault.may_repeat(effect, others, &state.target, observation, since)
                };
                inject_again(id, fault, may, now, decision);
            }
            Progress::Steady
            | Progress::Intact
            | Progress::NotYet
            | Progress::Marked
            | Progress::Broken
            | Progress::Recovering
            | Progress::Foreign(_)
            | Progress::Gone
            | Progress::Unseen => decision.wake(window),
        }
    }
}

/// The open faults that are not taken back because of somebody else's change, as a look of late shows it: not as it was
/// written down before.
pub fn stalled(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp) -> Vec<FaultId> {
    let open = state.faults.iter().filter(|(_, fault)| fault.stage == FaultStage::Open && fault.stalled.is_some());
    let stands = |(id, fault): &(&FaultId, &FaultState)| {
        let planned = plan.fault(id).expect("a fault of the journal is a fault of its plan");
        let asked_at = watch(state, planned).and_then(|query| observation.asked_at(&query));
        let patience = patience(plan, state, fault);
        Held { id, planned, fault, state, observation, asked_at, patience, now }.is_in_the_way()
    };
    open.filter(stands).map(|(id, _)| id.clone()).collect()
}

/// Until when a fault's baseline is waited for: a stopped scenario gets the quiet period, another one much longer.
fn patience(plan: &Plan, state: &Generation, fault: &FaultState) -> Timestamp {
    let quiet = plan.expect.quiet.duration();
    if let Some(stop) = &state.stop {
        return fault.last_attempt_at.max(stop.at).plus(AWS_SETTLE).plus(quiet);
    }
    let started_at = state.started_at.unwrap_or(state.accepted_at);
    let ends = started_at.plus(plan.ends_at).max(fault.last_attempt_at);
    let limit = plan.max_duration.map(|limit| started_at.plus(limit).max(ends).plus(AWS_SETTLE));
    let long = ends.plus(PATIENCE.max(quiet));
    limit.map_or(long, |limit| limit.min(long))
}

fn may_inject(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp) -> bool {
    let is_denied = observation.leaving.is_some() || state.target.guard.denied_until(now).is_some();
    !is_denied
        && state.ending().is_none()
        && state.started_at.is_some_and(|started_at| now < started_at.plus(plan.ends_at))
}

fn is_refused(fault: &FaultState) -> bool {
    fault.outcomes.iter().all(|outcome| matches!(outcome, Some(Outcome::Refused { retry: false, .. })))
}

/// Sends again what may not have arrived: stopping a task twice does no more than stopping it once.
fn inject_again(
    id: &FaultId,
    fault: &FaultState,
    may: impl Fn(&Effect, &[&Effect]) -> bool,
    now: Timestamp,
    decision: &mut Decision,
) {
    let overdue = fault.last_attempt_at.plus(AWS_SETTLE);
    let effects = || fault.inject.iter().zip(&fault.outcomes);
    let may_be = effects().filter(|(_, outcome)| !matches!(outcome, Some(Outcome::Refused { .. })));
    let mut others: Vec<&Effect> = may_be.map(|(effect, _)| effect).collect();
    for (number, (effect, outcome)) in effects().enumerate() {
        let again = match outcome {
            Some(Outcome::Done(_) | Outcome::Refused { retry: false, .. }) => false,
            // What may have happened, and would add up, is not done again.
            Some(Outcome::Unknown { .. }) | None if effect.adds_up() => false,
            Some(Outcome::Unknown { .. } | Outcome::Refused { retry: true, .. }) => {
                now >= fault.last_attempt_at.plus(FRESH)
            }
            None => now >= overdue,
        };
        if again && may(effect, &others) {
            others.push(effect);
            let number = number as u32;
            decision.intents.push(Event::InjectIntended { fault: id.clone(), effect: number });
            let purpose = Purpose::Inject { fault: id.clone(), effect: number };
            decision.acts.push(Act { purpose, effect: effect.clone(), due: None });
        }
    }
    decision.wake(if now < overdue { now.plus(FRESH).min(overdue) } else { now.plus(FRESH) });
}
