//! What must hold at the end of a seed.

use std::collections::BTreeSet;

use dagstorm::{
    journal::{Event, Found, Generation, Record, State, SubmissionStage},
    model::{
        self, Effect, GenerationId, Key, Phase, Receipt, ScenarioName, StepEvent, StepEventKind, Timestamp, Verdict,
    },
    operator::Desired,
    plan::{self, Plan},
    publish::{self, Beside, Folder, Status},
};

use crate::{
    core::{BEGAN, Core, DESIRED},
    harness::Outcome,
    objects,
    process::Surroundings,
    scenarios::Script,
    world::RELOADING,
};

/// Where everything stands, for a message.
pub fn phases(folder: &Folder, script: &Script) -> Vec<String> {
    let latest = folder.latest();
    let stands = latest.values().map(|status| {
        let (name, body) = (&status.metadata.name, &status.status);
        format!("{name} {:?} {} {:?}", body.observed_generation, body.phase, body.load)
    });
    let wanted =
        script.iter().map(|(offset, versions)| format!("{offset:?}: {:?}", versions.keys().collect::<Vec<_>>()));
    stands.chain(wanted).collect()
}

pub fn has_converged(around: &Surroundings, folder: &Folder, now: Timestamp) -> bool {
    let (disk, (last_change, wanted)) = (&around.disk, around.script.last().expect("a script has a first version"));
    if now < BEGAN.plus(*last_change) || around.halt.is_some_and(|(_, to)| now < to) {
        return false;
    }
    {
        // What nobody records any more is for somebody else to take back.
        let mut core = around.core.lock().unwrap();
        let is_left = !core.has_no_orphans();
        let things = core.objects.now();
        if is_left || core.objects.edit.is_some() || things.running != things.desired {
            return false;
        }
    }
    let latest = folder.latest();
    let is_final = |name: &ScenarioName| latest.get(name).is_some_and(|status| status.status.phase.is_final());
    let reached = wanted.iter().all(|(name, desired)| {
        let Desired::Present { wanted: Some(wanted), .. } = desired else { return true };
        // A verdict of this very spec is final, also where another version was tried in between.
        is_final(name)
            && latest[name]
                .status
                .history
                .iter()
                .any(|past| past.generation.digest == wanted.digest && past.verdict != Verdict::Stopped)
    });
    // Whoever waits for room on the disk says so until there is some.
    let is_stalled = latest.values().any(Status::is_stalled);
    reached
        && !is_stalled
        && disk.names().iter().all(|name| wanted.contains_key(name) || is_final(name) || disk.is_empty(name))
}

/// What came of the mishaps.
fn count(core: &Core, outcome: &mut Outcome) {
    let retried = core.runs.values().filter(|run| !run.origin.is_launch()).count();
    outcome.counts.add("retries", retried as u64);
    outcome.counts.add("faults stalled", core.stalled);
    outcome.counts.add("objects taken back by their marks", core.rescued);
    outcome.counts.add("keys that two dagstorms launched", core.rivals.contended);
}

pub fn judge(around: &Surroundings, folder: &Folder, outcome: &mut Outcome) {
    let mut core = around.core.lock().unwrap();
    let mut violations = std::mem::take(&mut core.violations);
    if core.tasks.len() as u32 != DESIRED {
        violations.push(format!("the service runs {} tasks at the end", core.tasks.len()));
    }
    let (now, baseline) = (core.objects.now(), &core.objects.baseline);
    violations
        .extend(objects::all().iter().filter_map(|one| Some(format!("at the end: {}", now.differs(baseline, one)?))));
    count(&core, outcome);
    outcome.violations = violations;
    judge_folder(&mut core, around, folder, outcome);
}

