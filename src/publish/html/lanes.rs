//! What became of each key that something was found of: its runs, and everything that is known of them, in the order of time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::data::Origin;
use crate::{
    audit::{Audit, Finding, FindingKind, Level, TaskDeath},
    journal::Generation,
    model::{Census, CompletionOutcome, CompletionRecord, Key, RunRecord, StepEventKind, TaskArn},
    plan::Plan,
};

/// So many keys have a lane; the others stand in the table of findings.
const MOST_LANES: usize = 200;
/// So many events a lane shows of one run, the first ones.
const MOST_EVENTS: usize = 100;

#[derive(Debug, PartialEq, Serialize)]
pub struct Lanes {
    /// How many keys (or runs without one) something was found of.
    pub total: usize,
    pub shown: Vec<Lane>,
}

/// A key, or a run without one.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    pub key: Option<String>,
    pub index: Option<u32>,
    pub job: Option<String>,
    pub due: Option<i64>,
    /// Its first attempt.
    pub sent: Option<i64>,
    pub notes: Vec<Note>,
    pub runs: Vec<LaneRun>,
}

/// What was found of it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// `finding`, `unfinished`, `tolerated`, `recovery` or `copy`.
    pub sort: &'static str,
    pub kind: FindingKind,
    pub level: Level,
    pub message: String,
    pub faults: Vec<String>,
    pub deaths: Vec<Death>,
}

/// A task that ended meanwhile.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Death {
    pub task: String,
    pub service: String,
    pub at: i64,
    pub stopped_by: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneRun {
    pub id: String,
    /// `None`: Dagster has no such run.
    pub status: Option<String>,
    pub started: Option<i64>,
    pub ended: Option<i64>,
    pub events: Vec<LaneEvent>,
    /// How many events there are beyond those.
    pub more: usize,
    /// What the workers wrote down of it.
    pub records: Vec<LaneRecord>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct LaneEvent {
    pub step: Arc<str>,
    pub what: StepEventKind,
    pub at: i64,
    pub task: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct LaneRecord {
    pub step: Arc<str>,
    pub worker: Option<Arc<str>>,
    pub task: Option<String>,
    pub started: Option<i64>,
    pub finished: Option<i64>,
    pub outcome: String,
}

/// What a lane is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject<'a> {
    Key(&'a Key),
    Run(&'a str),
}

impl<'a> Subject<'a> {
    /// `None`: it is of the scenario as a whole.
    fn of(finding: &'a Finding) -> Option<Self> {
        let run = || finding.runs.first().map(|run| Self::Run(run));
        finding.key.as_ref().map(Self::Key).or_else(run)
    }
}

/// The lanes, violations first.
pub fn lanes(plan: &Plan, generation: &Generation, census: &Census, audit: &Audit, origin: Origin) -> Lanes {
    let sorts = [
        ("finding", &audit.findings),
        ("unfinished", &audit.unfinished),
        ("tolerated", &audit.tolerated),
        ("recovery", &audit.recoveries),
        ("copy", &audit.copies),
    ];
    let found = || sorts.into_iter().flat_map(|(sort, all)| all.iter().map(move |finding| (sort, finding)));
    let mut order: Vec<Subject<'_>> = vec![];
    let mut known: BTreeSet<Subject<'_>> = BTreeSet::new();
    for subject in found().filter_map(|(_, finding)| Subject::of(finding)) {
        if known.insert(subject) {
            order.push(subject);
        }
    }
    let total = order.len();
    order.truncate(MOST_LANES);
    let mut notes: BTreeMap<Subject<'_>, Vec<(&'static str, &Finding)>> =
        order.iter().map(|subject| (*subject, vec![])).collect();
    for (sort, finding) in found() {
        if let Some(its) = Subject::of(finding).and_then(|subject| notes.get_mut(&subject)) {
            its.push((sort, finding));
        }
    }
    let evidence = Runs::of(&notes, census);
    let lane = |subject: Subject<'_>| {
        let its = &notes[&subject];
        let key = match subject {
            Subject::Key(key) => Some(key),
            Subject::Run(_) => None,
        };
        let planned = key.filter(|key| key.index < plan.arrivals.len() && **key == plan.key(key.index));
        let started_at = generation.started_at;
        let due = planned.and_then(|key| Some(origin.to(started_at?.plus(plan.arrivals.get(key.index)?.offset))));
        let submission = planned.and_then(|key| generation.submissions.get(&key.index));
        let runs = evidence.of_subject(subject, its, origin);
        let job = planned.map(|key| plan.job(key.index).to_owned());
        Lane {
            key: key.map(Key::to_string),
            index: key.map(|key| key.index),
            job: job.or_else(|| evidence.job(subject)),
            due,
            sent: submission.filter(|known| known.attempts > 0).map(|known| origin.to(known.first_attempt_at)),
            notes: its.iter().map(|(sort, finding)| note(sort, finding, origin)).collect(),
            runs,
        }
    };
    Lanes { total, shown: order.into_iter().map(lane).collect() }
}

fn note(sort: &'static str, finding: &Finding, origin: Origin) -> Note {
    let death = |death: &TaskDeath| Death {
        task: death.task.id().to_owned(),
        service: death.service.clone(),
        at: origin.to(death.seen_at),
        stopped_by: death.stopped_by.clone(),
    };
    Note {
        sort,
        kind: finding.kind,
        level: finding.level,
        message: finding.message.clone(),
        faults: finding.overlapping_faults.clone(),
        deaths: finding.task_deaths.iter().map(death).collect(),
    }
}

/// What is known of the runs that have lanes: gathered in one walk, for there may be a million others.
struct Runs<'a> {
    by_key: BTreeMap<&'a Key, Vec<&'a RunRecord>>,
    by_id: BTreeMap<&'a str, &'a RunRecord>,
    records: BTreeMap<&'a str, Vec<&'a CompletionRecord>>,
}

