//! What has to be looked at, whether everything that the scenario needs can be used, and the start.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Decision, gauges, inject, limits, partitions, predecessor::Predecessor, steps};
use crate::{
    journal::{Dependency, Event, FaultStage, Found, Generation, SubmissionStage},
    model::{LocationState, LocationView, Observation, Query, Seen, Timed, Timestamp, Why, WhyKind},
    plan::{Plan, PlannedFault},
};

/// How often to look while all is well …
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// … and how seldom at most while it is not.
const LOOK_SELDOM: Duration = Duration::from_secs(10);
/// All runs are asked for this often …
const WHOLE_EVERY: Duration = Duration::from_secs(60);
/// … and less often the more there are: so much later for each `RUNS_OF_A_SHARE`.
const WHOLE_SHARE: Duration = Duration::from_secs(30);
const RUNS_OF_A_SHARE: u32 = 500;
/// Changes are asked for from so long before the last one that is known: Dagster's writers are not synchronous, and 1.8 gives
/// whole seconds.
const OVERLAP: Duration = Duration::from_secs(10);
/// A service is looked at this long before a fault that needs it.
const LOOK_AHEAD: Duration = Duration::from_secs(5);

pub fn decide(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    look_at_dagster(plan, state, observation, now, decision);
    look_at_the_rest(plan, state, observation, now, decision);
    note_dagster(state, observation, decision);
    note_the_rest(plan, state, observation, decision);
    if state.started_at.is_none() && state.stop.is_none() && decision.notes.is_empty() {
        start(plan, state, observation, now, decision);
    }
}

fn look_at_dagster(
    plan: &Plan,
    state: &Generation,
    observation: &Observation,
    now: Timestamp,
    decision: &mut Decision,
) {
    let asked_at = observation.dagster.as_ref().map(|seen| seen.asked_at);
    let due = next_look(state, &Dependency::Dagster, asked_at, LOOK_EVERY, now);
    if due <= now {
        decision.looks.push(dagster(plan, state, observation, now));
    } else {
        decision.wake(due);
    }
}

fn dagster(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp) -> Query {
    let jobs = if asks_for_jobs(state) { plan.jobs() } else { vec![] };
    let since = since(state, observation, now);
    Query::Dagster { scenario: plan.scenario.clone(), generation: plan.generation.clone(), jobs, since }
}

/// Looks at Dagster now, although the next look is not due yet: something waits for it alone. A Dagster that does not answer is
/// asked at its own pace.
pub(super) fn look_at_dagster_now(
    plan: &Plan,
    state: &Generation,
    observation: &Observation,
    now: Timestamp,
    decision: &mut Decision,
) {
    let is_asked = decision.looks.iter().any(|query| matches!(query, Query::Dagster { .. }));
    if !is_asked && !state.unready.contains_key(&Dependency::Dagster) {
        decision.looks.push(dagster(plan, state, observation, now));
    }
}

/// From when on Dagster's changes are asked for; `None`: for every run. A look costs Dagster what has changed, not what there
/// is.
///
/// Before the start all runs are asked for, since they may have to be adopted; and now and then, since runs that somebody
/// deleted are in no list of changes.
fn since(state: &Generation, observation: &Observation, now: Timestamp) -> Option<Timestamp> {
    let (runs, whole_at) = observation.known_runs()?;
    let every = WHOLE_EVERY + WHOLE_SHARE * (runs.len() as u32 / RUNS_OF_A_SHARE);
    let is_due = state.started_at.is_none() || now >= whole_at.plus(every);
    if is_due { None } else { runs.updated_at().map(|at| at.minus(OVERLAP)) }
}

/// Whether a look asks for the code location and its jobs too: before the start, and as long as something of them is not
/// as it should be. A launch that was refused says so first.
fn asks_for_jobs(state: &Generation) -> bool {
    let is_deferred = |index: &u32| matches!(state.submissions[index].stage, SubmissionStage::Deferred { .. });
    state.started_at.is_none()
        || [Dependency::Location, Dependency::Jobs, Dependency::Launches]
            .iter()
            .any(|dependency| state.unready.contains_key(dependency))
        || state.open.iter().any(is_deferred)
}

