//! What holds launches back, what faults wait for, what is sampled, and what a stop ends.

use super::*;

/// The least scenario, with more in its spec.
fn with(more: &str) -> Scenario {
    of("{ burst: { size: 3, every: 10s } }", more)
}

fn with_arrivals(arrivals: &str) -> Scenario {
    of(arrivals, "")
}

fn of(arrivals: &str, more: &str) -> Scenario {
    let text = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load: [{{ name: base, for: 30s, arrivals: {arrivals}, jobs: {{ fast_job: 1 }} }}]
{more}"
    );
    match load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
        Some(Ok(Manifest::Scenario(scenario))) => *scenario,
        other => panic!("{other:?}"),
    }
}

fn living(more: &str) -> Case {
    let mut case = Case::of(with(more));
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }).dagster(0.0, &[]);
    case
}

#[test]
fn what_would_be_more_than_max_in_flight_is_dropped_and_said() {
    let mut case = living("  limits: { maxInFlight: 2 }\n");
    assert_eq!(
        case.decides(0.0),
        "submitDropped 2, submitIntended 0, submitIntended 1, launch 0 attempt 1, launch 1 attempt 1, wake 1"
    );
    case.event(0.0, Event::SubmitDropped { index: 2, in_flight: 2 });
    for index in [0, 1] {
        case.sent(0.0, index, 1);
        case.event(0.1, Event::Submitted { index, run_id: format!("r{index}"), found: Found::Acknowledged });
    }
    case.dagster(9.5, &[(0, RunStatus::Success), (1, RunStatus::Started)]);
    assert!(case.decides(10.0).starts_with("submitDropped 4, submitDropped 5, submitIntended 3,"), "one has ended");
    case.no_dagster(9.6);
    let line = case.decides(10.0);
    assert!(line.contains("submitDropped 3") && !line.contains("launch"), "absence is not zero: {line}");
    case.event(9.7, Event::Counted { runs: RunCounts { succeeded: 2, ..RunCounts::default() } });
    assert!(case.decides(10.0).contains("submitIntended 4"), "what was known stays known");
}

#[test]
fn a_fault_waits_for_what_it_watches() {
    let kill = "  faults: [{ name: kill, when: workers < 3, repeat: { every: 4s, times: 2 }, stopTasks: { service: workers } }]\n";
    let mut case = living(kill);
    case.event(0.0, Event::Counted { runs: RunCounts::default() });
    for index in 0..9 {
        case.event(0.0, Event::SubmitDropped { index, in_flight: 0 });
    }
    case.tasks(0.5, 3, &["a", "b", "c"]);
    assert_eq!(case.decides(0.6), "wake 1", "three are not fewer than three");
    case.tasks(2.0, 3, &["a", "b"]);
    assert_eq!(case.decides(2.1), "faultTriggered, look dagster, wake 3");
    case.event(2.1, Event::FaultTriggered { fault: "kill".to_owned(), asked_at: at(2.0), value: 2.0 });
    assert_eq!(case.decides(2.1), "faultIntended, inject kill#1, look dagster, wake 3");
    let skipped = Event::FaultSkipped {
        fault: FaultId { name: "kill".to_owned(), occurrence: 1 },
        reason: "no target".to_owned(),
    };
    case.event(2.2, skipped).tasks(5.9, 3, &["a", "b", "c"]).dagster(5.9, &[]);
    assert_eq!(case.decides(5.95), "wake 6", "the second comes 4s after the trigger, whatever became of the first");
    assert_eq!(case.decides(6.0), "faultIntended, inject kill#2, wake 6.9");
}

