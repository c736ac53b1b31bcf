//! What can be said of a scenario that still runs: what is wrong so far, and never that it has passed.

use serde::Serialize;

use super::fold;
use crate::{
    journal::{Conclusion, Generation},
    model::Metric,
    plan::Plan,
    spec::Contract,
};

/// How many sentences of a kind a status has.
const SENTENCES: usize = 10;

/// What is known of the verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Judgement {
    SoFar(SoFar),
    Final(Conclusion),
}

impl Judgement {
    /// The verdict of the audit, once there is one.
    pub fn conclusion(&self) -> Option<&Conclusion> {
        match self {
            Self::SoFar(_) => None,
            Self::Final(conclusion) => Some(conclusion),
        }
    }
}

/// What looks have shown until now. The audit reads all records, and may find more or explain what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoFar {
    pub verdict: VerdictSoFar,
    /// Always `true`: it tells this from a verdict.
    pub so_far: bool,
    pub counts: CountsSoFar,
    /// The first of each kind, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// What the contract permits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerated: Vec<String>,
}

/// There is no `Passed`: that is proved at the end or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum VerdictSoFar {
    FailedSoFar,
    NothingWrongSoFar,
}

/// How many keys, and how many runs, came to what until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CountsSoFar {
    pub acknowledged: u32,
    /// Runs, by their status.
    pub unfinished: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub canceled: u32,
    /// Failed, and Dagster has announced a retry that is not there yet: none of the failed.
    pub retrying: u32,
    /// Runs that Dagster made and will never start.
    pub never_started: u32,
    /// Keys that were launched more than once.
    pub duplicated: u32,
    /// Runs that nothing explains.
    pub unexpected: u32,
    /// Ended runs whose step events were read.
    pub steps_read: u32,
    /// Steps of those that were completed more than once.
    pub steps_duplicated: u32,
}

/// What is known of the verdict of a generation that has begun. One that is stopped will have none.
pub fn judgement(plan: &Plan, generation: &Generation) -> Option<Judgement> {
    if let Some(end) = &generation.concluded {
        return Some(Judgement::Final(end.value.clone()));
    }
    if generation.started_at.is_none() || generation.stop.is_some() {
        return None;
    }
    Some(Judgement::SoFar(so_far(plan, generation)))
}

fn so_far(plan: &Plan, generation: &Generation) -> SoFar {
    let runs = generation.runs.as_ref().map(|fact| fact.value).unwrap_or_default();
    let aborted =
        generation.aborted.iter().map(|aborted| format!("it was aborted at {}: {}", aborted.at, aborted.value));
    let unexpected = generation.unexpected.values().map(|fact| fact.value.clone());
    let duplicated = generation.duplicates.iter().map(|(index, fact)| {
        let key = plan.key(*index);
        format!("{key} was launched {} times: {}", fact.value.len(), fact.value.join(", "))
    });
    let (mut findings, mut tolerated): (Vec<String>, Vec<String>) = (aborted.collect(), vec![]);
    let contract = plan.expect.contract;
    let permits_duplicates = contract == Contract::AtLeastOnce;
    let steps = generation.step_duplicates.values().map(|fact| fact.value.clone());
    let doubled = told(duplicated.collect()).into_iter().chain(told(steps.collect()));
    (if permits_duplicates { &mut tolerated } else { &mut findings }).extend(doubled);
    findings.extend(told(unexpected.collect()));
    findings.extend(generation.other_writer.as_ref().map(|other| other.value.reason.clone()));
    let permits_losses = contract == Contract::AtMostOnce;
    let never = generation.never_started.values().map(|fact| fact.value.clone()).take(SENTENCES);
    let canceled = ended(runs.canceled, "CANCELED");
    (if permits_losses { &mut tolerated } else { &mut findings }).extend(never.chain(canceled));
    let is_of_failures = |metric: Metric| matches!(metric, Metric::Failures | Metric::SuccessRate);
    let permits_failures =
        permits_losses || plan.expect.thresholds.iter().any(|criterion| is_of_failures(criterion.metric()));
    (if permits_failures { &mut tolerated } else { &mut findings }).extend(ended(runs.failed, "FAILURE"));
    SoFar {
        verdict: if findings.is_empty() { VerdictSoFar::NothingWrongSoFar } else { VerdictSoFar::FailedSoFar },
        so_far: true,
        counts: CountsSoFar {
            acknowledged: generation.acknowledged,
            unfinished: runs.unfinished(),
            succeeded: runs.succeeded,
            failed: runs.failed,
            canceled: runs.canceled,
            retrying: runs.retrying,
            never_started: runs.never_started,
            duplicated: generation.duplicates.len() as u32,
            unexpected: generation.unexpected.len() as u32,
            steps_read: generation.steps_read.len() as u32,
            steps_duplicated: generation.step_duplicates.len() as u32,
        },
        findings,
        tolerated,
    }
}

/// How many runs ended so, in words, if any did.
fn ended(count: u32, status: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("a run ended as {status}")),
        count => Some(format!("{count} runs ended as {status}")),
    }
}

