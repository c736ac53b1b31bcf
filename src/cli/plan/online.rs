//! What the targets say to a plan: jobs, tasks, queues, rules. Looks and dry runs only; each within a short time-out.

use std::{future::Future, time::Duration};

use serde::Serialize;

use crate::{
    fault::{
        Cut, Fault, Partition, Room, Selector, StopTasks, may_stop,
        partition::{Addresses, Between, Members, RuleDiff},
    },
    model::{
        Metric, Observation, Query, ScenarioName, SecurityGroupRule, Seen, ServiceView, Span, Target, TaskView, Why,
        WhyKind, target::Peer,
    },
    plan::Plan,
    spec::{FaultTrigger, Scenario},
    world::{Clock, LiveWorld, NetworkView, Permitted, SystemClock, World, ec2::Verb},
};

/// What was seen of one target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetLooks {
    pub name: ScenarioName,
    pub took: Span,
    pub dagster: Option<DagsterLook>,
    pub identity: Option<IdentityLook>,
    pub services: Vec<ServiceLook>,
    pub queue: Option<QueueLook>,
    pub faults: Vec<FaultLook>,
    /// Why it cannot be used as it is.
    pub problems: Vec<String>,
    /// What may surprise.
    pub notes: Vec<String>,
    pub unreached: Vec<Unreached>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DagsterLook {
    pub version: String,
    pub location: String,
    /// Those that the scenarios launch and that are there.
    pub jobs: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityLook {
    pub account: String,
    pub arn: String,
    pub region: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLook {
    pub role: String,
    pub service: String,
    pub desired: u32,
    pub running: u32,
    /// Where a fault stops tasks of this role: all that there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskLook>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLook {
    pub id: String,
    /// Whether a fault may stop it now.
    pub permitted: bool,
    pub tags: indexmap::IndexMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueLook {
    pub name: String,
    /// Approximate, as SQS is.
    pub visible: u64,
    pub in_flight: u64,
}

/// What one declared fault would do now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultLook {
    pub scenario: ScenarioName,
    pub fault: String,
    /// In words.
    pub would: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesLook>,
}

/// The rules that a partition would change.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RulesLook {
    pub revoke: Vec<String>,
    pub authorize: Vec<String>,
    pub dry_runs: Vec<DryRun>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    pub call: &'static str,
    /// Nothing, if it could not be found out.
    pub permitted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What could not be reached, and why. One for each dependency.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreached {
    pub what: &'static str,
    pub why: String,
}

/// One look takes so long at most; what lies around a partition takes several calls.
const LOOK_TIMEOUT: Duration = Duration::from_secs(6);
const NETWORK_TIMEOUT: Duration = Duration::from_secs(20);
const DAGSTER_TIMEOUT: Duration = Duration::from_secs(5);
const WORKERS: &str = "workers";

/// Looks at everything that these scenarios need of their target.
pub async fn look(world: &LiveWorld, target: &Target, scenarios: Vec<(&Scenario, &Plan)>) -> TargetLooks {
    let began = SystemClock.now();
    let mut dagster = TargetLooks::of(target);
    let mut aws = TargetLooks::of(target);
    futures::join!(
        look_at_dagster(world, target, &scenarios, &mut dagster),
        look_at_aws(world, target, &scenarios, &mut aws)
    );
    let mut looks = aws;
    looks.dagster = dagster.dagster;
    for (list, first) in [(&mut looks.problems, dagster.problems), (&mut looks.notes, dagster.notes)] {
        list.splice(0..0, first);
    }
    looks.unreached.splice(0..0, dagster.unreached);
    looks.took = Span::from_millis(SystemClock.now().since(began).as_millis() as u64);
    looks
}

impl TargetLooks {
    fn of(target: &Target) -> Self {
        Self {
            name: target.name.clone(),
            took: Span::ZERO,
            dagster: None,
            identity: None,
            services: vec![],
            queue: None,
            faults: vec![],
            problems: vec![],
            notes: vec![],
            unreached: vec![],
        }
    }

    /// Notes a look that failed: nobody was there, or what is there cannot be used.
    fn fail(&mut self, what: &'static str, why: Why) {
        match why.kind {
            WhyKind::NotFound | WhyKind::Unauthorized | WhyKind::Protocol => self.problems.push(why.message),
            WhyKind::Unreachable | WhyKind::TimedOut | WhyKind::Throttled | WhyKind::ServerError => {
                self.cannot_reach(what, &why.message);
            }
        }
    }

    fn cannot_reach(&mut self, what: &'static str, why: &str) {
        if !self.unreached.iter().any(|known| known.what == what) {
            self.unreached.push(Unreached { what, why: first_words(why) });
        }
    }
}

/// An SDK's error says everything twice: in words, and after them as a Rust value.
fn first_words(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = line.find(" (DispatchFailure(").or_else(|| line.find(" (TimeoutError(")).unwrap_or(line.len());
    line[..end].to_owned()
}

async fn within<T>(time: Duration, what: &str, look: impl Future<Output = Result<T, Why>>) -> Result<T, Why> {
    let late = || Why { kind: WhyKind::TimedOut, message: format!("{what} did not answer within {}", Span::new(time)) };
    tokio::time::timeout(time, look).await.unwrap_or_else(|_| Err(late()))
}

async fn look_at_dagster(
    world: &LiveWorld,
    target: &Target,
    scenarios: &[(&Scenario, &Plan)],
    looks: &mut TargetLooks,
) {
    let mut impatient = target.clone();
    impatient.dagster.request_timeout = target.dagster.request_timeout.min(Span::new(DAGSTER_TIMEOUT));
    let location = &target.dagster.location;
    for (scenario, plan) in scenarios {
        let jobs = plan.jobs();
        let query =
            Query::Dagster { scenario: scenario.name.clone(), generation: plan.generation.clone(), jobs: jobs.clone() };
        let seen = world.look(&impatient, &query).await.dagster.map(|seen| seen.answer);
        let view = match seen.expect("a look at Dagster answers for Dagster") {
            Seen::Fresh(view) => view,
            Seen::Unavailable(why) => return looks.fail("Dagster", why),
        };
        for job in &view.missing_jobs {
            let missing = format!("{}: job `{job}` does not exist in location `{location}`", scenario.name);
            looks.problems.push(missing);
        }
        if !view.runs.is_empty() {
            looks.notes.push(format!(
                "Dagster holds {} runs of {}/{} already: a new data folder adopts them instead of launching",
                view.runs.len(),
                scenario.name,
                plan.generation
            ));
        }
        let there = looks.dagster.get_or_insert_with(|| DagsterLook {
            version: view.version.clone(),
            location: location.clone(),
            jobs: vec![],
        });
        there.jobs.extend(jobs.into_iter().filter(|job| !view.missing_jobs.contains(job)));
        there.jobs.sort();
        there.jobs.dedup();
    }
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
    let queue = async { within(LOOK_TIMEOUT, "SQS", async { Ok(world.look(target, &Query::Queue).await) }).await };
    let (identity, services, queue) = futures::join!(
        within(LOOK_TIMEOUT, "STS", world.identity(target)),
        futures::future::join_all(services),
        queue,
    );
    match identity {
        Ok(seen) => {
            if let Some(account) = guard.account.as_ref().filter(|account| **account != seen.account) {
                looks.problems.push(format!(
                    "the guard names account {account}, and these credentials are of account {} ({})",
                    seen.account, seen.arn
                ));
            }
            looks.identity = Some(IdentityLook { account: seen.account, arn: seen.arn, region });
        }
        Err(why) => looks.fail("STS", why),
    }
    for (role, service, seen) in services {
        match seen {
            Ok(view) => {
                let stops = scenarios.iter().any(|(scenario, _)| stops(scenario, role));
                looks.services.push(service_look(target, role, service, &view, stops));
                for (scenario, _) in scenarios {
                    choices(looks, scenario, target, role, service, &view);
                }
            }
            Err(why) if why.kind == WhyKind::NotFound && !scenarios.iter().any(|(one, _)| uses(one, role)) => {
                looks.notes.push(format!("{}; no scenario here needs it", why.message));
            }
            Err(why) => looks.fail("ECS", why),
        }
    }
    if let Some(queues) = &target.queue {
        match queue.and_then(queue_of) {
            Ok(seen) => {
                looks.queue =
                    Some(QueueLook { name: queues.name.clone(), visible: seen.visible, in_flight: seen.in_flight });
            }
            Err(why) => looks.fail("SQS", why),
        }
    }
    for (scenario, _) in scenarios {
        for spec in &scenario.spec.faults {
            if let Fault::Partition(partition) = &spec.fault {
                look_at_partition(world, target, scenario, &spec.name, partition, looks).await;
            }
        }
    }
}

fn service_of(mut seen: Observation, service: &str) -> Result<ServiceView, Why> {
    let timed = seen.services.remove(service).expect("a look at a service answers for it");
    match timed.answer {
        Seen::Fresh(view) => Ok(view),
        Seen::Unavailable(why) => Err(why),
    }
}

fn queue_of(seen: Observation) -> Result<crate::model::QueueView, Why> {
    match seen.queue.expect("a look at the queue answers for it").answer {
        Seen::Fresh(view) => Ok(view),
        Seen::Unavailable(why) => Err(why),
    }
}

fn service_look(target: &Target, role: &str, service: &str, view: &ServiceView, with_tasks: bool) -> ServiceLook {
    let task = |task: &TaskView| TaskLook {
        id: task.arn.id().to_owned(),
        permitted: may_stop(&target.guard, task),
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
    let counts = |metric: Metric| role == WORKERS && metric == Metric::Workers;
    let waits = |trigger: &FaultTrigger| matches!(trigger, FaultTrigger::When(when) if counts(when.metric));
    stops(scenario, role)
        || spec.faults.iter().any(|fault| drains(&fault.fault) || waits(&fault.trigger))
        || spec.expect.thresholds.iter().any(|threshold| counts(threshold.metric))
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
            Fault::StopTasks(StopTasks { tasks: Selector::Service(own), pick, .. }) if own == role => {
                let room = Room::of(*pick, &target.guard, &view.tasks);
                let who = format!("{}: `{}`", scenario.name, spec.name);
                match room {
                    Room { running: 0, .. } => {
                        looks.notes.push(format!("{who} would wait: service {service} runs no task"))
                    }
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

async fn look_at_partition(
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
        return found(
            "swap the network ACL of the workers' subnets: which one is not computed by this version".to_owned(),
            None,
        );
    }
    let network = target.network.as_ref().expect("a partition's target has a network: `relate` has judged it");
    let peer = network.peers.get(&partition.and).expect("a partition's peer is known: `relate` has judged it");
    let view = match within(NETWORK_TIMEOUT, "EC2", world.network(target, peer)).await {
        Ok(view) => view,
        Err(why) => return looks.fail("EC2", why),
    };
    let diff = match cut(&view, peer) {
        Ok(diff) => diff,
        Err(reason) => {
            found(format!("be refused: {reason}"), None);
            return looks.problems.push(format!("{}: `{name}` cannot be made: {reason}", scenario.name));
        }
    };
    let carriers = view.carriers.get(&view.workers).map_or(0, Vec::len);
    let text = |rules: &[SecurityGroupRule]| rules.iter().map(rule_text).collect();
    let would = format!(
        "change {} for all {carriers} interfaces that carry it, for connections to {} port {}",
        view.workers, view.peer, peer.port
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

fn cut(view: &NetworkView, peer: &Peer) -> Result<RuleDiff, String> {
    let members: Members =
        view.carriers.iter().map(|(group, interfaces)| (group.clone(), Addresses::of(interfaces))).collect();
    let between = Between {
        workers: &view.workers,
        rules: &view.rules,
        peer: &view.peer,
        port: peer.port,
        members: &members,
        own: view.own.as_ref(),
    };
    between.cut().map_err(|refusal| refusal.reason)
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
