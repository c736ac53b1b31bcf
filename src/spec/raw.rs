//! What serde reads: the shape of the files and nothing else. These types do not leave this folder.
//!
//! Their doc comments are what users read: in the JSON Schema, in their editors, and in `dagstorm explain`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AbortOn, Contract, Deletion, Overlap, Repeat,
    mix::{RawMix, text_map_schema},
};
use crate::{
    fault::{DenyQueue, DrainInstances, DrainService, Follow, Partition, Pick, Redeliver},
    load::{Burst, Constant, Diurnal, Poisson, Ramp, RawTrace, Spike, Stairs},
    model::{Cron, Span, Timestamp, When, target::most_launches},
};

/// The API version that this program reads.
pub const API_VERSION: &str = "dagstorm.dev/v1alpha1";

/// A manifest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "{T}Manifest")]
pub struct Raw<T> {
    /// `dagstorm.dev/v1alpha1`.
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    /// `Scenario` or `Target`.
    #[serde(rename = "kind")]
    pub _kind: String,
    /// Its name and labels.
    pub metadata: RawMetadata,
    /// What is wanted.
    pub spec: T,
}

/// Name and labels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Metadata")]
pub struct RawMetadata {
    /// Unique among the manifests of its kind: lower-case letters, digits and `-`, 63 characters at most.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// For people and tools; dagstorm copies them and attaches no meaning.
    #[serde(default)]
    #[schemars(schema_with = "text_map_schema")]
    pub labels: IndexMap<String, String>,
}

/// What happens: load, faults, and what must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Scenario")]
pub struct RawScenario {
    /// The name of the Target that it acts on.
    pub target: String,
    /// Every random choice comes from it: the same scenario with the same seed is the same arrivals, jobs and targets on
    /// every machine.
    #[serde(default)]
    pub seed: u64,
    /// `true` stops what runs of it (faults heal, runs in flight drain) and keeps it from starting. Back to `false`, it
    /// starts anew.
    #[serde(default)]
    pub suspend: bool,
    /// What becomes of the runs under way when the manifest is deleted: `drain` lets them end, `terminate` ends them.
    #[serde(default)]
    pub deletion: Deletion,
    /// When it starts; at once if this is left out. Give one of `after`, `at`, `every`, `cron`.
    #[serde(default)]
    pub start: Option<RawStart>,
    /// The phases of load, at least one. They may overlap.
    pub load: Vec<RawPhase>,
    /// What is broken meanwhile.
    #[serde(default)]
    pub faults: Vec<RawFault>,
    /// What the records must show.
    #[serde(default)]
    pub expect: RawExpect,
    /// Bounds that a scenario never exceeds.
    #[serde(default)]
    pub limits: RawLimits,
}

/// When a scenario starts, and starts again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "after": ["steady-load"] }, { "cron": "0 2 * * *" }]))]
#[schemars(rename = "Start")]
pub struct RawStart {
    /// Once each of these scenarios has had its verdict, and again after each newer one.
    pub after: Option<Vec<String>>,
    /// Once, at this instant (RFC 3339); late if dagstorm was not running then.
    pub at: Option<Timestamp>,
    /// At once, and again so long after each start; at least 1s.
    pub every: Option<Span>,
    /// At every instant of a schedule of five fields, in UTC.
    pub cron: Option<Cron>,
    /// What happens when `every` or `cron` is due while it still runs: `forbid` leaves that turn out.
    pub overlap: Option<Overlap>,
}

/// One phase of load.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Phase")]
pub struct RawPhase {
    /// Unique among the phases.
    pub name: String,
    /// From the start of the scenario to the begin of the phase; `0s` by default.
    #[serde(default)]
    pub after: Span,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub length: Span,
    /// When the runs are launched: one shape.
    pub arrivals: RawArrivals,
    /// What is launched: jobs with their weights.
    pub jobs: RawMix,
}

/// When the arrivals of a phase come: one of these shapes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Arrivals")]
pub enum RawArrivals {
    /// At an even pace.
    Constant(Constant),
    /// Faster and faster, or slower and slower.
    Ramp(Ramp),
    /// Level by level.
    Stairs(Stairs),
    /// At random, as independent users do.
    Poisson(Poisson),
    /// Many at once, again and again.
    Burst(Burst),
    /// A base with a peak, once or again and again.
    Spike(Spike),
    /// Day and night.
    Diurnal(Diurnal),
    /// As it was recorded.
    Trace(RawTrace),
}

