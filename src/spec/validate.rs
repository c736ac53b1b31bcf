//! From raw to valid. What the types cannot say is checked here, all of it, each error with its place.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::{
    Expect, FaultSpec, Limits, LoadPhase, Scenario, ScenarioSpec,
    raw::{Raw, RawArrivals, RawFault, RawGuard, RawNetwork, RawPhase, RawScenario, RawTarget},
};
use crate::{
    fault::{Fault, Pick},
    load::{Arrivals, JobMix, Weighted},
    model::{
        Guard, ScenarioName, Span, Target,
        target::{Amount, DagsterTarget, EcsTarget, MetricsTarget, NetworkTarget, Peer, QueueTarget},
    },
};

/// A place in the file and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub line: u64,
    pub column: u64,
    pub path: String,
    pub message: String,
}

/// More arrivals than this are no scenario but a mistake.
const MOST_ARRIVALS: u64 = 1_000_000;
/// A fault comes so often at most, and not more often than once in so long.
const MOST_REPEATS: u32 = 1_000;
const LEAST_REPEAT: Duration = Duration::from_secs(1);
/// What may pass on a stock Dagster after a request's time-out until its run appears: the database's statement
/// time-out (15 s) and the code server's (20 s).
const STOCK_DAGSTER_SETTLE: Duration = Duration::from_secs(35);
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
/// The least time by which `settle` must exceed `requestTimeout`.
const LEAST_MARGIN: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add<T>(&mut self, at: &Spanned<T>, path: impl Into<String>, message: impl Into<String>) {
        let location = at.referenced;
        self.0.push(Problem {
            line: location.line(),
            column: location.column(),
            path: path.into(),
            message: message.into(),
        });
    }

    fn name(&mut self, name: &Spanned<String>, path: &str) -> Option<ScenarioName> {
        name.value.parse().map_err(|message: String| self.add(name, path, message)).ok()
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}

/// Makes a scenario valid, or names everything that is wrong with it.
pub fn scenario(raw: &Raw<RawScenario>) -> Result<Scenario, Vec<Problem>> {
    let mut problems = Problems::default();
    let name = problems.name(&raw.metadata.name, "metadata.name");
    let target = problems.name(&raw.spec.target, "spec.target");
    if raw.spec.load.value.is_empty() {
        problems.add(&raw.spec.load, "spec.load", "a scenario needs at least one phase of load");
    }
    let mut seen: Vec<&str> = vec![];
    for (index, phase) in raw.spec.load.value.iter().enumerate() {
        check_phase(&mut problems, index, phase, &mut seen);
    }
    let load: Vec<LoadPhase> = raw.spec.load.value.iter().map(phase).collect();
    check_count(&mut problems, &raw.spec.load, &load, raw.spec.seed);
    let load_ends = load.iter().map(|phase| phase.after.duration() + phase.length.duration()).max().unwrap_or_default();
    let mut seen: Vec<&str> = vec![];
    let mut faults = vec![];
    for (index, fault) in raw.spec.faults.iter().enumerate() {
        faults.extend(check_fault(&mut problems, index, fault, load_ends, &mut seen));
    }
    let spec = target.map(|target| ScenarioSpec {
        target,
        seed: raw.spec.seed,
        load,
        faults,
        expect: Expect { contract: raw.spec.expect.contract, quiet: raw.spec.expect.quiet },
        limits: Limits { max_duration: raw.spec.limits.max_duration },
    });
    problems.finish(name.zip(spec).map(|(name, spec)| Scenario { name, spec }))
}