/// Looks at what open faults changed, and at nothing else.
pub(super) fn look_at_faults(
    state: &Generation,
    observation: &Observation,
    now: Timestamp,
    plan: &Plan,
    decision: &mut Decision,
) {
    let open = |planned: &&PlannedFault| state.faults.get(&planned.id).is_some_and(|one| one.stage == FaultStage::Open);
    for query in plan.faults.iter().filter(open).filter_map(|planned| inject::watch(state, planned)) {
        let due = observation.asked_at(&query).map_or(now, |asked_at| asked_at.plus(LOOK_EVERY));
        if due > now {
            decision.wake(due);
        } else if !decision.looks.contains(&query) {
            decision.looks.push(query);
        }
    }
}

/// Services, queues and the network: what faults and gauges need, each at the pace of whoever wants it most.
fn look_at_the_rest(
    plan: &Plan,
    state: &Generation,
    observation: &Observation,
    now: Timestamp,
    decision: &mut Decision,
) {
    let mut paces: BTreeMap<Query, Duration> = BTreeMap::new();
    let mut want = |query: Query, pace: Duration| {
        let known = paces.entry(query).or_insert(pace);
        *known = pace.min(*known);
    };
    for planned in &plan.faults {
        let Some(query) = inject::watch(state, planned) else { continue };
        match fault_look(state, planned) {
            FaultLook::From(begins) if begins > now => decision.wake(begins),
            FaultLook::From(_) => want(query, LOOK_EVERY),
            FaultLook::None => {}
        }
    }
    if let Some(query) = partitions::look(plan, state) {
        want(query, partitions::LOOK_EVERY);
    }
    for (query, pace) in gauges::looks(plan, state, now).into_iter().chain(limits::looks(plan, state)) {
        want(query, pace);
    }
    if let Some(query) = steps::look(plan, state, observation, now) {
        paces.insert(query, steps::EVERY);
    }
    for (query, pace) in paces {
        let due = next_look(state, &dependency(&query), observation.asked_at(&query), pace, now);
        if due > now {
            decision.wake(due);
        } else {
            decision.looks.push(query);
        }
    }
}

/// From when on a fault's own look is wanted.
enum FaultLook {
    None,
    From(Timestamp),
}

fn fault_look(state: &Generation, planned: &PlannedFault) -> FaultLook {
    match state.faults.get(&planned.id) {
        Some(fault) if fault.stage == FaultStage::Open => FaultLook::From(fault.intended_at),
        Some(_) => FaultLook::None,
        None if state.ending().is_some() => FaultLook::None,
        // Before the start, everything is looked at: a missing service shall show at once.
        None => match (state.started_at, inject::begins(state, planned)) {
            (None, _) => FaultLook::From(state.accepted_at),
            (Some(_), Some(begins)) => FaultLook::From(begins.minus(LOOK_AHEAD)),
            (Some(_), None) => FaultLook::None,
        },
    }
}

pub(super) fn dependency(query: &Query) -> Dependency {
    match query {
        Query::Dagster { .. } | Query::Steps { .. } => Dependency::Dagster,
        Query::Service { service } => Dependency::Service(service.clone()),
        Query::Queue | Query::Policy { .. } => Dependency::Queue,
        Query::QueueAge => Dependency::QueueAge,
        Query::Network { peer, hard: _ } => Dependency::Network(peer.clone()),
        Query::Instances => Dependency::Instances,
        Query::Objects { .. } => Dependency::Objects,
        Query::Tasks { .. } => Dependency::Tasks,
        Query::Alarm { name } => Dependency::Alarm(name.clone()),
        Query::Account => Dependency::Account,
        Query::Completions => Dependency::Completions,
        Query::Partitions { .. } => Dependency::Partitions,
    }
}

/// When to look again. The longer something cannot be used, the less often it is asked.
fn next_look(
    state: &Generation,
    dependency: &Dependency,
    asked_at: Option<Timestamp>,
    pace: Duration,
    now: Timestamp,
) -> Timestamp {
    let Some(asked_at) = asked_at else { return now };
    // Before the start nothing else is of use without these; later a look at Dagster tells of the runs all the same.
    let needed = [Dependency::Location, Dependency::Jobs, Dependency::Launches];
    let needed = needed.iter().filter(|_| state.started_at.is_none());
    let unready = std::iter::once(dependency).chain(needed).find_map(|one| state.unready.get(one));
    let pace = match unready {
        Some(fact) => (now.since(fact.at) / 4).clamp(pace, LOOK_SELDOM.max(pace)),
        None => pace,
    };
    asked_at.plus(pace)
}

