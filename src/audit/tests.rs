//! Planted defects: each history has one, and gets exactly that verdict.

#![allow(clippy::too_many_lines, reason = "a table is long")]

use super::*;
use crate::{
    journal::{Event, Found},
    model::{FaultId, GenerationId, RunRecord, RunStatus, RunView, StepEvent, StepEventKind, TaskView, Undo},
    plan,
    spec::{Manifest, load, no_attachments},
};

const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"workers":"taskiq-worker"}}}"#;
const SCENARIO: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: a }
spec:
  target: local
  load:
    - { name: base, for: 20s, arrivals: { constant: { rate: 6/min } }, jobs: { fast_job: 1 } }
  faults:
    - { name: kill, after: 5s, stopTasks: { service: workers } }
";

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros((1_000_000 + second) * 1_000_000)
}

fn arn(id: &str) -> TaskArn {
    TaskArn(format!("arn:aws:ecs:us-east-1:0:task/demo/{id}").into())
}

/// Two runs, one kill that was seen and healed, all well.
struct History {
    plan: Plan,
    events: Vec<(i64, Event)>,
    runs: Vec<RunRecord>,
    taken_at: i64,
}

impl History {
    fn new() -> Self {
        Self::with("")
    }

    /// The same, with more in the spec.
    fn with(more: &str) -> Self {
        let text = format!("{SCENARIO}{more}");
        let scenario = match load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
            Some(Ok(Manifest::Scenario(scenario))) => scenario,
            other => panic!("{other:?}"),
        };
        let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
        let plan = plan::compile(&scenario, &generation);
        let kill = FaultId { name: "kill".to_owned(), occurrence: 1 };
        let victim = TaskView {
            arn: arn("w1"),
            running: true,
            stopping: false,
            protected: false,
            own: false,
            created_at: None,
            tags: indexmap::IndexMap::new(),
        };
        let target = Box::new(serde_json::from_str(TARGET).unwrap());
        let submitted =
            |index: u32| Event::Submitted { index, run_id: format!("r{index}"), found: Found::Acknowledged };
        let events = vec![
            (0, Event::Accepted { generation, scenario, target }),
            (0, Event::Started { at: at(0), dagster_version: "1".to_owned() }),
            (0, Event::SubmitIntended { index: 0, attempt: 1, due: None }),
            (0, submitted(0)),
            (
                5,
                Event::FaultIntended {
                    fault: kill.clone(),
                    targets: vec![victim],
                    objects: vec![],
                    inject: vec![],
                    undo: Undo::default(),
                },
            ),
            (6, Event::FaultSeen { fault: kill.clone(), asked_at: at(6) }),
            (10, Event::SubmitIntended { index: 1, attempt: 1, due: None }),
            (10, submitted(1)),
            (30, Event::Healed { fault: kill, asked_at: at(30) }),
        ];
        let mut history = Self { plan, events, runs: vec![], taken_at: 600 };
        history.run("r0", 0, RunStatus::Success, &[(1, Step::Claim("w1")), (1, Step::Start), (9, Step::Success)]);
        history.run("r1", 1, RunStatus::Success, &[(11, Step::Claim("w2")), (11, Step::Start), (12, Step::Success)]);
        history
    }

    fn run(&mut self, id: &str, index: u32, status: RunStatus, steps: &[(i64, Step)]) {
        let events = steps.iter().map(|(second, step)| {
            let (kind, task) = match step {
                Step::Claim(task) => (StepEventKind::Claimed, Some(arn(task))),
                Step::Start => (StepEventKind::Started, None),
                Step::Success => (StepEventKind::Succeeded, None),
                Step::Failure => (StepEventKind::Failed, None),
                Step::Retry => (StepEventKind::UpForRetry, None),
            };
            StepEvent { task, ..StepEvent::new("work", kind, at(*second)) }
        });
        let view = RunView {
            run_id: id.to_owned(),
            key: Some(self.plan.key(index)),
            job: "fast_job".into(),
            started_at: steps.first().map(|(second, _)| at(*second)),
            ended_at: steps.last().filter(|_| status.is_terminal()).map(|(second, _)| at(*second)),
            status,
            generation_started: Some(at(0)),
            ..RunView::new("", None, "", RunStatus::Queued)
        };
        self.runs.push(RunRecord::new(view, events.collect()));
    }

    fn audit(&self) -> Audit {
        let records: Vec<Record> = self
            .events
            .iter()
            .enumerate()
            .map(|(seq, (second, event))| Record { seq: seq as u64, at: at(*second), epoch: 1, event: event.clone() })
            .collect();
        let census = Census {
            taken_at: at(self.taken_at),
            dagster_version: "1".to_owned(),
            runs: self.runs.clone(),
            completions: None,
        };
        audit(&self.plan, &records, &census).unwrap()
    }

    /// Verdict, then every finding, gap and recovery by its name.
    fn says(&self) -> String {
        let audit = self.audit();
        let findings = audit.findings.iter().map(|finding| format!("{:?}/{:?}", finding.kind, finding.level));
        let gaps = audit.gaps.iter().map(|gap| gap.reason.to_owned());
        let recoveries = audit.recoveries.iter().map(|finding| format!("recovery/{:?}", finding.level));
        let parts: Vec<String> = findings.chain(gaps).chain(recoveries).collect();
        format!("{:?} {}", audit.verdict, parts.join(" ")).trim_end().to_owned()
    }
}

