//! What Dagster ran again: the runs of one root are one launch, so a retry is a recovery, and two at once are a duplicate.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Audit, Finding, FindingKind, Level, completions,
    executions::step_finding,
    submissions::{Judged, finding, of_id},
};
use crate::model::{Chain, CompletionRecord, Key, RunRecord, RunView, StepEventKind};

/// More than one launch of the key; or a run that Dagster ran again twice.
pub fn doubled(key: &Key, own: &[Chain<'_>], audit: &mut Audit) {
    let mut is_counted = false;
    let mut tell = |runs: Vec<String>, message: String, audit: &mut Audit| {
        audit.counts.duplicated += u32::from(!std::mem::replace(&mut is_counted, true));
        audit.found(Finding { runs, ..finding(FindingKind::Duplicated, Some(key.clone()), &[], message) });
    };
    if own.len() > 1 {
        let roots: Vec<String> = own.iter().map(|chain| chain.root.to_owned()).collect();
        let message = format!("{key} was launched {} times: {}", own.len(), roots.join(", "));
        tell(roots, message, audit);
    }
    for chain in own.iter().filter(|chain| !chain.doubled.is_empty()) {
        let all: Vec<&RunView> = chain.runs.iter().chain(&chain.doubled).copied().collect();
        let (first, retries) = (&all[0].run_id, joined(&all[1..], ", "));
        let message = format!("{key}: Dagster ran a failed run again more than once: run {first} by {retries}");
        tell(all.iter().map(|run| run.run_id.clone()).collect(), message, audit);
    }
}

/// What Dagster ran again is one launch: a recovery, with what made it necessary.
pub fn retried(judged: &Judged<'_>, key: &Key, chain: &Chain<'_>, found: &[RunRecord], audit: &mut Audit) {
    audit.counts.retried += 1;
    let runs: Vec<String> = chain.runs.iter().map(|run| run.run_id.clone()).collect();
    let gone =
        (chain.root != chain.runs[0].run_id).then(|| format!("run {}, which is gone from Dagster, failed", chain.root));
    let failed = chain.runs[..chain.runs.len() - 1].iter().map(|run| {
        let why = of_id(found, &run.run_id).cause().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("run {} failed{why}", run.run_id)
    });
    let failed: Vec<String> = gone.into_iter().chain(failed).collect();
    let times = match chain.retries() {
        1 => "ran it again".to_owned(),
        more => format!("ran it again {more} times"),
    };
    let end = chain.end();
    let message = format!("{key}: {}, and Dagster {times}: run {} is {}", failed.join(", "), end.run_id, end.status);
    audit.recoveries.push(Finding { runs, ..finding(FindingKind::Retried, Some(key.clone()), &[], message) });
    done_again(judged, key, chain, found, audit);
}

/// Steps that were done in a run and again in a retry of it.
///
/// Where Dagster knew that the step had completed it was told to execute all steps again. Where only the worker's own record
/// knows of the first time, nobody asked for the second: the work was done twice.
fn done_again(judged: &Judged<'_>, key: &Key, chain: &Chain<'_>, found: &[RunRecord], audit: &mut Audit) {
    let mut done: BTreeMap<&str, (&RunRecord, bool)> = BTreeMap::new();
    for run in &chain.runs {
        let record = of_id(found, &run.run_id);
        let succeeded = record.events.iter().filter(|event| event.kind == StepEventKind::Succeeded);
        let logged: BTreeSet<&str> = succeeded.map(|event| &*event.step).collect();
        let of_run = judged.recorded.range((run.run_id.as_str(), "")..).take_while(|(of, _)| *of == run.run_id);
        let all: BTreeSet<&str> = of_run.map(|(_, step)| *step).chain(logged.iter().copied()).collect();
        for step in all {
            let Some((before, was_logged)) = done.insert(step, (record, logged.contains(step))) else { continue };
            if was_logged {
                again_by_all_steps(key, step, before, record, audit);
            } else {
                again_unasked(judged, key, step, [before, record], audit);
            }
        }
    }
}

fn again_by_all_steps(key: &Key, step: &str, before: &RunRecord, retry: &RunRecord, audit: &mut Audit) {
    audit.counts.steps_reexecuted += 1;
    let (first, second) = (&before.run.run_id, &retry.run.run_id);
    let message = format!(
        "{key}: step {step} completed in run {first} and again in its retry {second}, as a retry of all steps does"
    );
    let again = finding(FindingKind::Reexecuted, Some(key.clone()), &[], message);
    let runs = vec![first.clone(), second.clone()];
    audit.recoveries.push(Finding { runs, step: Some(step.to_owned()), ..again });
}

fn again_unasked(judged: &Judged<'_>, key: &Key, step: &str, runs: [&RunRecord; 2], audit: &mut Audit) {
    audit.counts.effects_duplicated += 1;
    let [first, second] = runs.map(|record| record.run.run_id.as_str());
    let message = format!(
        "{key}: the work of step {step} was done in run {first}, of which Dagster's log knows nothing, and again in its retry \
         {second}"
    );
    let records = judged.census.completions.iter().flat_map(|all| &all.records);
    let its = records.filter(|record| *record.step == *step && [first, second].contains(&record.run_id.as_str()));
    let attempts = completions::attempts(&its.collect::<Vec<&CompletionRecord>>());
    let (level, kind) = (Level::Effect, FindingKind::Duplicated);
    let one = step_finding(judged.generation, runs[0], step, level, kind, attempts, message);
    audit.found(Finding { runs: vec![first.to_owned(), second.to_owned()], ..one });
}

fn joined(runs: &[&RunView], between: &str) -> String {
    runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>().join(between)
}