/// A fault: a name, when it begins, how often, and exactly one of the kinds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Fault")]
pub struct RawFault {
    /// Unique among the faults.
    pub name: String,
    /// From the start of the scenario to its begin. Give this or `when`.
    pub after: Option<Span>,
    /// It begins as soon as a look shows this, while the load lasts: `queueDepth > 100`. Give this or `after`.
    pub when: Option<When>,
    /// How long it stays: for `partition`, `drainService`, `drainInstances` and `denyQueue`, which are undone then.
    #[serde(rename = "for")]
    pub length: Option<Span>,
    /// It comes again.
    pub repeat: Option<Repeat>,
    /// Stops ECS tasks, as StopTask does: SIGTERM, then SIGKILL after the stop time-out.
    pub stop_tasks: Option<RawStopTasks>,
    /// Sets a service's desired count to 0, and back.
    pub drain_service: Option<DrainService>,
    /// Sets container instances to DRAINING, and back.
    pub drain_instances: Option<DrainInstances>,
    /// Cuts the workers off from a peer.
    pub partition: Option<Partition>,
    /// Denies the queue's data plane by its policy.
    pub deny_queue: Option<DenyQueue>,
    /// Delivers queued messages once more.
    pub redeliver: Option<Redeliver>,
}

/// Stops ECS tasks. Which: exactly one of `service`, `family`, `tag`, `startedBy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "StopTasks")]
pub struct RawStopTasks {
    /// Tasks of the service behind this role of the target's `ecs.services`.
    pub service: Option<String>,
    /// Tasks of this task definition's family, whoever started them.
    pub family: Option<String>,
    /// Tasks that carry all of these tags.
    #[serde(default)]
    #[schemars(schema_with = "text_map_schema")]
    pub tag: Option<IndexMap<String, String>>,
    /// Tasks that were started with this `startedBy`.
    pub started_by: Option<String>,
    /// How many of them; `one` by default.
    #[serde(default)]
    pub pick: Pick,
    /// What repeats act on; `replacements` by default.
    #[serde(default)]
    pub follow: Follow,
    /// Stop tasks under ECS task scale-in protection too; by default they are left alone. Workers that protect themselves
    /// while they are busy are only then stopped in mid-work.
    #[serde(default)]
    pub include_protected: bool,
}

/// What the records must show for a pass.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Expect")]
pub struct RawExpect {
    /// What must hold of every acknowledged run and every step; `exactlyOnce` by default.
    #[serde(default)]
    pub contract: Contract,
    /// How long nothing may have changed before the records are audited; `3m` by default. Longer than Dagster's own start
    /// time-out and than the longest step.
    #[serde(default = "default_quiet")]
    pub quiet: Span,
    /// By metric, what must hold: an aggregate, one of `<`, `<=`, `>`, `>=`, and a value. A threshold without samples is
    /// no pass.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::thresholds")]
    pub thresholds: IndexMap<String, Vec<String>>,
}

impl Default for RawExpect {
    fn default() -> Self {
        Self { contract: Contract::default(), quiet: default_quiet(), thresholds: IndexMap::new() }
    }
}

/// Three minutes outlast Dagster's own start time-out.
fn default_quiet() -> Span {
    Span::from_secs(180)
}

/// Bounds that a scenario never exceeds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub struct RawLimits {
    /// So many runs under way at once at most. An arrival beyond it is dropped and counted; the load was not the planned
    /// one then.
    pub max_in_flight: Option<u32>,
    /// A load that plans more arrivals than this is refused.
    pub max_runs: Option<u32>,
    /// After this time since its start, unfinished runs are not waited for any more: they are Unknown.
    pub max_duration: Option<Span>,
    /// What ends the scenario early: arrivals stop, everything heals.
    pub abort_on: Option<AbortOn>,
}

/// Where scenarios act: one Dagster, one ECS cluster, its queues and its network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Target")]
pub struct RawTarget {
    /// The Dagster that launches the runs.
    pub dagster: RawDagster,
    /// The ECS cluster, for faults and worker counts.
    pub ecs: Option<RawEcs>,
    /// The SQS queues, for their depth.
    pub queues: Option<RawQueues>,
    /// What a partition can lie between.
    pub network: Option<RawNetwork>,
    /// Where metrics are published; without it they are logged.
    pub metrics: Option<RawMetrics>,
    /// What a fault may never exceed.
    #[serde(default)]
    pub guard: RawGuard,
}

