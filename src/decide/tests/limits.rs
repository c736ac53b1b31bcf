//! What holds launches back, and what a stop ends.

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
