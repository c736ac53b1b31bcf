//! Goldens: what every ready-made manifest means, what a status looks like, what a mistake is answered with.
//!
//! `INSTA_UPDATE=always cargo test --test golden` rewrites them; look at the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use dagstorm::{
    audit,
    journal::{Event, Found, Record, State},
    model::{
        Census, CompletionOutcome, CompletionRecord, Completions, Effect, FaultId, GenerationId, Metric, Outcome,
        Receipt, RunCounts, RunRecord, RunStatus, RunView, StepEvent, StepEventKind, Target, TaskArn, TaskView,
        Timestamp, Undo,
    },
    plan::{self, Plan},
    publish::{self, Beside},
    spec::{Manifest, Scenario, load, no_attachments},
};
use indexmap::IndexMap;
use sha2::{Digest, Sha256};

const TARGET: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: { name: local }
spec:
  dagster: { url: 'http://127.0.0.1:3000/graphql', location: demo, requestTimeout: 5s, settle: 15s }
  ecs: { cluster: demo, services: { workers: taskiq-worker } }
";

/// Every manifest below `manifests/`, by its path there.
fn shipped() -> Vec<(String, Scenario)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let mut paths = vec![];
    collect(&root, &mut paths);
    paths.sort();
    let mut scenarios = vec![];
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let read = |name: &str| fs::read(path.parent().unwrap().join(name)).map_err(|error| error.to_string());
        for document in load(&name, &fs::read(&path).unwrap(), &read) {
            match document.content {
                Ok(Manifest::Scenario(scenario)) => scenarios.push((name.clone(), *scenario)),
                Ok(Manifest::Target(_)) => {}
                Err(errors) => panic!("{errors:?}"),
            }
        }
    }
    assert!(scenarios.len() > 10);
    scenarios
}

fn target() -> Target {
    match load("target.yaml", TARGET.as_bytes(), &no_attachments).pop().unwrap().content {
        Ok(Manifest::Target(target)) => *target,
        other => panic!("{other:?}"),
    }
}

fn compiled(scenario: &Scenario) -> Plan {
    plan::compile(scenario, &GenerationId { digest: scenario.digest(), repeat: 1 })
}

/// Arrivals that are written out: of a long plan the first ones, and a digest of all.
const WRITTEN: u32 = 60;

fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let (scenario, generation, count) = (&plan.scenario, &plan.generation, plan.arrivals.len());
    writeln!(out, "{scenario} {generation} seed {}, {count} arrivals, load ends after {:?}", plan.seed, plan.ends_at)
        .unwrap();
    for (number, choice) in plan.choices.iter().enumerate() {
        let share = plan.arrivals.from(0).filter(|arrival| arrival.choice as usize == number).count();
        writeln!(out, "{share:>6}  {} {} {:?}", choice.job, choice.run_config, choice.tags).unwrap();
    }
    let mut digest = Sha256::new();
    for (index, arrival) in plan.arrivals.from(0).enumerate() {
        let line = format!(
            "{:>12.6}s  {index:>5}  {}",
            arrival.offset.as_secs_f64(),
            plan.choices[arrival.choice as usize].job
        );
        digest.update(&line);
        if count <= 2 * WRITTEN || (index as u32) < WRITTEN {
            writeln!(out, "{line}").unwrap();
        }
    }
    if count > 2 * WRITTEN {
        let all: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "… {} more; SHA-256 of all lines: {all}", count - WRITTEN).unwrap();
    }
    for fault in &plan.faults {
        writeln!(out, "{:>12.6}s  {}  {}", fault.offset.as_secs_f64(), fault.id, fault.fault.describe()).unwrap();
    }
    out
}

#[test]
fn plans_of_the_shipped_manifests() {
    for (file, scenario) in shipped() {
        insta::assert_snapshot!(format!("plan-{}", file.replace('/', "-")), text(&compiled(&scenario)));
    }
}

