//! What a seed's manifests are, and how they change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dagstorm::{
    model::{GenerationId, ScenarioName, Target},
    operator::{Desired, Wanted},
    plan,
    spec::{Manifest, Scenario, load, no_attachments},
};

use crate::{
    mutants::Mutant,
    objects::{GROUP, PEER, PEER_PORT, SERVICE},
    storm::{Dice, Mishap, Storm},
};

pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// What the simulated Dagster really needs; the target's `settle` is the same, but for a mutant.
pub const SETTLE: Duration = Duration::from_secs(8);

/// How long a stopped scenario waits for its runs at most, and every other one for quiet.
pub const QUIET: Duration = Duration::from_secs(12);

/// The manifests, one version after another: each from its offset on.
pub type Script = Vec<(Duration, BTreeMap<ScenarioName, Desired>)>;

/// How a manifest changes, in percent of the seeds in which one does.
const EDITED: u64 = 45;
const DELETED: u64 = 35;

/// `is_calm`: there are no faults, and nothing changes.
pub fn script(seed: u64, storm: &mut Storm, mutant: Mutant, is_calm: bool) -> Script {
    let target = target(mutant);
    let changes = if is_calm { 0 } else { 45 };
    let change = storm.strikes(Mishap::Change, changes).map(|mut dice| (dice.number(0, 99), dice));
    let is_deleted = change.as_ref().is_some_and(|(die, _)| (EDITED..EDITED + DELETED).contains(die));
    let count =
        1 + [50, 35, 35].into_iter().filter(|percent| storm.strikes(Mishap::Company, *percent).is_some()).count();
    let mut versions = BTreeMap::new();
    for number in 0..count as u64 {
        // What waits for another one waits for ever if that is deleted: only for what stays.
        let first = u64::from(is_deleted);
        let chained = if number > first { storm.strikes(Mishap::Chain, 40) } else { None };
        let start = chained.map_or(String::new(), |mut dice| {
            format!("\n  start: {{ after: [storm-{}] }}", dice.number(first, number - 1))
        });
        let mut scenario = scenario(&mut Dice::new(seed, (1 << 21) + number), storm, number, &start);
        if is_calm {
            scenario.spec.faults.clear();
        }
        versions.insert(scenario.name.clone(), desired(&scenario, &target));
    }
    let mut script = vec![(Duration::ZERO, versions.clone())];
    let Some((die, mut dice)) = change else { return script };
    let (at, back) = (dice.millis(500, 40_000), dice.chance(50).then(|| dice.millis(1_000, 15_000)));
    let name: ScenarioName = "storm-0".parse().expect("a name");
    let before = versions[&name].clone();
    match die {
        0..EDITED => {
            let edited = scenario(&mut Dice::new(seed, (1 << 21) + 9), storm, 0, "");
            versions.insert(name.clone(), desired(&edited, &target));
        }
        EDITED..80 => {
            versions.remove(&name);
        }
        _ => {
            versions.insert(name.clone(), suspended(&before));
        }
    }
    script.push((at, versions.clone()));
    // Back again to what it was; whatever is suspended goes on.
    if let Some(back) = back.or((die >= EDITED + DELETED).then_some(Duration::from_secs(9))) {
        versions.insert(name, before);
        script.push((at + back, versions));
    }
    script
}

/// The last arrival of every version of each scenario, by the digest of its spec.
pub fn last_arrivals(script: &Script) -> BTreeMap<(ScenarioName, String), u32> {
    let all = script.iter().flat_map(|(_, versions)| versions);
    let lasts = all.filter_map(|(name, desired)| {
        let Desired::Present { wanted: Some(wanted), .. } = desired else { return None };
        let id = GenerationId { digest: wanted.digest.clone(), repeat: 1 };
        let last = plan::compile(&wanted.scenario, &id).arrivals.len().checked_sub(1)?;
        Some(((name.clone(), id.digest), last as u32))
    });
    lasts.collect()
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

fn scenario(dice: &mut Dice, storm: &mut Storm, number: u64, start: &str) -> Scenario {
    let (seed, short) = (dice.number(0, 1_000_000), dice.number(6, 25));
    let long = storm.strikes(Mishap::Long, 10);
    let is_long = long.is_some();
    let length = long.map_or(short, |mut dice| dice.number(45, 60));
    let arrivals = if dice.chance(50) {
        format!("{{ constant: {{ rate: {}/min }} }}", dice.number(10, 60))
    } else {
        format!("{{ burst: {{ size: {}, every: {}s }} }}", dice.number(1, 6), dice.number(3, 9))
    };
    let faults = faults(storm, length, is_long);
    let has = |storm: &mut Storm, mishap, percent, text| storm.strikes(mishap, percent).map_or("", |_| text);
    let deletion = has(storm, Mishap::Terminate, 30, "\n  deletion: terminate");
    let limits = limits(storm);
    let thresholds = match dice.number(0, 99) {
        0..20 => ", thresholds: { workers: ['max >= 1'], lateness: ['max < 3h', { that: 'max < 3h', during: base }] }",
        20..30 => {
            ", thresholds: { lateness: [{ that: 'max < 4s', abortOnFail: true, grace: 3s }], runLatency: [{ that: 'max < 40s', \
             abortOnFail: true, minSamples: 2 }] }"
        }
        _ => "",
    };
    // Some launch for partitions that are still to come when the scenario is accepted.
    let slow = match seed % 10 {
        0 => "{ weight: 1, partition: { each: all } }",
        1 => "{ weight: 1, partition: { draw: all }, assets: [raw/orders] }",
        2 => "{ weight: 1, partition: latest, runConfig: { own: yes } }",
        _ => "1",
    };
    let text = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: storm-{number} }}