fn check_phase<'a>(problems: &mut Problems, index: usize, phase: &'a RawPhase, seen: &mut Vec<&'a str>) {
    let path = |field: &str| format!("spec.load[{index}].{field}");
    if problems.name(&phase.name, &path("name")).is_some() {
        if seen.contains(&phase.name.value.as_str()) {
            problems.add(&phase.name, path("name"), format!("a second phase named `{}`", phase.name.value));
        }
        seen.push(&phase.name.value);
    }
    if phase.length.value == Span::ZERO {
        problems.add(&phase.length, path("for"), "a phase lasts longer than 0s");
    }
    for (field, message) in arrivals(&phase.arrivals.value).problems(phase.length.value.duration()) {
        problems.add(&phase.arrivals, path(&format!("arrivals.{field}")), message);
    }
    if phase.jobs.value.values().map(|weight| weight.0).sum::<f64>() <= 0.0 {
        problems.add(&phase.jobs, path("jobs"), "no job has a weight above zero");
    }
}

fn phase(raw: &RawPhase) -> LoadPhase {
    LoadPhase {
        name: raw.name.value.clone(),
        after: raw.after,
        length: raw.length.value,
        arrivals: arrivals(&raw.arrivals.value),
        jobs: JobMix { jobs: raw.jobs.value.iter().map(|(job, weight)| Weighted::new(job, weight.0)).collect() },
    }
}

fn arrivals(raw: &RawArrivals) -> Arrivals {
    match raw {
        RawArrivals::Constant(shape) => Arrivals::Constant(shape.clone()),
        RawArrivals::Ramp(shape) => Arrivals::Ramp(shape.clone()),
        RawArrivals::Stairs(shape) => Arrivals::Stairs(shape.clone()),
        RawArrivals::Poisson(shape) => Arrivals::Poisson(shape.clone()),
        RawArrivals::Burst(shape) => Arrivals::Burst(shape.clone()),
        RawArrivals::Spike(shape) => Arrivals::Spike(shape.clone()),
        RawArrivals::Diurnal(shape) => Arrivals::Diurnal(shape.clone()),
    }
}

fn check_count(problems: &mut Problems, at: &Spanned<Vec<RawPhase>>, load: &[LoadPhase], seed: u64) {
    if !problems.0.is_empty() {
        return;
    }
    let mut left = MOST_ARRIVALS;
    for (phase, number) in load.iter().zip(0..) {
        let offsets = phase.arrivals.offsets(phase.length.duration(), seed, number);
        let count = offsets.take(left as usize + 1).count() as u64;
        if count > left {
            problems.add(
                at,
                "spec.load",
                format!("more than {MOST_ARRIVALS} arrivals: lower a rate or shorten a phase"),
            );
            return;
        }
        left -= count;
    }
}

fn check_fault<'a>(
    problems: &mut Problems,
    index: usize,
    raw: &'a RawFault,
    load_ends: Duration,
    seen: &mut Vec<&'a str>,
) -> Option<FaultSpec> {
    let path = |field: &str| format!("spec.faults[{index}].{field}");
    if problems.name(&raw.name, &path("name")).is_some() {
        if seen.contains(&raw.name.value.as_str()) {
            problems.add(&raw.name, path("name"), format!("a second fault named `{}`", raw.name.value));
        }
        seen.push(&raw.name.value);
    }
    if raw.after.value.duration() >= load_ends {
        let ends = Span::new(load_ends);
        problems.add(
            &raw.after,
            path("after"),
            format!("the load ends after {ends}: a fault later than that proves nothing"),
        );
    }
    if let Some(repeat) = &raw.repeat {
        let last = repeat.value.every.duration().saturating_mul(repeat.value.times.saturating_sub(1));
        if !(1..=MOST_REPEATS).contains(&repeat.value.times) || repeat.value.every.duration() < LEAST_REPEAT {
            let text = format!("a repeat has `every` of at least 1s and `times` from 1 to {MOST_REPEATS}");
            problems.add(repeat, path("repeat"), text);
        } else if raw.after.value.duration().saturating_add(last) >= load_ends {
            let ends = Span::new(load_ends);
            problems.add(repeat, path("repeat"), format!("the last repeat would come after the load's end ({ends})"));
        }
    }
    let Some(stop_tasks) = &raw.stop_tasks else {
        problems.add(&raw.name, path("stopTasks"), "the fault does nothing: add `stopTasks: { service: …, pick: … }`");
        return None;
    };
    Some(FaultSpec {
        name: raw.name.value.clone(),
        after: raw.after.value,
        repeat: raw.repeat.as_ref().map(|repeat| repeat.value.clone()),
        fault: Fault::StopTasks(stop_tasks.value.clone()),
    })
}

