//! What only shows when a scenario and its target, or several scenarios, are seen together.

use std::collections::BTreeMap;

use super::{
    Scenario, StartTrigger,
    outline::{Asks, Known, Names, Need, Offers},
    problem::{Path, Problem, help_for},
};
use crate::model::{ScenarioName, Target};

/// What a scenario asks of its target and the target does not have.
pub fn relate(scenario: &Scenario, target: &Target) -> Vec<Problem> {
    fit(&Asks::of(scenario), target.name.as_str(), &Offers::of(target))
}

/// What is asked of the target of this name and is not offered, as far as both are known.
pub fn fit(asks: &Asks, target: &str, offers: &Offers) -> Vec<Problem> {
    asks.needs.iter().filter_map(|(at, need)| lack(at, need, target, offers)).collect()
}

fn lack(at: &Path, need: &Need, target: &str, offers: &Offers) -> Option<Problem> {
    let lacks = |field: &str| {
        let problem = Problem::new(at.clone(), format!("target `{target}` has no `spec.{field}`"));
        Some(problem.with_help(format!("add `spec.{field}` to the Target, or leave this out")))
    };
    match need {
        Need::Cluster => match &offers.roles {
            Known::Absent => lacks("ecs"),
            Known::Unknown | Known::There(_) => None,
        },
        Need::Queue => match &offers.queue {
            Known::Absent => lacks("queues"),
            Known::Unknown | Known::There(()) => None,
        },
        Need::Role(role) => match &offers.roles {
            Known::Absent => lacks("ecs"),
            Known::Unknown => None,
            Known::There(roles) => {
                unnamed(at, role, roles, || format!("target `{target}` names no service for the role `{role}`"))
            }
        },
        Need::Peer(name) => match &offers.peers {
            Known::Absent => lacks("network"),
            Known::Unknown => None,
            Known::There(peers) => unnamed(at, name, peers, || format!("target `{target}` names no peer `{name}`"))
                .or_else(|| {
                    let group = offers.shared_group.as_ref()?;
                    let message = format!("it would cut dagstorm off as well: dagstorm carries `{group}` itself");
                    let help = "give dagstorm's task a security group of its own";
                    Some(Problem::new(at.clone(), message).with_help(help))
                }),
        },
    }
}

fn unnamed(at: &Path, name: &str, known: &Names, message: impl Fn() -> String) -> Option<Problem> {
    let is_known = known.names.iter().any(|one| one == name);
    (!is_known && known.is_whole)
        .then(|| Problem::new(at.clone(), message()).with_help(help_for(name, known.names.iter().map(String::as_str))))
}

/// The scenarios that wait for themselves by `start.after`, each with the circle.
pub fn circles<'a>(scenarios: impl Iterator<Item = &'a Scenario>) -> BTreeMap<ScenarioName, String> {
    let after = scenarios.filter_map(|scenario| match &scenario.spec.start.as_ref()?.trigger {
        StartTrigger::After(names) => Some((scenario.name.clone(), names.clone())),
        StartTrigger::At(_) | StartTrigger::Every(_) | StartTrigger::Cron(_) => None,
    });
    circles_of(&after.collect())
}

/// The same of scenarios' names, each with those that it waits for.
pub fn circles_of(after: &BTreeMap<ScenarioName, Vec<ScenarioName>>) -> BTreeMap<ScenarioName, String> {
    let after: BTreeMap<&ScenarioName, &[ScenarioName]> =
        after.iter().map(|(name, names)| (name, names.as_slice())).collect();
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
