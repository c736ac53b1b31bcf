//! What is sampled, and what faults wait for.

use super::*;
use crate::{
    journal::Dependency,
    model::{AgeView, Metric, QueueView},
};

/// The least scenario, with more in its spec.
fn with(more: &str) -> Scenario {
    read(&format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load: [{{ name: base, for: 30s, arrivals: {{ burst: {{ size: 3, every: 10s }} }}, jobs: {{ fast_job: 1 }} }}]
{more}"
    ))
}

/// It has begun, and nothing is left to launch.
fn living(more: &str) -> Case {
    let mut case = Case::at(with(more), GAUGED);
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }).dagster(0.0, &[]);
    case.event(0.0, Event::Counted { runs: RunCounts::default() }).aged(100.0, &[]);
    for index in 0..9 {
        case.event(0.0, Event::SubmitDropped { index, in_flight: 0 });
    }
    case
}

impl Case {
    fn queued(&mut self, second: f64, visible: u64) -> &mut Self {
        let answer = Seen::Fresh(QueueView { visible, in_flight: 0 });
        self.observation.queue = Some(Timed { asked_at: at(second), answer });
        self
    }

    /// CloudWatch's minutes in a look that was asked at a second, by the seconds at which they began.
    fn aged(&mut self, second: f64, minutes: &[(f64, f64)]) -> &mut Self {
        let minutes = minutes.iter().map(|(began, age)| (at(*began), *age)).collect();
        self.observation.queue_age = Some(Timed { asked_at: at(second), answer: Seen::Fresh(AgeView { minutes }) });
        self
    }

    fn sampled(&mut self, second: f64, metric: Metric, value: f64) -> &mut Self {
        self.event(second, Event::Sampled { metric, asked_at: at(second), value })
    }

    /// The samples that are written down at a second.
    fn samples(&self, second: f64) -> Vec<(Metric, f64)> {
        let decision = decide(&self.plan, self.state.current.as_ref().unwrap(), &self.observation, at(second));
        let sampled = decision.notes.into_iter().filter_map(|event| {
            if let Event::Sampled { metric, value, .. } = event { Some((metric, value)) } else { None }
        });
        sampled.collect()
    }
}

#[test]
fn every_gauge_of_the_target_is_looked_at_and_nothing_waits_for_it() {
    let mut case = Case::at(with(""), GAUGED);
    case.dagster(0.1, &[]);
    assert_eq!(case.decides(0.2), "started, wake 1.1");
    let mut case = living("");
    assert_eq!(case.decides(0.1), "look service, look queue, wake 1");
    case.tasks(0.2, 3, &["a"]).queued(0.2, 7);
    assert_eq!(case.samples(0.3), [(Metric::QueueDepth, 7.0), (Metric::Workers, 1.0)]);
    case.sampled(0.2, Metric::QueueDepth, 7.0).sampled(0.2, Metric::Workers, 1.0).dagster(2.1, &[]);
    assert_eq!(case.decides(2.1), "wake 2.2");
    assert_eq!(case.decides(2.2), "look service, look queue, wake 3.1");
    case.event(2.2, Event::AuditBegan);
    assert_eq!(case.decides(2.2), "wake 3.1", "it is over");
}

#[test]
fn what_changed_is_written_down_and_now_and_then_what_did_not() {
    let mut case = living("");
    case.sampled(1.0, Metric::QueueDepth, 7.0);
    for (second, depth, written) in [
        (0.5, 9, false),
        (1.0, 9, false),
        (1.9, 9, false),
        (2.0, 9, true),
        (2.0, 7, false),
        (10.9, 7, false),
        (11.0, 7, true),
    ] {
        case.queued(second, depth);
        let samples = case.samples(second + 0.1);
        assert_eq!(!samples.is_empty(), written, "{second} {depth}: {samples:?}");
    }
}

#[test]
fn every_minute_of_the_queues_age_is_a_sample_at_its_own_instant() {
    let mut case = living("");
    case.aged(130.0, &[(-20.0, 90.0), (0.0, 7.0), (60.0, 7.0)]);
    let ages = |case: &Case, second: f64| {
        let noted = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(second)).notes;
        let sampled = noted.into_iter().filter_map(|event| {
            let Event::Sampled { metric: Metric::QueueAge, asked_at, value } = event else { return None };
            Some((asked_at.since(at(0.0)).as_secs(), value))
        });
        sampled.collect::<Vec<_>>()
    };
    assert_eq!(ages(&case, 131.0), [(0, 7.0), (60, 7.0)], "what was before the start is not of it");
    case.sampled(0.0, Metric::QueueAge, 7.0).sampled(60.0, Metric::QueueAge, 7.0);
    assert_eq!(ages(&case, 131.0), [], "once");
    case.aged(190.0, &[(0.0, 7.0), (60.0, 7.0), (120.0, 99.0)]);
    assert_eq!(ages(&case, 191.0), [(120, 99.0)]);
    let why = Why { kind: WhyKind::Throttled, message: "slow down".to_owned() };
    case.observation.queue_age = Some(Timed { asked_at: at(195.0), answer: Seen::Unavailable(why) });
    assert_eq!(ages(&case, 196.0), [], "absence is not zero");
}

