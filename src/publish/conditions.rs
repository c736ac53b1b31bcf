//! The conditions of a status, as Kubernetes writes them.

use super::status::{Beside, Rejection};
use crate::{
    decide::{self, Turn},
    journal::{Adopting, Dependency, Fact, FaultStage, FaultState, Generation},
    model::{
        Condition, ConditionStatus, ConditionType, GenerationId, Phase, Request, ScenarioName, Timestamp, Verdict, Why,
        WhyKind,
    },
    plan::Plan,
};

/// All conditions of a scenario that has a generation.
pub fn conditions(plan: &Plan, generation: &Generation, phase: Phase, beside: Beside<'_>) -> Vec<Condition> {
    let make = |kind, status, reason: &str, message: String, at| Condition {
        kind,
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: at,
        observed_generation: Some(generation.id.clone()),
    };
    let accepted = match (beside.rejection, beside.deleted_at) {
        (Some(rejection), _) => negative(ConditionType::Accepted, rejection, Some(generation.id.clone())),
        (None, Some(at)) => {
            make(ConditionType::Accepted, ConditionStatus::False, "Deleted", deleted(&plan.scenario), at)
        }
        (None, None) => make(
            ConditionType::Accepted,
            ConditionStatus::True,
            "Valid",
            "the manifest is valid".to_owned(),
            generation.accepted_at,
        ),
    };
    let ready = match held(beside) {
        Some((reason, message, since)) => make(ConditionType::Ready, ConditionStatus::False, reason, message, since),
        None => ready(generation, &make),
    };
    let mut conditions = vec![accepted, ready, reconciling(generation, phase, &make)];
    conditions
        .extend(beside.stalled.map(|stalled| negative(ConditionType::Stalled, stalled, Some(generation.id.clone()))));
    if beside.stalled.is_none() {
        conditions.extend(stalled_fault(generation, beside.is_unconfirmed, &make));
    }
    if !plan.faults.is_empty() {
        conditions.extend(fault_conditions(plan, generation, &make));
    }
    let (status, reason, message, at) = match &generation.concluded {
        Some(end) if end.value.verdict == Verdict::Stopped => {
            (ConditionStatus::False, "Stopped", end.value.message.clone(), end.at)
        }
        Some(end) => (ConditionStatus::True, verdict_word(end.value.verdict), end.value.message.clone(), end.at),
        None => (
            ConditionStatus::False,
            "NotYet",
            "the records are audited when everything is quiet".to_owned(),
            generation.accepted_at,
        ),
    };
    conditions.push(make(ConditionType::Audited, status, reason, message, at));
    conditions
}

fn deleted(scenario: &ScenarioName) -> String {
    format!("no manifest names it any more; its reports stay until `dagstorm forget {scenario}`")
}

/// What people keep it from: the reason, the sentence, and since when.
fn held(beside: Beside<'_>) -> Option<(&'static str, String, Timestamp)> {
    if let Some(request) = beside.halted {
        return Some(("Halted", halted(request), request.since));
    }
    if let Some(request) = beside.suspended {
        return Some(("Suspended", format!("`dagstorm suspend` asked for it {request}"), request.since));
    }
    match beside.turn {
        Some((Turn::Suspended, since)) => Some(("Suspended", BY_MANIFEST.to_owned(), since)),
        Some((Turn::Due | Turn::At(_) | Turn::After(_) | Turn::Halted | Turn::Had, _)) | None => None,
    }
}

const BY_MANIFEST: &str = "its manifest says `suspend: true`";

fn halted(request: &Request) -> String {
    format!("everything is halted: {request}")
}
/// The reason of `Ready: False` while another dagstorm launches the same generation.
pub const ANOTHER_WRITER: &str = "AnotherWriter";

type Make<'a> = dyn Fn(ConditionType, ConditionStatus, &str, String, Timestamp) -> Condition + 'a;

