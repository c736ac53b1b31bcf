//! Tables: a situation, and exactly what is decided in it.

#![allow(clippy::too_many_lines, reason = "a table is long")]

mod abort;
mod again;
mod gauges;
mod hold;
mod limits;
mod looks;
mod notice;
mod partitioned;
mod passing;
mod retries;
mod steps;
mod task_lives;
mod writers;

use std::{fmt::Write, time::Duration};

use super::*;
use crate::model::Undo;
use crate::{
    journal::{Record, State},
    model::{
        DagsterView, GenerationId, LocationView, RunCounts, RunStatus, RunView, Seen, ServiceView, TaskArn, TaskView,
        Timed, Why, WhyKind,
    },
    plan,
    spec::{Manifest, Scenario, load, no_attachments},
};

/// It has no gauge: its service is nobody's `workers`.
const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"victims":"taskiq-worker"}}}"#;
/// It has all of them.
const GAUGED: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"workers":"taskiq-worker"}},
    "queue":{"name":"tasks"}}"#;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(1_000_000.0 + seconds)
}

fn read(text: &str) -> Scenario {
    match load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
        Some(Ok(Manifest::Scenario(scenario))) => *scenario,
        other => panic!("{other:?}"),
    }
}

fn scenario(faults: bool) -> Scenario {
    let mut text = "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: a }
spec:
  target: local
  load:
    - { name: base, for: 30s, arrivals: { constant: { rate: 6/min } }, jobs: { fast_job: 1 } }
  expect: { quiet: 20s }
"
    .to_owned();
    if faults {
        text.push_str("  faults:\n    - { name: kill, after: 5s, stopTasks: { service: victims } }\n");
    }
    read(&text)
}

/// A generation that has lived through some events, each at its second.
struct Case {
    plan: Plan,
    state: State,
    observation: Observation,
}

impl Case {
    fn new(faults: bool) -> Self {
        Self::of(scenario(faults))
    }

    fn of(scenario: Scenario) -> Self {
        Self::at(scenario, TARGET)
    }

    fn at(scenario: Scenario, target: &str) -> Self {
        let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
        let plan = plan::compile(&scenario, &generation);
        Self::on(scenario, generation, plan, target)
    }

    fn on(scenario: Scenario, generation: GenerationId, plan: Plan, target: &str) -> Self {
        let target = Box::new(serde_json::from_str(target).unwrap());
        let mut case = Self { plan, state: State::default(), observation: Observation::default() };
        case.event(0.0, Event::Accepted { generation, scenario: Box::new(scenario), target });
        case
    }

    fn started(faults: bool) -> Self {
        let mut case = Self::new(faults);
        case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
        case
    }

    fn event(&mut self, second: f64, event: Event) -> &mut Self {
        let record = Record { seq: self.state.next_seq, at: at(second), epoch: 1, event };
        self.state.apply(&record).unwrap();
        self
    }

    fn sent(&mut self, second: f64, index: u32, attempt: u32) -> &mut Self {
        self.event(second, Event::SubmitIntended { index, attempt, due: None })
    }

    fn acknowledged(&mut self, index: u32) -> &mut Self {
        let second = f64::from(index * 10);
        self.sent(second, index, 1);
        self.event(second, Event::Submitted { index, run_id: format!("r{index}"), found: Found::Acknowledged })
    }

    fn dagster(&mut self, second: f64, runs: &[(u32, RunStatus)]) -> &mut Self {
        let runs = runs.iter().map(|(index, status)| RunView {
            run_id: format!("r{index}"),
            key: Some(self.plan.key(*index)),
            job: "fast_job".into(),
            status: status.clone(),
            started_at: None,
            ended_at: None,
            generation_started: Some(at(-7.0)),
            ..RunView::new("", None, "", RunStatus::Queued)
        });
        let location = Some(LocationView::default());
        let view = DagsterView { version: "1".to_owned(), runs: runs.collect(), since: None, location };
        self.observation.dagster = Some(Timed { asked_at: at(second), answer: Seen::Fresh(view) });
        self
    }

    fn no_dagster(&mut self, second: f64) -> &mut Self {
        let why = Why { kind: WhyKind::Unreachable, message: "gone".to_owned() };
        self.observation.dagster = Some(Timed { asked_at: at(second), answer: Seen::Unavailable(why) });
        self
    }

    fn steps_read(&mut self, run_ids: &[&str]) -> &mut Self {
        self.event(0.0, Event::StepsRead { run_ids: run_ids.iter().map(|id| (*id).to_owned()).collect() })
    }

