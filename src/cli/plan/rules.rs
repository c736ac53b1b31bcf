//! What a partition would change: the difference of the rules, and EC2's dry run of exactly that.

use std::time::Duration;

use super::looks::{DryRun, FaultLook, RulesLook, TargetLooks, first_words, within};
use crate::{
    fault::{
        Cut, Partition,
        partition::{RuleDiff, between},
    },
    model::{SecurityGroupRule, Target},
    spec::Scenario,
    world::{LiveWorld, Permitted, ec2::Verb},
};

/// What lies around a partition takes several calls.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(20);

/// Looks up what surrounds a partition, computes the cut, and asks whether it is permitted.
pub async fn look_at_partition(
    world: &LiveWorld,
    target: &Target,
    scenario: &Scenario,
    name: &str,
    partition: &Partition,
    looks: &mut TargetLooks,
) {
    let mut found = |would: String, rules: Option<RulesLook>| {
        let (scenario, fault) = (scenario.name.clone(), name.to_owned());
        looks.faults.push(FaultLook { scenario, fault, would, tasks: None, rules });
    };
    if partition.cut == Cut::Hard {
        return;
    }
    let network = target.network.as_ref().expect("a partition's target has a network: `relate` has judged it");
    let peer = network.peers.get(&partition.and).expect("a partition's peer is known: `relate` has judged it");
    let view = match within(NETWORK_TIMEOUT, "EC2", world.network(target, &partition.and, false)).await {
        Ok(view) => view,
        Err(why) => return looks.fail("EC2", why),
    };
    let diff = match between(&view, peer) {
        Ok(diff) => diff,
        Err(reason) => {
            found(format!("be refused: {reason}"), None);
            return looks.problems.push(format!("{}: `{name}` cannot be made: {reason}", scenario.name));
        }
    };
    let carriers = view.carriers.get(&view.workers.id).map_or(0, Vec::len);
    let text = |rules: &[SecurityGroupRule]| rules.iter().map(rule_text).collect();
    let would = format!(
        "change {} for all {carriers} interfaces that carry it, for connections to {} port {}",
        view.workers.id, view.peer, peer.port
    );
    let dry_runs = dry_runs(world, target, &diff).await;
    found(would, Some(RulesLook { revoke: text(&diff.revoke), authorize: text(&diff.authorize), dry_runs: vec![] }));
    for (run, answer) in &dry_runs {
        match answer {
            Permitted::Yes => {}
            Permitted::No(message) => looks.problems.push(format!("{}: `{name}`: {message}", scenario.name)),
            Permitted::Unknown(why) => looks.cannot_reach("EC2", &format!("dry run of {}: {}", run.call, why.message)),
        }
    }
    if let Some(rules) = looks.faults.last_mut().and_then(|look| look.rules.as_mut()) {
        rules.dry_runs = dry_runs.into_iter().map(|(run, _)| run).collect();
    }
}

/// Asks for the calls of the cut, in its order, and for those of its way back that are others.
async fn dry_runs(world: &LiveWorld, target: &Target, diff: &RuleDiff) -> Vec<(DryRun, Permitted)> {
    let undo = diff.undo();
    let calls = [
        ("AuthorizeSecurityGroupEgress", Verb::Authorize, &diff.authorize),
        ("RevokeSecurityGroupEgress", Verb::Revoke, &diff.revoke),
        ("AuthorizeSecurityGroupEgress, to heal", Verb::Authorize, &undo.authorize),
        ("RevokeSecurityGroupEgress, to heal", Verb::Revoke, &undo.revoke),
    ];
    let mut answers = vec![];
    for (call, verb, rules) in calls.into_iter().filter(|(_, _, rules)| !rules.is_empty()) {
        let asked = async { Ok(world.would_permit(target, verb, rules).await) };
        let permits = within(NETWORK_TIMEOUT, "EC2", asked).await.unwrap_or_else(|why| vec![Permitted::Unknown(why)]);
        answers.extend(permits.into_iter().map(|answer| (dry_run(call, &answer), answer)));
    }
    answers
}

fn dry_run(call: &'static str, answer: &Permitted) -> DryRun {
    let (permitted, message) = match answer {
        Permitted::Yes => (Some(true), None),
        Permitted::No(message) => (Some(false), Some(message.clone())),
        Permitted::Unknown(why) => (None, Some(first_words(&why.message))),
    };
    DryRun { call, permitted, message }
}

/// `egress tcp 443 → sg-1 "to the queues"`.
fn rule_text(rule: &SecurityGroupRule) -> String {
    let description = rule.description.as_ref().map(|text| format!(" \"{text}\"")).unwrap_or_default();
    format!("{rule}{description}")
}