enum Step {
    Claim(&'static str),
    Start,
    Success,
    Failure,
    Retry,
}

#[test]
fn all_well_passes() {
    let history = History::new();
    assert_eq!(history.says(), "Passed");
    assert_eq!(history.audit().counts.completed, 2);
}

#[test]
fn each_planted_defect_is_found_and_nothing_else() {
    use Step::{Claim, Failure, Retry, Start, Success};
    type Plant = fn(&mut History);
    let table: &[(&str, Plant, &str)] = &[
        ("lost run", |h| drop(h.runs.pop()), "Failed Lost/Run"),
        (
            "failed run",
            |h| {
                h.runs.pop();
                h.run("r1", 1, RunStatus::Failure, &[(11, Start), (12, Failure)]);
            },
            "Failed Lost/Run",
        ),
        (
            "canceled run",
            |h| {
                h.runs.pop();
                h.run("r1", 1, RunStatus::Canceled, &[(11, Start)]);
            },
            "Failed Lost/Run",
        ),
        (
            "falsely failed run",
            |h| {
                h.runs.pop();
                h.run("r1", 1, RunStatus::Failure, &[(11, Start), (12, Success)]);
            },
            "Failed FalselyFailed/Run",
        ),
        (
            "launched twice",
            |h| h.run("r9", 1, RunStatus::Success, &[(11, Start), (12, Success)]),
            "Failed Duplicated/Run",
        ),
        (
            "never attempted",
            |h| {
                h.run("r9", 1, RunStatus::Success, &[(11, Start), (12, Success)]);
                let mut key = h.plan.key(7);
                std::mem::swap(h.runs[2].run.key.as_mut().unwrap(), &mut key);
            },
            "Failed Unexpected/Run",
        ),
        (
            "completed twice",
            |h| {
                h.runs.pop();
                h.run("r1", 1, RunStatus::Success, &[(11, Start), (12, Start), (13, Success), (14, Success)]);
            },
            "Failed Duplicated/Step",
        ),
        (
            "started twice, completed once",
            |h| {
                h.runs.pop();
                h.run(
                    "r1",
                    1,
                    RunStatus::Success,
                    &[(11, Claim("w1")), (11, Start), (18, Claim("w2")), (18, Start), (19, Success)],
                );
            },
            "Passed recovery/Step",
        ),
        (
            "a declared retry",
            |h| {
                h.runs.pop();
                h.run("r1", 1, RunStatus::Success, &[(11, Start), (12, Retry), (13, Start), (14, Success)]);
            },
            "Passed",
        ),
        (
            "hung run",
            |h| {
                h.runs.pop();
                h.run("r1", 1, RunStatus::Started, &[(11, Start)]);
            },
            "Unknown Unfinished",
        ),
        ("no step events", |h| h.runs[1].events.clear(), "Unknown NoEvents"),
        ("a step without its completion", |h| drop(h.runs[1].events.pop()), "Unknown NoCompletion"),
        (
            "a dropped launch",
            |h| {
                h.events.drain(6..8);
                h.events.insert(6, (10, Event::SubmitDropped { index: 1, in_flight: 3 }));
                h.runs.pop();
            },
            "Unknown Dropped",
        ),
        ("a fault that was never seen", |h| drop(h.events.remove(5)), "Unknown FaultUnseen"),
        ("a fault that is not healed", |h| drop(h.events.pop()), "Unknown FaultOpen"),
        (
            "a fault that met no run",
            |h| {
                h.runs.remove(0);
                h.run("r0", 0, RunStatus::Success, &[(1, Start), (2, Success)]);
            },
            "Unknown FaultWithoutOverlap",
        ),
        (
            "an arrival that was not sent",
            |h| {
                h.events.drain(6..8);
                h.runs.pop();
            },
            "Unknown NotSent",
        ),
        (
            "a launch that stays in doubt",
            |h| {
                h.events[7].1 = Event::SubmitInDoubt { index: 1, reason: String::new() };
                h.runs.pop();
            },
            "Unknown Indeterminate",
        ),
        (
            "a rejected launch",
            |h| {
                h.events[7].1 = Event::SubmitRefused { index: 1, reason: String::new(), retry: false };
                h.runs.pop();
            },
            "Unknown Rejected",
        ),
        (
            "a launch that never arrived",
            |h| {
                h.events[7].1 = Event::SubmitAbsent { index: 1, reason: String::new() };
                h.runs.pop();
            },
            "Unknown ResolvedAbsent",
        ),
        (
            "absent, yet there",
            |h| h.events[7].1 = Event::SubmitAbsent { index: 1, reason: String::new() },
            "Failed Unexpected/Run ResolvedAbsent",
        ),
        (
            "in doubt, yet there",
            |h| {
                h.events[7].1 = Event::Submitted { index: 1, run_id: "r1".to_owned(), found: Found::LookedUp };
            },
            "Passed",
        ),
        (
            "nothing acknowledged",
            |h| {
                h.events.drain(2..4);
                h.events.drain(4..6);
                h.runs.clear();
            },
            "Unknown NothingAcknowledged NotSent FaultWithoutOverlap",
        ),
    ];
    for (what, plant, expected) in table {
        let mut history = History::new();
        plant(&mut history);
        assert_eq!(history.says(), *expected, "{what}");
    }
}

#[test]
fn a_re_execution_names_the_kill_that_caused_it() {
    use Step::{Claim, Start, Success};
    let mut history = History::new();
    history.runs.remove(0);
    history.run(
        "r0",
        0,
        RunStatus::Success,
        &[(1, Claim("w1")), (1, Start), (8, Claim("w2")), (8, Start), (9, Success)],
    );
    let audit = history.audit();
    let recovery = &audit.recoveries[0];
    assert_eq!(recovery.overlapping_faults, ["kill#1"]);
    assert!(recovery.message.contains("kill#1 stopped its worker w1"), "{}", recovery.message);
    let tasks: Vec<Option<&str>> =
        recovery.attempts.iter().map(|attempt| attempt.task.as_ref().map(TaskArn::id)).collect();
    assert_eq!(tasks, [Some("w1"), Some("w2"), None]);
}

#[test]
fn two_kills_of_one_step_are_both_named() {
    use Step::{Claim, Start, Success};
    let mut history = History::new();
    let kill = FaultId { name: "kill".to_owned(), occurrence: 2 };
    let victim = TaskView {
        arn: arn("w2"),
        running: true,
        stopping: false,
        protected: false,
        own: false,
        created_at: None,
        tags: indexmap::IndexMap::new(),
    };
    let intent = Event::FaultIntended {
        fault: kill.clone(),
        targets: vec![victim],
        objects: vec![],
        inject: vec![],
        undo: Undo::default(),
    };
    history.events.push((40, intent));
    history.events.push((55, Event::Healed { fault: kill, asked_at: at(55) }));
    history.runs.remove(0);
    let steps =
        [(1, Claim("w1")), (1, Start), (8, Claim("w2")), (8, Start), (45, Claim("w3")), (45, Start), (46, Success)];
    history.run("r0", 0, RunStatus::Success, &steps);
    let audit = history.audit();
    assert_eq!(audit.recoveries[0].overlapping_faults, ["kill#1", "kill#2"]);
    let message = &audit.recoveries[0].message;
    assert!(
        message.contains(": kill#1 stopped its worker w1 at") && message.contains(", kill#2 stopped its worker w2 at"),
        "{message}"
    );
}

#[test]
fn the_order_of_the_census_does_not_matter() {
    let mut history = History::new();
    history.run("r9", 1, RunStatus::Success, &[(11, Step::Start), (12, Step::Success)]);
    let forward = history.audit();
    history.runs.reverse();
    for run in &mut history.runs {
        run.events.reverse();
    }
    let backward = history.audit();
    assert_eq!(forward.verdict, backward.verdict);
    assert_eq!(forward.counts, backward.counts);
}

#[test]
fn the_contract_says_what_is_a_violation() {
    use Step::{Start, Success};
    type Plant = fn(&mut History);
    let completed_twice: Plant =
        |h| h.run("r1", 1, RunStatus::Success, &[(11, Start), (12, Start), (13, Success), (14, Success)]);
    let launched_twice: Plant = |h| {
        h.run("r1", 1, RunStatus::Success, &[(11, Start), (12, Success)]);
        h.run("r9", 1, RunStatus::Success, &[(11, Start), (12, Success)]);
    };
    let lost: Plant = |_| {};
    for (contract, plant, expected, tolerated) in [
        ("exactlyOnce", completed_twice, "Failed Duplicated/Step", 0),
        ("atLeastOnce", completed_twice, "Passed", 1),
        ("atMostOnce", completed_twice, "Failed Duplicated/Step", 0),
        ("atLeastOnce", launched_twice, "Passed", 1),
        ("atMostOnce", launched_twice, "Failed Duplicated/Run", 0),
        ("exactlyOnce", lost, "Failed Lost/Run", 0),
        ("atLeastOnce", lost, "Failed Lost/Run", 0),
        ("atMostOnce", lost, "Passed", 1),
    ] {
        let mut history = History::with(&format!("  expect: {{ contract: {contract} }}\n"));
        history.runs.pop();
        plant(&mut history);
        assert_eq!(history.says(), expected, "{contract}");
        assert_eq!(history.audit().tolerated.len(), tolerated, "{contract}");
    }
}

#[test]
fn thresholds_hold_fail_or_are_not_known() {
    // Runs end at 9 and 12 s (arrivals at 0 and 10), start at 1 and 11 s; the kill is steady again 7 s later.
    for (threshold, expected, value) in [
        ("runLatency: [p95 < 10s]", "Passed", Some("9s")),
        ("runLatency: [p50 < 9s]", "Passed", Some("2s")),
        ("runLatency: [p95 < 9s]", "Failed Threshold/Scenario", Some("9s")),
        ("runLatency: [mean <= 5500ms]", "Passed", Some("5.5s")),
        ("runLatency: [count >= 2]", "Passed", Some("2")),
        ("startLatency: [max <= 1s]", "Passed", Some("1s")),
        ("lateness: [max <= 0s]", "Passed", Some("0s")),
        ("recoveryTime: [max < 7s]", "Failed Threshold/Scenario", Some("7s")),
        ("recoveryTime: [max <= 7s]", "Passed", Some("7s")),
        ("submissionErrors: [count < 1]", "Passed", Some("0")),
        ("throughput: [rate > 9/min]", "Passed", None),
        ("throughput: [rate > 11/min]", "Failed Threshold/Scenario", None),
        ("workers: [max >= 4]", "Passed", Some("4")),
        ("workers: [min >= 3]", "Failed Threshold/Scenario", Some("2")),
        ("queueDepth: [max < 5]", "Unknown NoSamples", None),
        ("runLatency: [{ that: max < 10s, minSamples: 2 }]", "Passed", Some("9s")),
        ("runLatency: [{ that: max < 10s, minSamples: 3 }]", "Unknown TooFewSamples", Some("9s")),
        // What would fail is no failure either, with so little.
        ("runLatency: [{ that: max < 1s, minSamples: 3 }]", "Unknown TooFewSamples", Some("9s")),
        ("runLatency: [{ that: max < 9s, outside: kill }]", "Failed Threshold/Scenario", Some("9s")),
        ("runLatency: [{ that: max < 9s, around: kill }]", "Passed", Some("2s")),
    ] {
        let mut history = History::with(&format!("  expect: {{ thresholds: {{ {threshold} }} }}\n"));
        let kill = FaultId { name: "kill".to_owned(), occurrence: 1 };
        history.events.insert(8, (12, Event::FaultSteady { fault: kill, asked_at: at(12) }));
        for (second, value) in [(1, 3.0), (6, 2.0), (11, 4.0)] {
            let sampled = Event::Sampled { metric: Metric::Workers, asked_at: at(second), value };
            history.events.insert(8, (second, sampled));
        }
        assert_eq!(history.says(), expected, "{threshold}");
        let audit = history.audit();
        let [result] = &audit.thresholds[..] else { panic!("{:?}", audit.thresholds) };
        assert_eq!(result.holds, (!expected.starts_with("Unknown")).then_some(expected == "Passed"), "{threshold}");
        if let Some(value) = value {
            assert_eq!(result.value.as_deref(), Some(value), "{threshold}");
        }
    }
}