#[test]
fn a_fault_waits_for_the_age_of_the_queue() {
    let mut case = living("  faults: [{ name: f, when: queueAge > 60s, stopTasks: { service: workers } }]\n");
    case.observation.queue_age = None;
    assert!(case.decides(0.1).contains("look age"));
    let fires = |case: &Case| case.decides(29.0).contains("faultTriggered");
    case.aged(29.0, &[(-60.0, 999.0)]);
    assert!(!fires(&case), "that was before the start");
    case.aged(29.0, &[(-60.0, 999.0), (0.0, 60.0)]);
    assert!(!fires(&case));
    case.aged(29.0, &[(0.0, 61.0)]);
    assert!(fires(&case));
}

#[test]
fn a_gauge_that_is_only_drawn_may_fail_and_that_is_said_once() {
    let mut case = living("");
    let why = Why { kind: WhyKind::Unauthorized, message: "no".to_owned() };
    case.tasks(0.2, 3, &["a"]).sampled(0.2, Metric::Workers, 1.0);
    case.observation.queue = Some(Timed { asked_at: at(0.2), answer: Seen::Unavailable(why.clone()) });
    assert_eq!(case.decides(0.3), "unready, wake 1");
    let dependency = Dependency::Gauge(Metric::QueueDepth);
    case.event(0.3, Event::Unready { dependency, why: why.clone() });
    assert!(case.state.current.as_ref().unwrap().unready.is_empty(), "nothing depends on it");
    assert_eq!(case.decides(0.4), "wake 1");
    case.tasks(9.0, 3, &["a"]).dagster(10.1, &[]);
    assert_eq!(case.decides(10.1), "wake 10.2", "and it is asked seldom");
    case.queued(10.2, 0);
    assert_eq!(case.decides(10.2), "sampled, readied, wake 11");
    // What a threshold or a fault depends on is needed.
    for more in [
        "  expect: { thresholds: { queueDepth: ['max >= 1'] } }\n",
        "  faults: [{ name: f, when: queueDepth > 9, stopTasks: { service: workers } }]\n",
    ] {
        let mut case = living(more);
        case.observation.queue = Some(Timed { asked_at: at(0.2), answer: Seen::Unavailable(why.clone()) });
        let noted = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(0.3)).notes;
        assert!(noted.contains(&Event::Unready { dependency: Dependency::Queue, why: why.clone() }), "{noted:?}");
    }
}

#[test]
fn a_fault_waits_for_what_it_watches() {
    let kill = "  faults: [{ name: kill, when: workers < 3, repeat: { every: 4s, times: 2 }, stopTasks: { service: workers } }]\n";
    let mut case = living(kill);
    // The queue does not matter here.
    case.queued(0.0, 0).sampled(0.0, Metric::QueueDepth, 0.0);
    case.tasks(0.5, 3, &["a", "b", "c"]).sampled(0.5, Metric::Workers, 3.0);
    assert_eq!(case.decides(0.6), "wake 1", "three are not fewer than three");
    case.tasks(2.0, 3, &["a", "b"]).queued(2.0, 0).sampled(2.0, Metric::Workers, 2.0);
    assert_eq!(case.decides(2.1), "faultTriggered, look dagster, wake 3");
    case.event(2.1, Event::FaultTriggered { fault: "kill".to_owned(), asked_at: at(2.0), value: 2.0 });
    assert_eq!(case.decides(2.1), "faultIntended, inject kill#1, look dagster, wake 3");
    let skipped = Event::FaultSkipped {
        fault: FaultId { name: "kill".to_owned(), occurrence: 1 },
        reason: "no target".to_owned(),
    };
    case.event(2.2, skipped).tasks(5.9, 3, &["a", "b", "c"]).queued(5.9, 0).dagster(5.9, &[]);
    case.sampled(5.9, Metric::Workers, 3.0);
    assert_eq!(case.decides(5.95), "wake 6", "the second comes 4s after the trigger, whatever became of the first");
    assert_eq!(case.decides(6.0), "faultIntended, inject kill#2, wake 6.9");
}

#[test]
fn what_never_comes_true_is_skipped_when_the_load_ends() {
    let mut case = living("  faults: [{ name: kill, when: queueDepth > 5, stopTasks: { service: workers } }]\n");
    case.tasks(29.5, 3, &["a", "b", "c"]);
    assert!(!case.decides(29.9).contains("fault"));
    assert!(case.decides(30.0).contains("faultSkipped"));
}

#[test]
fn a_gauge_of_a_threshold_must_answer_before_the_start() {
    let mut case = Case::at(with("  expect: { thresholds: { workers: ['max >= 1'] } }\n"), GAUGED);
    case.dagster(0.1, &[]);
    assert_eq!(case.decides(0.2), "look service, wake 1.1");
    case.tasks(0.1, 3, &["a"]);
    assert_eq!(case.decides(0.2), "started, wake 1.1");
}

#[test]
fn a_fault_waits_for_one_that_has_its_tasks_though_that_was_planned_for_later() {
    let faults = "  faults:
    - { name: watching, when: workers < 3, stopTasks: { service: workers } }
    - { name: later, after: 1s, stopTasks: { service: workers } }\n";
    let mut case = living(faults);
    case.tasks(1.0, 3, &["a", "b", "c"]).dagster(1.0, &[]);
    assert_eq!(case.decides(1.1), "sampled, faultIntended, inject later#1, look queue, wake 2");
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
