//! `status/<scenario>.yaml`, rendered from the journal's state alone.

use std::time::Duration;

use serde::Serialize;

use super::latency::Quantiles;
use crate::{
    journal::{Conclusion, Dependency, FaultStage, FaultState, Found, Generation, State, Submission, SubmissionStage},
    model::{
        Condition, ConditionStatus, ConditionType, GenerationId, Phase, ScenarioName, TaskView, Timestamp, Verdict,
        Why, WhyKind,
    },
    plan::Plan,
};

/// How many past generations a status names.
const HISTORY: usize = 5;
/// A launch counts as late when it was sent this much after its instant.
const LATE: Duration = Duration::from_secs(1);

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: Metadata,
    pub status: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metadata {
    pub name: ScenarioName,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<GenerationId>,
    pub phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dagster_version: Option<String>,
    pub conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<crate::journal::RunCounts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Conclusion>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    pub planned: u32,
    pub attempted: u32,
    pub acknowledged: u32,
    pub rejected: u32,
    pub indeterminate: u32,
    pub late: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Quantiles>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultStatus {
    pub name: String,
    pub what: String,
    /// Pending, Injecting, InPlace, Recovered, Healed, NotRecovered or Skipped.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TaskView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    pub generation: GenerationId,
    pub verdict: Verdict,
    pub concluded_at: Timestamp,
    pub message: String,
}

/// Why the manifest in the folder is not what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub at: Timestamp,
    pub reason: &'static str,
    pub message: String,
}

/// What stands beside the journal's state: it is about the files, not about what was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The manifest as it is now was rejected; the last good version stays in force.
    pub rejection: Option<&'a Rejection>,
    /// The journal cannot be read or written: nothing goes on.
    pub stalled: Option<&'a Rejection>,
}

impl Status {
    /// The condition that a person has to read first: what keeps the scenario from going on, if anything does.
    pub fn trouble(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| match condition.kind {
            ConditionType::Accepted => condition.status == ConditionStatus::False,
            ConditionType::Ready => condition.status == ConditionStatus::False || condition.reason == "Adopting",
            ConditionType::Stalled => condition.status == ConditionStatus::True,
            ConditionType::Reconciling
            | ConditionType::FaultsInjected
            | ConditionType::FaultsHealed
            | ConditionType::Audited => false,
        })
    }

    /// Nothing goes on any more: the journal cannot be used.
    pub fn is_stalled(&self) -> bool {
        self.trouble().is_some_and(|condition| condition.kind == ConditionType::Stalled)
    }
}

/// Where a generation stands, in one word.
pub fn phase(plan: &Plan, generation: &Generation) -> Phase {
    if let Some(end) = &generation.concluded {
        return match end.value.verdict {
            Verdict::Passed => Phase::Passed,
            Verdict::Failed => Phase::Failed,
            Verdict::Unknown => Phase::Unknown,
            Verdict::Stopped => Phase::Stopped,
        };
    }
    let sent = generation.stop.is_some() || generation.frontier >= plan.arrivals.len();
    let healed = generation.faults.values().all(|fault| fault.stage != FaultStage::Open);
    let settled = sent && healed && generation.open.is_empty() && generation.faults.len() == plan.faults.len();
    match (generation.started_at, generation.audit_began_at) {
        (None, _) => Phase::Waiting,
        (Some(_), Some(_)) => Phase::Auditing,
        (Some(_), None) if settled => Phase::Settling,
        (Some(_), None) => Phase::Running,
    }
}

/// Renders a scenario that has a generation, living or past. A rejected edit shows beside the version in force.
pub fn status(plan: &Plan, state: &State, generation: &Generation, beside: Beside<'_>) -> Status {
    let phase = phase(plan, generation);
    Status {
        api_version: "dagstorm.dev/v1alpha1",
        kind: "Scenario",
        metadata: Metadata { name: plan.scenario.clone() },
        status: Body {
            observed_generation: Some(generation.id.clone()),
            phase,
            started_at: generation.started_at,
            dagster_version: generation.dagster_version.clone(),
            conditions: conditions(plan, generation, phase, beside),
            load: Some(load(plan, generation)),
            runs: generation.runs.as_ref().map(|fact| fact.value),
            faults: plan.faults.iter().map(|planned| fault(planned, generation)).collect(),
            audit: generation.concluded.as_ref().map(|end| end.value.clone()),
            history: history(state),
        },
    }
}

