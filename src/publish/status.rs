//! `status/<scenario>.yaml`, rendered from the journal's state and from what the journal does not hold (`Beside`).

use std::{collections::BTreeMap, time::Duration};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    conditions,
    latency::Quantiles,
    so_far::{self, Judgement},
};
use crate::{
    decide::{self, Turn},
    journal::{Departure, FaultStage, FaultState, Generation, State, SubmissionStage},
    model::{
        Condition, ConditionStatus, ConditionType, Copies, GenerationId, Key, Metric, Object, Outcome, Phase, Receipt,
        Request, ScenarioName, TaskView, Timestamp, Verdict,
    },
    plan::Plan,
};

/// How many past generations a status names.
const HISTORY: usize = 5;
/// A launch counts as late when it was sent this much after its instant.
const LATE: Duration = Duration::from_secs(1);
/// So many reasons of rejected launches are named.
const MOST_REASONS: usize = 10;

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
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<GenerationId>,
    pub phase: Phase,
    /// No manifest names it any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Launches that Dagster has not acknowledged by then are given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gives_up_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dagster_version: Option<String>,
    /// What the next generation waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    pub conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<crate::model::RunCounts>,
    /// What each gauge showed in the last look at it that was written down.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gauges: BTreeMap<Metric, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Judgement>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
}

/// When the next generation begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Next {
    At(Timestamp),
    /// Once these scenarios have had a newer verdict.
    After(Vec<ScenarioName>),
}