#[test]
fn a_fault_waits_for_one_that_has_its_tasks_though_that_was_planned_for_later() {
    let faults = "  faults:
    - { name: watching, when: workers < 3, stopTasks: { service: workers } }
    - { name: later, after: 1s, stopTasks: { service: workers } }\n";
    let mut case = living(faults);
    case.event(0.0, Event::Counted { runs: RunCounts::default() });
    for index in 0..9 {
        case.event(0.0, Event::SubmitDropped { index, in_flight: 0 });
    }
    case.tasks(1.0, 3, &["a", "b", "c"]).dagster(1.0, &[]);
    assert_eq!(case.decides(1.1), "faultIntended, inject later#1, wake 2");
    let current = case.state.current.as_ref().unwrap();
    let intent = decide(&case.plan, current, &case.observation, at(1.1)).intents.remove(0);
    let Event::FaultIntended { fault, objects, .. } = &intent else { panic!("{intent:?}") };
    assert!(objects.is_empty(), "nothing but the same look keeps them apart");
    let fault = fault.clone();
    case.event(1.1, intent).tasks(2.0, 3, &["a", "b"]).dagster(2.0, &[]);
    case.event(2.1, Event::FaultTriggered { fault: "watching".to_owned(), asked_at: at(2.0), value: 2.0 });
    assert!(!case.decides(2.1).contains("faultIntended"));
    case.event(17.0, Event::Healed { fault, asked_at: at(17.0) }).tasks(17.0, 3, &["a", "b"]).dagster(17.0, &[]);
    assert!(case.decides(17.1).contains("inject watching#1"));
}

#[test]
fn what_never_comes_true_is_skipped_when_the_load_ends() {
    let mut case = living("  faults: [{ name: kill, when: queueDepth > 5, stopTasks: { service: workers } }]\n");
    case.tasks(29.5, 3, &["a", "b", "c"]);
    assert!(!case.decides(29.9).contains("fault"));
    assert!(case.decides(30.0).contains("faultSkipped"));
}

#[test]
fn a_gauge_of_a_threshold_is_sampled_every_five_seconds() {
    let mut case = living("  expect: { thresholds: { workers: ['max >= 1'] } }\n");
    for index in 0..9 {
        case.event(0.0, Event::SubmitDropped { index, in_flight: 0 });
    }
    case.event(0.0, Event::Counted { runs: RunCounts::default() });
    assert_eq!(case.decides(0.1), "look service, wake 1");
    case.tasks(0.1, 3, &["a", "b", "c"]);
    assert_eq!(case.decides(0.2), "sampled, wake 1");
    case.event(0.2, Event::Sampled { metric: crate::model::Metric::Workers, asked_at: at(0.1), value: 3.0 });
    case.dagster(4.9, &[]).tasks(4.9, 3, &["a"]);
    assert_eq!(case.decides(5.0), "wake 5.9", "not twice in five seconds");
    case.tasks(5.1, 3, &["a"]);
    assert_eq!(case.decides(5.2), "sampled, wake 5.9");
}

#[test]
fn a_gauge_of_a_threshold_must_answer_before_the_start() {
    let mut case = Case::of(with("  expect: { thresholds: { workers: ['max >= 1'] } }\n"));
    case.dagster(0.1, &[]);
    assert_eq!(case.decides(0.2), "look service, wake 1.1");
    case.tasks(0.1, 3, &["a"]);
    assert_eq!(case.decides(0.2), "started, wake 1.1");
}

#[test]
fn what_comes_closely_is_written_down_together() {
    let mut case = Case::of(with_arrivals("{ constant: { rate: 20/s } }"));
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }).dagster(0.0, &[]);
    let acts = |second: f64| {
        let decision = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(second));
        let wake = decision.wake_at.unwrap().since(at(0.0)).as_millis();
        (decision.acts.iter().map(|act| act.due.map(|due| due.since(at(0.0)).as_millis())).collect::<Vec<_>>(), wake)
    };
    assert_eq!(acts(0.0), (vec![None, Some(50), Some(100), Some(150), Some(200)], 150), "the next is due at 250");
}

