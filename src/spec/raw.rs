//! What serde reads: the shape of the files and nothing else. These types do not leave this folder.
//!
//! Their doc comments are what users read: in the JSON Schema, in their editors, and in `dagstorm explain`.

mod target;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AbortOn, Contract, Deletion, Overlap, Repeat,
    criterion::RawThresholds,
    mix::RawMix,
    part::Part,
    passed_on::{some_texts, text_map_schema, texts},
};
use crate::{
    fault::{DenyQueue, DrainInstances, DrainService, Follow, Partition, Pick, Redeliver},
    load::{Burst, Constant, Diurnal, Poisson, Ramp, RawTrace, Spike, Stairs},
    model::{Cron, Span, Timestamp, When},
};

pub use target::*;

/// The API version that this program reads.
pub const API_VERSION: &str = "dagstorm.dev/v1alpha1";

/// A manifest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "{T}Manifest")]
pub struct Raw<T> {
    /// `dagstorm.dev/v1alpha1`.
    #[serde(rename = "apiVersion")]
    #[schemars(with = "String")]
    pub _api_version: Part<String>,
    /// `Scenario` or `Target`.
    #[serde(rename = "kind")]
    #[schemars(with = "String")]
    pub _kind: Part<String>,
    /// Its name and labels.
    #[schemars(with = "RawMetadata")]
    pub metadata: Part<RawMetadata>,
    /// What is wanted.
    #[schemars(with = "T")]
    pub spec: Part<T>,
}

/// Name and labels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Metadata")]
pub struct RawMetadata {
    /// Unique among the manifests of its kind: lower-case letters, digits and `-`, 63 characters at most.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: Part<String>,
    /// For people and tools; dagstorm copies them and attaches no meaning.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    pub labels: IndexMap<String, String>,
}

/// What happens: load, faults, and what must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Scenario")]
pub struct RawScenario {
    /// The name of the Target that it acts on.
    #[schemars(with = "String")]
    pub target: Part<String>,
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
    #[schemars(with = "Vec<RawPhase>")]
    pub load: Part<Vec<RawPhase>>,
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
    #[schemars(with = "String")]
    pub name: Part<String>,
    /// From the start of the scenario to the begin of the phase; `0s` by default.
    #[serde(default)]
    pub after: Span,
    /// How long it lasts.
    #[serde(rename = "for")]
    #[schemars(with = "Span")]
    pub length: Part<Span>,
    /// When the runs are launched: one shape.
    #[schemars(with = "RawArrivals")]
    pub arrivals: Part<RawArrivals>,
    /// What is launched: jobs with their weights.
    #[schemars(with = "RawMix")]
    pub jobs: Part<RawMix>,
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
    #[schemars(with = "String")]
    pub name: Part<String>,
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
    #[serde(default, deserialize_with = "some_texts")]
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
    /// By metric, what must hold: an aggregate, one of `<`, `<=`, `>`, `>=`, and a value; or a map that says of what it
    /// must hold. A threshold without samples is no pass.
    #[serde(default)]
    #[schemars(schema_with = "super::criterion::thresholds")]
    pub thresholds: IndexMap<String, RawThresholds>,
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
    /// Most runs that are under way at once. An arrival beyond it is dropped and counted; the load was not the planned
    /// one then.
    pub max_in_flight: Option<u32>,
    /// A load that plans more arrivals than this is refused.
    pub max_runs: Option<u32>,
    /// After this time since its start, unfinished runs are not waited for any more: they are Unknown.
    pub max_duration: Option<Span>,
    /// What ends the scenario early: arrivals stop, everything heals.
    pub abort_on: Option<AbortOn>,
}
