//! Numbers of one history, over all of it and over parts.

use super::*;
use crate::{
    journal::{Event, Found, Record, State, failed_by_reason},
    model::{GenerationId, Key, RunView, Runs, Undo},
    plan,
    spec::{Manifest, Scenario, load, no_attachments},
};

fn at(second: f64) -> Timestamp {
    Timestamp::from_seconds(1_000_000.0 + second)
}

fn scenario(thresholds: &str) -> Scenario {
    let text = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load:
    - {{ name: base, for: 60s, arrivals: {{ constant: {{ rate: 6/min }} }}, jobs: {{ a: 1 }} }}
    - {{ name: spikes, after: 20s, for: 20s, arrivals: {{ burst: {{ size: 2, every: 10s }} }}, jobs: {{ a: 1 }} }}
  faults:
    - {{ name: kill, after: 25s, stopTasks: {{ service: workers }} }}
    - {{ name: other, after: 55s, stopTasks: {{ service: workers }} }}
  expect: {{ thresholds: {{ {thresholds} }} }}
"
    );
    match load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
        Some(Ok(Manifest::Scenario(scenario))) => *scenario,
        other => panic!("{other:?}"),
    }
}

const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"}}"#;

/// Runs of `base` take 1 s and are sent at once; those of `spikes` take 5 s and are sent 2 s late. The one at 50 s is
/// rejected. `kill` is in place from 25 s to 45 s, and the workers were fewer from 26 s to 46 s.
fn measured(threshold: &str, samples: &[(f64, f64)]) -> Measured {
    let scenario = scenario(threshold);
    let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
    let plan = plan::compile(&scenario, &generation);
    let mut events = vec![
        (
            0.0,
            Event::Accepted {
                generation: generation.clone(),
                scenario: Box::new(scenario),
                target: Box::new(serde_json::from_str(TARGET).expect("a target")),
            },
        ),
        (0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() }),
    ];
    let mut runs = vec![];
    for (index, arrival) in (0..).zip(plan.arrivals.from(0)) {
        let (due, is_spike) = (arrival.offset.as_secs_f64(), arrival.phase == 1);
        let sent = if is_spike { due + 2.0 } else { due };
        events.push((sent, Event::SubmitIntended { index, attempt: 1, due: None }));
        if due >= 50.0 {
            events.push((sent, Event::SubmitRefused { index, reason: "no".to_owned(), retry: false }));
            continue;
        }
        let run_id = format!("r{index}");
        events.push((sent, Event::Submitted { index, run_id: run_id.clone(), found: Found::Acknowledged }));
        runs.push(RunView {
            run_id,
            key: Some(Key { scenario: plan.scenario.clone(), generation: generation.clone(), index }),
            job: "a".into(),
            status: RunStatus::Success,
            started_at: Some(at(due)),
            ended_at: Some(at(due + if is_spike { 5.0 } else { 1.0 })),
            generation_started: None,
            ..RunView::new("", None, "", RunStatus::Queued)
        });
    }
    let kill = plan.faults[0].id.clone();
    let (targets, objects, inject, undo) = (vec![], vec![], vec![], Undo::default());
    events.push((25.0, Event::FaultIntended { fault: kill.clone(), targets, objects, inject, undo }));
    events.push((44.0, Event::FaultSteady { fault: kill.clone(), asked_at: at(44.0) }));
    events.push((45.0, Event::Healed { fault: kill, asked_at: at(45.0) }));
    events.push((59.0, Event::FaultSkipped { fault: plan.faults[1].id.clone(), reason: "no".to_owned() }));
    for (second, value) in samples {
        events.push((*second, Event::Sampled { metric: Metric::Workers, asked_at: at(*second), value: *value }));
    }
    let mut state = State::default();
    for (seq, (second, event)) in (0..).zip(events) {
        state.apply(&Record { seq, at: at(second), epoch: 1, event }).expect("a legal record");
    }
    let current = state.current.as_ref().expect("it was accepted");
    let recovered = |fault: &FaultState| fault.steady_at;
    let runs: Runs = runs.into_iter().collect();
    let launches = Launches::of(current, &plan, runs.kin(), failed_by_reason);
    let evidence =
        Evidence { plan: &plan, generation: current, launches: &launches, until: at(60.0), recovered: &recovered };
    evidence.measure(&plan.expect.thresholds[0])
}