#[test]
fn a_stopped_scenario_ends_its_runs_where_that_is_asked_for() {
    let mut case = Case::started(false);
    case.acknowledged(0).acknowledged(1);
    case.event(11.0, Event::StopRequested { reason: "deleted".to_owned(), terminate: true });
    let runs = [(0, RunStatus::Started), (1, RunStatus::Success)];
    case.dagster(10.5, &runs);
    assert!(!case.decides(11.0).contains("terminate"), "the look knows of no launch that came after it");
    case.dagster(11.5, &runs);
    assert_eq!(case.decides(11.6), "terminateIntended, terminate r0, wake 12.5");
    case.event(11.6, Event::TerminateIntended { run_id: "r0".to_owned() });
    case.event(11.6, Event::Counted { runs: RunCounts { running: 1, succeeded: 1, ..RunCounts::default() } });
    assert!(!case.decides(20.0).contains("terminate"));
    case.dagster(26.6, &runs);
    assert!(case.decides(26.6).contains("terminate r0"), "it is still there: once more");
}

#[test]
fn a_dagster_that_takes_no_launch_is_tried_with_one_at_a_time() {
    let mut case = Case::of(with_arrivals("{ constant: { rate: 1/s } }"));
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }).dagster(0.0, &[]);
    for index in 0..5 {
        assert!(!is_open(case.state.current.as_ref().unwrap()), "{index}");
        let second = f64::from(index);
        case.sent(second, index, 1);
        case.event(second, Event::SubmitRefused { index, reason: "503".to_owned(), retry: true });
    }
    assert!(is_open(case.state.current.as_ref().unwrap()));
    case.dagster(8.8, &[]).event(4.0, Event::Counted { runs: RunCounts::default() });
    assert_eq!(case.decides(8.9), "wake 9", "not before 5 s after the last failure");
    assert_eq!(case.decides(9.0), "submitIntended 0, launch 0 attempt 2, wake 9.8", "one, and the first in line");
    case.sent(9.0, 0, 2);
    assert!(!case.decides(9.5).contains("launch"), "until it has its answer");
    case.event(9.6, Event::Submitted { index: 0, run_id: "r0".to_owned(), found: Found::Acknowledged });
    assert_eq!(case.decides(9.6).matches("launch").count(), 9, "and then all that is due");
}

#[test]
fn no_more_launches_wait_for_answers_than_dagster_takes() {
    let mut case = Case::of(with_arrivals("{ burst: { size: 40, every: 30s } }"));
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }).dagster(0.0, &[]);
    let launches = |case: &Case| case.decides(0.0).matches("launch ").count();
    assert_eq!(launches(&case), 16, "the target's default");
    case.event(0.0, Event::Counted { runs: RunCounts::default() });
    case.observation.launching = 14;
    assert_eq!(launches(&case), 2);
    case.observation.launching = 16;
    assert_eq!(case.decides(0.0), "wake 1", "an answer wakes by itself");
}

#[test]
fn a_key_is_given_up_after_five_attempts_in_doubt_and_refusals_do_not_count() {
    let mut case = Case::of(with_arrivals("{ burst: { size: 1, every: 30s } }"));
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    for attempt in 1..=8 {
        case.sent(f64::from(attempt), 0, attempt);
        let refused = Event::SubmitRefused { index: 0, reason: "connection refused".to_owned(), retry: true };
        case.event(f64::from(attempt), refused);
    }
    for attempt in 9..=13 {
        let second = f64::from(attempt) * 20.0;
        case.sent(second, 0, attempt);
        case.event(second + 5.0, Event::SubmitInDoubt { index: 0, reason: "timed out".to_owned() });
        case.dagster(second + 16.0, &[]);
        let line = case.decides(second + 16.1);
        assert_eq!(line.contains("submitAbsent 0"), attempt == 13, "attempt {attempt}: {line}");
        assert_eq!(line.contains("launch 0"), attempt < 13, "attempt {attempt}: {line}");
    }
}