    fn tasks(&mut self, second: f64, desired: u32, ids: &[&str]) -> &mut Self {
        let task = |id: &&str| TaskView {
            arn: TaskArn(format!("arn:aws:ecs:us-east-1:0:task/demo/{id}").into()),
            running: true,
            stopping: false,
            protected: false,
            own: false,
            created_at: None,
            tags: indexmap::IndexMap::new(),
        };
        let view = ServiceView {
            desired,
            running: ids.len() as u32,
            tasks: ids.iter().map(task).collect(),
            ..ServiceView::default()
        };
        let timed = Timed { asked_at: at(second), answer: Seen::Fresh(view) };
        self.observation.services.insert("taskiq-worker".to_owned(), timed);
        self
    }

    /// What is decided at a second, in one line, everything in it.
    fn decides(&self, second: f64) -> String {
        let current = self.state.current.as_ref().unwrap();
        let decision = decide(&self.plan, current, &self.observation, at(second));
        let mut line = String::new();
        // Tasks that come and go have a test of their own.
        let is_of_others = |event: &&Event| !matches!(event, Event::TasksChanged { .. });
        for event in decision.notes.iter().chain(&decision.intents).filter(is_of_others) {
            let json = serde_json::to_value(event).unwrap();
            let name =
                json.as_str().map_or_else(|| json.as_object().unwrap().keys().next().unwrap().clone(), str::to_owned);
            let index = json[&name]["index"].as_u64().map(|index| format!(" {index}")).unwrap_or_default();
            write!(line, "{name}{index}, ").unwrap();
        }
        for act in &decision.acts {
            match &act.purpose {
                Purpose::Submit { index, attempt } => {
                    write!(line, "launch {index} attempt {attempt}").unwrap();
                    if let Some(due) = act.due {
                        write!(line, " at {}", due.since(at(0.0)).as_secs_f64()).unwrap();
                    }
                    line.push_str(", ");
                }
                Purpose::Terminate { run_id } => write!(line, "terminate {run_id}, ").unwrap(),
                Purpose::Inject { fault, .. } => write!(line, "inject {fault}, ").unwrap(),
                Purpose::Heal { fault, effect } => write!(line, "heal {fault} {effect}, ").unwrap(),
            }
        }
        for look in &decision.looks {
            let what = match look {
                Query::Dagster { jobs, .. } if jobs.is_empty() => "look dagster, ",
                Query::Dagster { .. } => "look dagster and jobs, ",
                Query::Steps { .. } => "look steps, ",
                Query::Service { .. } => "look service, ",
                Query::Queue => "look queue, ",
                Query::QueueAge => "look age, ",
                Query::Network { .. } => "look network, ",
                Query::Instances => "look instances, ",
                Query::Policy { .. } => "look policy, ",
                Query::Objects { .. } => "look objects, ",
                Query::Tasks { .. } => "look tasks, ",
                Query::Alarm { .. } => "look alarm, ",
                Query::Account => "look account, ",
                Query::Completions => "look completions, ",
                Query::Partitions { .. } => "look partitions, ",
            };
            line.push_str(what);
        }
        if decision.audit {
            line.push_str("audit, ");
        }
        if let Some(wake) = decision.wake_at {
            write!(line, "wake {}", wake.since(at(0.0)).as_secs_f64()).unwrap();
        }
        line.trim_end_matches(", ").to_owned()
    }
}

#[test]
fn nothing_starts_before_everything_answers() {
    let mut case = Case::new(true);
    assert_eq!(case.decides(0.0), "look dagster and jobs, look service");
    case.no_dagster(0.1);
    assert_eq!(case.decides(0.2), "unready, look service, wake 1.1");
    case.dagster(0.3, &[]);
    assert_eq!(case.decides(0.4), "look service, wake 1.3", "the service was not seen yet");
    case.tasks(0.3, 2, &["a", "b"]);
    assert_eq!(case.decides(0.4), "started, wake 1.3");
}

#[test]
fn an_adopted_generation_keeps_its_start_and_waits_a_settle() {
    let mut case = Case::new(false);
    case.dagster(1.0, &[(1, RunStatus::Success)]);
    assert_eq!(case.decides(1.5), "adopting, wake 2");
    case.event(1.5, Event::Adopting { runs: 1 });
    assert_eq!(case.decides(1.5), "wake 2", "what a predecessor sent last may still appear");
    case.dagster(15.0, &[(1, RunStatus::Success)]);
    assert_eq!(case.decides(15.1), "submitted 1, started, wake 16");
    let adopted = Event::Submitted { index: 1, run_id: "r1".to_owned(), found: Found::Adopted };
    case.event(15.1, adopted);
    assert_eq!(case.decides(15.2), "started, wake 16", "a crash tore the batch: nothing is adopted twice");
}