/// Renders a scenario of which no generation was ever accepted, or whose journal cannot be read.
pub fn not_accepted(name: &ScenarioName, state: &State, beside: Beside<'_>) -> Status {
    let accepted = beside.rejection.map(|rejection| negative(ConditionType::Accepted, rejection, None));
    let stalled = beside.stalled.map(|stalled| negative(ConditionType::Stalled, stalled, None));
    Status {
        api_version: "dagstorm.dev/v1alpha1",
        kind: "Scenario",
        metadata: Metadata { name: name.clone() },
        status: Body {
            observed_generation: None,
            phase: Phase::Pending,
            started_at: None,
            dagster_version: None,
            conditions: accepted.into_iter().chain(stalled).collect(),
            load: None,
            runs: None,
            faults: vec![],
            audit: None,
            history: history(state),
        },
    }
}

fn history(state: &State) -> Vec<Past> {
    let past = state.past.iter().rev().take(HISTORY);
    past.map(|summary| Past {
        generation: summary.generation.clone(),
        verdict: summary.conclusion.verdict,
        concluded_at: summary.concluded_at,
        message: summary.conclusion.message.clone(),
    })
    .collect()
}

fn load(plan: &Plan, generation: &Generation) -> Load {
    let stages = || generation.submissions.values().map(|submission| &submission.stage);
    let count = |is: fn(&SubmissionStage) -> bool| stages().filter(|stage| is(stage)).count() as u32;
    let started_at = generation.started_at.unwrap_or(generation.accepted_at);
    let sent = |submission: &Submission| match submission.stage {
        // The attempt that was acknowledged is the last one; of others the first may have arrived.
        SubmissionStage::Acknowledged { found: Found::Acknowledged, .. } => submission.last_attempt_at,
        SubmissionStage::Acknowledged { found: Found::LookedUp | Found::Adopted, .. }
        | SubmissionStage::Intended
        | SubmissionStage::InDoubt(_)
        | SubmissionStage::Deferred { .. }
        | SubmissionStage::Rejected(_)
        | SubmissionStage::Absent(_) => submission.first_attempt_at,
    };
    let attempted = generation.submissions.iter().filter(|(_, submission)| submission.attempts > 0);
    let mut arrivals = plan.arrivals.from(0);
    let lateness: Vec<Duration> = attempted
        .filter_map(|(index, submission)| {
            let due = started_at.plus(arrivals.at(*index)?.offset);
            Some(sent(submission).since(due))
        })
        .collect();
    Load {
        planned: plan.arrivals.len(),
        attempted: generation.submissions.len() as u32,
        acknowledged: count(|stage| matches!(stage, SubmissionStage::Acknowledged { .. })),
        rejected: count(|stage| matches!(stage, SubmissionStage::Rejected(_))),
        indeterminate: count(|stage| matches!(stage, SubmissionStage::InDoubt(_) | SubmissionStage::Absent(_))),
        late: lateness.iter().filter(|late| **late >= LATE).count() as u32,
        lateness: Quantiles::of(lateness.into_iter()),
    }
}

