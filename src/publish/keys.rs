//! `keys.csv`: one line a key, for whoever wants to look for himself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    audit::{Audit, Finding},
    journal::{Foreign, Found, Generation, Submission, SubmissionStage},
    model::{Census, Chain, Key, RunRecord, RunStatus, RunView, StepEventKind, Timestamp, runs::kin},
    plan::Plan,
};

/// One planned key, with all that is known of it.
pub(super) struct Row<'a> {
    pub index: u32,
    pub key: Key,
    pub job: &'a str,
    /// When it was to be sent.
    pub due: Option<Timestamp>,
    pub submission: Option<&'a Submission>,
    /// Its launches with the retries that Dagster made of them, each chain in its order. What only copied the key is not among
    /// them.
    pub runs: Vec<&'a RunRecord>,
    /// How often Dagster ran it again.
    pub retries: usize,
    /// The status of each launch: of the last run of its chain.
    statuses: Vec<RunStatus>,
    /// When the last of its launches ended; `None`: one is under way.
    ended: Option<Timestamp>,
    /// Dagster's error, where no launch of it has succeeded.
    cause: Option<String>,
    /// The words of the findings about it.
    pub words: Vec<String>,
    /// How often a worker recorded a step of it as completed; `None`: that was not read.
    pub(super) effects: Option<usize>,
}

impl Row<'_> {
    pub fn attempts(&self) -> u32 {
        self.submission.map_or(0, |submission| submission.attempts)
    }

    /// What became of its launch, in the audit's words.
    pub fn outcome(&self) -> &'static str {
        self.submission.map_or("notSent", outcome)
    }

    /// Why it was not launched, or why its run failed; empty: neither, or nobody knows.
    pub fn reason(&self) -> &str {
        match self.submission.map(|submission| &submission.stage) {
            Some(SubmissionStage::Rejected(reason) | SubmissionStage::Absent(reason)) => reason,
            Some(SubmissionStage::Acknowledged { .. }) => self.cause.as_deref().unwrap_or_default(),
            Some(
                SubmissionStage::Dropped { .. }
                | SubmissionStage::Intended
                | SubmissionStage::InDoubt(_)
                | SubmissionStage::Deferred { .. },
            )
            | None => "",
        }
    }

    pub fn run_ids(&self) -> String {
        joined(self.runs.iter().map(|record| record.run.run_id.as_str()))
    }

    pub fn statuses(&self) -> String {
        joined(self.statuses.iter().map(ToString::to_string))
    }

    /// There is one launch of it, and it succeeded without a retry.
    pub fn is_plain_success(&self) -> bool {
        matches!(self.statuses[..], [RunStatus::Success]) && self.retries == 0
    }

    /// When the first of its runs started.
    pub fn started(&self) -> Option<Timestamp> {
        self.runs.iter().filter_map(|record| record.run.started_at).min()
    }

    /// When the last of its launches ended, retries included.
    pub fn ended(&self) -> Option<Timestamp> {
        self.ended
    }

    /// How often a step of it began.
    pub fn steps_started(&self) -> usize {
        self.steps(StepEventKind::is_begin)
    }

    /// How often a step of it succeeded.
    pub fn steps_completed(&self) -> usize {
        self.steps(|kind| kind == StepEventKind::Succeeded)
    }

    fn steps(&self, is_meant: impl Fn(StepEventKind) -> bool) -> usize {
        self.runs.iter().flat_map(|record| &record.events).filter(|event| is_meant(event.kind)).count()
    }
}

