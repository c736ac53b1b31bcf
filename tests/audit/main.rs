//! Known-bad systems are caught: histories with planted defects, each found, and nothing else.
//!
//! `make audit-proof` shows a line a defect and ends with `p planted, f found, i invented`.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

mod copies;
mod defects;
mod effects;
mod failures;
mod rendered;
mod retries;
mod story;
mod unfinished;
mod writers;

use std::collections::{BTreeMap, BTreeSet};

use dagstorm::{
    audit::{Finding, FindingKind, Level, TaskDeath},
    journal::Event,
    model::{RunStatus, Verdict},
    publish,
};
use proptest::prelude::*;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::{
    defects::{Defect, OfAKey},
    story::Story,
};

/// What an audit said, with how often: `Lost/Run#3` is a finding of the key 3; a gap is its reason alone.
fn said(story: &Story) -> (Verdict, BTreeMap<String, usize>) {
    let audit = story.audit();
    let mut words = BTreeMap::new();
    let lists = [
        ("", &audit.findings),
        ("permitted:", &audit.tolerated),
        ("recovery:", &audit.recoveries),
        ("open:", &audit.unfinished),
        ("copy:", &audit.copies),
    ];
    let of_list = lists.into_iter().flat_map(|(sort, list)| list.iter().map(move |one| format!("{sort}{}", word(one))));
    for word in of_list.chain(audit.gaps.iter().map(|gap| gap.reason.to_owned())) {
        *words.entry(word).or_default() += 1;
    }
    (audit.verdict, words)
}

fn word(finding: &Finding) -> String {
    let of = finding.key.as_ref().map(|key| format!("#{}", key.index)).unwrap_or_default();
    format!("{:?}/{:?}{of}", finding.kind, finding.level)
}

fn wanted(defect: &Defect) -> BTreeMap<String, usize> {
    let mut words = BTreeMap::new();
    for word in defect.says.split_whitespace().skip(1) {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    words
}

fn every() -> impl Iterator<Item = &'static Defect> {
    let lists = [defects::ALL, effects::ALL, unfinished::ALL, retries::ALL, copies::ALL, writers::ALL, failures::ALL];
    lists.into_iter().flatten()
}

#[test]
fn all_well_passes() {
    assert_eq!(said(&Story::new(12)), (Verdict::Passed, BTreeMap::new()));
}

#[test]
fn every_planted_defect_is_found_and_nothing_is_invented() {
    let names: BTreeSet<&str> = every().map(|defect| defect.name).collect();
    assert_eq!(names.len(), every().count(), "each has a name of its own");
    assert!(every().filter(|defect| !defect.name.starts_with("no defect")).count() >= 110);
    assert!(every().filter(|defect| defect.name.starts_with("no defect")).count() >= 25);
    let (mut planted, mut found, mut invented) = (0, 0, 0);
    for defect in every() {
        let mut story = Story::new(12);
        (defect.plant)(&mut story);
        let (verdict, words) = said(&story);
        let wanted = wanted(defect);
        let verdict = format!("{verdict:?}");
        let caught =
            wanted.iter().map(|(word, times)| words.get(word).copied().unwrap_or(0).min(*times)).sum::<usize>();
        let extra = words.iter().map(|(word, times)| times.saturating_sub(wanted.get(word).copied().unwrap_or(0)));
        let (all, extra) = (wanted.values().sum::<usize>(), extra.sum::<usize>());
        let is_right = caught == all && extra == 0 && Some(verdict.as_str()) == defect.says.split_whitespace().next();
        planted += 1;
        found += usize::from(is_right);
        invented += extra;
        println!("{} {:70} {verdict} {}", if is_right { "✓" } else { "✗" }, defect.name, join(&words));
    }
    println!("{planted} planted, {found} found, {invented} invented");
    assert_eq!((found, invented), (planted, 0));
}

