//! `events.jsonl`: what happened, for people, in the words of Kubernetes' events.

use std::collections::BTreeSet;

use serde::Serialize;

use super::fold::some;
use crate::{
    journal::{Dependency, Event, Found, Record},
    model::{Object, Outcome, ScenarioName, TaskView, Timestamp, Verdict, Why},
};

/// One line. `count`: how many of the kind happened at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonEvent {
    pub time: Timestamp,
    /// `None`: it is about no single scenario, as a halt and a bad Target are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioName>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub reason: &'static str,
    pub message: String,
    pub count: u32,
}

impl PersonEvent {
    /// Something that was meant to happen.
    pub fn normal(time: Timestamp, scenario: Option<ScenarioName>, reason: &'static str, message: String) -> Self {
        Self { time, scenario, kind: NORMAL, reason, message, count: 1 }
    }

    /// Something that a person should look at.
    pub fn warning(time: Timestamp, scenario: Option<ScenarioName>, reason: &'static str, message: String) -> Self {
        Self { time, scenario, kind: WARNING, reason, message, count: 1 }
    }

    /// Whether a person should look at it.
    pub fn is_warning(&self) -> bool {
        self.kind == WARNING
    }
}

/// Translates a batch of records; launches of one batch become one line.
pub fn for_people(scenario: &ScenarioName, records: &[Record]) -> Vec<PersonEvent> {
    let mut events: Vec<PersonEvent> = vec![];
    for record in records {
        let Some((kind, reason, message)) = describe(&record.event) else { continue };
        match events.last_mut().filter(|last| last.reason == reason && is_counted(&record.event)) {
            Some(last) => {
                last.count += 1;
                last.message = message;
            }
            None => events.push(PersonEvent {
                time: record.at,
                scenario: Some(scenario.clone()),
                kind,
                reason,
                message,
                count: 1,
            }),
        }
    }
    events
}

fn is_counted(event: &Event) -> bool {
    matches!(
        event,
        Event::Submitted { .. }
            | Event::SubmitRefused { .. }
            | Event::SubmitInDoubt { .. }
            | Event::SubmitDropped { .. }
    )
}

/// How many tasks or objects a line names; status and report have all.
const MOST_VICTIMS: usize = 5;

const NORMAL: &str = "Normal";
const WARNING: &str = "Warning";

#[expect(clippy::too_many_lines, reason = "one arm an event: the compiler finds the place of a new one")]
fn describe(event: &Event) -> Option<(&'static str, &'static str, String)> {
    Some(match event {
        Event::Accepted { generation, .. } => (NORMAL, "Accepted", format!("generation {generation} is accepted")),
        Event::Retargeted { target } => (NORMAL, "Retargeted", format!("target {} was edited", target.name)),
        Event::Unready { dependency, why } => unready(dependency, why),
        Event::Readied { dependency } => readied(dependency),
        Event::Adopting { runs } => {
            let message =
                format!("Dagster has {runs} runs of this generation already: they are adopted after a settle");
            (NORMAL, "Adopting", message)
        }
        Event::PartitionsResolved { choices } => {
            let keys: BTreeSet<&str> =
                choices.iter().flat_map(|one| one.partitions.keys()).map(String::as_str).collect();
            let (first, last) = (keys.first().copied().unwrap_or_default(), keys.last().copied().unwrap_or_default());
            let message = match keys.len() {
                0 => "Dagster has the assets that are launched".to_owned(),
                1 => format!("Dagster has resolved partition {first}"),
                count => format!("Dagster has resolved {count} partitions, from {first} to {last}"),
            };
            (NORMAL, "PartitionsResolved", message)
        }
        Event::Started { at, dagster_version } => {
            (NORMAL, "Started", format!("offsets count from {at}; Dagster {dagster_version}"))
        }
        Event::Compacted { .. }
        | Event::WriterNamed { .. }
        | Event::SubmitIntended { .. }
        | Event::SubmitSent { .. }
        | Event::TerminateIntended { .. }
        | Event::InjectIntended { .. }
        | Event::HealIntended { .. }
        | Event::Counted { .. }
        | Event::TasksChanged { .. }
        | Event::StepsRead { .. }
        | Event::Sampled { .. } => return None,
        Event::Submitted { index, run_id, found } => {
            let (reason, how) = submitted(*found);
            (NORMAL, reason, format!("arrival {index} {how} {run_id}"))
        }
        Event::SubmitRefused { index, reason, retry } => refused(*index, reason, *retry),
        Event::SubmitInDoubt { index, reason } => (WARNING, "LaunchInDoubt", format!("arrival {index}: {reason}")),
        Event::SubmitAbsent { index, reason } => (WARNING, "LaunchAbsent", format!("arrival {index}: {reason}")),
        Event::SubmitDropped { index, in_flight } => {
            (WARNING, "LaunchDropped", format!("arrival {index}: {in_flight} runs are under way, as many as may be"))
        }
        Event::FaultTriggered { fault, asked_at, value } => {
            (NORMAL, "FaultTriggered", format!("{fault}: what it waits for was seen at {asked_at} ({value})"))
        }
        Event::FaultIntended { fault, targets, objects, undo, .. } => {
            let objects = if undo.effects.is_empty() && !targets.is_empty() { &[] } else { &objects[..] };
            (NORMAL, "FaultInjecting", format!("{fault} on {}", victims(targets, objects)))
        }
        Event::InjectTried { fault, effect, outcome } => {
            let (word, reason) = unhappy(outcome, "FaultRefused", "FaultInDoubt")?;
            (WARNING, word, format!("{fault}, effect {effect}: {reason}"))
        }
        Event::HealBegan { fault, reason } => (NORMAL, "FaultHealing", format!("{fault}: {reason}")),
        Event::HealTried { fault, effect, outcome } => {
            let (word, reason) = unhappy(outcome, "HealRefused", "HealInDoubt")?;
            (WARNING, word, format!("{fault}, effect {effect}: {reason}"))
        }
        Event::FaultStalled { fault, reason } => (WARNING, "FaultStalled", format!("{fault}: {reason}")),
        Event::FaultUnstalled { fault } => (NORMAL, "FaultUnstalled", format!("{fault}: nothing stands in the way")),
        Event::FaultSeen { fault, asked_at } => (NORMAL, "FaultInPlace", format!("{fault} was seen at {asked_at}")),
        Event::FaultSteady { fault, asked_at } => {
            (NORMAL, "FaultRecovered", format!("{fault}: the baseline was back at {asked_at}"))
        }
        Event::Healed { fault, asked_at } => (NORMAL, "FaultHealed", format!("{fault}: proved at {asked_at}")),
        Event::FaultGivenUp { fault, reason } => (WARNING, "FaultNotRecovered", format!("{fault}: {reason}")),
        Event::FaultSkipped { fault, reason } => (WARNING, "FaultSkipped", format!("{fault}: {reason}")),
        Event::DuplicateSeen { index, runs } => (WARNING, "DuplicateSeen", doubled(*index, runs)),
        Event::StepDuplicateSeen { reason, .. } => (WARNING, "StepDuplicateSeen", reason.clone()),
        Event::UnexpectedSeen { run_id: _, reason } => (WARNING, "UnexpectedSeen", reason.clone()),
        Event::NeverStartedSeen { run_id: _, reason } => (WARNING, "NeverStartedSeen", reason.clone()),
        Event::OtherWriterSeen { run_id: _, reason, is_first } => {
            let follows = if *is_first { "this one gives way to it" } else { "this one goes on" };
            (WARNING, "OtherWriterSeen", format!("{reason}; {follows}"))
        }
        Event::Aborted { reason } => (WARNING, "Aborted", reason.clone()),
        Event::LoadGivenUp { reason } => (WARNING, "LoadGivenUp", reason.clone()),
        Event::StopRequested { reason, terminate } => {
            let rest = if *terminate { ": its runs are terminated" } else { "" };
            (NORMAL, "Stopping", format!("{reason}{rest}"))
        }
        Event::TerminateTried { run_id, outcome } => terminated(run_id, outcome),
        Event::AuditBegan => (NORMAL, "Auditing", "the records are read and judged".to_owned()),
        Event::Concluded { conclusion } => {
            let (kind, reason) = concluded(conclusion.verdict);
            (kind, reason, conclusion.message.clone())
        }
    })
}

