//! The run level: what was acknowledged against what is there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, Finding, FindingKind, Level, completions::completed_steps, retries, unfinished};
use crate::{
    journal::{Foreign, Found, Generation, SubmissionStage, is_never_started},
    model::{Census, Chain, Key, RunRecord, StepEventKind, runs::kin},
    plan::Plan,
};

/// So many reasons of rejected launches are written out.
const MOST_REASONS: usize = 3;

/// What the runs of one key are judged by.
pub struct Judged<'a> {
    pub plan: &'a Plan,
    pub generation: &'a Generation,
    pub census: &'a Census,
    /// The steps that a worker has recorded as completed, by run.
    pub recorded: BTreeSet<(&'a str, &'a str)>,
}

/// `census`: without the runs that only copied a key.
pub fn judge(plan: &Plan, generation: &Generation, census: &Census, audit: &mut Audit) {
    let judged = Judged { plan, generation, census, recorded: completed_steps(census) };
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
                open.extend(judged.acknowledged(*index, run_id, found, audit));
            }
            SubmissionStage::Rejected(_) => {
                audit.counts.rejected += 1;
                judged.unasked(*index, Some("was rejected"), found, audit);
            }
            SubmissionStage::Absent(_) => {
                audit.counts.indeterminate += 1;
                audit.counts.resolved_absent += 1;
                judged.unasked(*index, Some("was counted as never launched"), found, audit);
            }
            SubmissionStage::Dropped { .. } => {
                audit.counts.dropped += 1;
                judged.unasked(*index, Some("was dropped"), found, audit);
            }
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) | SubmissionStage::Deferred { .. } => {
                audit.counts.indeterminate += 1;
                unsettled += 1;
                judged.unasked(*index, None, found, audit);
            }
        }
    }
    for (index, found) in runs {
        judged.unasked(index, Some("was never attempted"), found, audit);
    }
    for found in strangers {
        let key = found[0].run.key.as_ref();
        let name = key.map_or("a run without a key".to_owned(), ToString::to_string);
        let message = format!("{name} was never attempted, yet Dagster has {}", ids(found).join(", "));
        audit.counts.unexpected += found.len() as u32;
        audit.findings.push(finding(FindingKind::Unexpected, key.cloned(), found, message));
    }
    unfinished::judge(generation, census, &open, audit);
    gaps(plan, generation, unsettled, audit);
}