fn ready(generation: &Generation, make: &Make<'_>) -> Condition {
    if let Some(held) = held_back(generation).filter(|_| generation.unready.is_empty()) {
        let at = held.at;
        return make(ConditionType::Ready, ConditionStatus::False, "DagsterCircuitOpen", held.value, at);
    }
    let Some((dependency, why)) = generation.unready.iter().max_by_key(|(_, fact)| fact.at) else {
        let (status, reason, message) = match generation.adopting {
            _ if generation.started_at.is_some() || generation.concluded.is_some() => {
                (ConditionStatus::True, "TargetReady", "everything that the scenario needs answers".to_owned())
            }
            Some(Adopting { runs, .. }) => {
                let settle = generation.target.dagster.settle;
                let message = format!(
                    "Dagster has {runs} runs of this very generation: they are adopted, not launched again, once a settle \
                     ({settle}) has passed; to launch anew, change the spec (its seed, say)"
                );
                (ConditionStatus::Unknown, "Adopting", message)
            }
            None => (ConditionStatus::Unknown, "Looking", "the target is being looked at".to_owned()),
        };
        return make(ConditionType::Ready, status, reason, message, generation.readiness_changed_at);
    };
    let reason = unready_reason(dependency, &why.value);
    let at = generation.readiness_changed_at;
    make(ConditionType::Ready, ConditionStatus::False, &reason, why.value.message.clone(), at)
}

/// What the circuit breaker says, while a scenario runs and launches are held back.
fn held_back(generation: &Generation) -> Option<Fact<String>> {
    let is_sending = generation.concluded.is_none() && generation.ending().is_none();
    let last = generation.launches.last.as_ref().filter(|_| is_sending && decide::is_open(generation))?;
    let (failures, reason) = (generation.launches.failures, &last.value);
    let value = format!("{failures} launches failed one after another, the last: {reason}; one is tried every 5s");
    Some(Fact { at: last.at, value })
}

/// `DagsterUnreachable`, `ServiceNotFound`, `JobsNotFound` …
fn unready_reason(dependency: &Dependency, why: &Why) -> String {
    let word = match why.kind {
        WhyKind::Unreachable => "Unreachable",
        WhyKind::TimedOut => "TimedOut",
        WhyKind::Unauthorized => "Unauthorized",
        WhyKind::NotFound => "NotFound",
        WhyKind::Throttled => "Throttled",
        WhyKind::ServerError => "ServerError",
        WhyKind::Protocol => "NotDagster",
        WhyKind::Mismatch => "Mismatch",
        WhyKind::Awaited => "Awaited",
        WhyKind::NotLoaded => "NotLoaded",
    };
    match (dependency, why.kind) {
        (Dependency::Writer, WhyKind::Mismatch) => ANOTHER_WRITER.to_owned(),
        (Dependency::Writer, WhyKind::Awaited) => "AdoptionAwaited".to_owned(),
        (Dependency::Alarm(_), WhyKind::Mismatch) => "AlarmRings".to_owned(),
        (Dependency::Service(_), WhyKind::Protocol) => "ServiceProtocolError".to_owned(),
        (_, WhyKind::Protocol) => word.to_owned(),
        _ => format!("{dependency}{word}"),
    }
}

fn reconciling(generation: &Generation, phase: Phase, make: &Make<'_>) -> Condition {
    let (status, at) = match &generation.concluded {
        Some(end) => (ConditionStatus::False, end.at),
        None => (ConditionStatus::True, generation.accepted_at),
    };
    let message = match (&generation.stop, &generation.aborted) {
        (Some(stop), _) if generation.concluded.is_none() => format!("stopping: {}", stop.value),
        (None, Some(aborted)) if generation.concluded.is_none() => format!("aborting: {}", aborted.value),
        (None, None) if generation.concluded.is_none() && generation.given_up.is_some() => {
            let given_up = generation.given_up.as_ref().map_or("", |given_up| given_up.value.as_str());
            format!("without further launches: {given_up}")
        }
        (_, _) => format!("phase {phase}"),
    };
    make(ConditionType::Reconciling, status, &phase.to_string(), message, at)
}

/// A fault that is not taken back, because that would overwrite what somebody else has done.
fn stalled_fault(generation: &Generation, is_unconfirmed: bool, make: &Make<'_>) -> Option<Condition> {
    let open = generation.faults.iter().filter(|(_, fault)| fault.stage == FaultStage::Open);
    let (id, fault, reason) = open.filter_map(|(id, fault)| Some((id, fault, fault.stalled.as_ref()?))).next()?;
    let at = fault.heal.as_ref().map_or(fault.intended_at, |heal| heal.cause.at);
    let (status, message) = if is_unconfirmed {
        let message = format!("fault {id} was not taken back: {reason}; whether that is still so is being looked at");
        (ConditionStatus::Unknown, message)
    } else {
        let message = format!("fault {id} is not taken back: {reason}; make it as it was, and dagstorm goes on");
        (ConditionStatus::True, message)
    };
    Some(make(ConditionType::Stalled, status, "ChangedBySomebodyElse", message, at))
}

