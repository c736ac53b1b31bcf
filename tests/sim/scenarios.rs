//! What a seed's manifests are, and how they change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dagstorm::{
    model::{ScenarioName, Target},
    operator::{Desired, Wanted},
    spec::{Manifest, Scenario, load, no_attachments},
};

use crate::{clock::Shared, mutants::Mutant};

pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// What the simulated Dagster really needs; the target's `settle` is the same, but for a mutant.
pub const SETTLE: Duration = Duration::from_secs(8);

/// The manifests, one version after another: each from its offset on.
pub type Script = Vec<(Duration, BTreeMap<ScenarioName, Desired>)>;

pub fn script(core: &Shared, mutant: Mutant) -> Script {
    let target = target(mutant);
    let (count, die, at, is_chain) = {
        let mut core = core.lock().unwrap();
        let count = if core.chance(30) { 2 } else { 1 };
        (count, core.millis(0, 99).as_millis(), core.millis(500, 40_000), core.chance(40))
    };
    let mut versions = BTreeMap::new();
    for number in 0..count {
        // What waits for another one waits for ever if that is deleted: only where both stay.
        let start = if number == 1 && is_chain && die >= 35 { "\n  start: { after: [storm-0] }" } else { "" };
        let scenario = scenario(core, number, start);
        versions.insert(scenario.name.clone(), desired(&scenario, &target));
    }
    let mut script = vec![(Duration::ZERO, versions.clone())];
    let name: ScenarioName = "storm-0".parse().expect("a name");
    match die {
        0..20 => {
            let edited = scenario(core, 0, "");
            let before = versions.insert(name.clone(), desired(&edited, &target));
            script.push((at, versions.clone()));
            // Back again to what it was.
            if die < 8 {
                versions.extend(before.map(|desired| (name, desired)));
                script.push((at + Duration::from_secs(u64::from(die as u8)), versions));
            }
        }
        20..35 => {
            let removed = versions.remove(&name);
            script.push((at, versions.clone()));
            if die < 27 {
                versions.extend(removed.map(|desired| (name, desired)));
                script.push((at + Duration::from_secs(7), versions));
            }
        }
        35..45 => {
            let before = versions[&name].clone();
            versions.insert(name.clone(), suspended(&before));
            script.push((at, versions.clone()));
            versions.insert(name, before);
            script.push((at + Duration::from_secs(u64::from(die as u8) - 30), versions));
        }
        _ => {}
    }
    script
}

fn suspended(desired: &Desired) -> Desired {
    let Desired::Present { wanted: Some(wanted), rejection } = desired else { panic!("{desired:?}") };
    let scenario = Scenario { suspend: true, ..wanted.scenario.clone() };
    let wanted = Wanted::new(scenario, wanted.target.clone(), false);
    Desired::Present { wanted: Some(Arc::new(wanted)), rejection: rejection.clone() }
}

fn desired(scenario: &Scenario, target: &Target) -> Desired {
    let wanted = Wanted::new(scenario.clone(), target.clone(), false);
    Desired::Present { wanted: Some(Arc::new(wanted)), rejection: None }
}

fn scenario(core: &Shared, number: u32, start: &str) -> Scenario {
    let mut core = core.lock().unwrap();
    let seed = core.millis(0, 1_000_000).as_millis();
    let length = core.millis(6, 25).as_millis() as u64;
    let arrivals = if core.chance(50) {
        format!("{{ constant: {{ rate: {}/min }} }}", core.millis(10, 60).as_millis())
    } else {
        format!("{{ burst: {{ size: {}, every: {}s }} }}", core.millis(1, 6).as_millis(), core.millis(3, 9).as_millis())
    };
    let faults = if core.chance(60) {
        let begins = match core.millis(0, 9).as_millis() {
            0 => "when: queueDepth > 2".to_owned(),
            1 => "when: workers < 3".to_owned(),
            _ => format!("after: {}ms", core.millis(0, length * 1_000 / 2).as_millis()),
        };
        let pick = ["one", "2", "50%", "all"][core.millis(0, 3).as_millis() as usize];
        let repeat = if core.chance(30) { "repeat: { every: 2s, times: 2 }, " } else { "" };
        format!(
            "\n  faults:\n    - {{ name: kill, {begins}, {repeat}stopTasks: {{ service: workers, pick: {pick} }} }}"
        )
    } else {
        String::new()
    };
    let deletion = if core.chance(30) { "\n  deletion: terminate" } else { "" };
    let limits = if core.chance(15) { "\n  limits: { maxInFlight: 3 }" } else { "" };
    let thresholds =
        if core.chance(30) { ", thresholds: { workers: ['max >= 1'], lateness: ['max < 3h'] }" } else { "" };
    let text = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: storm-{number} }}
spec:
  target: local
  seed: {seed}{start}{limits}{deletion}
  load:
    - {{ name: base, for: {length}s, arrivals: {arrivals}, jobs: {{ fast_job: 3, slow_job: 1 }} }}{faults}
  expect: {{ quiet: 12s{thresholds} }}
"
    );
    match load("sim.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
        Some(Ok(Manifest::Scenario(scenario))) => *scenario,
        other => panic!("not a scenario: {other:?}\n{text}"),
    }
}

fn target(mutant: Mutant) -> Target {
    let text = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: local }}
spec:
  dagster: {{ url: 'http://simulated/graphql', location: demo, requestTimeout: {}s, settle: {}s }}
  ecs: {{ cluster: demo, services: {{ workers: taskiq-worker }} }}
  queues: {{ tasks: {{ name: tasks }} }}
",
        REQUEST_TIMEOUT.as_secs(),
        SETTLE.as_secs()
    );
    let mut target = match load("sim.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
        Some(Ok(Manifest::Target(target))) => *target,
        other => panic!("not a target: {other:?}"),
    };
    if mutant == Mutant::NoSettle {
        target.dagster.settle = dagstorm::model::Span::ZERO;
    }
    target
}