#[test]
fn a_stop_before_the_start_waits_for_what_would_have_been_adopted() {
    let mut case = Case::new(false);
    case.event(0.5, Event::StopRequested { reason: "halted".to_owned(), terminate: false });
    assert!(case.decides(0.6).starts_with("concluded,"), "nothing is known of any run");
    let mut case = Case::new(false);
    case.dagster(1.0, &[(1, RunStatus::Started)]);
    case.event(1.5, Event::Adopting { runs: 1 });
    case.event(2.0, Event::StopRequested { reason: "halted".to_owned(), terminate: true });
    case.dagster(2.5, &[(1, RunStatus::Started)]);
    assert!(case.decides(2.6).starts_with("terminateIntended"), "{}", case.decides(2.6));
    case.event(2.6, Event::TerminateIntended { run_id: "r1".to_owned() });
    assert!(!case.decides(2.7).contains("concluded"), "it is still under way");
    case.dagster(3.5, &[(1, RunStatus::Canceled)]);
    assert!(!case.decides(3.6).contains("concluded"), "what a predecessor sent last may still appear");
    case.dagster(15.0, &[(1, RunStatus::Canceled)]);
    assert!(case.decides(15.1).contains("concluded"));
}

#[test]
fn arrivals_are_sent_at_their_instants_only() {
    let mut case = Case::started(false);
    case.dagster(0.0, &[]);
    assert_eq!(case.decides(0.0), "submitIntended 0, launch 0 attempt 1, wake 1");
    case.acknowledged(0).dagster(9.5, &[(0, RunStatus::Started)]);
    case.event(9.6, Event::Counted { runs: RunCounts { running: 1, ..RunCounts::default() } });
    assert_eq!(case.decides(9.8), "wake 9.9");
    assert_eq!(
        case.decides(9.9),
        "submitIntended 1, launch 1 attempt 1 at 10, wake 10.5",
        "it is written down a little ahead"
    );
    assert_eq!(case.decides(10.0), "submitIntended 1, launch 1 attempt 1, wake 10.5");
    assert_eq!(
        case.decides(20.0),
        "submitIntended 1, submitIntended 2, launch 1 attempt 1, launch 2 attempt 1, look dagster, wake 1845",
        "an unanswered launch delays no other"
    );
}

#[test]
fn a_launch_carries_what_the_mix_asks_for() {
    let mut scenario = scenario(false);
    let choice = &mut scenario.spec.load[0].jobs.jobs[0];
    choice.run_config = serde_json::json!({ "ops": { "work": { "config": { "seconds": 3 } } } });
    choice.tags = [("team", "data"), ("dagstorm/key", "stolen")].map(|(tag, value)| (tag.into(), value.into())).into();
    let mut case = Case::of(scenario.clone());
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    let decision = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(0.0));
    let [Act { effect: Effect::LaunchRun { key, tags, run_config, .. }, .. }] = &decision.acts[..] else {
        panic!("{:?}", decision.acts)
    };
    assert_eq!(*run_config, scenario.spec.load[0].jobs.jobs[0].run_config);
    let names: Vec<&str> = tags.keys().map(String::as_str).collect();
    assert_eq!(names, ["dagstorm/key", "dagstorm/scenario", "dagstorm/generation", "dagstorm/started", "team"]);
    assert_eq!((tags["team"].as_str(), &tags["dagstorm/key"]), ("data", &key.to_string()), "ours win");
}

#[test]
fn a_launch_in_doubt_is_looked_up_for_a_whole_settle_before_it_is_sent_again() {
    for in_doubt in [true, false] {
        let mut case = Case::started(false);
        case.sent(0.0, 0, 1);
        if in_doubt {
            case.event(5.0, Event::SubmitInDoubt { index: 0, reason: "timed out".to_owned() });
        }
        case.dagster(7.0, &[]);
        assert_eq!(case.decides(7.5), "counted, wake 8", "absent, but not for a settle");
        case.no_dagster(16.5);
        let line = case.decides(16.6);
        assert!(!line.contains("launch 0"), "a failed look decides nothing: {line}");
        case.dagster(15.9, &[]);
        assert!(!case.decides(16.6).contains("launch 0"), "asked too early: it may have been sent a second late");
        case.dagster(16.0, &[]);
        assert!(case.decides(16.6).contains("launch 0 attempt 2"));
        case.dagster(16.0, &[(0, RunStatus::Queued)]);
        assert!(case.decides(16.6).starts_with("submitted 0,"));
    }
}