/// A Dagster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Dagster")]
pub struct RawDagster {
    /// Its GraphQL endpoint, as in `http://127.0.0.1:3000/graphql`.
    pub url: String,
    /// The code location that holds the jobs.
    pub location: String,
    /// The repository in it; `__repository__` unless the location names its own.
    #[serde(default = "default_repository")]
    pub repository: String,
    /// How long one call may take; `30s` by default, at least `100ms`.
    #[serde(default = "default_request_timeout")]
    pub request_timeout: Span,
    /// How long after its last attempt a launch can still appear; `requestTimeout` and 35s by default, which fits a stock
    /// Dagster. Too short a settle can launch twice.
    pub settle: Option<Span>,
    /// So many launches of a scenario wait for their answers at once at most; `16` by default. What is due beyond it is late.
    #[serde(default = "most_launches")]
    #[schemars(range(min = 1))]
    pub max_concurrent_launches: u32,
    /// HTTP header to the name of the environment variable that holds its value. Values are never recorded.
    #[serde(default)]
    #[schemars(schema_with = "text_map_schema")]
    pub headers_from_env: IndexMap<String, String>,
}

/// The name that Dagster gives to the repository of a `Definitions` object.
fn default_repository() -> String {
    "__repository__".to_owned()
}

fn default_request_timeout() -> Span {
    Span::from_secs(30)
}

/// An ECS cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Ecs")]
pub struct RawEcs {
    /// Its name or ARN.
    pub cluster: String,
    /// Role (`workers`, `autoscaler` …) to the name of the ECS service. Faults name roles.
    #[serde(default)]
    #[schemars(schema_with = "text_map_schema")]
    pub services: IndexMap<String, String>,
}

/// The queues.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Queues")]
pub struct RawQueues {
    /// The queue that feeds the workers.
    pub tasks: RawQueue,
}

/// An SQS queue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Queue")]
pub struct RawQueue {
    /// Its name.
    pub name: String,
    /// The name of its dead-letter queue.
    pub dead_letters: Option<String>,
}

/// The parts of the network that a partition can lie between.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Network")]
pub struct RawNetwork {
    /// Whose rules are changed.
    pub workers: RawWorkers,
    /// What the workers can be cut off from, by name.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::peers")]
    pub peers: IndexMap<String, RawPeer>,
    /// Where dagstorm itself stands: a partition that would cut it off is refused.
    #[serde(rename = "self")]
    pub own: Option<RawPlace>,
}

/// The workers' place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Workers")]
pub struct RawWorkers {
    /// The id of their security group.
    pub security_group: String,
}

/// A peer of the workers: a port, and exactly one of `securityGroup`, `cidr`, `prefixList`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Peer")]
pub struct RawPeer {
    /// The id of its security group.
    pub security_group: Option<String>,
    /// Its addresses, as in `10.0.3.0/24`.
    pub cidr: Option<String>,
    /// The id of a managed prefix list, as in `pl-63a5400a`.
    pub prefix_list: Option<String>,
    /// The TCP port that it listens on.
    #[schemars(range(min = 1))]
    pub port: u16,
}

/// A place in the network: exactly one of `securityGroup`, `cidr`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Place")]
pub struct RawPlace {
    /// The id of a security group.
    pub security_group: Option<String>,
    /// Addresses, as in `10.0.4.12/32`.
    pub cidr: Option<String>,
}

/// CloudWatch metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Metrics")]
pub struct RawMetrics {
    /// Their namespace; `dagstorm` by default.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Dimensions that every datum carries.
    #[serde(default)]
    #[schemars(schema_with = "text_map_schema")]
    pub dimensions: IndexMap<String, String>,
}

fn default_namespace() -> String {
    "dagstorm".to_owned()
}

/// What a fault may never exceed. Checked when targets are chosen, at each act.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Guard")]
pub struct RawGuard {
    /// Only tasks of this account (12 digits, in quotes) …
    #[schemars(regex(pattern = "^[0-9]{12}$"))]
    pub account: Option<String>,
    /// … and of this region are ever a target.
    pub region: Option<String>,
    /// A task must carry all of these tags.
    #[serde(default)]
    #[schemars(schema_with = "text_map_schema")]
    pub require_tag: IndexMap<String, String>,
    /// At most this share or number of a service's tasks at once.
    pub max_affected: Option<Pick>,
    /// At least so many running tasks stay; 0 by default.
    #[serde(default)]
    pub min_healthy: u32,
    /// Times in which no fault begins.
    #[serde(default)]
    pub deny_windows: Vec<RawDenyWindow>,
}

/// A time in which no fault begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DenyWindow")]
pub struct RawDenyWindow {
    /// When it begins, in UTC.
    pub cron: Cron,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub length: Span,
}
