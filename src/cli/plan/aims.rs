//! What a fault would do now: it takes its aim as the operator would, and nothing is sent.

use std::time::Duration;

use super::looks::{FaultLook, TargetLooks, within};
use crate::{
    fault::{Aim, Aiming, Cut, Fault, Partition, Selector, StopTasks},
    model::{Effect, Object, Target, TaskView, Timestamp},
    plan::Plan,
    spec::{FaultSpec, Scenario},
    world::{Clock, LiveWorld, SystemClock, World},
};

/// What lies around a partition takes several calls.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Looks at what a fault needs and lets it choose.
pub async fn look_at_fault(
    world: &LiveWorld,
    target: &Target,
    (scenario, plan): (&Scenario, &Plan),
    spec: &FaultSpec,
    looks: &mut TargetLooks,
) {
    let Some((query, service)) = spec.fault.query(target).zip(asked(&spec.fault)) else { return };
    let seen = match within(TIMEOUT, service, async { Ok(world.look(target, &query).await) }).await {
        Ok(seen) => seen,
        Err(why) => return looks.fail(service, why),
    };
    if let Some((_, Some(why))) = seen.state_of(&query) {
        return looks.fail(service, why.clone());
    }
    let planned = plan.faults.iter().find(|planned| planned.id.name == spec.name);
    let planned = planned.expect("every fault of a scenario is in its plan");
    let aim = spec.fault.aim(&Aiming {
        target,
        observation: &seen,
        not_before: Timestamp::from_micros(0),
        seed: plan.seed,
        stream: planned.stream,
        first: None,
        reason: String::new(),
        fault: format!("{}/{}/{}.1", scenario.name, plan.generation, spec.name),
        writer: None,
        heal_by: SystemClock.now().plus(planned.length.unwrap_or_default()),
    });
    take(aim, scenario, spec, looks);
}

/// Which service answers for a fault; `None`: others show more of it.
fn asked(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::StopTasks(StopTasks { tasks: Selector::Service(_), .. }) => None,
        Fault::StopTasks(_) | Fault::DrainInstances(_) | Fault::DrainService(_) => Some("ECS"),
        Fault::Partition(_) => Some("EC2"),
        Fault::DenyQueue(_) | Fault::Redeliver(_) => Some("SQS"),
    }
}

fn take(aim: Aim, scenario: &Scenario, spec: &FaultSpec, looks: &mut TargetLooks) {
    let who = format!("{}: `{}`", scenario.name, spec.name);
    // Rules are shown beside their dry run, a drain beside its service.
    let is_shown =
        matches!(&spec.fault, Fault::Partition(Partition { cut: Cut::NewConnections, .. }) | Fault::DrainService(_));
    match aim {
        Aim::Ready { .. } if is_shown => {}
        Aim::Ready { targets, objects, inject, undo: _ } => looks.faults.push(FaultLook {
            scenario: scenario.name.clone(),
            fault: spec.name.clone(),
            would: words(&targets, &objects, &inject),
            tasks: (!targets.is_empty()).then_some(targets.len() as u32),
            rules: None,
        }),
        Aim::Wait(reason) => looks.notes.push(format!("{who} would wait: {reason}")),
        Aim::Never(reason) => {
            let said = format!("{who} cannot be made: {reason}");
            if !looks.problems.contains(&said) {
                looks.problems.push(said);
            }
        }
    }
}

fn words(targets: &[TaskView], objects: &[Object], inject: &[Effect]) -> String {
    let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
    let changes: Vec<String> = inject.iter().filter_map(Effect::describe).collect();
    match (targets, &changes[..]) {
        (tasks, []) => {
            let ids: Vec<&str> = tasks.iter().map(|task| task.arn.id()).collect();
            format!("stop {} tasks: {}", ids.len(), ids.join(", "))
        }
        (_, changes) if objects.is_empty() => changes.join(", "),
        (_, changes) => format!("{} ({})", changes.join(", "), objects.join(", ")),
    }
}