/// Each count is the number of what was found of its kind.
#[test]
fn the_counts_agree_with_what_was_found() {
    for defect in every() {
        let mut story = Story::new(12);
        (defect.plant)(&mut story);
        let audit = story.audit();
        let judged = || audit.findings.iter().chain(&audit.tolerated);
        let of = |kind: FindingKind| judged().filter(|one| one.kind == kind && one.level == Level::Run).count() as u32;
        let keys = |kind: FindingKind| {
            let its = judged().filter(|one| one.kind == kind && one.level == Level::Run);
            its.map(|one| &one.key).collect::<BTreeSet<_>>().len() as u32
        };
        let counts = &audit.counts;
        let retried = audit.recoveries.iter().filter(|one| one.kind == FindingKind::Retried).count() as u32;
        let told = [counts.lost, counts.failed, counts.never_started, counts.other_writers, counts.falsely_failed];
        let found = [
            FindingKind::Lost,
            FindingKind::Failed,
            FindingKind::NeverStarted,
            FindingKind::OtherWriter,
            FindingKind::FalselyFailed,
        ];
        assert_eq!(told, found.map(of), "{}", defect.name);
        assert_eq!(counts.duplicated, keys(FindingKind::Duplicated), "{}", defect.name);
        assert_eq!((counts.retried, counts.copied), (retried, audit.copies.len() as u32), "{}", defect.name);
        let ends = counts.completed + counts.lost + counts.failed + counts.never_started + counts.falsely_failed;
        assert_eq!(ends + counts.unfinished, counts.acknowledged, "{}: each key came to one thing", defect.name);
    }
}

/// A finding of a run names the faults that overlapped it and every task that ended meanwhile; one whose worker is known
/// names that worker's end alone.
#[test]
fn a_finding_names_what_happened_meanwhile() {
    let mut story = Story::new(12);
    let changed = |second: f64, came: &[&str], left: &[&str]| {
        let arns = |ids: &[&str]| ids.iter().map(|id| story::arn(id)).collect();
        let service = "taskiq-worker".to_owned();
        (
            second as i64,
            Event::TasksChanged { service, asked_at: story::at(second), came: arns(came), left: arns(left) },
        )
    };
    story.events.push(changed(1.0, &["victim", "w0", "w1"], &[]));
    story.events.push(changed(3.0, &[], &["victim"]));
    story.events.push(changed(90.0, &[], &["w1"]));
    story.records().retain(|record| record.run_id != "run-0" && record.run_id != "run-1");
    story.run(0).run.status = RunStatus::Failure;
    story.run(0).events.pop();
    let audit = story.audit();
    let of = |level: Level| audit.findings.iter().find(|finding| finding.level == level).unwrap();
    let deaths = |finding: &Finding| {
        let death = |death: &TaskDeath| format!("{} {}", death.task.id(), death.stopped_by.join(","));
        finding.task_deaths.iter().map(death).collect::<Vec<_>>()
    };
    let run = of(Level::Run);
    assert_eq!(run.overlapping_faults, ["kill#1"]);
    assert_eq!(run.attempts.iter().map(|one| one.what.as_ref()).collect::<Vec<_>>(), ["run started", "run failed"]);
    assert_eq!(deaths(run), ["victim kill#1"]);
    let effect = of(Level::Effect);
    assert_eq!(effect.key.as_ref().map(|key| key.index), Some(1));
    assert_eq!(effect.overlapping_faults, ["kill#1"]);
}

