//! The run level: what was acknowledged against what is there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, Finding, FindingKind, Level, completions::completed_steps, unfinished};
use crate::{
    journal::{Found, Generation, SubmissionStage},
    model::{Census, Key, RunRecord, RunStatus, StepEventKind},
    plan::Plan,
};

/// So many reasons of rejected launches are written out.
const MOST_REASONS: usize = 3;

pub fn judge(plan: &Plan, generation: &Generation, census: &Census, audit: &mut Audit) {
    let recorded = completed_steps(census);
    // The census is in the order of the keys.
    let of_a_key = census.runs.chunk_by(|a, b| a.run.key == b.run.key);
    let (mut runs, mut strangers) = (BTreeMap::new(), vec![]);
    for some in of_a_key {
        match &some[0].run.key {
            Some(key) if key.scenario == plan.scenario && key.generation == plan.generation => {
                runs.insert(key.index, some);
            }
            Some(_) | None => strangers.push(some),
        }
    }
    let (mut unsettled, mut open) = (0, vec![]);
    for (index, submission) in &generation.submissions {
        audit.counts.attempted += u32::from(!matches!(submission.stage, SubmissionStage::Dropped { .. }));
        let key = plan.key(*index);
        let found = runs.remove(index).unwrap_or_default();
        match &submission.stage {
            SubmissionStage::Acknowledged { found: how, run_id, .. } => {
                audit.counts.acknowledged += 1;
                match how {
                    Found::Acknowledged => {}
                    Found::LookedUp => {
                        audit.counts.indeterminate += 1;
                        audit.counts.recovered += 1;
                    }
                    Found::Adopted => audit.counts.adopted += 1,
                }
                open.extend(judge_acknowledged(&key, run_id, found, &recorded, audit));
            }
            SubmissionStage::Rejected(_) => audit.counts.rejected += 1,
            SubmissionStage::Absent(_) => {
                audit.counts.indeterminate += 1;
                audit.counts.resolved_absent += 1;
            }
            SubmissionStage::Dropped { .. } => audit.counts.dropped += 1,
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) | SubmissionStage::Deferred { .. } => {
                audit.counts.indeterminate += 1;
                unsettled += 1;
            }
        }
        if !matches!(submission.stage, SubmissionStage::Acknowledged { .. }) && !found.is_empty() {
            let message = format!("{key} was counted as never launched, yet Dagster has {}", ids(found).join(", "));
            audit.counts.unexpected += 1;
            audit.findings.push(finding(FindingKind::Unexpected, Some(key), found, message));
        }
    }
    for found in strangers.into_iter().chain(runs.into_values()) {
        let key = found[0].run.key.as_ref();
        let name = key.map_or("a run without a key".to_owned(), ToString::to_string);
        let message = format!("{name} was never attempted, yet Dagster has {}", ids(found).join(", "));
        audit.counts.unexpected += found.len() as u32;
        audit.findings.push(finding(FindingKind::Unexpected, key.cloned(), found, message));
    }
    unfinished::judge(generation, census, &open, audit);
    gaps(plan, generation, unsettled, audit);
}

/// `recorded`: the steps that a worker has recorded as completed. Returns the run that the key still waits for.
fn judge_acknowledged<'a>(
    key: &Key,
    run_id: &str,
    found: &'a [RunRecord],
    recorded: &BTreeSet<(&str, &str)>,
    audit: &mut Audit,
) -> Option<&'a RunRecord> {
    if found.len() > 1 {
        let message = format!("{key} was launched {} times: {}", found.len(), ids(found).join(", "));
        audit.counts.duplicated += 1;
        audit.found(finding(FindingKind::Duplicated, Some(key.clone()), found, message));
    }
    if !found.is_empty() && found.iter().all(|record| record.run.run_id != run_id) {
        let there = ids(found).join(", ");
        let message =
            format!("{key} was acknowledged as run {run_id}, and Dagster has another run of it only: {there}");
        audit.findings.push(finding(FindingKind::Unexpected, Some(key.clone()), found, message));
    }
    if found.is_empty() {
        let message = format!("{key} was acknowledged as run {run_id}, and Dagster has no such run");
        audit.counts.lost += 1;
        let mut lost = finding(FindingKind::Lost, Some(key.clone()), found, message);
        lost.runs.push(run_id.to_owned());
        audit.found(lost);
        return None;
    }
    if found.iter().any(|record| record.run.status == RunStatus::Success) {
        audit.counts.completed += 1;
    } else if let Some(open) = found.iter().find(|record| !record.run.status.is_terminal()) {
        audit.counts.unfinished += 1;
        return Some(open);
    } else if found.iter().any(|record| work_was_done(record, recorded)) {
        let message = format!("{key}: Dagster says {}, yet every step that was started completed", found[0].run.status);
        audit.counts.falsely_failed += 1;
        audit.findings.push(finding(FindingKind::FalselyFailed, Some(key.clone()), found, message));
    } else {
        let message = format!("{key} was acknowledged and ended as {}", found[0].run.status);
        audit.counts.lost += 1;
        audit.found(finding(FindingKind::Lost, Some(key.clone()), found, message));
    }
    None
}