impl Next {
    fn of(turn: &Turn) -> Option<Self> {
        match turn {
            Turn::At(at) => Some(Self::At(*at)),
            Turn::After(names) => Some(Self::After(names.clone())),
            Turn::Due | Turn::Suspended | Turn::Halted | Turn::Had => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Arrivals of the plan.
    pub planned: u32,
    /// Arrivals whose instant has come, whether or not they were sent.
    pub due: u32,
    /// Sent at least once.
    pub attempted: u32,
    /// Dagster has launched the run.
    pub acknowledged: u32,
    /// Refused by Dagster for good.
    pub rejected: u32,
    /// Nobody knows (yet) whether it was launched.
    pub indeterminate: u32,
    /// Sent a second or more after its instant.
    pub late: u32,
    /// Not sent, as `limits.maxInFlight` asks.
    pub dropped: u32,
    /// Why launches were rejected: the most frequent reasons first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejected>,
    /// From the intended instant to that at which a connection took the request; one sample a launch. Where it is not known
    /// when it went out, to its release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Quantiles>,
    /// Of that, from the intended instant to the release: a free place among `maxConcurrentLaunches`, and a durable intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_delay: Option<Quantiles>,
    /// From the release to a connection, of the launches whose connection is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_delay: Option<Quantiles>,
}

/// Launches that were rejected for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// In Dagster's words, where Dagster rejected them.
    pub reason: String,
    /// How many.
    pub count: u32,
    /// The key of the first of them.
    pub first: Key,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultStatus {
    /// Its name in the scenario and the number of its repeat: `kill#1`.
    pub name: String,
    /// In words.
    pub what: String,
    /// Pending, Injecting, InPlace, Healing, Stalled, Recovered, Healed, NotRecovered, Refused or Skipped.
    pub state: &'static str,
    /// Why it is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The tasks that it stops or that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TaskView>,
    /// The AWS objects that it changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    /// What it changes, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Of `redeliver`: what became of the messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// When it was decided, before anything was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intended_at: Option<Timestamp>,
    /// The first look that showed it in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// When its way back began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal_began_at: Option<Timestamp>,
    /// The first look that showed the service steady again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<Timestamp>,
    /// When a look proved that the baseline is back.
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
    /// What the next generation waits for, and since when it is known to be wanted.
    pub turn: Option<(&'a Turn, Timestamp)>,
    /// No look of this process has shown yet that somebody's change still stands in the way of a fault's way back.
    pub is_unconfirmed: bool,
    /// Everything is halted.
    pub halted: Option<&'a Request>,
    /// `dagstorm suspend` asked for it.
    pub suspended: Option<&'a Request>,
    /// Since when no manifest names it.
    pub deleted_at: Option<Timestamp>,
    /// The instant that it is rendered for; `None`: the end.
    pub now: Option<Timestamp>,
}

impl Status {
    /// The condition that a person has to read first: what keeps the scenario from going on, if anything does.
    pub fn trouble(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| match condition.kind {
            // A deletion is what somebody wanted.
            ConditionType::Accepted => condition.status == ConditionStatus::False && !self.status.deleted,
            ConditionType::Ready => condition.status == ConditionStatus::False || condition.reason == "Adopting",
            ConditionType::Stalled => condition.status == ConditionStatus::True,
            ConditionType::Reconciling
            | ConditionType::FaultsInjected
            | ConditionType::FaultsHealed
            | ConditionType::Audited => false,
        })
    }

    /// It can reach no verdict until somebody mends something: its journal, or what stands in the way of a fault's way back.
    pub fn is_stalled(&self) -> bool {
        let is_stalled = |condition: &Condition| {
            condition.kind == ConditionType::Stalled && condition.status == ConditionStatus::True
        };
        self.status.conditions.iter().any(is_stalled)
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
    let sent = generation.ending().is_some() || generation.frontier >= plan.arrivals.len();
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
    let phase = match (beside.turn, phase(plan, generation)) {
        (Some((Turn::Suspended, _)), _) => Phase::Suspended,
        // A halt takes no verdict back.
        (Some((Turn::Halted, _)), phase @ (Phase::Passed | Phase::Failed | Phase::Unknown)) => phase,
        (Some((Turn::Halted, _)), _) => Phase::Suspended,
        (Some((Turn::Due | Turn::At(_) | Turn::After(_) | Turn::Had, _)) | None, phase) => phase,
    };
    Status {
        api_version: "dagstorm.dev/v1alpha1",
        kind: "Scenario",
        metadata: Metadata { name: plan.scenario.clone(), labels: generation.scenario.labels.clone() },
        status: Body {
            observed_generation: Some(generation.id.clone()),
            phase,
            deleted: beside.deleted_at.is_some(),
            started_at: generation.started_at,
            gives_up_at: decide::gives_up_at(plan, generation),
            dagster_version: generation.dagster_version.clone(),
            next: beside.turn.and_then(|(turn, _)| Next::of(turn)),
            conditions: conditions::conditions(plan, generation, phase, beside),
            load: Some(load(plan, generation, beside.now)),
            runs: generation.runs.as_ref().map(|fact| fact.value),
            gauges: generation.last_samples.iter().map(|(metric, sample)| (*metric, sample.value)).collect(),
            faults: plan.faults.iter().map(|planned| fault(planned, generation)).collect(),
            audit: so_far::judgement(plan, generation),
            history: history(state),
        },
    }
}

/// Renders a scenario of which no generation was ever accepted, or whose journal cannot be read.
pub fn not_accepted(
    name: &ScenarioName,
    labels: &IndexMap<String, String>,
    state: &State,
    beside: Beside<'_>,
) -> Status {
    let mut conditions = vec![];
    conditions.extend(beside.rejection.map(|rejection| conditions::negative(ConditionType::Accepted, rejection, None)));
    // The last good version waits on while an edit of it is rejected.
    let phase = match beside.turn {
        Some((turn, since)) => {
            conditions.extend(conditions::waiting(turn, since, beside));
            match turn {
                Turn::Suspended | Turn::Halted => Phase::Suspended,
                Turn::Due | Turn::At(_) | Turn::After(_) | Turn::Had => Phase::Waiting,
            }
        }
        None => Phase::Pending,
    };
    conditions.extend(beside.stalled.map(|stalled| conditions::negative(ConditionType::Stalled, stalled, None)));
    Status {
        api_version: "dagstorm.dev/v1alpha1",
        kind: "Scenario",
        metadata: Metadata { name: name.clone(), labels: labels.clone() },
        status: Body {
            observed_generation: None,
            phase,
            deleted: beside.deleted_at.is_some(),
            started_at: None,
            gives_up_at: None,
            dagster_version: None,
            next: beside.turn.and_then(|(turn, _)| Next::of(turn)),
            conditions,
            load: None,
            runs: None,
            gauges: BTreeMap::new(),
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

/// How many arrivals were due until `now`, or until the end.
pub fn due(plan: &Plan, generation: &Generation, now: Option<Timestamp>) -> u32 {
    let Some(started_at) = generation.started_at else { return 0 };
    let stopped_at = generation.ending().map(|end| end.at);
    let ended_at = generation.concluded.as_ref().map(|end| end.at);
    let Some(until) = [now, stopped_at, ended_at].into_iter().flatten().min() else { return plan.arrivals.len() };
    let elapsed = until.since(started_at);
    let later = plan.arrivals.from(generation.frontier).take_while(|arrival| arrival.offset <= elapsed);
    generation.frontier + later.count() as u32
}

fn load(plan: &Plan, generation: &Generation, now: Option<Timestamp>) -> Load {
    let stages = || generation.submissions.values().map(|submission| &submission.stage);
    let count = |is: fn(&SubmissionStage) -> bool| stages().filter(|stage| is(stage)).count() as u32;
    let started_at = generation.started_at.unwrap_or(generation.accepted_at);
    let attempted = generation.submissions.iter().filter(|(_, submission)| submission.attempts > 0);
    let mut arrivals = plan.arrivals.from(0);
    let departures: Vec<(Timestamp, Departure)> = attempted
        .filter_map(|(index, submission)| Some((started_at.plus(arrivals.at(*index)?.offset), submission.departure())))
        .collect();
    let lateness: Vec<Duration> = departures.iter().map(|(due, departure)| departure.at().since(*due)).collect();
    let released = departures.iter().map(|(due, departure)| departure.released_at.since(*due));
    let sent = departures.iter().filter_map(|(_, departure)| Some(departure.sent_at?.since(departure.released_at)));
    let dropped = count(|stage| matches!(stage, SubmissionStage::Dropped { .. }));
    Load {
        planned: plan.arrivals.len(),
        due: due(plan, generation, now),
        attempted: generation.submissions.len() as u32 - dropped,
        acknowledged: count(|stage| matches!(stage, SubmissionStage::Acknowledged { .. })),
        rejected: count(|stage| matches!(stage, SubmissionStage::Rejected(_))),
        indeterminate: count(|stage| matches!(stage, SubmissionStage::InDoubt(_) | SubmissionStage::Absent(_))),
        late: lateness.iter().filter(|late| **late >= LATE).count() as u32,
        dropped,
        rejections: rejections(plan, generation),
        lateness: Quantiles::of(lateness.into_iter()),
        release_delay: Quantiles::of(released),
        send_delay: Quantiles::of(sent),
    }
}

fn rejections(plan: &Plan, generation: &Generation) -> Vec<Rejected> {
    let groups = generation.rejections().into_iter().take(MOST_REASONS);
    groups
        .map(|group| Rejected { reason: group.reason.to_owned(), count: group.count, first: plan.key(group.first) })
        .collect()
}

/// What was changed, in words; of copies also how many were made.
fn changes(fault: &FaultState) -> Vec<String> {
    let said = fault.inject.iter().zip(&fault.outcomes).filter_map(|(effect, outcome)| {
        let said = effect.describe()?;
        Some(match outcome {
            Some(Outcome::Done(Receipt::Copied(copies))) => format!("{said}: {}", copies.sentence()),
            Some(Outcome::Done(_) | Outcome::Refused { .. } | Outcome::Unknown { .. }) | None => said,
        })
    });
    said.collect()
}

fn fault(planned: &crate::plan::PlannedFault, generation: &Generation) -> FaultStatus {
    let known = generation.faults.get(&planned.id);
    let (state, reason) = match known {
        None => ("Pending", None),
        Some(FaultState { stage: FaultStage::Skipped(reason), .. }) => ("Skipped", Some(reason.clone())),
        Some(FaultState { stage: FaultStage::GivenUp(reason), .. }) => ("NotRecovered", Some(reason.clone())),
        Some(fault @ FaultState { stage: FaultStage::Healed(_), .. }) => match fault.refusal() {
            Some(reason) => ("Refused", Some(reason.to_owned())),
            None => ("Healed", None),
        },
        Some(FaultState { stalled: Some(reason), .. }) => ("Stalled", Some(reason.clone())),
        Some(FaultState { steady_at: Some(_), .. }) => ("Recovered", None),
        Some(FaultState { heal: Some(heal), .. }) => {
            ("Healing", Some(heal.refusal().unwrap_or(&heal.reason).to_owned()))
        }
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
        objects: injected.map(|fault| fault.objects.clone()).unwrap_or_default(),
        changes: injected.filter(|fault| fault.is_held() || fault.targets.is_empty()).map(changes).unwrap_or_default(),
        copies: injected.and_then(FaultState::copies).cloned(),
        intended_at: injected.map(|fault| fault.intended_at),
        seen_at: known.and_then(|fault| fault.seen_at),
        heal_began_at: known.and_then(|fault| fault.heal.as_ref()).map(|heal| heal.cause.at),
        recovered_at: known.and_then(|fault| fault.steady_at),
        healed_at: known.and_then(|fault| match fault.stage {
            FaultStage::Healed(at) => Some(at),
            FaultStage::Open | FaultStage::GivenUp(_) | FaultStage::Skipped(_) => None,
        }),
    }
}