#[test]
fn a_refused_launch_is_sent_again_and_a_rejected_one_is_not() {
    let mut case = Case::started(false);
    case.sent(0.0, 0, 1).event(0.1, Event::SubmitRefused { index: 0, reason: "503".to_owned(), retry: true });
    case.dagster(0.1, &[]);
    let line = case.decides(0.2);
    let wakes: f64 = line.strip_prefix("counted, wake ").unwrap().parse().unwrap();
    assert!((0.35..=0.6).contains(&wakes), "half of half a second is certain, the rest is drawn: {line}");
    assert!(case.decides(0.6).contains("launch 0 attempt 2"));
    let mut case = Case::started(false);
    case.sent(0.0, 0, 1).event(0.1, Event::SubmitRefused { index: 0, reason: "no".to_owned(), retry: false });
    case.dagster(0.1, &[]);
    assert_eq!(case.decides(0.6), "counted, wake 1.1");
}

#[test]
fn a_stop_sends_nothing_more_and_settles_what_is_open() {
    let mut case = Case::started(false);
    case.sent(0.0, 0, 1).event(1.0, Event::StopRequested { reason: "deleted".to_owned(), terminate: false });
    case.dagster(16.0, &[]);
    assert_eq!(case.decides(16.5), "submitAbsent 0, wake 17", "it is never sent again");
    case.event(16.5, Event::SubmitAbsent { index: 0, reason: "absent".to_owned() });
    case.event(16.5, Event::Counted { runs: RunCounts::default() });
    assert_eq!(case.decides(16.6), "concluded, wake 17");
}

#[test]
fn a_stop_waits_for_runs_that_were_acknowledged_after_the_look() {
    let mut case = Case::started(false);
    case.sent(0.0, 0, 1).event(0.1, Event::StopRequested { reason: "edited".to_owned(), terminate: false });
    case.dagster(0.2, &[]);
    case.event(0.3, Event::Counted { runs: RunCounts::default() });
    case.event(0.3, Event::Submitted { index: 0, run_id: "r0".to_owned(), found: Found::Acknowledged });
    assert!(!case.decides(0.4).contains("concluded"), "the look was asked before the run was there");
    case.dagster(1.2, &[(0, RunStatus::Success)]);
    case.event(1.3, Event::Counted { runs: RunCounts { succeeded: 1, ..RunCounts::default() } });
    assert!(case.decides(1.4).starts_with("concluded,"));
}

#[test]
fn a_fault_is_intended_before_it_is_injected_and_watched_until_it_is_healed() {
    let mut case = Case::started(true);
    case.acknowledged(0).dagster(5.0, &[]).tasks(2.9, 2, &["a", "b"]);
    case.event(5.0, Event::Counted { runs: RunCounts::default() });
    assert!(!case.decides(5.0).contains("inject"), "the look is too old to aim by");
    case.tasks(4.5, 2, &["a", "b"]);
    assert_eq!(case.decides(5.0), "faultIntended, inject kill#1, wake 5.5");
    let current = case.state.current.as_ref().unwrap();
    let decision = decide(&case.plan, current, &case.observation, at(5.0));
    let intent = decision.intents.into_iter().next().unwrap();
    let Event::FaultIntended { fault, targets, .. } = &intent else { panic!("{intent:?}") };
    let (fault, gone) = (fault.clone(), targets[0].arn.id().to_owned());
    let stays = if gone == "a" { "b" } else { "a" };
    case.event(5.0, intent);
    let done = Outcome::Done(Receipt::Stopping);
    case.event(5.1, Event::InjectTried { fault: fault.clone(), effect: 0, outcome: done });
    case.dagster(6.0, &[]).tasks(6.0, 2, &[stays]);
    assert_eq!(case.decides(6.1), "faultSeen, wake 7");
    case.event(6.1, Event::FaultSeen { fault: fault.clone(), asked_at: at(6.0) }).tasks(7.0, 2, &[stays, "c"]);
    assert!(case.decides(7.1).starts_with("faultSteady,"));
    case.event(7.1, Event::FaultSteady { fault, asked_at: at(7.0) });
    assert!(!case.decides(7.2).contains("healed"), "only after a settle");
    case.tasks(20.0, 2, &[stays, "c"]);
    assert!(!case.decides(20.0).contains("healed"));
    case.tasks(20.1, 2, &[stays, "c"]);
    assert!(case.decides(20.2).starts_with("healed,"));
}

