//! What the targets say to a plan: jobs, tasks, queues, rules. Looks and dry runs only; each within a short time-out.

use std::time::Duration;

use super::{
    aims::look_at_fault,
    jobs::look_at_dagster,
    looks::{FaultLook, IdentityLook, QueueLook, ServiceLook, TargetLooks, TaskLook, within},
    rules::look_at_partition,
};
use crate::{
    fault::{Fault, Room, Selector, StopTasks, permits},
    model::{AgeView, Metric, Observation, Query, QueueView, Seen, ServiceView, Span, Target, TaskView, Why, WhyKind},
    plan::Plan,
    spec::{FaultTrigger, Scenario},
    world::{Clock, Identity, LiveWorld, SystemClock, World},
};

const LOOK_TIMEOUT: Duration = Duration::from_secs(6);
const DAGSTER_TIMEOUT: Duration = Duration::from_secs(5);
const WORKERS: &str = "workers";

/// Looks at everything that these scenarios need of their target.
pub async fn look(world: &LiveWorld, target: &Target, scenarios: Vec<(&Scenario, &Plan)>) -> TargetLooks {
    let began = SystemClock.now();
    // One and the same value for all looks: clients are kept by it.
    let target = &impatient(target);
    let mut dagster = TargetLooks::of(target);
    let mut aws = TargetLooks::of(target);
    futures::join!(
        look_at_dagster(world, target, &scenarios, &mut dagster),
        look_at_aws(world, target, &scenarios, &mut aws)
    );
    let mut looks = aws;
    looks.dagster = dagster.dagster;
    looks.partitions = dagster.partitions;
    for (list, first) in [(&mut looks.problems, dagster.problems), (&mut looks.notes, dagster.notes)] {
        list.splice(0..0, first);
    }
    looks.unreached.splice(0..0, dagster.unreached);
    looks.took = Span::from_millis(SystemClock.now().since(began).as_millis() as u64);
    looks
}

/// Looks at the target's Dagster alone.
pub async fn ask_dagster(world: &LiveWorld, target: &Target, scenarios: &[(&Scenario, &Plan)]) -> TargetLooks {
    let mut looks = TargetLooks::of(target);
    look_at_dagster(world, &impatient(target), scenarios, &mut looks).await;
    looks
}

/// The target, with a Dagster that is not waited for long.
fn impatient(target: &Target) -> Target {
    let mut impatient = target.clone();
    impatient.dagster.request_timeout = target.dagster.request_timeout.min(Span::new(DAGSTER_TIMEOUT));
    impatient
}

async fn look_at_aws(world: &LiveWorld, target: &Target, scenarios: &[(&Scenario, &Plan)], looks: &mut TargetLooks) {
    let guard = &target.guard;
    let is_needed =
        target.ecs.is_some() || target.queue.is_some() || target.network.is_some() || guard.account.is_some();
    if !is_needed {
        return;
    }
    if let Err(why) = within(LOOK_TIMEOUT, "the source of AWS credentials", world.credentials(target)).await {
        return looks.cannot_reach("AWS", &why.message);
    }
    let region = world.region(target).await;
    if region.is_none() {
        return looks.cannot_reach("AWS", "no region is configured: set AWS_REGION, or `guard.region` in the Target");
    }
    let services = target.ecs.iter().flat_map(|ecs| &ecs.services);
    let services = services.map(|(role, service)| async move {
        let query = Query::Service { service: service.clone() };
        let seen = within(LOOK_TIMEOUT, "ECS", async { Ok(world.look(target, &query).await) }).await;
        (role, service, seen.and_then(|seen| service_of(seen, service)))
    });
    let queue = within(LOOK_TIMEOUT, "SQS", async { Ok(world.look(target, &Query::Queue).await) });
    let age = within(LOOK_TIMEOUT, "CloudWatch", async { Ok(world.look(target, &Query::QueueAge).await) });
    let (identity, services, queue, age) = futures::join!(
        within(LOOK_TIMEOUT, "STS", world.identity(target)),
        futures::future::join_all(services),
        queue,
        age,
    );
    match identity {
        Ok(identity) => take_identity(looks, target, identity, region),
        Err(why) => looks.fail("STS", why),
    }
    for (role, service, seen) in services {
        match seen {
            Ok(view) => take_service(looks, target, scenarios, (role, service), &view),
            Err(why) if why.kind == WhyKind::NotFound && !scenarios.iter().any(|(one, _)| uses(one, role)) => {
                looks.notes.push(format!("{}; no scenario here needs it", why.message));
            }
            Err(why) => looks.fail("ECS", why),
        }
    }
    if let Some(queues) = &target.queue {
        take_queue(looks, &queues.name, scenarios, queue, age);
    }
    for (scenario, plan) in scenarios {
        for spec in &scenario.spec.faults {
            if let Fault::Partition(partition) = &spec.fault {
                look_at_partition(world, target, scenario, &spec.name, partition, looks).await;
            }
            look_at_fault(world, target, (scenario, plan), spec, looks).await;
        }
    }
}