/// The worker-failure scenario after its first kill, two arrivals in.
fn story() -> (Plan, Vec<Record>, State) {
    let (_, scenario) = shipped().into_iter().find(|(file, _)| file == "demo/worker-failure.yaml").unwrap();
    let plan = compiled(&scenario);
    let kill = FaultId { name: "kill".to_owned(), occurrence: 1 };
    let task = TaskArn("arn:aws:ecs:us-east-1:000000000000:task/demo/0123".into());
    let view = TaskView {
        arn: task.clone(),
        running: true,
        stopping: false,
        protected: false,
        own: false,
        created_at: None,
        tags: IndexMap::new(),
    };
    let begin: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let at = |seconds: u64| begin.plus(std::time::Duration::from_secs(seconds));
    let after = |millis: u64| begin.plus(std::time::Duration::from_millis(millis));
    let events = vec![
        (
            0,
            Event::Accepted {
                generation: plan.generation.clone(),
                scenario: Box::new(scenario),
                target: Box::new(target()),
            },
        ),
        (1, Event::Started { at: at(1), dagster_version: "1.13.27".to_owned() }),
        (1, Event::SubmitIntended { index: 0, attempt: 1, due: None }),
        (1, Event::SubmitSent { index: 0, attempt: 1, sent_at: after(1_040) }),
        (1, Event::Submitted { index: 0, run_id: "run-0".to_owned(), found: Found::Acknowledged }),
        (5, Event::SubmitIntended { index: 1, attempt: 1, due: None }),
        (10, Event::SubmitSent { index: 1, attempt: 1, sent_at: after(5_300) }),
        (10, Event::SubmitInDoubt { index: 1, reason: "timed out".to_owned() }),
        (
            11,
            Event::FaultIntended {
                fault: kill.clone(),
                targets: vec![view],
                objects: vec![],
                inject: vec![Effect::StopTask { task, reason: "dagstorm".to_owned() }],
                undo: Undo { effects: vec![], steady: Some("taskiq-worker".to_owned()) },
            },
        ),
        (11, Event::InjectTried { fault: kill.clone(), effect: 0, outcome: Outcome::Done(Receipt::Stopping) }),
        (12, Event::FaultSeen { fault: kill, asked_at: at(12) }),
        (12, Event::Counted { runs: RunCounts { running: 1, ..RunCounts::default() } }),
    ];
    let mut state = State::default();
    let mut records = vec![];
    for (seq, (second, event)) in events.into_iter().enumerate() {
        let record = Record { seq: seq as u64, at: at(second), epoch: 1, event };
        state.apply(&record).unwrap();
        records.push(record);
    }
    (plan, records, state)
}

#[test]
fn a_status_in_the_middle_of_a_scenario() {
    let (plan, _, state) = story();
    let status = publish::status(&plan, &state, state.current.as_ref().unwrap(), Beside::default());
    insta::assert_snapshot!("status", serde_saphyr::to_string(&status).unwrap());
}

#[test]
fn a_status_names_what_each_gauge_showed_last() {
    let (plan, records, mut state) = story();
    let last = records.last().unwrap();
    let samples = [(Metric::QueueDepth, 9.0), (Metric::Workers, 2.0), (Metric::QueueDepth, 4.0)];
    for (seq, (metric, value)) in (last.seq + 1..).zip(samples) {
        let event = Event::Sampled { metric, asked_at: last.at, value };
        state.apply(&Record { seq, at: last.at, epoch: 1, event }).unwrap();
    }
    let status = publish::status(&plan, &state, state.current.as_ref().unwrap(), Beside::default());
    let gauges = serde_json::to_value(&status).unwrap()["status"]["gauges"].clone();
    assert_eq!(gauges, serde_json::json!({ "queueDepth": 4.0, "workers": 2.0 }));
    assert!(serde_saphyr::to_string(&status).unwrap().contains("gauges:\n    queueDepth: 4"));
}