/// What is alike stands once.
fn told(messages: Vec<String>) -> Vec<String> {
    let mut lines = fold::lines(messages.iter().map(|message| ("", message.as_str())));
    lines.truncate(SENTENCES);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Event, Found, Record, State},
        model::{GenerationId, RunCounts, Timestamp},
        plan,
        spec::{Manifest, load, no_attachments},
    };

    const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
        "requestTimeout":"5s","settle":"15s"}}"#;

    /// What is said after these events, as JSON.
    fn said(contract: &str, events: Vec<Event>) -> String {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: {{ name: a }}\nspec:\n  target: local\n  load: \
             [{{ name: base, for: 9s, arrivals: {{ constant: {{ rate: 1/s }} }}, jobs: {{ a: 1 }} }}]\n  expect: {{ contract: {contract} }}\n"
        );
        let Some(Ok(Manifest::Scenario(scenario))) =
            load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content)
        else {
            panic!("not a scenario");
        };
        let generation = GenerationId { digest: "d".to_owned(), repeat: 1 };
        let plan = plan::compile(&scenario, &generation);
        let target = Box::new(serde_json::from_str(TARGET).expect("a target"));
        let mut state = State::default();
        let accepted = Event::Accepted { generation, scenario, target };
        for (seq, event) in (0..).zip([accepted].into_iter().chain(events)) {
            let record = Record { seq, at: Timestamp::from_micros(0), epoch: 1, event };
            state.apply(&record).expect("a legal record");
        }
        let current = state.current.as_ref().expect("it was accepted");
        judgement(&plan, current).map_or("nothing".to_owned(), |said| {
            serde_json::to_value(said).expect("it has string keys only").to_string()
        })
    }

    fn living(more: Vec<Event>) -> Vec<Event> {
        let started = Event::Started { at: Timestamp::from_micros(0), dagster_version: "1".to_owned() };
        [started].into_iter().chain(more).collect()
    }

    #[test]
    fn nothing_is_said_before_the_start_and_nothing_when_it_is_stopped() {
        assert_eq!(said("exactlyOnce", vec![]), "nothing");
        let stop = Event::StopRequested { reason: "edited".to_owned(), terminate: true };
        assert_eq!(said("exactlyOnce", living(vec![stop])), "nothing");
        let conclusion = Conclusion::stopped("edited");
        let end = said("exactlyOnce", living(vec![Event::Concluded { conclusion }]));
        assert!(end.contains(r#""verdict":"Stopped""#) && !end.contains("soFar"), "{end}");
    }

    #[test]
    fn what_is_wrong_so_far_is_said_as_the_contract_has_it() {
        let duplicate = Event::DuplicateSeen { index: 3, runs: vec!["r1".to_owned(), "r2".to_owned()] };
        let unexpected = Event::UnexpectedSeen { run_id: "r9".to_owned(), reason: "r9 is nobody's".to_owned() };
        let runs = RunCounts { succeeded: 4, failed: 2, canceled: 1, ..RunCounts::default() };
        let counted = Event::Counted { runs };
        let retrying = Event::Counted { runs: RunCounts { retrying: 3, ..RunCounts::default() } };
        let reason = "r5 will never start".to_owned();
        let never = Event::NeverStartedSeen { run_id: "r5".to_owned(), reason };
        let reason = "another dagstorm launched r6".to_owned();
        let other = Event::OtherWriterSeen { run_id: "r6".to_owned(), reason, is_first: false };
        let aborted = Event::Aborted { reason: "limits.abortOn: x".to_owned() };
        let calm = [
            Event::SubmitIntended { index: 0, attempt: 1, due: None },
            Event::Submitted { index: 0, run_id: "r0".to_owned(), found: Found::Acknowledged },
        ];
        let double = "a/d-1/3 was launched 2 times: r1, r2";
        let (fails, canceled) = ("2 runs ended as FAILURE", "a run ended as CANCELED");
        for (contract, events, findings, tolerated) in [
            ("exactlyOnce", calm.to_vec(), vec![], vec![]),
            ("exactlyOnce", vec![duplicate.clone()], vec![double], vec![]),
            ("atLeastOnce", vec![duplicate.clone()], vec![], vec![double]),
            ("atMostOnce", vec![duplicate], vec![double], vec![]),
            ("atLeastOnce", vec![unexpected], vec!["r9 is nobody's"], vec![]),
            ("exactlyOnce", vec![counted.clone()], vec![canceled, fails], vec![]),
            // A threshold says how many may fail; it says nothing of what was canceled.
            (
                "exactlyOnce, thresholds: { failures: ['rate < 50%'] }",
                vec![counted.clone()],
                vec![canceled],
                vec![fails],
            ),
            (
                "exactlyOnce, thresholds: { successRate: ['rate > 50%'] }",
                vec![counted.clone()],
                vec![canceled],
                vec![fails],
            ),
            (
                "exactlyOnce, thresholds: { throughput: ['rate > 1/s'] }",
                vec![counted.clone()],
                vec![canceled, fails],
                vec![],
            ),
            ("atMostOnce", vec![counted], vec![], vec![canceled, fails]),
            ("exactlyOnce", vec![retrying], vec![], vec![]),
            ("exactlyOnce", vec![never.clone()], vec!["r5 will never start"], vec![]),
            ("atLeastOnce", vec![never.clone()], vec!["r5 will never start"], vec![]),
            ("atMostOnce", vec![never], vec![], vec!["r5 will never start"]),
            ("atLeastOnce", vec![other.clone()], vec!["another dagstorm launched r6"], vec![]),
            ("atMostOnce", vec![other], vec!["another dagstorm launched r6"], vec![]),
            (
                "exactlyOnce",
                vec![aborted],
                vec!["it was aborted at 1970-01-01T00:00:00.000000Z: limits.abortOn: x"],
                vec![],
            ),
        ] {
            let json: serde_json::Value = serde_json::from_str(&said(contract, living(events))).expect("JSON");
            let list = |field: &str| {
                let texts = json[field].as_array().into_iter().flatten();
                texts.map(|text| text.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
            };
            let verdict = if findings.is_empty() { "NothingWrongSoFar" } else { "FailedSoFar" };
            assert_eq!((json["verdict"].as_str(), json["soFar"].as_bool()), (Some(verdict), Some(true)), "{json}");
            assert_eq!((list("findings"), list("tolerated")), (strings(&findings), strings(&tolerated)), "{contract}");
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