/// Whose credentials they are, and whether the guard names the same account.
fn take_identity(looks: &mut TargetLooks, target: &Target, identity: Identity, region: Option<String>) {
    let Identity { account, arn } = identity;
    if let Some(wanted) = target.guard.account.as_ref().filter(|wanted| **wanted != account) {
        let other = format!("the guard names account {wanted}, and these credentials are of account {account} ({arn})");
        looks.problems.push(other);
    }
    looks.identity = Some(IdentityLook { account, arn, region });
}

/// What runs of a service, and what the faults would do to it.
fn take_service(
    looks: &mut TargetLooks,
    target: &Target,
    scenarios: &[(&Scenario, &Plan)],
    (role, service): (&str, &str),
    view: &ServiceView,
) {
    let is_stopped = scenarios.iter().any(|(scenario, _)| stops(scenario, role));
    looks.services.push(service_look(target, role, service, view, is_stopped));
    for (scenario, _) in scenarios {
        choices(looks, scenario, target, role, service, view);
    }
}

fn service_of(mut seen: Observation, service: &str) -> Result<ServiceView, Why> {
    let timed = seen.services.remove(service).expect("a look at a service answers for it");
    match timed.answer {
        Seen::Fresh(view) => Ok(view),
        Seen::Unavailable(why) => Err(why),
    }
}

/// How deep the queue is, and how old its oldest message was in the last minute that CloudWatch knows.
fn take_queue(
    looks: &mut TargetLooks,
    name: &str,
    scenarios: &[(&Scenario, &Plan)],
    depth: Result<Observation, Why>,
    age: Result<Observation, Why>,
) {
    match depth.and_then(queue_of) {
        Ok(QueueView { visible, in_flight }) => {
            looks.queue = Some(QueueLook { name: name.to_owned(), visible, in_flight, oldest: None });
        }
        Err(why) => return looks.fail("SQS", why),
    }
    match age.and_then(age_of) {
        Ok(AgeView { minutes }) => {
            let oldest = minutes.last().map(|(_, age)| Metric::QueueAge.show_measured(*age));
            looks.queue.iter_mut().for_each(|queue| queue.oldest.clone_from(&oldest));
        }
        Err(why) if scenarios.iter().any(|(scenario, _)| watches(scenario, Metric::QueueAge)) => {
            looks.fail("CloudWatch", why);
        }
        Err(why) => looks.notes.push(format!("{}; no scenario here needs it, and no report will draw it", why.message)),
    }
}

fn age_of(seen: Observation) -> Result<AgeView, Why> {
    match seen.queue_age.expect("a look at the queue's age answers for it").answer {
        Seen::Fresh(view) => Ok(view),
        Seen::Unavailable(why) => Err(why),
    }
}

fn queue_of(seen: Observation) -> Result<QueueView, Why> {
    match seen.queue.expect("a look at the queue answers for it").answer {
        Seen::Fresh(view) => Ok(view),
        Seen::Unavailable(why) => Err(why),
    }
}

fn service_look(target: &Target, role: &str, service: &str, view: &ServiceView, with_tasks: bool) -> ServiceLook {
    let task = |task: &TaskView| TaskLook {
        id: task.arn.id().to_owned(),
        permitted: permits(&target.guard, task) && !task.own,
        protected: task.protected,
        tags: task.tags.clone(),
    };
    ServiceLook {
        role: role.to_owned(),
        service: service.to_owned(),
        desired: view.desired,
        running: view.running,
        tasks: view.tasks.iter().filter(|_| with_tasks).map(task).collect(),
    }
}

