//! What a look shows that is written down at once.

use super::{super::notice, *};
use crate::model::{Key, Metric};

fn with(thresholds: &str) -> Scenario {
    read(&format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load: [{{ name: base, for: 60s, arrivals: {{ constant: {{ rate: 6/min }} }}, jobs: {{ fast_job: 1 }} }}]
  expect: {{ thresholds: {{ {thresholds} }} }}
"
    ))
}

fn living(thresholds: &str) -> Case {
    let mut case = Case::at(with(thresholds), GAUGED);
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    case
}

impl Case {
    /// Runs of the plan's keys: index, id, when each ended.
    fn runs(&mut self, second: f64, runs: &[(u32, &str, Option<f64>)]) -> &mut Self {
        let runs = runs.iter().map(|(index, run_id, ended)| RunView {
            run_id: (*run_id).to_owned(),
            key: Some(self.plan.key(*index)),
            job: "fast_job".into(),
            status: ended.map_or(RunStatus::Started, |_| RunStatus::Success),
            started_at: None,
            ended_at: ended.map(at),
            generation_started: None,
            ..RunView::new("", None, "", RunStatus::Queued)
        });
        let view = DagsterView { version: "1".to_owned(), runs: runs.collect(), since: None, location: None };
        self.observation.dagster = Some(Timed { asked_at: at(second), answer: Seen::Fresh(view) });
        self
    }

    fn notices(&self) -> Vec<Event> {
        let view = self.observation.dagster.as_ref().and_then(|seen| seen.answer.fresh()).unwrap();
        let asked_at = self.observation.dagster.as_ref().map(|seen| seen.asked_at).unwrap();
        notice::runs(&self.plan, self.state.current.as_ref().unwrap(), view, asked_at)
    }

    fn breaks(&self, second: f64) -> Option<String> {
        let current = self.state.current.as_ref().unwrap();
        let event = notice::breach(&self.plan, current, &self.observation, at(second))?;
        let Event::Aborted { reason } = event else { panic!("{event:?}") };
        Some(reason)
    }
}

#[test]
fn two_runs_of_a_key_are_told_once() {
    let mut case = living("");
    case.acknowledged(0).acknowledged(1).runs(11.0, &[(0, "r0", None), (1, "r1", None)]);
    assert_eq!(case.notices(), []);
    case.runs(12.0, &[(1, "x", None), (0, "r0", None), (1, "r1", None)]);
    let told = Event::DuplicateSeen { index: 1, runs: vec!["r1".to_owned(), "x".to_owned()] };
    assert_eq!(case.notices(), std::slice::from_ref(&told));
    case.event(12.0, told);
    assert_eq!(case.notices(), []);
    // Whichever of them is shown first, and also while the answer is in doubt.
    let mut case = living("");
    case.sent(0.0, 0, 1).runs(1.0, &[(0, "b", None), (0, "a", None)]);
    assert_eq!(case.notices(), [Event::DuplicateSeen { index: 0, runs: vec!["a".to_owned(), "b".to_owned()] }]);
}

#[test]
fn a_run_that_nothing_explains_is_told_once() {
    let mut case = living("");
    case.sent(0.0, 0, 1).event(0.1, Event::SubmitRefused { index: 0, reason: "no".to_owned(), retry: false });
    case.sent(10.0, 1, 1).event(10.1, Event::SubmitRefused { index: 1, reason: "no".to_owned(), retry: true });
    case.event(20.0, Event::SubmitDropped { index: 2, in_flight: 1 });
    case.runs(21.0, &[(0, "r0", None), (1, "r1", None), (2, "r2", None), (3, "r3", None)]);
    let view = case.observation.dagster.as_mut().unwrap();
    let Seen::Fresh(view) = &mut view.answer else { panic!("it is fresh") };
    let first = view.runs.iter().next().unwrap().clone();
    let mut stranger = first.clone();
    (stranger.run_id, stranger.key) = ("s".to_owned(), None);
    let mut other = first;
    let key = Key { generation: GenerationId { digest: "other".to_owned(), repeat: 1 }, ..case.plan.key(0) };
    (other.run_id, other.key) = ("o".to_owned(), Some(key));
    view.runs.extend([stranger, other]);
    let told = case.notices();
    let texts: Vec<&str> = told
        .iter()
        .map(|event| {
            let Event::UnexpectedSeen { reason, .. } = event else { panic!("{event:?}") };
            reason.split_once(' ').unwrap().1
        })
        .collect();
    assert_eq!(
        texts,
        [
            "was never attempted, yet Dagster has o",
            "was rejected, yet Dagster has r0",
            "was dropped, yet Dagster has r2",
            "was never attempted, yet Dagster has r3",
            "run without a key was never attempted, yet Dagster has s",
        ],
        "the one that was refused for now may come"
    );
    for event in told {
        case.event(21.0, event);
    }
    assert_eq!(case.notices(), []);
}