const SAMPLES: &[(f64, f64)] =
    &[(0.0, 4.0), (10.0, 4.0), (20.0, 4.0), (26.0, 2.0), (36.0, 2.0), (46.0, 4.0), (56.0, 4.0)];

#[test]
fn a_part_is_measured_by_its_arrivals_or_by_its_time() {
    for (threshold, samples, value) in [
        ("runLatency: ['mean < 9s']", 9, Some(25.0 / 9.0)),
        ("runLatency: [{ that: 'mean < 9s', during: base }]", 5, Some(1.0)),
        ("runLatency: [{ that: 'min < 9s', during: spikes }]", 4, Some(5.0)),
        ("runLatency: [{ that: 'mean < 9s', around: kill }]", 4, Some(3.0)),
        ("runLatency: [{ that: 'mean < 9s', around: kill, margin: 5s }]", 7, Some(23.0 / 7.0)),
        ("runLatency: [{ that: 'mean < 9s', around: faults }]", 4, Some(3.0)),
        ("runLatency: [{ that: 'mean < 9s', around: other }]", 0, None),
        ("runLatency: [{ that: 'max < 9s', outside: faults }]", 5, Some(5.0)),
        ("runLatency: [{ that: 'max < 9s', outside: kill, margin: 5s }]", 2, Some(1.0)),
        ("runLatency: [{ that: 'mean < 9s', outside: other }]", 9, Some(25.0 / 9.0)),
        ("startLatency: [{ that: 'max < 9s', during: spikes }]", 4, Some(0.0)),
        ("lateness: [{ that: 'min < 9s', during: spikes }]", 4, Some(2.0)),
        ("lateness: [{ that: 'max < 9s', during: base }]", 6, Some(0.0)),
        ("lateness: [{ that: 'max < 9s', around: kill, margin: 6s }]", 8, Some(2.0)),
        ("lateness: [{ that: 'max < 9s', outside: kill, margin: 6s }]", 2, Some(0.0)),
        ("submissionErrors: ['max < 9']", 10, Some(1.0)),
        ("submissionErrors: [{ that: 'max < 9', during: spikes }]", 4, Some(0.0)),
        ("submissionErrors: [{ that: 'rate < 9', outside: kill }]", 6, Some(1.0 / 60.0)),
        ("throughput: ['rate > 1/s']", 9, Some(9.0 / 41.0)),
        ("throughput: [{ that: 'rate > 1/s', around: kill }]", 6, Some(0.3)),
        ("throughput: [{ that: 'rate > 1/s', outside: kill }]", 3, Some(0.075)),
        ("throughput: [{ that: 'rate > 1/s', during: spikes }]", 6, Some(0.3)),
        ("recoveryTime: ['max < 1m']", 1, Some(19.0)),
        ("recoveryTime: [{ that: 'max < 1m', around: kill }]", 1, Some(19.0)),
        ("recoveryTime: [{ that: 'max < 1m', around: other }]", 0, None),
        ("workers: ['mean > 1']", 7, Some(200.0 / 60.0)),
        ("workers: ['p33 > 1']", 7, Some(2.0)),
        ("workers: ['p34 > 1']", 7, Some(4.0)),
        ("workers: [{ that: 'mean > 1', around: kill }]", 3, Some(2.1)),
        ("workers: [{ that: 'mean > 1', outside: kill }]", 6, Some(3.95)),
        ("workers: [{ that: 'mean > 1', during: spikes }]", 3, Some(2.6)),
        ("workers: [{ that: 'last > 1', during: spikes }]", 3, Some(2.0)),
        ("queueDepth: ['max > 1']", 0, None),
    ] {
        let found = measured(threshold, SAMPLES);
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-9;
        let same = found.value.zip(value).is_some_and(|(found, wanted)| near(found, wanted)) || found.value == value;
        assert!(same && found.samples == samples, "{threshold}: {found:?}, not {value:?} of {samples}");
    }
}

#[test]
fn what_no_look_has_shown_is_not_filled_in() {
    // Seen as 9 for 15 s at most, then again as 1 for 10 s; the last look is at the end.
    let found = measured("workers: ['mean > 1']", &[(0.0, 9.0), (50.0, 1.0), (60.0, 5.0)]);
    assert_eq!(found, Measured { value: Some((9.0 * 15.0 + 1.0 * 10.0) / 25.0), samples: 3 });
    assert_eq!(measured("workers: ['last > 1']", &[(60.0, 5.0)]), Measured { value: Some(5.0), samples: 1 });
}