#[test]
fn a_report_of_work_that_was_done_twice() {
    let (plan, records, state) = story();
    let begin: Timestamp = "2026-11-24T12:00:01Z".parse().unwrap();
    let at = |seconds: u64| begin.plus(std::time::Duration::from_secs(seconds));
    let step = |kind, second, task: Option<&str>| StepEvent {
        step: "slow".into(),
        kind,
        at: at(second),
        failure: None,
        task: task.map(|id| TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id}").into())),
    };
    let run = RunView {
        run_id: "run-0".to_owned(),
        key: Some(plan.key(0)),
        job: plan.job(0).into(),
        status: RunStatus::Success,
        started_at: Some(at(1)),
        ended_at: Some(at(22)),
        generation_started: Some(begin),
        ..RunView::new("", None, "", RunStatus::Queued)
    };
    let events = vec![
        step(StepEventKind::Claimed, 1, Some("0123")),
        step(StepEventKind::Started, 1, None),
        step(StepEventKind::Claimed, 18, Some("4567")),
        step(StepEventKind::Started, 18, None),
        step(StepEventKind::Succeeded, 22, None),
    ];
    let attempt = |worker: &str, task: &str, seconds: [u64; 2]| CompletionRecord {
        run_id: "run-0".to_owned(),
        step: "slow".into(),
        key: Some(plan.key(0)),
        worker: Some(worker.into()),
        task: Some(TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{task}").into())),
        started: Some(at(seconds[0])),
        finished: Some(at(seconds[1])),
        outcome: CompletionOutcome::Completed,
    };
    // The first worker did its work before it died, and Dagster never heard of it.
    let completions = Completions {
        source: "table exec_attempts".to_owned(),
        records: vec![attempt("w1", "0123", [1, 16]), attempt("w2", "4567", [18, 22])],
        ..Completions::default()
    };
    let census = Census {
        taken_at: at(60),
        dagster_version: "1.13.27".to_owned(),
        runs: vec![RunRecord::new(run, events)],
        completions: Some(completions),
    };
    let audit = audit::audit(&plan, &records, &census).unwrap();
    let report = publish::report(&plan, &state, state.current.as_ref().unwrap(), &census, &audit);
    insta::assert_snapshot!("report.md", publish::markdown(&report));
    insta::assert_snapshot!("report.json", serde_json::to_string_pretty(&report).unwrap());
    insta::assert_snapshot!("junit.xml", publish::junit(&report));
    let generation = state.current.as_ref().unwrap();
    let keys = publish::keys(&plan, generation, &census, &audit);
    insta::assert_snapshot!("keys.csv", String::from_utf8(keys).unwrap());
    insta::assert_snapshot!("report.html", page_data(&publish::html(&report, &plan, generation, &census)));
    // From the history alone the same is found, whatever the journal held before.
    let before: Vec<Record> = records.iter().map(|record| Record { seq: record.seq + 40, ..record.clone() }).collect();
    for records in [&records, &before] {
        let text = publish::history::history(&report, records, &census);
        let read = publish::history::read(text.as_bytes()).unwrap();
        let again = audit::audit_generation(&read.plan, &read.generation, &read.census);
        assert_eq!(again, audit);
        assert_eq!(read.recorded, Some(publish::history::found(&audit)));
    }
}

/// The data in a page, as its scripts read it: a line a part.
fn page_data(page: &str) -> String {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    let parts: IndexMap<String, serde_json::Value> = serde_json::from_str(data).unwrap();
    parts.iter().map(|(name, part)| format!("{name}: {part}\n")).collect()
}

#[test]
fn a_history_that_is_none_is_refused_with_its_line() {
    let head = r#"{"head":{"version":1,"scenario":"a","generation":"abc-1","censusAt":"2026-11-24T12:00:00Z","dagsterVersion":"1"}}"#;
    for (text, line, gist) in [
        (String::new(), 1, "the file is empty"),
        ("{}".to_owned(), 1, "expected value"),
        (r#"{"audit":{}}"#.to_owned(), 1, "begins with its head"),
        (head.replace("\"version\":1", "\"version\":9"), 1, "it is of version 9"),
        (format!("{head}\n\n{head}"), 3, "a second head"),
        (format!("{head}\n{{\"record\":{{}}}}"), 2, "missing field `seq`"),
        (head.to_owned(), 1, "no record of the generation"),
    ] {
        let error = publish::history::read(text.as_bytes()).unwrap_err();
        assert!(error.line == line && error.reason.contains(gist), "{error} instead of {gist}");
    }
}

#[test]
fn mistakes_are_answered_with_their_place() {
    let head = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: a }\n";
    let phase = "{ name: base, for: 10s, arrivals: { constant: { rate: 1/s } }, jobs: { fast_job: 1 } }";
    let good = format!("{head}spec:\n  target: local\n  load:\n    - {phase}\n");
    let mut out = String::new();
    for (what, text) in [
        ("a typo in a field", good.replace("arrivals", "arivals")),
        ("a wrong rate", good.replace("1/s", "fast")),
        ("a wrong duration", good.replace("10s", "ten")),
        ("a negative weight", good.replace("fast_job: 1", "fast_job: -1")),
        ("no weight above zero", good.replace("fast_job: 1", "fast_job: 0")),
        ("a missing field", good.replace("  target: local\n", "")),
        ("a doubled key", good.replace("  target: local\n", "  target: local\n  target: other\n")),
        ("a bad name", good.replace("name: a ", "name: A_b ")),
        ("an unknown kind", good.replace("kind: Scenario", "kind: Scenari")),
        ("an unknown version", good.replace("v1alpha1", "v9")),
        ("no kind", good.replace("kind: Scenario\n", "")),
        ("a fault that does nothing", format!("{good}  faults:\n    - {{ name: kill, after: 1s }}\n")),
        (
            "a fault after the end",
            format!("{good}  faults:\n    - {{ name: kill, after: 11s, stopTasks: {{ service: workers }} }}\n"),
        ),
        (
            "a fault of an unknown kind",
            format!("{good}  faults:\n    - {{ name: kill, after: 1s, stopTask: {{ service: workers }} }}\n"),
        ),
        (
            "a pick of nothing",
            format!("{good}  faults:\n    - {{ name: kill, after: 1s, stopTasks: {{ service: workers, pick: 0 }} }}\n"),
        ),
        ("an unfinished flow", format!("{head}spec: {{ target: local, load: [")),
        ("a tab", good.replace("  load", "\tload")),
        ("settle below the time-out", TARGET.replace("settle: 15s", "settle: 4s")),
        ("a wrong address", TARGET.replace("http://127.0.0.1:3000/graphql", "localhost:3000")),
        ("the second document", format!("{good}---\n{}", good.replace("1/s", "fast"))),
    ] {
        writeln!(out, "# {what}").unwrap();
        for document in load("a.yaml", text.as_bytes(), &no_attachments) {
            for error in document.content.err().unwrap_or_default() {
                writeln!(out, "{error}").unwrap();
            }
        }
    }
    for bytes in [&b"\xff\xfe"[..], &vec![b'#'; (1 << 20) + 1][..]] {
        for error in load("a.yaml", bytes, &no_attachments).remove(0).content.unwrap_err() {
            writeln!(out, "{error}").unwrap();
        }
    }
    insta::assert_snapshot!("mistakes", out);
}
