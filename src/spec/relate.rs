//! What only shows when a scenario and its target, or several scenarios, are seen together.

use std::collections::BTreeMap;

use super::{
    FaultSpec, Scenario, StartTrigger,
    problem::{Path, Problem, help_for},
};
use crate::{
    fault::{Fault, Selector, StopTasks},
    model::{Metric, ScenarioName, Target, target::Place},
};

/// What a scenario asks of its target and the target does not have.
pub fn relate(scenario: &Scenario, target: &Target) -> Vec<Problem> {
    let mut problems = vec![];
    for (index, fault) in scenario.spec.faults.iter().enumerate() {
        let at = Path::root("spec").key("faults").index(index);
        problems.extend(relate_fault(&at, fault, target));
    }
    let needs = scenario.spec.expect.thresholds.iter().map(|one| (one.metric(), "expect.thresholds"));
    let aborting = scenario.spec.limits.abort_on.as_ref().and_then(|abort_on| abort_on.when);
    for (metric, field) in needs.chain(aborting.map(|when| (when.metric, "limits.abortOn"))) {
        let last = if field == "limits.abortOn" { "when" } else { metric.word() };
        let path = Path::root("spec").keys(field).key(last);
        problems.extend(relate_metric(&path, metric, target));
    }
    problems
}

fn relate_fault(at: &Path, spec: &FaultSpec, target: &Target) -> Vec<Problem> {
    let mut problems = vec![];
    if let super::FaultTrigger::When(when) = &spec.trigger {
        problems.extend(relate_metric(&at.key("when"), when.metric, target));
    }
    match &spec.fault {
        Fault::StopTasks(StopTasks { tasks: Selector::Service(role), .. }) => {
            problems.extend(role_problem(&at.keys("stopTasks.service"), role, target));
        }
        Fault::StopTasks(StopTasks {
            tasks: Selector::Family(_) | Selector::Tag(_) | Selector::StartedBy(_), ..
        }) => {
            problems.extend(cluster_problem(&at.key("stopTasks"), target));
        }
        Fault::DrainService(drain) => {
            problems.extend(role_problem(&at.keys("drainService.service"), &drain.service, target));
        }
        Fault::DrainInstances(_) => problems.extend(cluster_problem(&at.key("drainInstances"), target)),
        Fault::Partition(partition) => {
            problems.extend(peer_problem(&at.keys("partition.and"), &partition.and, target));
        }
        Fault::DenyQueue(_) => problems.extend(queue_problem(&at.key("denyQueue"), target)),
        Fault::Redeliver(_) => problems.extend(queue_problem(&at.key("redeliver"), target)),
    }
    problems
}

fn cluster_problem(at: &Path, target: &Target) -> Option<Problem> {
    target.ecs.is_none().then(|| lacks(at, target, "ecs"))
}

fn queue_problem(at: &Path, target: &Target) -> Option<Problem> {
    target.queue.is_none().then(|| lacks(at, target, "queues"))
}

fn lacks(at: &Path, target: &Target, field: &str) -> Problem {
    Problem::new(at.clone(), format!("target `{}` has no `spec.{field}`", target.name))
}

fn role_problem(at: &Path, role: &str, target: &Target) -> Option<Problem> {
    let Some(ecs) = &target.ecs else { return Some(lacks(at, target, "ecs")) };
    if ecs.service(role).is_some() {
        return None;
    }
    let message = format!("target `{}` names no service for the role `{role}`", target.name);
    Some(Problem::new(at.clone(), message).with_help(help_for(role, ecs.services.keys().map(String::as_str))))
}

/// The peer exists, and cutting it off would not cut off dagstorm.
fn peer_problem(at: &Path, name: &str, target: &Target) -> Option<Problem> {
    let Some(network) = &target.network else { return Some(lacks(at, target, "network")) };
    if !network.peers.contains_key(name) {
        let message = format!("target `{}` names no peer `{name}`", target.name);
        return Some(
            Problem::new(at.clone(), message).with_help(help_for(name, network.peers.keys().map(String::as_str))),
        );
    }
    // A partition changes the rules of the workers' group: whoever carries it loses the path.
    if network.own == Some(Place::SecurityGroup(network.workers_group.clone())) {
        let message = format!("it would cut dagstorm off as well: dagstorm carries `{}` itself", network.workers_group);
        return Some(Problem::new(at.clone(), message).with_help("give dagstorm's task a security group of its own"));
    }
    None
}

fn relate_metric(at: &Path, metric: Metric, target: &Target) -> Option<Problem> {
    match metric {
        Metric::QueueDepth | Metric::QueueAge => queue_problem(at, target),
        Metric::Workers => role_problem(at, "workers", target),
        Metric::RunLatency
        | Metric::StartLatency
        | Metric::Lateness
        | Metric::RecoveryTime
        | Metric::SubmissionErrors
        | Metric::Failures
        | Metric::SuccessRate
        | Metric::Throughput => None,
    }
}

/// The scenarios that wait for themselves by `start.after`, each with the circle.
pub fn circles<'a>(scenarios: impl Iterator<Item = &'a Scenario>) -> BTreeMap<ScenarioName, String> {
    let after: BTreeMap<&ScenarioName, &[ScenarioName]> = scenarios
        .filter_map(|scenario| match &scenario.spec.start.as_ref()?.trigger {
            StartTrigger::After(names) => Some((&scenario.name, names.as_slice())),
            StartTrigger::At(_) | StartTrigger::Every(_) | StartTrigger::Cron(_) => None,
        })
        .collect();
    let mut circles = BTreeMap::new();
    for start in after.keys() {
        if let Some(way) = way_back(start, &after) {
            let others: Vec<String> = way.iter().skip(1).map(|name| format!("`{name}`")).collect();
            circles.insert((*start).clone(), format!("`{start}` waits for {}", others.join(", which waits for ")));
        }
    }
    circles
}

/// The shortest way from a scenario back to itself.
fn way_back<'a>(
    start: &'a ScenarioName,
    after: &BTreeMap<&'a ScenarioName, &'a [ScenarioName]>,
) -> Option<Vec<&'a ScenarioName>> {
    let mut came_from: BTreeMap<&ScenarioName, &ScenarioName> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(name) = queue.pop_front() {
        for next in after.get(name).copied().unwrap_or_default() {
            if next == start {
                let mut way = vec![start, name];
                while let Some(before) = way.last().and_then(|last| came_from.get(*last)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, name);
                queue.push_back(next);
            }
        }
    }
    None
}