fn fault(planned: &crate::plan::PlannedFault, generation: &Generation) -> FaultStatus {
    let known = generation.faults.get(&planned.id);
    let (state, reason) = match known {
        None => ("Pending", None),
        Some(FaultState { stage: FaultStage::Skipped(reason), .. }) => ("Skipped", Some(reason.clone())),
        Some(FaultState { stage: FaultStage::GivenUp(reason), .. }) => ("NotRecovered", Some(reason.clone())),
        Some(FaultState { stage: FaultStage::Healed(_), .. }) => ("Healed", None),
        Some(FaultState { steady_at: Some(_), .. }) => ("Recovered", None),
        Some(FaultState { seen_at: Some(_), .. }) => ("InPlace", None),
        Some(_) => ("Injecting", None),
    };
    let injected = known.filter(|fault| !matches!(fault.stage, FaultStage::Skipped(_)));
    FaultStatus {
        name: planned.id.to_string(),
        what: planned.fault.describe(),
        state,
        reason,
        targets: injected.map(|fault| fault.targets.clone()).unwrap_or_default(),
        intended_at: injected.map(|fault| fault.intended_at),
        seen_at: known.and_then(|fault| fault.seen_at),
        recovered_at: known.and_then(|fault| fault.steady_at),
        healed_at: known.and_then(|fault| match fault.stage {
            FaultStage::Healed(at) => Some(at),
            FaultStage::Open | FaultStage::GivenUp(_) | FaultStage::Skipped(_) => None,
        }),
    }
}

fn conditions(plan: &Plan, generation: &Generation, phase: Phase, beside: Beside<'_>) -> Vec<Condition> {
    let make = |kind, status, reason: &str, message: String, at| Condition {
        kind,
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: at,
        observed_generation: Some(generation.id.clone()),
    };
    let accepted = match beside.rejection {
        Some(rejection) => negative(ConditionType::Accepted, rejection, Some(generation.id.clone())),
        None => make(
            ConditionType::Accepted,
            ConditionStatus::True,
            "Valid",
            "the manifest is valid".to_owned(),
            generation.accepted_at,
        ),
    };
    let mut conditions = vec![accepted, ready(generation, &make), reconciling(generation, phase, &make)];
    conditions
        .extend(beside.stalled.map(|stalled| negative(ConditionType::Stalled, stalled, Some(generation.id.clone()))));
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

type Make<'a> = dyn Fn(ConditionType, ConditionStatus, &str, String, Timestamp) -> Condition + 'a;

fn ready(generation: &Generation, make: &Make<'_>) -> Condition {
    let Some((dependency, why)) = generation.unready.iter().max_by_key(|(_, fact)| fact.at) else {
        let (status, reason, message) = match generation.adopting {
            _ if generation.started_at.is_some() || generation.concluded.is_some() => {
                (ConditionStatus::True, "TargetReady", "everything that the scenario needs answers".to_owned())
            }
            Some(runs) => {
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
    };
    match (dependency, why.kind) {
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
    let message = match &generation.stop {
        Some(stop) if generation.concluded.is_none() => format!("stopping: {}", stop.value),
        _ => format!("phase {phase}"),
    };
    make(ConditionType::Reconciling, status, &phase.to_string(), message, at)
}

fn fault_conditions(plan: &Plan, generation: &Generation, make: &Make<'_>) -> [Condition; 2] {
    let known: Vec<&FaultState> = plan.faults.iter().filter_map(|planned| generation.faults.get(&planned.id)).collect();
    let injected: Vec<&&FaultState> =
        known.iter().filter(|fault| !matches!(fault.stage, FaultStage::Skipped(_))).collect();
    let open = injected.iter().filter(|fault| fault.stage == FaultStage::Open).count();
    let total = plan.faults.len();
    let last = injected.iter().map(|fault| fault.intended_at).max().unwrap_or(generation.accepted_at);
    let truth = |yes: bool| if yes { ConditionStatus::True } else { ConditionStatus::False };
    let message = format!("{} of {total} faults were injected", injected.len());
    let reason = if injected.len() == total { "AllInjected" } else { "NotAll" };
    let first = make(ConditionType::FaultsInjected, truth(injected.len() == total), reason, message, last);
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
        open => format!("{open} faults may be in place"),
    };
    let reason = match (open, lasting) {
        (0, 0) => "NoneOpen",
        (0, _) => "NotRecovered",
        (_, _) => "Healing",
    };
    let at = if open == 0 { healed_at.unwrap_or(generation.accepted_at) } else { last };
    [first, make(ConditionType::FaultsHealed, truth(open == 0 && lasting == 0), reason, message, at)]
}

/// `Accepted` is false where there is something to say about it, `Stalled` is true.
fn negative(kind: ConditionType, rejection: &Rejection, generation: Option<GenerationId>) -> Condition {
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
