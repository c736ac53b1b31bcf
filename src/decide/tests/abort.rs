//! What ends a scenario early, and what keeps it or its faults from beginning.

use super::*;
use crate::model::{AgeView, AlarmView, Metric, PolicyView, QueueView};

/// `at(20)` is 13:47:00.
const GUARDED: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"workers":"taskiq-worker"}},
    "queue":{"name":"tasks"},
    "guard":{"account":"000000000000","denyWindows":[{"cron":"47 13 * * *","for":"10s"}]}}"#;

fn on(target: &str, more: &str) -> Case {
    let scenario = read(&format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load:
    - {{ name: base, for: 60s, arrivals: {{ constant: {{ rate: 1/min }} }}, jobs: {{ fast_job: 1 }} }}
  expect: {{ quiet: 20s }}
{more}"
    ));
    let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
    let plan = plan::compile(&scenario, &generation);
    let mut case = Case::on(scenario, generation, plan, target);
    case.dagster(0.0, &[]);
    case
}

impl Case {
    fn starts(&mut self) -> &mut Self {
        self.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
        self.acknowledged(0);
        self.event(0.0, Event::Counted { runs: RunCounts::default() });
        self.dagster(0.0, &[])
    }

    fn alarm(&mut self, second: f64, is_ringing: bool) -> &mut Self {
        let view = AlarmView { is_ringing, reason: "too many 5xx".to_owned() };
        let seen = Timed { asked_at: at(second), answer: Seen::Fresh(view) };
        self.observation.alarms.insert("dagster-5xx".to_owned(), seen);
        self
    }

    fn depth(&mut self, second: f64, visible: u64) -> &mut Self {
        let answer = Seen::Fresh(QueueView { visible, in_flight: 0 });
        self.observation.queue = Some(Timed { asked_at: at(second), answer });
        self
    }

    fn account(&mut self, second: f64, number: &str) -> &mut Self {
        self.observation.account = Some(Timed { asked_at: at(second), answer: Seen::Fresh(number.to_owned()) });
        self
    }

    fn ends(&mut self, second: f64) -> Option<String> {
        let decision = decide(&self.plan, self.state.current.as_ref().unwrap(), &self.observation, at(second));
        let aborted = decision.notes.into_iter().find(|event| matches!(event, Event::Aborted { .. }))?;
        self.event(second, aborted.clone());
        let Event::Aborted { reason } = aborted else { unreachable!("it was looked for") };
        Some(reason)
    }
}

const ALARM: &str = "  limits: { abortOn: { alarm: dagster-5xx } }\n";

#[test]
fn nothing_starts_under_an_alarm() {
    let mut case = on(TARGET, ALARM);
    assert_eq!(case.decides(0.1), "look alarm, wake 1");
    case.alarm(0.2, true);
    assert_eq!(case.decides(0.3), "unready, wake 1");
    let dependency = crate::journal::Dependency::Alarm("dagster-5xx".to_owned());
    let why = Why { kind: WhyKind::Mismatch, message: String::new() };
    case.event(0.3, Event::Unready { dependency, why });
    assert_eq!(case.decides(0.4), "wake 1", "it is said once");
    case.alarm(6.0, false).dagster(6.0, &[]);
    assert_eq!(case.decides(6.1), "readied, wake 7");
}

#[test]
fn an_alarm_ends_it_and_everything_is_judged() {
    let mut case = on(TARGET, ALARM);
    case.alarm(0.0, false).starts();
    assert_eq!(case.ends(4.0), None);
    case.alarm(-1.0, true);
    assert_eq!(case.ends(5.0), None, "that was before it began");
    case.alarm(5.0, true);
    let reason = case.ends(5.1).unwrap();
    assert_eq!(reason, "limits.abortOn: alarm dagster-5xx is in ALARM: too many 5xx");
    assert_eq!(case.ends(5.2), None, "once");
    case.dagster(24.9, &[(0, RunStatus::Success)]).steps_read(&["r0"]);
    case.event(24.9, Event::Counted { runs: RunCounts { succeeded: 1, ..RunCounts::default() } });
    assert_eq!(case.decides(25.2), "wake 25.9", "the load is over, the quiet period counts");
    case.dagster(45.0, &[(0, RunStatus::Success)]);
    assert_eq!(case.decides(45.1), "auditBegan, wake 46", "it is judged, and not only stopped");
}

#[test]
fn a_guard_that_cannot_see_is_none() {
    let mut case = on(TARGET, ALARM);
    case.alarm(0.0, false).starts();
    let dependency = crate::journal::Dependency::Alarm("dagster-5xx".to_owned());
    let why = Why { kind: WhyKind::Throttled, message: "slow down".to_owned() };
    case.event(10.0, Event::Unready { dependency, why: why.clone() });
    case.observation
        .alarms
        .insert("dagster-5xx".to_owned(), Timed { asked_at: at(69.0), answer: Seen::Unavailable(why) });
    assert_eq!(case.ends(69.9), None);
    let reason = case.ends(70.0).unwrap();
    assert!(reason.contains("could not be seen for 60 s: slow down"), "{reason}");
}