#[test]
fn a_service_that_never_comes_back_holds_no_deleted_scenario() {
    let mut case = Case::started(true);
    let kill = FaultId { name: "kill".to_owned(), occurrence: 1 };
    let intent = Event::FaultIntended {
        fault: kill.clone(),
        targets: vec![],
        objects: vec![],
        inject: vec![],
        undo: Undo { effects: vec![], steady: Some("taskiq-worker".to_owned()) },
    };
    case.event(5.0, intent).event(5.1, Event::FaultSeen { fault: kill, asked_at: at(5.1) });
    case.event(6.0, Event::StopRequested { reason: "deleted".to_owned(), terminate: false });
    case.dagster(40.9, &[]).tasks(40.9, 2, &["a"]);
    assert!(!case.decides(40.95).contains("faultGivenUp"), "a settle and the quiet period are not over");
    assert!(case.decides(41.0).starts_with("faultGivenUp"));
    case.tasks(41.0, 2, &["a", "b"]);
    assert!(case.decides(41.0).starts_with("faultSteady, healed"), "what came back is healed, however late");
}

#[test]
fn a_fault_without_a_target_waits_and_is_skipped_at_the_end_of_the_load() {
    let mut case = Case::started(true);
    case.dagster(29.9, &[]).tasks(29.9, 0, &[]);
    assert!(!case.decides(29.95).contains("fault"));
    assert!(case.decides(30.0).contains("faultSkipped"));
    case.tasks(30.0, 2, &["a", "b"]);
    assert!(case.decides(30.5).contains("faultSkipped"), "an operator that was down does not inject behind the load");
}

#[test]
fn the_audit_waits_for_the_end_the_runs_and_the_quiet() {
    let mut case = Case::started(false);
    case.acknowledged(0).acknowledged(1).acknowledged(2);
    case.steps_read(&["r0", "r1", "r2"]);
    let all = |status: RunStatus| [(0, RunStatus::Success), (1, RunStatus::Success), (2, status)];
    case.dagster(22.0, &all(RunStatus::Started));
    assert_eq!(case.decides(22.1), "counted, wake 23");
    case.event(22.1, Event::Counted { runs: RunCounts { running: 1, succeeded: 2, ..RunCounts::default() } });
    case.dagster(60.0, &all(RunStatus::Started));
    assert_eq!(case.decides(60.1), "wake 61", "a run is not finished");
    case.event(60.1, Event::Counted { runs: RunCounts { succeeded: 3, ..RunCounts::default() } });
    case.dagster(80.0, &all(RunStatus::Success));
    assert_eq!(case.decides(80.05), "wake 80.1", "20s of quiet are not over");
    assert!(case.decides(80.1).starts_with("look dagster"), "they are: nothing else is waited for");
    case.dagster(80.1, &all(RunStatus::Success));
    assert_eq!(case.decides(80.2), "auditBegan, wake 81.1");
    case.event(80.2, Event::AuditBegan);
    assert_eq!(case.decides(80.3), "audit, wake 81.1");
}

#[test]
fn a_run_that_never_ends_is_not_waited_for_for_ever() {
    let mut case = Case::started(false);
    case.acknowledged(0).acknowledged(1).acknowledged(2);
    case.event(30.0, Event::Counted { runs: RunCounts { running: 3, ..RunCounts::default() } });
    let three = [(0, RunStatus::Started), (1, RunStatus::Started), (2, RunStatus::Started)];
    let half_an_hour = Duration::from_secs(30 * 60).as_secs_f64();
    case.dagster(29.0 + half_an_hour, &three);
    assert!(!case.decides(29.1 + half_an_hour).contains("audit"));
    case.dagster(30.0 + half_an_hour, &three);
    assert!(case.decides(30.1 + half_an_hour).contains("auditBegan"));
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut case = Case::started(false);
    case.sent(0.0, 0, 1);
    let purpose = Purpose::Submit { index: 0, attempt: 1 };
    let lost = || Outcome::Unknown { reason: "timed out".to_owned() };
    let current = |case: &Case| case.state.current.clone().unwrap();
    assert!(outcome(&current(&case), &purpose, lost()).is_some());
    case.event(6.0, Event::Submitted { index: 0, run_id: "r0".to_owned(), found: Found::LookedUp });
    assert_eq!(outcome(&current(&case), &purpose, lost()), None);
}