impl<'a> Judged<'a> {
    /// The launches of a key that are this data folder's own. Those of other writers are told.
    fn own(&self, index: u32, found: &'a [RunRecord], audit: &mut Audit) -> Vec<Chain<'a>> {
        let key = self.plan.key(index);
        let kin = kin(found.iter().map(|record| &record.run));
        let (own, others): (Vec<_>, Vec<_>) =
            kin.chains.into_iter().partition(|chain| self.generation.foreign(self.plan, index, chain).is_none());
        for chain in &others {
            other_writer(&key, self.generation.foreign(self.plan, index, chain), chain, found, audit);
        }
        own
    }

    /// Judges the runs of a key that was not acknowledged. `why` there can be none; `None`: its launch is in doubt, and there may
    /// be one.
    fn unasked(&self, index: u32, why: Option<&str>, found: &'a [RunRecord], audit: &mut Audit) {
        let (key, own) = (self.plan.key(index), self.own(index, found, audit));
        let Some(why) = why else {
            retries::doubled(&key, &own, audit);
            return;
        };
        let all = own.iter().flat_map(|chain| chain.runs.iter().chain(&chain.doubled));
        let runs: Vec<String> = all.map(|run| run.run_id.clone()).collect();
        if runs.is_empty() {
            return;
        }
        let message = format!("{key} {why}, yet Dagster has {}", runs.join(", "));
        audit.counts.unexpected += own.len() as u32;
        audit.findings.push(Finding { runs, ..finding(FindingKind::Unexpected, Some(key), &[], message) });
    }

    /// Judges the runs of a key that was acknowledged. Returns the run that the key still waits for.
    fn acknowledged(
        &self,
        index: u32,
        run_id: &str,
        found: &'a [RunRecord],
        audit: &mut Audit,
    ) -> Option<&'a RunRecord> {
        let (key, own) = (self.plan.key(index), self.own(index, found, audit));
        retries::doubled(&key, &own, audit);
        if own.is_empty() {
            let message = format!("{key} was acknowledged as run {run_id}, and Dagster has no such run");
            audit.counts.lost += 1;
            let mut lost = finding(FindingKind::Lost, Some(key), &[], message);
            lost.runs.push(run_id.to_owned());
            audit.found(lost);
            return None;
        }
        if own.iter().all(|chain| chain.root != run_id) {
            let there = own.iter().map(|chain| chain.root).collect::<Vec<_>>().join(", ");
            let message =
                format!("{key} was acknowledged as run {run_id}, and Dagster has another run of it only: {there}");
            audit.findings.push(finding(FindingKind::Unexpected, Some(key.clone()), found, message));
        }
        for chain in own.iter().filter(|chain| chain.retries() > 0) {
            retries::retried(self, &key, chain, found, audit);
        }
        if own.iter().any(Chain::has_succeeded) {
            audit.counts.completed += 1;
            return None;
        }
        let never = |chain: &&Chain<'_>| is_never_started(self.generation, index, chain.end(), self.census.taken_at);
        let goes_on = |chain: &&Chain<'_>| {
            let refused = chain.awaits_retry() && of_id(found, &chain.end().run_id).retry_refused.is_some();
            !chain.has_ended() && !refused && !never(chain)
        };
        if let Some(chain) = own.iter().find(goes_on) {
            audit.counts.unfinished += 1;
            return Some(of_id(found, &chain.end().run_id));
        }
        if let Some(chain) = own.iter().find(never) {
            audit.counts.never_started += 1;
            let record = of_id(found, &chain.end().run_id);
            let message = format!("{key}: {}", chain.end().says_never_started());
            audit.found(finding(FindingKind::NeverStarted, Some(key), std::slice::from_ref(record), message));
            return None;
        }
        self.ended_badly(key, &own, found, audit);
        None
    }

    /// No launch of the key has succeeded, and nothing more is to come.
    fn ended_badly(&self, key: Key, own: &[Chain<'a>], found: &'a [RunRecord], audit: &mut Audit) {
        let ends: Vec<&RunRecord> = own.iter().map(|chain| of_id(found, &chain.end().run_id)).collect();
        let last = ends[0];
        let (run_id, status) = (&last.run.run_id, &last.run.status);
        let retries = match own[0].retries() {
            0 => String::new(),
            1 => ", also when Dagster ran it again".to_owned(),
            more => format!(", also when Dagster ran it again {more} times"),
        };
        let refused = last.retry_refused.as_ref();
        let refused = refused.map(|why| format!(". Dagster had announced a retry: {why}")).unwrap_or_default();
        let one = std::slice::from_ref(last);
        if let Some(record) = ends.iter().find(|record| work_was_done(record, &self.recorded)) {
            let message =
                format!("{key}: Dagster says {}, yet every step that was started completed", record.run.status);
            audit.counts.falsely_failed += 1;
            audit.findings.push(finding(FindingKind::FalselyFailed, Some(key), found, message));
        } else if let Some(error) = last.own_error() {
            audit.counts.failed += 1;
            let message = format!("{key} failed by its own code in run {run_id}: {error}{retries}{refused}");
            audit.found(finding(FindingKind::Failed, Some(key), one, message));
        } else {
            let why = last.cause().map(|why| format!(" ({why})")).unwrap_or_default();
            let message = format!("{key} was acknowledged and ended as {status}{why}{retries}{refused}");
            audit.counts.lost += 1;
            audit.found(finding(FindingKind::Lost, Some(key), one, message));
        }
    }
}

pub fn of_id<'a>(found: &'a [RunRecord], run_id: &str) -> &'a RunRecord {
    found.iter().find(|record| record.run.run_id == run_id).expect("a chain is made of these runs")
}

/// Launches of the key by another dagstorm: the load was sent twice, and the system under test is not to blame.
fn other_writer(key: &Key, foreign: Option<Foreign<'_>>, chain: &Chain<'_>, found: &[RunRecord], audit: &mut Audit) {
    let who = match foreign {
        Some(Foreign::Writer(Some(writer))) => format!("the dagstorm of data folder {writer}"),
        Some(Foreign::Writer(None)) => "an older dagstorm".to_owned(),
        Some(Foreign::Job(_) | Foreign::Code(_)) | None => return,
    };
    audit.counts.other_writers += 1;
    let message =
        format!("{key} was launched by {who}, as run {}: two dagstorms were at work on this scenario", chain.root);
    let record = of_id(found, &chain.runs[0].run_id);
    audit.findings.push(finding(FindingKind::OtherWriter, Some(key.clone()), std::slice::from_ref(record), message));
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