/// What one data folder says, beside the truth.
pub fn judge_folder(core: &mut Core, around: &Surroundings, folder: &Folder, outcome: &mut Outcome) {
    let (disk, script) = (&around.disk, &around.script);
    let mut violations = std::mem::take(&mut outcome.violations);
    let latest = folder.latest();
    for name in disk.names() {
        let mut state = State::default();
        for record in disk.durable(&name) {
            if let Err(error) = state.apply(&record) {
                violations.push(format!("{name}: {error}"));
                break;
            }
        }
        violations.extend(replay_differs(&state, latest.get(&name)));
        violations.extend(believed(&name, &disk.durable(&name)));
        let Some(current) = &state.current else { continue };
        let faults = current.faults.values().filter(|fault| fault.seen_at.is_some()).count();
        outcome.counts.add("faults seen", faults as u64);
        for submission in current.submissions.values() {
            if let SubmissionStage::Acknowledged { found, .. } = submission.stage {
                match found {
                    Found::Acknowledged => {}
                    Found::LookedUp => outcome.counts.add("recovered launches", 1),
                    Found::Adopted => outcome.counts.add("adopted runs", 1),
                }
            }
        }
        violations.extend(told_wrongly(core, &name, current));
        for past in &state.past {
            let mine = |key: &Key| key.scenario == name && key.generation == past.generation;
            // What was acknowledged must be there; a pass says that of all that was planned.
            let acknowledged = acknowledged(&disk.durable(&name), &past.generation);
            match past.conclusion.verdict {
                Verdict::Passed => {
                    outcome.counts.add("passed", 1);
                    if is_aborted(&disk.durable(&name), &past.generation) {
                        violations.push(format!("{name}: Passed, yet it was aborted"));
                    }
                    if is_copied_in_vain(&disk.durable(&name), &past.generation) {
                        violations.push(format!("{name}: Passed, yet a redelivery copied nothing"));
                    }
                    if !core.truth_holds(&planned(&disk.durable(&name), &past.generation), mine) {
                        violations.push(format!("{name}: Passed, yet the truth differs"));
                    }
                }
                Verdict::Failed => {
                    outcome.counts.add("failed", 1);
                    // A threshold is no matter of the truth, and an abort is none.
                    let by_threshold = past.conclusion.thresholds.iter().any(|result| result.holds == Some(false));
                    let is_aborted = is_aborted(&disk.durable(&name), &past.generation);
                    outcome.counts.add("aborted", u64::from(is_aborted));
                    if !by_threshold && !is_aborted && core.truth_holds(&acknowledged, mine) {
                        violations.push(format!("{name}: Failed without cause: {}", past.conclusion.message));
                    }
                }
                Verdict::Unknown => outcome.counts.add("unknown", 1),
                Verdict::Stopped => outcome.counts.add("stopped", 1),
            }
        }
    }
    let (_, wanted) = script.last().expect("a script has a first version");
    for name in wanted.keys().filter(|name| !latest.contains_key(*name)) {
        violations.push(format!("{name} has no status"));
    }
    outcome.violations = violations;
}

/// Launches that were rejected for good because their code location reloaded: the jobs are never gone.
fn believed(name: &ScenarioName, records: &[Record]) -> Vec<String> {
    let rejected = records.iter().filter_map(|record| match &record.event {
        Event::SubmitRefused { index, reason, retry: false } => Some((index, reason)),
        _ => None,
    });
    let is_believed =
        |(_, reason): &(&u32, &String)| reason.contains(RELOADING) && !reason.starts_with("the end was asked for");
    rejected
        .filter(is_believed)
        .map(|(index, reason)| format!("{name}: arrival {index} is rejected, though its job is there: {reason}"))
        .collect()
}

