//! `keys.csv`: one line a key, for whoever wants to look for himself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    audit::Audit,
    journal::{Found, Generation, Submission, SubmissionStage},
    model::{Census, Key, RunRecord, StepEventKind, Timestamp},
    plan::Plan,
};

#[derive(Serialize)]
struct Row<'a> {
    key: String,
    job: &'a str,
    /// When it was to be sent.
    due: Option<Timestamp>,
    attempts: u32,
    /// In the audit's words.
    outcome: &'static str,
    run_id: String,
    status: String,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// From `due` to `ended`.
    latency_s: Option<f64>,
    steps_started: usize,
    steps_completed: usize,
    /// The words of the findings about it.
    findings: String,
}

/// Renders all planned keys, in the order of their arrivals.
pub fn keys(plan: &Plan, generation: &Generation, census: &Census, audit: &Audit) -> Vec<u8> {
    let mut runs: BTreeMap<&Key, Vec<&RunRecord>> = BTreeMap::new();
    for record in &census.runs {
        if let Some(key) = &record.run.key {
            runs.entry(key).or_default().push(record);
        }
    }
    let mut words: BTreeMap<&Key, Vec<String>> = BTreeMap::new();
    for finding in audit.findings.iter().chain(&audit.tolerated).chain(&audit.recoveries) {
        if let Some(key) = &finding.key {
            words.entry(key).or_default().push(format!("{:?} ({:?})", finding.kind, finding.level).to_lowercase());
        }
    }
    let mut writer = csv::Writer::from_writer(vec![]);
    for (index, arrival) in (0u32..).zip(plan.arrivals.from(0)) {
        let key = plan.key(index);
        let due = generation.started_at.map(|started| started.plus(arrival.offset));
        let submission = generation.submissions.get(&index);
        let found = runs.get(&key).map_or(&[][..], Vec::as_slice);
        let ended = found.iter().filter_map(|record| record.run.ended_at).max();
        let row = Row {
            job: &plan.choices[arrival.choice as usize].job,
            due,
            attempts: submission.map_or(0, |submission| submission.attempts),
            outcome: submission.map_or("notSent", outcome),
            run_id: joined(found.iter().map(|record| record.run.run_id.clone())),
            status: joined(found.iter().map(|record| record.run.status.to_string())),
            started: found.iter().filter_map(|record| record.run.started_at).min(),
            ended,
            latency_s: due.zip(ended).map(|(due, ended)| ended.since(due).as_secs_f64()),
            steps_started: count(found, StepEventKind::Started),
            steps_completed: count(found, StepEventKind::Succeeded),
            findings: joined(words.remove(&key).unwrap_or_default().into_iter()),
            key: key.to_string(),
        };
        writer.serialize(row).expect("writing to memory cannot fail");
    }
    writer.into_inner().expect("writing to memory cannot fail")
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

fn count(records: &[&RunRecord], kind: StepEventKind) -> usize {
    records.iter().flat_map(|record| &record.events).filter(|event| event.kind == kind).count()
}

fn outcome(submission: &Submission) -> &'static str {
    match &submission.stage {
        SubmissionStage::Acknowledged { found: Found::Acknowledged, .. } => "acknowledged",
        SubmissionStage::Acknowledged { found: Found::LookedUp, .. } => "recovered",
        SubmissionStage::Acknowledged { found: Found::Adopted, .. } => "adopted",
        SubmissionStage::Rejected(_) => "rejected",
        SubmissionStage::Absent(_) => "resolvedAbsent",
        SubmissionStage::Dropped { .. } => "dropped",
        SubmissionStage::Intended | SubmissionStage::InDoubt(_) | SubmissionStage::Deferred { .. } => "indeterminate",
    }
}