fn note_dagster(state: &Generation, observation: &Observation, decision: &mut Decision) {
    let Some(seen) = &observation.dagster else { return };
    note(state, Dependency::Dagster, seen, decision);
    let Some(location) = seen.answer.fresh().and_then(|view| view.location.as_ref()) else { return };
    let mut unready = |dependency, kind, message: &String| {
        note_unready(state, dependency, &Why { kind, message: message.clone() }, decision);
    };
    match &location.state {
        LocationState::Ready => {}
        LocationState::Lacks { jobs: _, message, known } => {
            unready(Dependency::Jobs, WhyKind::NotFound, &format!("{message}: {known}"));
        }
        LocationState::NotLoaded(message) => unready(Dependency::Location, WhyKind::NotLoaded, message),
        LocationState::Absent(message) => unready(Dependency::Location, WhyKind::NotFound, message),
    }
    match &location.forbidden {
        Some(message) => unready(Dependency::Launches, WhyKind::Unauthorized, message),
        None => note_readied(state, Dependency::Launches, decision),
    }
    let (is_loaded, has_jobs) = match &location.state {
        LocationState::Ready => (true, true),
        LocationState::Lacks { .. } => (true, false),
        LocationState::NotLoaded(_) | LocationState::Absent(_) => (false, false),
    };
    if is_loaded {
        note_readied(state, Dependency::Location, decision);
    }
    if has_jobs {
        note_readied(state, Dependency::Jobs, decision);
    }
}

fn note_the_rest(plan: &Plan, state: &Generation, observation: &Observation, decision: &mut Decision) {
    let spare: BTreeSet<Query> = gauges::spare(plan, state).into_iter().map(|(_, query)| query).collect();
    for (service, seen) in &observation.services {
        if !spare.contains(&Query::Service { service: service.clone() }) {
            note(state, Dependency::Service(service.clone()), seen, decision);
        }
    }
    let depth = observation.queue.as_ref().filter(|_| !spare.contains(&Query::Queue));
    if let Some(seen) = depth {
        note(state, Dependency::Queue, seen, decision);
    }
    if let Some(seen) = observation.queue_age.as_ref().filter(|_| !spare.contains(&Query::QueueAge)) {
        note(state, Dependency::QueueAge, seen, decision);
    }
    for ((peer, _), seen) in &observation.networks {
        note(state, Dependency::Network(peer.clone()), seen, decision);
    }
    if let Some(seen) = &observation.instances {
        note(state, Dependency::Instances, seen, decision);
    }
    for seen in observation.objects.values() {
        note(state, Dependency::Objects, seen, decision);
    }
    for seen in observation.tasks.values() {
        note(state, Dependency::Tasks, seen, decision);
    }
    let forbidden = limits::forbid(state, observation);
    for (dependency, why) in &forbidden {
        note_unready(state, dependency.clone(), why, decision);
    }
    for (name, seen) in &observation.alarms {
        let dependency = Dependency::Alarm(name.clone());
        if !forbidden.contains_key(&dependency) {
            note(state, dependency, seen, decision);
        }
    }
    if let Some(seen) = observation.account.as_ref().filter(|_| !forbidden.contains_key(&Dependency::Account)) {
        note(state, Dependency::Account, seen, decision);
    }
    if let Some(seen) = &observation.completions {
        note(state, Dependency::Completions, seen, decision);
    }
    if let Some(seen) = observation.partitions.as_ref().filter(|_| state.started_at.is_none()) {
        note(state, Dependency::Partitions, &partitions::read(seen), decision);
    }
    // The depth is asked for where it is needed: a queue is judged once.
    if depth.is_none() {
        for seen in observation.policies.values() {
            note(state, Dependency::Queue, seen, decision);
        }
    }
}

fn note<T>(state: &Generation, dependency: Dependency, seen: &Timed<T>, decision: &mut Decision) {
    match &seen.answer {
        Seen::Fresh(_) => note_readied(state, dependency, decision),
        Seen::Unavailable(why) => note_unready(state, dependency, why, decision),
    }
}

