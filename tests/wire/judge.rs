//! What must hold at the end, whatever happened: the journals, the statuses and the server's own truth agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use dagstorm::{
    journal::{Event, FileStore, Found, Generation, Holding, Record, State, Store, SubmissionStage},
    model::{GenerationId, Key, Timestamp, Verdict},
    plan,
};
use serde_json::Value;

use crate::dagster::Run;

/// What the journals tell, for the test to see that it tested something.
#[derive(Debug, Default)]
pub struct Tally {
    pub generations: usize,
    pub stopped: usize,
    pub acknowledged: usize,
    pub looked_up: usize,
    pub adopted: usize,
    pub sent_again: usize,
    pub rejected: usize,
    pub absent: usize,
    pub epochs: u64,
}

/// One scenario's journal, replayed.
pub struct Journal {
    pub records: Vec<Record>,
    /// Every generation as it was when it ended.
    pub ended: Vec<Generation>,
    pub state: State,
}

impl Journal {
    /// Reads it as the next holder would: what its fences keep must be whole, and each record follow from those before it.
    pub async fn read(data: &Path, scenario: &str) -> Self {
        let store = FileStore::open(&data.join("journal"), Holding::alone(u64::MAX)).unwrap();
        let records = store.read(&scenario.parse().unwrap()).await.unwrap();
        let mut journal = Self { records, ended: vec![], state: State::default() };
        for record in &journal.records {
            journal.state.apply(record).unwrap_or_else(|error| panic!("{scenario}: {error}"));
            if matches!(record.event, Event::Concluded { .. }) {
                journal.ended.push(journal.state.current.clone().unwrap());
            }
        }
        journal
    }

    /// Whether this generation had its end before the journal was compacted: what it launched is not in there any more.
    fn is_compacted(&self, generation: &GenerationId) -> bool {
        let ended = self.state.past.iter().any(|past| past.generation == *generation);
        ended && self.ended.iter().all(|whole| whole.id != *generation)
    }

    /// When each key was about to be launched, by generation and index.
    fn intents(&self) -> BTreeMap<(String, u32), Vec<Timestamp>> {
        let mut intents: BTreeMap<_, Vec<Timestamp>> = BTreeMap::new();
        let mut generation = String::new();
        for record in &self.records {
            match &record.event {
                Event::Accepted { generation: accepted, .. } => generation = accepted.to_string(),
                Event::SubmitIntended { index, .. } => {
                    intents.entry((generation.clone(), *index)).or_default().push(record.at);
                }
                _ => {}
            }
        }
        intents
    }
}

/// How long after the last intent before its making a run was seen, in seconds: the settle assumption is about that.
fn seen_after(journals: &BTreeMap<String, Journal>, run: &Run) -> f64 {
    let key: Key = run.key().parse().unwrap();
    let intents = journals[key.scenario.as_str()].intents();
    let of_it = intents.get(&(key.generation.to_string(), key.index)).into_iter().flatten();
    let made_at = Timestamp::from_seconds(run.made_at);
    let last = of_it.filter(|at| **at <= made_at).max();
    last.map_or(f64::NAN, |at| Timestamp::from_seconds(run.seen_at).since(*at).as_secs_f64())
}

