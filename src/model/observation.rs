//! What a look at the world can show. A failed look is never an empty answer.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CompletionRecord, Completions, GenerationId, LocationView, NetworkAcl, NetworkView, Object, PartitionAsk,
    PartitionsView, RunRecord, Runs, ScenarioName, SecurityGroup, SecurityGroupRule, Subnet, TaskArn, Timestamp,
};

/// The answer of a look, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    Fresh(T),
    Unavailable(Why),
}

impl<T> Seen<T> {
    pub fn fresh(&self) -> Option<&T> {
        match self {
            Self::Fresh(value) => Some(value),
            Self::Unavailable(_) => None,
        }
    }
}

/// Why a look failed: one word for machines, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    pub kind: WhyKind,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WhyKind {
    /// Nothing answers there.
    Unreachable,
    TimedOut,
    /// The credentials are missing, wrong or too weak.
    Unauthorized,
    /// What the manifest names does not exist there (a cluster, a service, a queue, a code location, a job).
    NotFound,
    Throttled,
    /// It answered with an error of its own.
    ServerError,
    /// It answered in a way that we do not understand (not Dagster, a proxy's page).
    Protocol,
    /// It will pass by itself, and is waited for.
    Awaited,
    /// It is there, and it is not what the manifest asks for: another account, an alarm that rings.
    Mismatch,
    /// It is known there, and it is not loaded: a code location that reloads, or whose load failed.
    NotLoaded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A look's answer with the instant at which it was *asked*: what happened later it cannot show.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed<T> {
    pub asked_at: Timestamp,
    pub answer: Seen<T>,
}

impl<T> Timed<T> {
    fn state(&self) -> (Timestamp, Option<&Why>) {
        match &self.answer {
            Seen::Fresh(_) => (self.asked_at, None),
            Seen::Unavailable(why) => (self.asked_at, Some(why)),
        }
    }
}

/// What to look at. Each kind is asked on its own, so that a slow Dagster never delays a look at ECS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Query {
    /// Dagster itself and the runs of one generation that Dagster has changed since an instant by its own clock; `None`: all
    /// of them. Where `jobs` are named, also whether they exist.
    Dagster { scenario: ScenarioName, generation: GenerationId, jobs: Vec<String>, since: Option<Timestamp> },
    /// The step events of some runs of one generation, of a Dagster of this version.
    Steps { scenario: ScenarioName, generation: GenerationId, version: String, run_ids: Vec<String> },
    /// One ECS service and its tasks.
    Service { service: String },
    /// The depth of the tasks queue.
    Queue,
    /// How old the oldest message of the tasks queue was, minute by minute: CloudWatch knows it, SQS does not.
    QueueAge,
    /// What lies between the workers and a peer of the target. `hard`: with the subnets and their ACLs.
    Network { peer: String, hard: bool },
    /// The cluster's container instances.
    Instances,
    /// The policy and the tags of a queue of the target, by its role.
    Policy { queue: String },
    /// Security groups with their rules, and subnets with what judges them, as an open fault recorded them: whatever else
    /// changes around them, they are seen.
    Objects { objects: Vec<Object> },
    /// Tasks of the cluster that need not be of a service.
    Tasks { of: TaskSet },
    /// A CloudWatch alarm, by its name.
    Alarm { name: String },
    /// Whose credentials ours are.
    Account,
    /// Whether the workers' own records can be read.
    Completions,
    /// The partitions and the assets that these launches are for.
    Partitions { asks: Vec<PartitionAsk> },
}

/// Tasks of a cluster, whoever started them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskSet {
    /// Of a task definition's family.
    Family(String),
    /// Those that carry all of these tags.
    Tag(BTreeMap<String, String>),
    /// Those that were started with this `startedBy`.
    StartedBy(String),
}