/// All planned keys, in the order of their arrivals.
pub(super) fn rows<'a>(
    plan: &'a Plan,
    generation: &'a Generation,
    census: &'a Census,
    audit: &'a Audit,
) -> impl Iterator<Item = Row<'a>> {
    let mut runs: BTreeMap<&Key, Vec<&RunRecord>> = BTreeMap::new();
    for record in &census.runs {
        if let Some(key) = &record.run.key {
            runs.entry(key).or_default().push(record);
        }
    }
    let mut words: BTreeMap<&Key, Vec<String>> = BTreeMap::new();
    let lists = [&audit.findings, &audit.unfinished, &audit.tolerated, &audit.recoveries, &audit.copies];
    for finding in lists.into_iter().flatten() {
        if let Some(key) = &finding.key {
            words.entry(key).or_default().push(word(finding));
        }
    }
    let mut effects: Option<BTreeMap<&str, usize>> = census.completions.as_ref().map(|_| BTreeMap::new());
    for record in census.completions.iter().flat_map(|all| &all.records).filter(|record| record.is_completed()) {
        effects.iter_mut().for_each(|effects| *effects.entry(&record.run_id).or_default() += 1);
    }
    (0u32..).zip(plan.arrivals.from(0)).map(move |(index, arrival)| {
        let key = plan.key(index);
        let all = runs.remove(&key).unwrap_or_default();
        let kin = kin(all.iter().map(|record| &record.run));
        // Another dagstorm's launches are shown: there is a finding about them.
        let is_meant = |chain: &Chain<'_>| {
            !matches!(generation.foreign(plan, index, chain), Some(Foreign::Job(_) | Foreign::Code(_)))
        };
        let chains: Vec<Chain<'_>> = kin.chains.into_iter().filter(is_meant).collect();
        let of_id = |run: &&RunView| all.iter().copied().find(|record| record.run.run_id == run.run_id);
        let found: Vec<&RunRecord> =
            chains.iter().flat_map(|chain| chain.runs.iter().chain(&chain.doubled)).filter_map(of_id).collect();
        let of_run = |run: &&RunRecord| effects.as_ref()?.get(run.run.run_id.as_str()).copied();
        Row {
            effects: effects.as_ref().map(|_| found.iter().filter_map(of_run).sum()),
            index,
            job: &plan.choices[arrival.choice as usize].job,
            due: generation.started_at.map(|started| started.plus(arrival.offset)),
            submission: generation.submissions.get(&index),
            retries: chains.iter().map(Chain::retries).sum(),
            cause: if chains.iter().any(Chain::has_succeeded) {
                None
            } else {
                chains.iter().find_map(|chain| of_id(&chain.end())?.cause())
            },
            statuses: chains.iter().map(|chain| chain.end().status.clone()).collect(),
            ended: chains.iter().filter(|chain| chain.has_ended()).filter_map(|chain| chain.end().ended_at).max(),
            runs: found,
            words: words.remove(&key).unwrap_or_default(),
            key,
        }
    })
}

/// What was found, in a word and its level.
pub(super) fn word(finding: &Finding) -> String {
    let text = |word: serde_json::Result<serde_json::Value>| match word {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => unreachable!("kinds and levels are written as words"),
    };
    format!("{} ({})", text(serde_json::to_value(finding.kind)), text(serde_json::to_value(finding.level)))
}

#[derive(Serialize)]
struct Line<'a> {
    key: String,
    job: &'a str,
    due: Option<Timestamp>,
    attempts: u32,
    outcome: &'static str,
    run_id: String,
    status: String,
    retries: usize,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// From `due` to `ended`.
    latency_s: Option<f64>,
    steps_started: usize,
    steps_completed: usize,
    /// By the workers' own records; empty where they were not read.
    effects_completed: Option<usize>,
    findings: String,
    /// Why it was rejected, or Dagster's error of its run.
    reason: &'a str,
}

/// Renders all planned keys, in the order of their arrivals.
pub fn keys(plan: &Plan, generation: &Generation, census: &Census, audit: &Audit) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for row in rows(plan, generation, census, audit) {
        let line = Line {
            key: row.key.to_string(),
            job: row.job,
            due: row.due,
            attempts: row.attempts(),
            outcome: row.outcome(),
            run_id: row.run_ids(),
            status: row.statuses(),
            retries: row.retries,
            started: row.started(),
            ended: row.ended(),
            latency_s: row.due.zip(row.ended()).map(|(due, ended)| ended.since(due).as_secs_f64()),
            steps_started: row.steps_started(),
            steps_completed: row.steps_completed(),
            effects_completed: row.effects,
            findings: row.words.join(" "),
            reason: row.reason(),
        };
        writer.serialize(line).expect("writing to memory cannot fail");
    }
    writer.into_inner().expect("writing to memory cannot fail")
}

fn joined(parts: impl Iterator<Item: Into<String>>) -> String {
    parts.map(Into::into).collect::<Vec<_>>().join(" ")
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