impl<'a> Runs<'a> {
    fn of(notes: &BTreeMap<Subject<'_>, Vec<(&'static str, &Finding)>>, census: &'a Census) -> Self {
        let named: BTreeSet<&str> =
            notes.values().flatten().flat_map(|(_, finding)| &finding.runs).map(String::as_str).collect();
        let mut runs = Self { by_key: BTreeMap::new(), by_id: BTreeMap::new(), records: BTreeMap::new() };
        for record in &census.runs {
            let key = record.run.key.as_ref().filter(|key| notes.contains_key(&Subject::Key(key)));
            if let Some(key) = key {
                runs.by_key.entry(key).or_default().push(record);
            }
            if key.is_some() || named.contains(record.run.run_id.as_str()) {
                runs.by_id.insert(&record.run.run_id, record);
            }
        }
        for record in census.completions.iter().flat_map(|all| &all.records) {
            let id = record.run_id.as_str();
            if runs.by_id.contains_key(id) || named.contains(id) {
                runs.records.entry(id).or_default().push(record);
            }
        }
        runs
    }

    fn job(&self, subject: Subject<'_>) -> Option<String> {
        let record = match subject {
            Subject::Key(key) => self.by_key.get(key)?.first()?,
            Subject::Run(id) => self.by_id.get(id)?,
        };
        Some(record.run.job.to_string())
    }

    /// The runs of a key as Dagster has them, then those that are only named.
    fn of_subject(&self, subject: Subject<'_>, notes: &[(&str, &Finding)], origin: Origin) -> Vec<LaneRun> {
        let known = match subject {
            Subject::Key(key) => self.by_key.get(key).map_or(&[][..], Vec::as_slice),
            Subject::Run(_) => &[],
        };
        let mut ids: Vec<&str> = known.iter().map(|record| record.run.run_id.as_str()).collect();
        for id in notes.iter().flat_map(|(_, finding)| &finding.runs) {
            if !ids.contains(&id.as_str()) {
                ids.push(id);
            }
        }
        ids.into_iter().map(|id| self.run(id, origin)).collect()
    }

    fn run(&self, id: &str, origin: Origin) -> LaneRun {
        let record = self.by_id.get(id);
        let run = record.map(|record| &record.run);
        let events = record.map_or(&[][..], |record| &record.events);
        let mut shown: Vec<LaneEvent> = events
            .iter()
            .map(|event| LaneEvent {
                step: event.step.clone(),
                what: event.kind,
                at: origin.to(event.at),
                task: short(event.task.as_ref()),
            })
            .collect();
        shown.sort_by_key(|event| event.at);
        shown.truncate(MOST_EVENTS);
        let records = self.records.get(id).map_or(&[][..], Vec::as_slice);
        LaneRun {
            id: id.to_owned(),
            status: run.map(|run| run.status.to_string()),
            started: run.and_then(|run| run.started_at).map(|at| origin.to(at)),
            ended: run.and_then(|run| run.ended_at).map(|at| origin.to(at)),
            more: events.len() - shown.len(),
            events: shown,
            records: records.iter().take(MOST_EVENTS).map(|record| lane_record(record, origin)).collect(),
        }
    }
}

fn lane_record(record: &CompletionRecord, origin: Origin) -> LaneRecord {
    LaneRecord {
        step: record.step.clone(),
        worker: record.worker.clone(),
        task: short(record.task.as_ref()),
        started: record.started.map(|at| origin.to(at)),
        finished: record.finished.map(|at| origin.to(at)),
        outcome: match &record.outcome {
            CompletionOutcome::Completed => "completed".to_owned(),
            CompletionOutcome::Other(word) => word.clone(),
            CompletionOutcome::Open => "open".to_owned(),
        },
    }
}

fn short(task: Option<&TaskArn>) -> Option<String> {
    task.map(|task| task.id().to_owned())
}