/// What has been seen so far; of each kind only the latest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Launches that this process has sent, or will at their instant, and whose answers it waits for.
    pub launching: u32,
    /// When this process took up a generation that an earlier one had started, or went on after it stood still. What looks
    /// showed before may be so no more.
    pub awoke_at: Option<Timestamp>,
    /// Since when this process ends: everything that it broke is to be healed, and nothing new begins.
    pub leaving: Option<Timestamp>,
    pub dagster: Option<Timed<DagsterView>>,
    /// What the last look that succeeded had shown, while the last one has failed.
    pub runs_before: Runs,
    /// When the last look was asked that showed every run there was.
    pub runs_whole_at: Option<Timestamp>,
    /// When the last look was asked that showed the runs, or what had changed of them.
    pub runs_seen_at: Option<Timestamp>,
    /// The runs that were asked for last.
    pub steps: Option<Timed<StepsView>>,
    pub services: BTreeMap<String, Timed<ServiceView>>,
    pub queue: Option<Timed<QueueView>>,
    pub queue_age: Option<Timed<AgeView>>,
    /// By the peer's name and whether the subnets are in it.
    pub networks: BTreeMap<(String, bool), Timed<NetworkView>>,
    pub instances: Option<Timed<Vec<InstanceView>>>,
    /// By the queue's role.
    pub policies: BTreeMap<String, Timed<PolicyView>>,
    pub objects: BTreeMap<Vec<Object>, Timed<ObjectsView>>,
    pub tasks: BTreeMap<TaskSet, Timed<Vec<TaskView>>>,
    /// By the alarm's name.
    pub alarms: BTreeMap<String, Timed<AlarmView>>,
    /// The account's number.
    pub account: Option<Timed<String>>,
    pub completions: Option<Timed<()>>,
    /// One of each ask, in their order.
    pub partitions: Option<Timed<Vec<PartitionsView>>>,
}

impl Observation {
    /// Takes over what `newer` shows; keeps the rest.
    pub fn merge(&mut self, newer: Observation) {
        if let Some(newer) = newer.dagster {
            self.see_runs(newer);
        }
        if newer.steps.is_some() {
            self.steps = newer.steps;
        }
        self.services.extend(newer.services);
        if newer.queue.is_some() {
            self.queue = newer.queue;
        }
        if newer.queue_age.is_some() {
            self.queue_age = newer.queue_age;
        }
        self.networks.extend(newer.networks);
        if newer.instances.is_some() {
            self.instances = newer.instances;
        }
        self.policies.extend(newer.policies);
        self.objects.extend(newer.objects);
        self.tasks.extend(newer.tasks);
        self.alarms.extend(newer.alarms);
        if newer.account.is_some() {
            self.account = newer.account;
        }
        if newer.completions.is_some() {
            self.completions = newer.completions;
        }
        if newer.partitions.is_some() {
            self.partitions = newer.partitions;
        }
    }

    /// Takes a look at Dagster in: the runs that it shows into those that are known.
    fn see_runs(&mut self, mut newer: Timed<DagsterView>) {
        let before = match self.dagster.take() {
            Some(Timed { answer: Seen::Fresh(view), .. }) => view.runs,
            // The runs are kept while looks fail, so that the next one that succeeds need not show all of them.
            Some(Timed { answer: Seen::Unavailable(_), .. }) | None => std::mem::take(&mut self.runs_before),
        };
        match &mut newer.answer {
            Seen::Fresh(view) => {
                let is_whole = view.since.is_none();
                if is_whole {
                    self.runs_whole_at = Some(newer.asked_at);
                }
                self.runs_seen_at = Some(newer.asked_at);
                let shown = std::mem::replace(&mut view.runs, before);
                view.runs.absorb(shown, is_whole);
            }
            Seen::Unavailable(_) => self.runs_before = before,
        }
        self.dagster = Some(newer);
    }

    /// Every run that is known, whether or not the last look succeeded, and when a look last showed all there were.
    pub fn known_runs(&self) -> Option<(&Runs, Timestamp)> {
        let runs = match &self.dagster {
            Some(Timed { answer: Seen::Fresh(view), .. }) => &view.runs,
            Some(Timed { answer: Seen::Unavailable(_), .. }) | None => &self.runs_before,
        };
        Some((runs, self.runs_whole_at?))
    }

    /// Whether Dagster's runs are not known since this process took up its work, or went on with it.
    pub fn is_blind(&self) -> bool {
        self.awoke_at.is_some_and(|awoke_at| self.runs_seen_at.is_none_or(|seen_at| seen_at < awoke_at))
    }

    /// Takes runs whose step events were read out of those that are to be read.
    pub fn retain_unread(&mut self, is_unread: impl Fn(&str) -> bool) {
        if let Some(Timed { answer: Seen::Fresh(view), .. }) = &mut self.dagster {
            view.runs.retain_unread(is_unread);
        }
    }

    /// When this was last asked.
    pub fn asked_at(&self, query: &Query) -> Option<Timestamp> {
        self.state_of(query).map(|(asked_at, _)| asked_at)
    }