/// Holds the journals against the server's runs: exactly one run a key that was acknowledged, none of any other.
pub fn launches(journals: &BTreeMap<String, Journal>, runs: &[Run]) -> Tally {
    let mut by_key: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_key.entry(run.key()).or_default().push(run);
    }
    let doubled: Vec<String> = by_key
        .iter()
        .filter(|(_, runs)| runs.len() > 1)
        .map(|(key, runs)| {
            let late: Vec<f64> = runs.iter().map(|run| seen_after(journals, run)).collect();
            format!("{key}, whose runs were seen so many seconds after their intents: {late:.2?}")
        })
        .collect();
    assert!(doubled.is_empty(), "keys with more than one run:\n{}", doubled.join("\n"));
    let mut tally = Tally::default();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for journal in journals.values() {
        assert!(journal.state.living().is_none(), "a generation still lives");
        let intents = journal.intents();
        tally.epochs = tally.epochs.max(journal.state.epoch);
        let stopped = journal.state.past.iter().filter(|past| past.conclusion.verdict == Verdict::Stopped);
        tally.stopped += stopped.count();
        for generation in &journal.ended {
            tally.generations += 1;
            let plan = plan::compile(&generation.scenario, &generation.id);
            let verdict = generation.concluded.as_ref().unwrap().value.verdict;
            if verdict != Verdict::Stopped {
                assert_eq!(
                    generation.submissions.len(),
                    plan.arrivals.len() as usize,
                    "{}: missing keys",
                    generation.id
                );
            }
            assert!(generation.submissions.keys().all(|index| *index < plan.arrivals.len()), "a key beyond the plan");
            for (index, submission) in &generation.submissions {
                let key = plan.key(*index).to_string();
                let there: Vec<&str> =
                    by_key.get(key.as_str()).into_iter().flatten().map(|run| run.id.as_str()).collect();
                tally.sent_again += usize::from(submission.attempts > 1);
                match &submission.stage {
                    SubmissionStage::Acknowledged { run_id, found, .. } => {
                        assert_eq!(there, [run_id.as_str()], "{key} was acknowledged");
                        tally.acknowledged += 1;
                        tally.looked_up += usize::from(*found == Found::LookedUp);
                        tally.adopted += usize::from(*found == Found::Adopted);
                        let made_at = Timestamp::from_seconds(by_key[key.as_str()][0].made_at);
                        let intended_at = intents.get(&(generation.id.to_string(), *index));
                        assert!(
                            intended_at.is_some_and(|at| at[0] <= made_at),
                            "{key} was made before its intent was written"
                        );
                    }
                    SubmissionStage::Rejected(_) => {
                        assert_eq!(there, [""; 0], "{key} was rejected");
                        tally.rejected += 1;
                    }
                    SubmissionStage::Absent(_) => {
                        assert_eq!(there, [""; 0], "{key} was found absent");
                        tally.absent += 1;
                    }
                    stage => panic!("{key} ended as {stage:?}"),
                }
                known.insert(key);
            }
        }
    }
    refuse_unplanned(journals, &by_key, &known);
    tally
}

/// Every run is of a key that a journal knows, or of a generation that it has compacted.
fn refuse_unplanned(
    journals: &BTreeMap<String, Journal>,
    by_key: &BTreeMap<&str, Vec<&Run>>,
    known: &BTreeSet<String>,
) {
    let is_compacted = |key: &str| {
        let key: Key = key.parse().unwrap();
        journals[key.scenario.as_str()].is_compacted(&key.generation)
    };
    let unplanned: Vec<&&str> = by_key.keys().filter(|key| !known.contains(**key) && !is_compacted(key)).collect();
    assert!(unplanned.is_empty(), "runs that no journal knows of: {unplanned:?}");
}