/// Makes a target valid, or names everything that is wrong with it.
pub fn target(raw: Raw<RawTarget>) -> Result<Target, Vec<Problem>> {
    let mut problems = Problems::default();
    let name = problems.name(&raw.metadata.name, "metadata.name");
    let dagster = raw.spec.dagster;
    if let Err(message) = check_url(&dagster.url.value) {
        problems.add(&dagster.url, "spec.dagster.url", message);
    }
    let timeout = dagster.request_timeout.duration();
    if timeout < LEAST_TIMEOUT {
        problems.add(&dagster.url, "spec.dagster.requestTimeout", "a request gets at least 100ms");
    }
    let settle = match &dagster.settle {
        Some(settle) => {
            if settle.value.duration() < timeout + LEAST_MARGIN {
                let text = format!(
                    "settle ({}) must be longer than requestTimeout ({}) and what Dagster may need after it; 35s more on a stock Dagster",
                    settle.value, dagster.request_timeout
                );
                problems.add(settle, "spec.dagster.settle", text);
            }
            settle.value
        }
        None => Span::new(timeout + STOCK_DAGSTER_SETTLE),
    };
    let network = raw.spec.network.map(|network| network_target(&mut problems, network));
    let guard = guard(&mut problems, raw.spec.guard);
    problems.finish(name.map(|name| {
        Target {
            name,
            dagster: DagsterTarget {
                url: dagster.url.value,
                location: dagster.location,
                repository: dagster.repository,
                request_timeout: dagster.request_timeout,
                settle,
                headers_from_env: dagster.headers_from_env,
            },
            ecs: raw.spec.ecs.map(|ecs| EcsTarget { cluster: ecs.cluster, services: ecs.services }),
            queue: raw
                .spec
                .queues
                .map(|queues| QueueTarget { name: queues.tasks.name, dead_letters: queues.tasks.dead_letters }),
            network,
            metrics: raw
                .spec
                .metrics
                .map(|metrics| MetricsTarget { namespace: metrics.namespace, dimensions: metrics.dimensions }),
            guard,
        }
    }))
}

fn check_url(url: &str) -> Result<(), String> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(()),
        Ok(_) => Err(format!("`{url}` is not an http or https address")),
        Err(error) => Err(format!("`{url}` is not an address: {error}")),
    }
}

fn network_target(problems: &mut Problems, raw: RawNetwork) -> NetworkTarget {
    let mut peers = indexmap::IndexMap::new();
    for (name, peer) in raw.peers {
        let port = peer.value.port;
        match (&peer.value.security_group, &peer.value.cidr) {
            (Some(group), None) => {
                peers.insert(name, Peer::Group { security_group: group.clone(), port });
            }
            (None, Some(cidr)) => {
                peers.insert(name, Peer::Cidr { cidr: cidr.clone(), port });
            }
            (Some(_), Some(_)) | (None, None) => {
                problems.add(&peer, format!("spec.network.peers.{name}"), "give either `securityGroup` or `cidr`");
            }
        }
    }
    NetworkTarget { workers_group: raw.workers.security_group, peers }
}

fn guard(problems: &mut Problems, raw: RawGuard) -> Guard {
    let max_affected = raw.max_affected.and_then(|limit| match limit.value.parse::<Pick>() {
        Ok(Pick::Some(amount)) => Some(amount),
        Ok(Pick::All) => Some(Amount::Percent(100)),
        Ok(Pick::One) => Some(Amount::Count(1)),
        Err(message) => {
            problems.add(&limit, "spec.guard.maxAffected", message);
            None
        }
    });
    Guard {
        account: raw.account,
        region: raw.region,
        require_tag: raw.require_tag,
        max_affected,
        min_healthy: raw.min_healthy,
    }
}