fn note_readied(state: &Generation, dependency: Dependency, decision: &mut Decision) {
    if state.unready.contains_key(&dependency) {
        decision.notes.push(Event::Readied { dependency });
    }
}

/// Notes a change only: the words of a message may differ with every try. Which jobs are missing is no matter of words.
fn note_unready(state: &Generation, dependency: Dependency, why: &Why, decision: &mut Decision) {
    let is_known = |known: &Why| known.kind == why.kind && (dependency != Dependency::Jobs || known == why);
    if state.unready.get(&dependency).is_none_or(|known| !is_known(&known.value)) {
        decision.notes.push(Event::Unready { dependency, why: why.clone() });
    }
}

fn start(plan: &Plan, state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let Some((asked_at, dagster)) = observation
        .dagster
        .as_ref()
        .filter(|seen| seen.asked_at >= state.accepted_at)
        .and_then(|seen| Some((seen.asked_at, seen.answer.fresh()?)))
    else {
        return;
    };
    let is_ready = |location: &LocationView| location.state == LocationState::Ready && location.forbidden.is_none();
    if !dagster.location.as_ref().is_some_and(is_ready) || !the_rest_is_known(plan, state, observation, decision) {
        return;
    }
    let found = Predecessor::of(plan, state, dagster);
    let adopted = found.adopted.len() as u32;
    if adopted > state.adopting.map_or(0, |known| known.runs) {
        decision.notes.push(Event::Adopting { runs: adopted });
        return;
    }
    if let Some(why) = found.is_contended(plan, state, dagster, asked_at, decision) {
        note_unready(state, Dependency::Writer, &why, decision);
        return;
    }
    note_readied(state, Dependency::Writer, decision);
    // A predecessor may have lost its disk a moment ago: what it sent last can still appear for one settle.
    let window = state.accepted_at.plus(state.target.dagster.settle.duration());
    if adopted > 0 && asked_at < window {
        decision.wake(window);
        return;
    }
    let at = if adopted == 0 { now } else { found.began_at.unwrap_or(now).min(now) };
    match partitions::resolved(plan, state, observation) {
        Ok(event) => decision.notes.extend(event),
        // It was noted as what cannot be used.
        Err(_) => return,
    }
    // The start comes last: of a batch that a crash tears the first part may stay, and then nothing was started yet.
    let is_new = |index: &u32| !state.submissions.contains_key(index);
    let adopted = found.adopted.into_iter().filter(|(index, _)| is_new(index));
    decision.notes.extend(adopted.map(|(index, run)| Event::Submitted {
        index,
        run_id: run.run_id.clone(),
        found: Found::Adopted,
    }));
    decision.notes.push(Event::Started { at, dagster_version: dagster.version.clone() });
}

/// Whether every service and queue that a fault or a threshold needs was seen.
fn the_rest_is_known(plan: &Plan, state: &Generation, observation: &Observation, decision: &mut Decision) -> bool {
    for fault in &plan.faults {
        let Some(query) = fault.fault.query(&state.target) else {
            let message = format!("fault `{}`: the target names no such service", fault.id.name);
            let why = Why { kind: WhyKind::NotFound, message };
            note_unready(state, Dependency::Service(fault.id.name.clone()), &why, decision);
            return false;
        };
        if !is_fresh(&query, observation) {
            return false;
        }
    }
    let others = gauges::looks(plan, state, state.accepted_at).into_iter().chain(limits::looks(plan, state));
    let others = others.map(|(query, _)| query).chain(partitions::look(plan, state));
    others.into_iter().all(|query| is_fresh(&query, observation)) && limits::forbid(state, observation).is_empty()
}

fn is_fresh(query: &Query, observation: &Observation) -> bool {
    match query {
        Query::Dagster { .. } | Query::Steps { .. } => true,
        Query::Service { .. }
        | Query::Queue
        | Query::QueueAge
        | Query::Network { .. }
        | Query::Instances
        | Query::Policy { .. }
        | Query::Objects { .. }
        | Query::Tasks { .. }
        | Query::Alarm { .. }
        | Query::Account
        | Query::Completions
        | Query::Partitions { .. } => observation.state_of(query).is_some_and(|(_, why)| why.is_none()),
    }
}