    /// When this was last asked, and why there was no answer, if there was none.
    pub fn state_of(&self, query: &Query) -> Option<(Timestamp, Option<&Why>)> {
        match query {
            Query::Dagster { .. } => self.dagster.as_ref().map(Timed::state),
            Query::Steps { .. } => self.steps.as_ref().map(Timed::state),
            Query::Service { service } => self.services.get(service).map(Timed::state),
            Query::Queue => self.queue.as_ref().map(Timed::state),
            Query::QueueAge => self.queue_age.as_ref().map(Timed::state),
            Query::Network { peer, hard } => self.networks.get(&(peer.clone(), *hard)).map(Timed::state),
            Query::Instances => self.instances.as_ref().map(Timed::state),
            Query::Policy { queue } => self.policies.get(queue).map(Timed::state),
            Query::Objects { objects } => self.objects.get(objects).map(Timed::state),
            Query::Tasks { of } => self.tasks.get(of).map(Timed::state),
            Query::Alarm { name } => self.alarms.get(name).map(Timed::state),
            Query::Account => self.account.as_ref().map(Timed::state),
            Query::Completions => self.completions.as_ref().map(Timed::state),
            Query::Partitions { .. } => self.partitions.as_ref().map(Timed::state),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct DagsterView {
    pub version: String,
    /// Every run that carries the scenario's and the generation's tag.
    pub runs: Runs,
    /// The look shows what has changed since then; `None`: everything.
    pub since: Option<Timestamp>,
    /// The code location; `None`: the query names no job, so it was not asked about.
    pub location: Option<LocationView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceView {
    pub arn: String,
    pub tags: IndexMap<String, String>,
    /// It is being deleted: ECS replaces none of its tasks.
    pub draining: bool,
    pub desired: u32,
    pub running: u32,
    pub tasks: Vec<TaskView>,
}

/// An ECS task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Its ARN.
    pub arn: TaskArn,
    /// ECS's `lastStatus` is RUNNING.
    pub running: bool,
    /// ECS's `desiredStatus` is STOPPED: it is on its way out.
    pub stopping: bool,
    /// It is under scale-in protection: ECS is asked not to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// It is dagstorm's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// As ECS says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub tags: IndexMap<String, String>,
}

/// Objects of a network. What is absent does not exist any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectsView {
    pub groups: Vec<SecurityGroup>,
    pub rules: Vec<SecurityGroupRule>,
    pub subnets: Vec<Subnet>,
    /// What judges the subnets, and all copies that faults have made.
    pub acls: Vec<NetworkAcl>,
}

/// A CloudWatch alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmView {
    /// Its state is ALARM.
    pub is_ringing: bool,
    /// Why it is in its state, in CloudWatch's words.
    pub reason: String,
}

/// A container instance of an ECS cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceView {
    pub arn: String,
    /// ECS's word: ACTIVE, DRAINING …
    pub status: String,
    /// How many tasks run on it.
    pub tasks: u32,
    /// Dagstorm's own task runs on it.
    pub own: bool,
    pub tags: IndexMap<String, String>,
}

/// A queue as an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyView {
    pub url: String,
    pub arn: String,
    /// Whether our statement denies the data plane.
    pub denied: bool,
    /// The rest of the policy cannot be read: then it is not touched.
    pub unreadable: Option<String>,
    pub visible: u64,
    /// How often a message may be received before the redrive policy moves it to the dead letters; `None`: there is none.
    pub max_receives: Option<u32>,
    pub tags: IndexMap<String, String>,
}

/// SQS's depth attributes: approximate by design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueView {
    pub visible: u64,
    pub in_flight: u64,
}

/// Runs that have ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepsView {
    /// Those of the runs asked for that Dagster has, with their step events.
    pub runs: Vec<RunRecord>,
    /// What workers recorded of their steps, where that can be asked for by run.
    pub work: Vec<CompletionRecord>,
}

/// The age of a queue's oldest message, as CloudWatch keeps it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgeView {
    /// The highest of each whole minute, by the minute's begin, in seconds; the oldest first. A minute without a datum is
    /// absent: that is not zero.
    pub minutes: Vec<(Timestamp, f64)>,
}

/// What the audit asks of Dagster: every run of one generation with its step events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CensusQuery {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    /// Where what was read so far is kept, so that an interrupted census goes on; `None`: nowhere.
    pub spool: Option<PathBuf>,
}

/// The records that the audit rests on, complete or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Census {
    pub taken_at: Timestamp,
    pub dagster_version: String,
    pub runs: Vec<RunRecord>,
    /// What the workers themselves wrote down; `None`: the target does not say where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<Completions>,
}

/// One metric value for CloudWatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    pub name: &'static str,
    pub unit: DatumUnit,
    pub at: Timestamp,
    pub values: Vec<f64>,
    pub dimensions: IndexMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatumUnit {
    Count,
    Seconds,
}