/// What was told of runs while they ran, and is not so.
fn told_wrongly(core: &Core, name: &ScenarioName, current: &Generation) -> Vec<String> {
    let mut wrong = vec![];
    for (index, told) in &current.duplicates {
        let key = Key { scenario: name.clone(), generation: current.id.clone(), index: *index };
        let runs: Vec<_> = core.runs.iter().filter(|(_, run)| run.key == key).collect();
        let truly = core.most_siblings(&runs);
        if truly < 2 {
            wrong.push(format!("{name}: {:?} are told as duplicates, and {truly} runs are there", told.value));
        }
    }
    for ((run_id, step), told) in &current.step_duplicates {
        let is_completed =
            |event: &&(Timestamp, StepEvent)| *event.1.step == **step && event.1.kind == StepEventKind::Succeeded;
        let truly = core.runs.get(run_id).map_or(0, |run| run.events.iter().filter(is_completed).count());
        if truly < 2 {
            wrong.push(format!("{name}: told, yet completed {truly} times: {}", told.value));
        }
    }
    for (run_id, told) in &current.unexpected {
        let is_ours = |stage: &SubmissionStage| matches!(stage, SubmissionStage::Acknowledged { run_id: own, .. } if own == run_id);
        if current.submissions.values().any(|submission| is_ours(&submission.stage)) {
            wrong.push(format!("{name}: told, yet acknowledged: {}", told.value));
        }
    }
    wrong
}

/// The scenario of a generation, as it was accepted.
fn accepted(records: &[Record], generation: &GenerationId) -> Option<Plan> {
    records.iter().find_map(|record| match &record.event {
        Event::Accepted { generation: id, scenario, .. } if id == generation => Some(plan::compile(scenario, id)),
        _ => None,
    })
}

/// Whether a fault of a generation was to copy messages, and none of its answers says that one is there twice.
fn is_copied_in_vain(records: &[Record], generation: &GenerationId) -> bool {
    let (mut is_meant, mut in_vain) = (false, BTreeSet::new());
    for record in records {
        match &record.event {
            Event::Accepted { generation: other, .. } => is_meant = other == generation,
            Event::FaultIntended { fault, inject, .. } if is_meant => {
                if matches!(inject[..], [Effect::CopyMessages { .. }]) {
                    in_vain.insert(fault.clone());
                }
            }
            Event::InjectTried { fault, outcome: model::Outcome::Done(Receipt::Copied(copies)), .. }
                if is_meant && copies.messages > 0 =>
            {
                in_vain.remove(fault);
            }
            _ => {}
        }
    }
    !in_vain.is_empty()
}

fn is_aborted(records: &[Record], generation: &GenerationId) -> bool {
    let mut current = false;
    records.iter().any(|record| match &record.event {
        Event::Accepted { generation: id, .. } => {
            current = id == generation;
            false
        }
        Event::Aborted { .. } => current,
        _ => false,
    })
}

fn planned(records: &[Record], generation: &GenerationId) -> BTreeSet<Key> {
    let plan = accepted(records, generation).expect("what was concluded was accepted");
    (0..plan.arrivals.len()).map(|index| plan.key(index)).collect()
}

fn acknowledged(records: &[Record], generation: &GenerationId) -> BTreeSet<Key> {
    let plan = accepted(records, generation).expect("what was concluded was accepted");
    let mut current = false;
    let mut keys = BTreeSet::new();
    for record in records {
        match &record.event {
            Event::Accepted { generation: id, .. } => current = id == generation,
            Event::Submitted { index, .. } if current => {
                keys.insert(plan.key(*index));
            }
            _ => {}
        }
    }
    keys
}

/// The status that was published last is the one that a replay of the journal renders.
fn replay_differs(state: &State, published: Option<&Status>) -> Option<String> {
    let (current, mut published) = (state.current.as_ref()?, published?.clone());
    // What it waits for next is the manifests' and the others' matter, not the journal's.
    published.status.next = None;
    if published.status.phase == Phase::Suspended {
        published.status.phase = Phase::Stopped;
    }
    published.status.deleted = false;
    let plan = plan::compile(&current.scenario, &current.id);
    let replayed = publish::status(&plan, state, current, Beside::default());
    let beside = ["Deleted", "Halted", "Suspended"];
    for (own, replayed) in published.status.conditions.iter_mut().zip(&replayed.status.conditions) {
        if beside.contains(&own.reason.as_str()) {
            own.clone_from(replayed);
        }
    }
    (replayed != published).then(|| format!("replay differs from live: {replayed:#?} instead of {published:#?}"))
}