spec:
  target: local
  seed: {seed}{start}{limits}{deletion}
  load:
    - {{ name: base, for: {length}s, arrivals: {arrivals}, jobs: {{ fast_job: 3, slow_job: {slow} }} }}{faults}
  expect: {{ quiet: {}s{thresholds} }}
",
        QUIET.as_secs()
    );
    match load("sim.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
        Some(Ok(Manifest::Scenario(scenario))) => *scenario,
        other => panic!("not a scenario: {other:?}\n{text}"),
    }
}

fn limits(storm: &mut Storm) -> String {
    let mut limits = vec![];
    if storm.strikes(Mishap::Limit, 15).is_some() {
        limits.push("maxInFlight: 3".to_owned());
    }
    if let Some(mut dice) = storm.strikes(Mishap::Abort, 10) {
        let on = [
            "alarm: deep",
            "when: queueDepth > 3",
            "when: queueDepth > 1, for: 5s",
            "when: queueAge > 45s",
            "duplicate: true",
        ][dice.below(5)];
        limits.push(format!("abortOn: {{ {on} }}"));
    }
    if limits.is_empty() { String::new() } else { format!("\n  limits: {{ {} }}", limits.join(", ")) }
}

/// The faults of a scenario whose load lasts so many seconds.
fn faults(storm: &mut Storm, length: u64, is_long: bool) -> String {
    let mut faults = vec![];
    if let Some(mut dice) = storm.strikes(Mishap::Kill, 60) {
        let begins = match dice.number(0, 9) {
            0 => "when: queueDepth > 2".to_owned(),
            1 => "when: workers < 3".to_owned(),
            2 => "when: queueAge > 20s".to_owned(),
            _ => format!("after: {}ms", dice.number(0, length * 1_000 / 2)),
        };
        let pick = ["one", "2", "50%", "all"][dice.below(4)];
        let repeat = if dice.chance(30) { "repeat: { every: 2s, times: 2 }, " } else { "" };
        faults.push(format!("name: kill, {begins}, {repeat}stopTasks: {{ service: workers, pick: {pick} }}"));
    }
    let mut held = |mishap: Mishap, percent: u32, name: &str, what: &str| {
        let Some(mut dice) = storm.strikes(mishap, percent) else { return };
        let ends = length * 1_000;
        let (latest, least, most) = if is_long { (10_000, 25_000, 45_000) } else { (ends / 2, 1_000, 20_000) };
        let begins = dice.number(0, latest);
        let lasts = dice.number(least, most.min(ends - begins));
        let every = lasts + dice.number(500, 4_000);
        let may_repeat = dice.chance(50) && begins + every + lasts <= ends;
        let repeat = if may_repeat { format!("repeat: {{ every: {every}ms, times: 2 }}, ") } else { String::new() };
        faults.push(format!("name: {name}, after: {begins}ms, for: {lasts}ms, {repeat}{what}"));
    };
    held(Mishap::Cut, 40, "cut", "partition: { between: workers, and: queue }");
    held(Mishap::Deny, 20, "deny", "denyQueue: {}");
    held(Mishap::Drain, 20, "drain", "drainService: { service: support }");
    if let Some(mut dice) = storm.strikes(Mishap::Copy, 20) {
        let begins = dice.number(0, length * 1_000 / 2);
        let share = ["1", "50%", "100%"][dice.below(3)];
        faults.push(format!("name: copy, after: {begins}ms, redeliver: {{ share: {share} }}"));
    }
    let faults: String = faults.iter().map(|fault| format!("\n    - {{ {fault} }}")).collect();
    if faults.is_empty() { faults } else { format!("\n  faults:{faults}") }
}

pub fn target(mutant: Mutant) -> Target {
    let text = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: local }}
spec:
  dagster: {{ url: 'http://simulated/graphql', location: demo, requestTimeout: {}s, settle: {}s }}
  ecs: {{ cluster: demo, services: {{ workers: taskiq-worker, support: {SERVICE} }} }}
  network:
    workers: {{ securityGroup: {GROUP} }}
    peers: {{ queue: {{ cidr: {PEER}, port: {PEER_PORT} }} }}
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