fn join(words: &BTreeMap<String, usize>) -> String {
    words
        .iter()
        .map(|(word, times)| if *times == 1 { word.clone() } else { format!("{word} ×{times}") })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A shuffled census is the same evidence.
#[test]
fn every_report_holds_to_its_schema_and_is_read_again() {
    let mut schema = publish::report_schema();
    assert!(jsonschema::draft7::meta::is_valid(&schema), "it is a draft-07 schema");
    close(&mut schema);
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let mut kinds = BTreeSet::new();
    for defect in every() {
        let mut story = Story::new(12);
        (defect.plant)(&mut story);
        let Some(report) = story.report() else { continue };
        kinds.extend(report.audit.findings.iter().map(|finding| format!("{:?}/{:?}", finding.kind, finding.level)));
        let json = serde_json::to_value(&report).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {}", defect.name, errors.join("\n"));
        // What `dagstorm report` makes of it.
        let recorded = publish::recorded::read(&json.to_string()).unwrap();
        let told = (recorded.verdict, recorded.findings.len(), recorded.gaps.len(), recorded.faults.len());
        let audit = &report.audit;
        assert_eq!(
            told,
            (audit.verdict, audit.findings.len(), audit.gaps.len(), report.faults.len()),
            "{}",
            defect.name
        );
        assert_eq!((recorded.effects, recorded.run_latency), (report.audit.effects, report.run_latency));
    }
    assert!(kinds.len() >= 8, "{kinds:?}");
    // It notices.
    let mut wrong = serde_json::to_value(Story::new(12).report().unwrap()).unwrap();
    assert!(validator.is_valid(&wrong));
    wrong["counts"]["loost"] = 1.into();
    assert!(!validator.is_valid(&wrong));
}

/// Whatever the schema does not name is wrong: so that a field cannot be forgotten in it.
fn close(schema: &mut Value) {
    if schema["properties"].is_object() && schema["additionalProperties"].is_null() {
        schema["additionalProperties"] = false.into();
    }
    match schema {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            // What an accepted spec looks like is not promised.
            fields.iter_mut().filter(|(name, _)| *name != "spec").for_each(|(_, value)| close(value));
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_order_of_the_evidence_is_no_matter() {
    for (seed, defect) in (0u64..).zip(every()) {
        let mut story = Story::new(12);
        (defect.plant)(&mut story);
        let before = serde_json::to_value(story.audit()).unwrap();
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        story.runs.shuffle(&mut dice);
        story.runs.iter_mut().for_each(|run| run.events.shuffle(&mut dice));
        story.completions.iter_mut().for_each(|all| all.records.shuffle(&mut dice));
        // Events of one instant have no order but that of the log: those of a step are put back into theirs.
        story.runs.iter_mut().for_each(|run| run.events.sort_by_key(|event| (event.at, event.kind)));
        assert_eq!(serde_json::to_value(story.audit()).unwrap(), before, "{}", defect.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A random history with k defects of single keys gives exactly those k findings, key by key.
    #[test]
    fn so_many_defects_so_many_findings(
        count in 8u32..60,
        planted in prop::collection::btree_map(0u32..60, 0usize..defects::OF_A_KEY.len(), 0..12),
        seed in any::<u64>(),
    ) {
        exactly(Story::new(count), defects::OF_A_KEY, planted, seed)?;
    }

    /// The same where the workers' records are read.
    #[test]
    fn so_many_defects_at_effect_level_so_many_findings(
        count in 8u32..60,
        planted in prop::collection::btree_map(0u32..60, 0usize..effects::OF_A_KEY.len(), 0..12),
        seed in any::<u64>(),
    ) {
        let mut story = Story::new(count);
        story.records();
        exactly(story, effects::OF_A_KEY, planted, seed)?;
    }
}

fn exactly(
    mut story: Story,
    defects: &[OfAKey],
    planted: BTreeMap<u32, usize>,
    seed: u64,
) -> Result<(), TestCaseError> {
    let count = story.plan.arrivals.len();
    let mut expected: BTreeMap<u32, &str> = BTreeMap::new();
    for (index, which) in planted.into_iter().filter(|(index, _)| *index < count) {
        let (word, plant) = defects[which];
        plant(&mut story, index);
        expected.insert(index, word);
    }
    story.runs.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let audit = story.audit();
    let found: Vec<(u32, String)> = audit
        .findings
        .iter()
        .map(|finding| {
            (finding.key.as_ref().map_or(u32::MAX, |key| key.index), format!("{:?}/{:?}", finding.kind, finding.level))
        })
        .collect();
    let expected: Vec<(u32, String)> = expected.into_iter().map(|(index, word)| (index, word.to_owned())).collect();
    prop_assert_eq!(&found, &expected);
    prop_assert_eq!(audit.verdict, if expected.is_empty() { Verdict::Passed } else { Verdict::Failed });
    Ok(())
}