fn fault_conditions(plan: &Plan, generation: &Generation, make: &Make<'_>) -> [Condition; 2] {
    let known: Vec<&FaultState> = plan.faults.iter().filter_map(|planned| generation.faults.get(&planned.id)).collect();
    let injected: Vec<&&FaultState> =
        known.iter().filter(|fault| !matches!(fault.stage, FaultStage::Skipped(_))).collect();
    let open = injected.iter().filter(|fault| fault.stage == FaultStage::Open).count();
    let total = plan.faults.len();
    let last = injected.iter().map(|fault| fault.intended_at).max().unwrap_or(generation.accepted_at);
    let truth = |yes: bool| if yes { ConditionStatus::True } else { ConditionStatus::False };
    let refusal = injected.iter().find_map(|fault| fault.refusal());
    let done = injected.iter().filter(|fault| fault.refusal().is_none()).count();
    let (reason, more) = match (refusal, done == total) {
        (Some(refusal), _) => ("Refused", format!("; one was refused: {refusal}")),
        (None, true) => ("AllInjected", String::new()),
        (None, false) => ("NotAll", String::new()),
    };
    let message = format!("{done} of {total} faults were injected{more}");
    let first = make(ConditionType::FaultsInjected, truth(done == total), reason, message, last);
    let healed_at = injected
        .iter()
        .filter_map(|fault| match fault.stage {
            FaultStage::Healed(at) => Some(at),
            FaultStage::Open | FaultStage::GivenUp(_) | FaultStage::Skipped(_) => None,
        })
        .max();
    let lasting = injected.iter().filter(|fault| matches!(fault.stage, FaultStage::GivenUp(_))).count();
    let message = match open {
        0 if lasting > 0 => format!("the baseline of {lasting} faults did not come back in time"),
        0 => "no fault is in place".to_owned(),
        open => {
            let refusal =
                injected.iter().find_map(|fault| fault.heal.as_ref().filter(|_| !fault.is_undone())?.refusal());
            let refusal = refusal.map(|reason| format!("; the way back fails and is tried again: {reason}"));
            format!("{open} faults may be in place{}", refusal.unwrap_or_default())
        }
    };
    let reason = match (open, lasting) {
        (0, 0) => "NoneOpen",
        (0, _) => "NotRecovered",
        (_, _) => "Healing",
    };
    let at = if open == 0 { healed_at.unwrap_or(generation.accepted_at) } else { last };
    [first, make(ConditionType::FaultsHealed, truth(open == 0 && lasting == 0), reason, message, at)]
}

/// The conditions of a scenario that waits for its first turn.
pub fn waiting(turn: &Turn, since: Timestamp, beside: Beside<'_>) -> Vec<Condition> {
    let make = |kind, status, reason: &str, message: String, since| Condition {
        kind,
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        observed_generation: None,
    };
    let accepted = beside.rejection.is_none().then(|| {
        make(ConditionType::Accepted, ConditionStatus::True, "Valid", "the manifest is valid".to_owned(), since)
    });
    let (reason, message) = match turn {
        Turn::Due => ("Due", "it is its turn".to_owned()),
        Turn::At(at) => ("Scheduled", format!("it starts at {at}")),
        Turn::After(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            ("WaitingForScenarios", format!("it starts after the verdict of {}", names.join(", ")))
        }
        Turn::Suspended => ("Suspended", BY_MANIFEST.to_owned()),
        Turn::Halted => ("Halted", "everything is halted".to_owned()),
        Turn::Had => ("Had", "it has had its turn".to_owned()),
    };
    let (reason, message, since) = held(beside).unwrap_or((reason, message, since));
    accepted.into_iter().chain([make(ConditionType::Ready, ConditionStatus::False, reason, message, since)]).collect()
}

/// `Accepted` is false where there is something to say about it, `Stalled` is true.
pub fn negative(kind: ConditionType, rejection: &Rejection, generation: Option<GenerationId>) -> Condition {
    let status = if kind == ConditionType::Stalled { ConditionStatus::True } else { ConditionStatus::False };
    Condition {
        kind,
        status,
        reason: rejection.reason.to_owned(),
        message: rejection.message.clone(),
        last_transition_time: rejection.at,
        observed_generation: generation,
    }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "Passed",
        Verdict::Failed => "Failed",
        Verdict::Unknown => "Unknown",
        Verdict::Stopped => "Stopped",
    }
}