/// Every step that was started or failed was completed, by Dagster's log or by its worker's own record.
fn work_was_done(record: &RunRecord, recorded: &BTreeSet<(&str, &str)>) -> bool {
    let of = |kind: StepEventKind| record.events.iter().filter(move |event| event.kind == kind);
    let begins = || record.events.iter().filter(|event| event.kind.is_begin());
    let is_recorded = |step: &str| recorded.contains(&(record.run.run_id.as_str(), step));
    let succeeded = |step: &str| of(StepEventKind::Succeeded).any(|event| &*event.step == step);
    begins().next().is_some()
        && of(StepEventKind::Failed).all(|event| is_recorded(&event.step))
        && begins().all(|event| succeeded(&event.step) || is_recorded(&event.step))
}

fn gaps(plan: &Plan, generation: &Generation, unsettled: u32, audit: &mut Audit) {
    let counts = audit.counts.clone();
    let missing = plan.arrivals.len().saturating_sub(counts.attempted + counts.dropped);
    if counts.acknowledged == 0 {
        audit.gap("NothingAcknowledged", "no launch was acknowledged: there is nothing to prove".to_owned());
    }
    if counts.acknowledged > 0 && counts.adopted == counts.acknowledged {
        let text = "every run was launched before this data folder knew of it: nothing was launched now";
        audit.gap("AllAdopted", text.to_owned());
    }
    if missing > 0 {
        let why = generation.given_up.as_ref().map(|given_up| format!(": {}", given_up.value)).unwrap_or_default();
        audit.gap("NotSent", format!("{missing} of {} planned arrivals were never sent{why}", counts.planned));
    }
    if unsettled > 0 {
        audit.gap("Indeterminate", format!("the fate of {unsettled} launches is not known"));
    }
    if counts.rejected > 0 {
        let (launches, why) = (counted(counts.rejected, "launch was", "launches were"), reasons(plan, generation));
        audit.gap("Rejected", format!("{launches} rejected, so the load was not the planned one: {why}"));
    }
    if counts.dropped > 0 {
        let text = "arrivals were dropped, as limits.maxInFlight asks: the load was not the planned one";
        audit.gap("Dropped", format!("{} {text}", counts.dropped));
    }
    if counts.resolved_absent > 0 {
        let count = counts.resolved_absent;
        audit.gap("ResolvedAbsent", format!("{count} launches never arrived: the load was not the planned one"));
    }
}

fn counted(count: u32, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Why launches were rejected, each reason with how many and the first key.
fn reasons(plan: &Plan, generation: &Generation) -> String {
    let groups = generation.rejections();
    let shown = groups.iter().take(MOST_REASONS).map(|group| match (group.count, groups.len()) {
        (1, _) => format!("{} ({})", group.reason, plan.key(group.first)),
        (_, 1) => format!("{} (the first is {})", group.reason, plan.key(group.first)),
        (count, _) => format!("{} ({count}, the first is {})", group.reason, plan.key(group.first)),
    });
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if groups.len() > MOST_REASONS {
        text.push_str(&format!("; and {} more reasons, in keys.csv", groups.len() - MOST_REASONS));
    }
    text
}

fn ids(found: &[RunRecord]) -> Vec<String> {
    found.iter().map(|record| record.run.run_id.clone()).collect()
}

pub fn finding(kind: FindingKind, key: Option<Key>, found: &[RunRecord], message: String) -> Finding {
    Finding {
        kind,
        level: Level::Run,
        key,
        runs: ids(found),
        step: None,
        message,
        attempts: vec![],
        overlapping_faults: vec![],
        task_deaths: vec![],
    }
}