fn unready(dependency: &Dependency, why: &Why) -> (&'static str, &'static str, String) {
    if let Dependency::Gauge(metric) = dependency {
        return (WARNING, "GaugeUnseen", format!("{metric} is not drawn as long as it cannot be seen: {why}"));
    }
    (WARNING, "NotReady", format!("{dependency}: {why}"))
}

fn readied(dependency: &Dependency) -> (&'static str, &'static str, String) {
    if let Dependency::Gauge(metric) = dependency {
        return (NORMAL, "GaugeSeen", format!("{metric} can be seen again"));
    }
    (NORMAL, "Ready", format!("{dependency} answers"))
}

fn refused(index: u32, reason: &str, retry: bool) -> (&'static str, &'static str, String) {
    match retry {
        true => (WARNING, "LaunchDeferred", format!("arrival {index} will be sent again: {reason}")),
        false => (WARNING, "LaunchRejected", format!("arrival {index}: {reason}")),
    }
}

fn doubled(index: u32, runs: &[String]) -> String {
    format!("arrival {index} was launched {} times: {}", runs.len(), runs.join(", "))
}

fn submitted(found: Found) -> (&'static str, &'static str) {
    match found {
        Found::Acknowledged => ("Launched", "is run"),
        Found::LookedUp => ("Recovered", "was in doubt and is run"),
        Found::Adopted => ("Adopted", "was launched before as run"),
    }
}

fn terminated(run_id: &str, outcome: &Outcome) -> (&'static str, &'static str, String) {
    match unhappy(outcome, "TerminateFailed", "TerminateFailed") {
        None => (NORMAL, "Terminating", format!("run {run_id} was asked to end")),
        Some((word, reason)) => (WARNING, word, format!("run {run_id}: {reason}")),
    }
}

fn concluded(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Passed => (NORMAL, "Passed"),
        Verdict::Stopped => (NORMAL, "Stopped"),
        Verdict::Failed => (WARNING, "Failed"),
        Verdict::Unknown => (WARNING, "Unknown"),
    }
}

/// The objects that are changed; the tasks, where a fault changes none.
fn victims(targets: &[TaskView], objects: &[Object]) -> String {
    let tasks = targets.iter().filter(|_| objects.is_empty()).map(|task| task.arn.id().to_owned());
    let names: Vec<String> = tasks.chain(objects.iter().map(ToString::to_string)).collect();
    some(&names, MOST_VICTIMS)
}

/// The word for what was not done, and why; `None`: it was done.
fn unhappy<'a>(outcome: &'a Outcome, refused: &'static str, in_doubt: &'static str) -> Option<(&'static str, &'a str)> {
    match outcome {
        Outcome::Done(_) => None,
        Outcome::Refused { reason, .. } => Some((refused, reason)),
        Outcome::Unknown { reason } => Some((in_doubt, reason)),
    }
}