#[test]
fn a_gauge_ends_it_when_it_has_held_for_long_enough() {
    let mut case = on(GUARDED, "  limits: { abortOn: { when: queueDepth > 5, for: 10s } }\n");
    case.depth(0.0, 0).starts();
    for (second, depth) in [(5.0, 9), (10.0, 9), (15.0, 2), (20.0, 6), (25.0, 7)] {
        case.event(
            second,
            Event::Sampled { metric: Metric::QueueDepth, asked_at: at(second), value: f64::from(depth) },
        );
        assert_eq!(case.ends(second), None, "{second}: it was broken at 15");
    }
    case.depth(29.9, 8);
    assert_eq!(case.ends(29.9), None, "not long enough");
    case.depth(30.0, 5);
    assert_eq!(case.ends(30.0), None, "the last look breaks it");
    case.depth(30.0, 8);
    let reason = case.ends(30.0).unwrap();
    assert!(reason.starts_with("limits.abortOn: `queueDepth > 5` holds since") && reason.ends_with("is 8"), "{reason}");
}

const DENY: &str =
    "  faults: [{ name: f, after: 15s, for: 30s, denyQueue: {} }, { name: g, after: 22s, for: 5s, denyQueue: {} }]\n";

#[test]
fn nothing_with_faults_starts_in_another_account() {
    let mut case = on(GUARDED, DENY);
    case.observation.policies.insert("tasks".to_owned(), free(0.0));
    case.account(0.0, "111111111111");
    assert_eq!(case.decides(0.1), "unready, wake 1");
    case.account(0.2, "000000000000");
    assert_eq!(case.decides(0.3), "started, wake 1");
}

fn free(second: f64) -> Timed<PolicyView> {
    let view = PolicyView {
        url: "http://q/tasks".to_owned(),
        arn: "arn:aws:sqs:us-east-1:000000000000:tasks".to_owned(),
        ..PolicyView::default()
    };
    Timed { asked_at: at(second), answer: Seen::Fresh(view) }
}

/// Without a service there is one gauge less to draw, and the queue's is known.
fn denied() -> String {
    GUARDED.replace(r#""workers":"#, r#""victims":"#)
}

#[test]
fn a_deny_window_takes_faults_back_and_lets_none_begin() {
    let mut case = on(&denied(), DENY);
    case.starts();
    case.observation.policies.insert("tasks".to_owned(), free(15.0));
    case.dagster(15.0, &[]);
    let decision = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(15.0));
    assert_eq!(decision.acts.len(), 1, "{decision:?}");
    for event in decision.intents {
        case.event(15.0, event);
    }
    let kept = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(19.9));
    assert!(kept.notes.is_empty() && kept.wake_at.is_some_and(|wake| wake <= at(20.0)), "{kept:?}");
    let begun = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(20.0));
    let reason = "a deny window of the target has begun".to_owned();
    assert_eq!(begun.notes, [Event::HealBegan { fault: "f#1".parse().unwrap(), reason }]);
    // Another one, with nothing in the way but the window.
    let mut case = on(&denied(), DENY);
    case.starts();
    let skipped = Event::FaultSkipped { fault: "f#1".parse().unwrap(), reason: String::new() };
    case.event(15.0, skipped).dagster(22.0, &[]);
    case.observation.policies.insert("tasks".to_owned(), free(22.0));
    case.depth(22.0, 0);
    case.observation.queue_age = Some(Timed { asked_at: at(22.0), answer: Seen::Fresh(AgeView::default()) });
    case.event(22.0, Event::Sampled { metric: Metric::QueueDepth, asked_at: at(22.0), value: 0.0 });
    assert_eq!(case.decides(22.5), "wake 23");
    case.dagster(29.9, &[]).depth(29.9, 0);
    case.observation.policies.insert("tasks".to_owned(), free(29.9));
    assert_eq!(case.decides(29.95), "wake 30");
    assert_eq!(case.decides(30.0), "faultIntended, inject g#1, wake 30.9");
}

#[test]
fn nothing_goes_out_in_the_pass_that_decides_the_end() {
    let scenario = read(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: a }
spec:
  target: local
  limits: { abortOn: { alarm: dagster-5xx } }
  load: [{ name: base, for: 60s, arrivals: { constant: { rate: 6/min } }, jobs: { fast_job: 1 } }]
  faults: [{ name: kill, after: 10s, stopTasks: { service: workers } }]
",
    );
    let mut case = Case::at(scenario, GAUGED);
    case.starts().alarm(9.0, false).depth(9.0, 0).tasks(9.0, 2, &["a", "b"]);
    case.dagster(9.0, &[])
        .event(9.0, Event::Readied { dependency: crate::journal::Dependency::Service("workers".into()) });
    assert!(case.decides(10.0).contains("launch 1 attempt 1, inject kill"), "{}", case.decides(10.0));
    case.alarm(9.5, true);
    let decided = case.decides(10.0);
    assert!(decided.contains("aborted") && !decided.contains("launch") && !decided.contains("inject"), "{decided}");
}