/// Holds a status with its verdict against the server's runs of its generation.
pub fn verdict(data: &Path, scenario: &str, status: &Value, journal: &Journal, runs: &[Run]) {
    let generation = journal.ended.last().unwrap();
    assert_eq!(status["observedGeneration"], generation.id.to_string(), "{scenario}");
    let of_it = format!("{scenario}/{}/", generation.id);
    let runs: Vec<&Run> = runs.iter().filter(|run| run.key().starts_with(&of_it)).collect();
    let stages = || generation.submissions.values().map(|submission| &submission.stage);
    let rejected = stages().filter(|stage| matches!(stage, SubmissionStage::Rejected(_))).count();
    let absent = stages().filter(|stage| matches!(stage, SubmissionStage::Absent(_))).count();
    let (counts, message) = (&status["audit"]["counts"], status["audit"]["message"].as_str().unwrap());
    let gaps = status["audit"]["gaps"].as_array().map_or(0, Vec::len);
    assert_eq!(status["audit"].get("findings"), None, "{scenario}: {message}");
    assert_eq!(gaps, usize::from(rejected > 0) + usize::from(absent > 0), "{scenario}: {message}");
    assert_eq!(status["phase"], if gaps == 0 { "Passed" } else { "Unknown" }, "{scenario}: {message}");
    if rejected > 0 {
        let words = if rejected == 1 { "1 launch was rejected" } else { &format!("{rejected} launches were rejected") };
        assert!(message.contains(words) && message.contains("RunConfigValidationInvalid: "), "{scenario}: {message}");
    }
    if absent > 0 {
        assert!(message.contains(&format!("{absent} launches never arrived")), "{scenario}: {message}");
    }
    let steps: usize = runs.iter().map(|run| run.steps()).sum();
    let planned = runs.len() + rejected + absent;
    for (field, expected) in [
        ("planned", planned),
        ("attempted", planned),
        ("acknowledged", runs.len()),
        ("completed", runs.len()),
        ("rejected", rejected),
        ("resolvedAbsent", absent),
        ("stepsCompleted", steps),
        ("lost", 0),
        ("duplicated", 0),
        ("unexpected", 0),
        ("unfinished", 0),
        ("stepsDuplicated", 0),
        ("stepsReexecuted", 0),
    ] {
        assert_eq!(counts[field], expected, "{scenario}: {field}: {message}");
    }
    assert_eq!(status["load"]["acknowledged"], runs.len(), "{scenario}");
    assert_eq!(status["runs"]["succeeded"], runs.len(), "{scenario}");
    let report = data.join("reports").join(scenario).join(generation.id.to_string()).join("report.json");
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(&report["counts"], counts, "{scenario}: the report and the status");
}

/// `events.jsonl`: every line is whole, and every run that it names is the one that the server has of that arrival.
///
/// A crash between a record and its event loses the event: there may be fewer events than records, never more.
pub fn events(data: &Path, journals: &BTreeMap<String, Journal>, runs: &[Run]) {
    let run_of: BTreeMap<&str, &str> = runs.iter().map(|run| (run.id.as_str(), run.key())).collect();
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in fs::read_to_string(data.join("events.jsonl")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (scenario, reason) = (event["scenario"].as_str().unwrap(), event["reason"].as_str().unwrap());
        *counted.entry((scenario.to_owned(), reason.to_owned())).or_default() += event["count"].as_u64().unwrap();
        if ["Launched", "Recovered", "Adopted"].contains(&reason) {
            let message = event["message"].as_str().unwrap();
            let (index, run) = (message.split(' ').nth(1).unwrap(), message.rsplit(' ').next().unwrap());
            let key = run_of.get(run).unwrap_or_else(|| panic!("no such run: {line}"));
            assert!(key.starts_with(scenario) && key.ends_with(&format!("/{index}")), "{key}: {line}");
        }
    }
    let count = |scenario: &str, reason: &str| {
        counted.get(&(scenario.to_owned(), reason.to_owned())).copied().unwrap_or_default() as usize
    };
    for (scenario, journal) in journals {
        let launched = |how: Found| {
            let is_so = |event: &Event| matches!(event, Event::Submitted { found, .. } if *found == how);
            journal.records.iter().filter(|record| is_so(&record.event)).count()
        };
        for (reason, recorded) in [
            ("Launched", launched(Found::Acknowledged)),
            ("Recovered", launched(Found::LookedUp)),
            ("Adopted", launched(Found::Adopted)),
        ] {
            let told = count(scenario, reason);
            // A compacted journal has records of its last generation only.
            let is_whole = !matches!(journal.records[0].event, Event::Compacted { .. });
            assert!(told <= recorded || !is_whole, "{scenario}: {told} events {reason} of {recorded} records");
        }
        assert!(count(scenario, "Launched") > 0, "{scenario}: no launch is told of");
    }
}

/// Nothing was said at ERROR, and nothing fell.
pub fn log(log: &str) {
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(parsed["level"], "ERROR", "{line}");
    }
}