/// Whether a scenario stops tasks of this role.
fn stops(scenario: &Scenario, role: &str) -> bool {
    let by_fault = |fault: &Fault| match fault {
        Fault::StopTasks(StopTasks { tasks: Selector::Service(own), .. }) => own == role,
        Fault::StopTasks(_)
        | Fault::DrainService(_)
        | Fault::DrainInstances(_)
        | Fault::Partition(_)
        | Fault::DenyQueue(_)
        | Fault::Redeliver(_) => false,
    };
    scenario.spec.faults.iter().any(|spec| by_fault(&spec.fault))
}

/// Whether a scenario needs this role: for a fault, or to count workers.
fn uses(scenario: &Scenario, role: &str) -> bool {
    let spec = &scenario.spec;
    let drains = |fault: &Fault| matches!(fault, Fault::DrainService(drain) if drain.service == role);
    stops(scenario, role)
        || spec.faults.iter().any(|fault| drains(&fault.fault))
        || (role == WORKERS && watches(scenario, Metric::Workers))
}

/// Whether a trigger, a threshold or `abortOn` of a scenario asks for this gauge.
fn watches(scenario: &Scenario, metric: Metric) -> bool {
    let spec = &scenario.spec;
    let waits = |trigger: &FaultTrigger| matches!(trigger, FaultTrigger::When(when) if when.metric == metric);
    let aborting = spec.limits.abort_on.as_ref().and_then(|abort_on| abort_on.when);
    spec.faults.iter().any(|fault| waits(&fault.trigger))
        || spec.expect.thresholds.iter().any(|threshold| threshold.metric() == metric)
        || aborting.is_some_and(|when| when.metric == metric)
}

