//! Runs that carry a tag of ours and that nobody of ours launched: told, and not judged.
//!
//! Dagster's sensors, schedules, backfills and people copy tags freely. What the audit judges are launches and Dagster's own
//! retries of them.

use std::{borrow::Cow, collections::BTreeSet};

use super::{Finding, FindingKind, submissions::finding};
use crate::{
    journal::{Foreign, Generation},
    model::{Census, RunRecord, runs::kin},
    plan::Plan,
};

/// The census without copies, and what is told of each copy.
pub fn split<'a>(plan: &Plan, generation: &Generation, census: &'a Census) -> (Cow<'a, Census>, Vec<Finding>) {
    let copies: Vec<(&RunRecord, String)> =
        census.runs.chunk_by(|a, b| a.run.key == b.run.key).flat_map(|some| of_key(plan, generation, some)).collect();
    if copies.is_empty() {
        return (Cow::Borrowed(census), vec![]);
    }
    let ids: BTreeSet<&str> = copies.iter().map(|(record, _)| record.run.run_id.as_str()).collect();
    let findings = copies.iter().map(|(record, why)| {
        let id = &record.run.run_id;
        let message = match &record.run.key {
            Some(key) => format!("{key}: run {id} carries its tags and is no launch of it, but {why}"),
            None => format!("run {id} carries the tags of this generation without a key, and is {why}"),
        };
        finding(FindingKind::Copied, record.run.key.clone(), std::slice::from_ref(*record), message)
    });
    let findings = findings.collect();
    let mut own = census.clone();
    own.runs.retain(|record| !ids.contains(record.run.run_id.as_str()));
    if let Some(all) = &mut own.completions {
        all.records.retain(|record| !ids.contains(record.run_id.as_str()));
    }
    (Cow::Owned(own), findings)
}

/// The copies among the runs of one key, each with what it is.
fn of_key<'a>(plan: &Plan, generation: &Generation, runs: &'a [RunRecord]) -> Vec<(&'a RunRecord, String)> {
    let by_id = |id: &str| runs.iter().find(|record| record.run.run_id == id).expect("it is one of them");
    let planned = |record: &RunRecord| {
        let key = record.run.key.as_ref();
        key.filter(|key| key.scenario == plan.scenario && key.generation == plan.generation).map(|key| key.index)
    };
    let Some(index) = runs.first().and_then(planned) else {
        let copied = runs.iter().filter(|record| !record.run.origin.is_launch());
        return copied.map(|record| (record, record.run.origin.to_string())).collect();
    };
    let kin = kin(runs.iter().map(|record| &record.run));
    let mut copies: Vec<(&RunRecord, String)> =
        kin.copies.iter().map(|run| (by_id(&run.run_id), run.origin.to_string())).collect();
    for chain in &kin.chains {
        let again = chain.again.iter().map(|run| (by_id(&run.run_id), run.origin.to_string()));
        copies.extend(again);
        let why = match generation.foreign(plan, index, chain) {
            None | Some(Foreign::Writer(_)) => continue,
            Some(Foreign::Job(job)) => format!("one of the job `{job}`, where the key is of `{}`", plan.job(index)),
            Some(Foreign::Code(code)) => {
                format!("one in the code `{code}`, where the key is of `{}`", generation.target.dagster.code())
            }
        };
        copies.extend(chain.runs.iter().chain(&chain.doubled).map(|run| (by_id(&run.run_id), why.clone())));
    }
    copies
}