#[test]
fn what_was_before_the_start_is_no_matter_of_this() {
    let mut case = Case::at(with(""), GAUGED);
    case.runs(1.0, &[(0, "r0", None), (0, "r1", None)]);
    assert_eq!(case.notices(), []);
}

#[test]
fn a_threshold_ends_it_after_its_grace_and_with_enough_samples() {
    let late = "runLatency: [{ that: 'max < 5s', abortOnFail: true, grace: 20s, minSamples: 2 }]";
    let mut case = living(late);
    case.acknowledged(0).acknowledged(1).acknowledged(2);
    let slow = [(0, "r0", Some(9.0)), (1, "r1", Some(19.0))];
    case.runs(19.5, &slow);
    assert_eq!(case.breaks(19.9), None, "the grace");
    assert_eq!(
        case.breaks(20.0).unwrap(),
        "expect.thresholds: runLatency max < 5s does not hold: it is 9s over 2 samples"
    );
    case.runs(20.0, &slow[..1]);
    assert_eq!(case.breaks(21.0), None, "one sample of two");
    case.runs(20.0, &[(0, "r0", Some(4.0)), (1, "r1", Some(14.0)), (2, "r2", None)]);
    assert_eq!(case.breaks(50.0), None, "it holds; what has not ended is not known");
    case.no_dagster(20.0);
    assert_eq!(case.breaks(50.0), None, "absence is not zero");
    case.runs(20.0, &slow);
    case.event(21.0, Event::Aborted { reason: String::new() });
    assert_eq!(case.breaks(22.0), None, "once");
}

#[test]
fn launches_gauges_and_faults_end_it_without_a_look_at_dagster() {
    for (threshold, event, reason) in [
        (
            "lateness: [{ that: 'max < 1s', abortOnFail: true }]",
            Event::SubmitIntended { index: 1, attempt: 1, due: None },
            "lateness max < 1s does not hold: it is 5s over 2 samples",
        ),
        (
            "submissionErrors: [{ that: 'max < 1', abortOnFail: true }]",
            Event::SubmitDropped { index: 1, in_flight: 1 },
            "submissionErrors max < 1 does not hold: it is 1 over 2 samples",
        ),
        (
            "workers: [{ that: 'min >= 2', abortOnFail: true }]",
            Event::Sampled { metric: Metric::Workers, asked_at: at(15.0), value: 1.0 },
            "workers min >= 2 does not hold: it is 1 over 1 samples",
        ),
    ] {
        let mut case = living(threshold);
        case.acknowledged(0).no_dagster(14.0);
        assert_eq!(case.breaks(15.0), None, "{threshold}");
        case.event(15.0, event);
        assert_eq!(case.breaks(15.0), Some(format!("expect.thresholds: {reason}")));
        case.event(15.0, Event::AuditBegan);
        assert_eq!(case.breaks(15.0), None, "the audit judges now");
    }
    let mut case = living("throughput: [{ that: 'rate > 1/s', abortOnFail: true, during: base }]");
    case.no_dagster(5.0);
    assert_eq!(case.breaks(6.0), None, "nobody knows what has completed");
    case.runs(5.0, &[]);
    assert!(case.breaks(6.0).is_some(), "nothing has");
    // What does not ask for it ends nothing.
    let mut case = living("workers: ['min >= 2']");
    case.event(1.0, Event::Sampled { metric: Metric::Workers, asked_at: at(1.0), value: 1.0 });
    assert_eq!(case.breaks(2.0), None);
}

#[test]
fn a_duplicate_ends_it_where_that_is_asked_for() {
    for (limits, ends) in
        [(r#"{"abortOn":{"duplicate":true}}"#, true), (r#"{"abortOn":{"when":"workers < 0"}}"#, false)]
    {
        let mut scenario = with("");
        scenario.spec.limits = serde_json::from_str(limits).unwrap();
        let mut case = Case::at(scenario, GAUGED);
        case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }).acknowledged(0);
        case.event(2.0, Event::DuplicateSeen { index: 0, runs: vec!["a".to_owned(), "b".to_owned()] });
        let decision = decide(&case.plan, case.state.current.as_ref().unwrap(), &case.observation, at(2.0));
        let aborted = decision.notes.iter().any(|event| {
            matches!(event, Event::Aborted { reason } if reason == "limits.abortOn: arrival 0 was launched 2 times: a, b")
        });
        assert_eq!(aborted, ends, "{decision:?}");
    }
}