/// What the faults of a scenario would do to a service as it is now.
fn choices(
    looks: &mut TargetLooks,
    scenario: &Scenario,
    target: &Target,
    role: &str,
    service: &str,
    view: &ServiceView,
) {
    for spec in &scenario.spec.faults {
        let (tasks, would) = match &spec.fault {
            Fault::StopTasks(stop @ StopTasks { tasks: Selector::Service(own), pick, .. }) if own == role => {
                let room = stop.room(*pick, &target.guard, &view.tasks);
                let busy = view.tasks.iter().filter(|task| task.protected && permits(&target.guard, task)).count();
                let who = format!("{}: `{}`", scenario.name, spec.name);
                match room {
                    Room { running: 0, .. } => {
                        looks.notes.push(format!("{who} would wait: service {service} runs no task"));
                    }
                    Room { permitted: 0, running, .. } if busy > 0 => looks.notes.push(format!(
                        "{who} would wait: of the {running} running tasks of service {service}, all that the guard \
                         permits are under scale-in protection (`includeProtected: true` stops them too)"
                    )),
                    Room { permitted: 0, running, .. } => looks.problems.push(format!(
                        "{who}: none of the {running} running tasks of service {service} is permitted by the guard"
                    )),
                    room if room.count() == 0 => {
                        looks.notes.push(format!(
                            "{who} would wait: the guard lets no task of service {service} be stopped now"
                        ));
                    }
                    Room { .. } => {}
                }
                (Some(room.count()), format!("stop {room}"))
            }
            Fault::DrainService(drain) if drain.service == role => {
                (None, format!("set the desired count of service {service} from {} to 0, and back", view.desired))
            }
            Fault::StopTasks(_)
            | Fault::DrainService(_)
            | Fault::DrainInstances(_)
            | Fault::Partition(_)
            | Fault::DenyQueue(_)
            | Fault::Redeliver(_) => continue,
        };
        looks.faults.push(FaultLook {
            scenario: scenario.name.clone(),
            fault: spec.name.clone(),
            would,
            tasks,
            rules: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::plan::tests::scenario, model::TaskArn};

    fn target(guard: &str) -> Target {
        serde_json::from_str(&format!(
            r#"{{"name":"t","dagster":{{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}},
                "ecs":{{"cluster":"demo","services":{{"workers":"w","idle":"i"}}}},"guard":{guard}}}"#
        ))
        .expect("a target")
    }

    fn tasks(count: u32) -> Vec<TaskView> {
        let arn = |number| TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{number}").into());
        let tags = || [("ready".to_owned(), "true".to_owned())].into_iter().collect();
        (0..count)
            .map(|number| TaskView {
                arn: arn(number),
                running: true,
                stopping: false,
                protected: false,
                own: false,
                created_at: None,
                tags: tags(),
            })
            .collect()
    }

    const LOAD: &str = "load: [ { name: base, for: 60s, arrivals: { constant: { rate: 1/s } }, jobs: { a: 1 } } ]\n";

    #[test]
    fn a_choice_that_can_never_be_is_a_problem_and_one_that_waits_a_note() {
        let kill = scenario(&format!(
            "{LOAD}faults: [ {{ name: kill, after: 1s, stopTasks: {{ service: workers, pick: 30% }} }}, {{ name: drain, after: 1s, for: 1s, drainService: {{ service: workers }} }}, {{ name: other, after: 1s, stopTasks: {{ service: idle }} }} ]"
        ));
        for (running, guard, would, problem, note) in [
            (4, "{}", "stop 30% of 4 running = 2 → 2", "", ""),
            (0, "{}", "stop 30% of 0 running = 0 → 0", "", "a: `kill` would wait: service w runs no task"),
            (
                4,
                r#"{"minHealthy":4}"#,
                "stop 30% of 4 running = 2, minHealthy 4 allows 0 → 0",
                "",
                "a: `kill` would wait: the guard lets no task of service w be stopped now",
            ),
            (
                4,
                r#"{"requireTag":{"ready":"no"}}"#,
                "stop 30% of 4 running = 2, 0 may be stopped → 0",
                "a: `kill`: none of the 4 running tasks of service w is permitted by the guard",
                "",
            ),
        ] {
            let target = target(guard);
            let view = ServiceView { desired: 4, running, tasks: tasks(running), ..ServiceView::default() };
            let mut looks = TargetLooks::of(&target);
            choices(&mut looks, &kill, &target, "workers", "w", &view);
            let found: Vec<&str> = looks.faults.iter().map(|look| look.would.as_str()).collect();
            assert_eq!(found, [would, "set the desired count of service w from 4 to 0, and back"], "{guard}");
            assert_eq!((looks.problems.concat().as_str(), looks.notes.concat().as_str()), (problem, note), "{guard}");
        }
    }

    #[test]
    fn only_what_is_used_must_be_there() {
        for (more, workers, idle) in [
            ("", false, false),
            ("faults: [ { name: k, after: 1s, stopTasks: { service: idle } } ]", false, true),
            ("faults: [ { name: k, after: 1s, for: 1s, drainService: { service: workers } } ]", true, false),
            ("faults: [ { name: k, when: 'workers > 3', redeliver: { share: 1 } } ]", true, false),
            ("faults: [ { name: k, when: 'queueDepth > 3', stopTasks: { family: workers } } ]", false, false),
            ("expect: { thresholds: { workers: ['max > 3'] } }", true, false),
            ("expect: { thresholds: { queueDepth: ['max > 3'] } }", false, false),
        ] {
            let scenario = scenario(&format!("{LOAD}{more}"));
            assert_eq!((uses(&scenario, "workers"), uses(&scenario, "idle")), (workers, idle), "{more}");
        }
    }

    #[test]
    fn the_guard_names_the_account_of_the_credentials() {
        let identity = || Identity { account: "000000000000".to_owned(), arn: "arn:x".to_owned() };
        for (guard, problems) in [
            ("{}", vec![]),
            (r#"{"account":"000000000000"}"#, vec![]),
            (
                r#"{"account":"111111111111"}"#,
                vec!["the guard names account 111111111111, and these credentials are of account 000000000000 (arn:x)"],
            ),
        ] {
            let target = target(guard);
            let mut looks = TargetLooks::of(&target);
            take_identity(&mut looks, &target, identity(), None);
            assert_eq!(looks.problems, problems, "{guard}");
        }
    }
}
