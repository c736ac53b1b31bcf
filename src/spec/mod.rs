//! L2: manifests. `tree` reads YAML with its places, `decode` makes `raw` of it, `validate` makes that valid by type;
//! `load` goes from a file's bytes through all of them. `relate` judges what several manifests say together.

mod criterion;
mod decode;
mod explain;
mod left_out;
mod load;
mod mix;
mod origin;
mod outline;
mod part;
mod partition;
mod passed_on;
mod problem;
mod raw;
mod relate;
mod scalar;
mod schema;
mod syntax;
mod tree;
mod validate;

use std::time::Duration;

pub use explain::explain;
use indexmap::IndexMap;
pub use load::{Document, LARGEST_FILE, Locator, Manifest, document_text, load, no_attachments};
pub use origin::{Origin, origin};
pub use outline::{Asks, Offers, Outline};
pub use passed_on::run_config;
pub use problem::{ManifestError, Path, Place, Problem, help_for, meant};
pub use relate::{circles, circles_of, fit, relate};
pub use schema::{Kind, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
pub use validate::Attachments;

use crate::{
    fault::Fault,
    load::{Arrivals, JobMix},
    model::{Criterion, Cron, ScenarioName, Span, Timestamp, When},
};

/// A validated `Scenario`. Every value is valid by its type or was checked by `validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    pub name: ScenarioName,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// Nothing of it is launched while this holds. It is no part of the digest: suspending changes no scenario.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// What becomes of its runs when it is deleted; no part of the digest either.
    #[serde(default)]
    pub deletion: Deletion,
    pub spec: ScenarioSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioSpec {
    pub target: ScenarioName,
    pub seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    pub load: Vec<LoadPhase>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    pub expect: Expect,
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// What becomes of the runs under way when a scenario is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Deletion {
    /// They go on to their end.
    #[default]
    Drain,
    /// They are terminated.
    Terminate,
}

/// When a scenario starts, and starts again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub trigger: StartTrigger,
    #[serde(default)]
    pub overlap: Overlap,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartTrigger {
    /// Once each of these scenarios has had its verdict, and again after each newer one.
    After(Vec<ScenarioName>),
    /// Once, at this instant; late if nobody ran then.
    At(Timestamp),
    /// At once, and again so long after each start.
    Every(Span),
    /// At every instant of a schedule in UTC.
    Cron(Cron),
}

/// What happens when a scenario is due again while it still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Overlap {
    /// That turn is left out.
    #[default]
    Forbid,
    /// It runs beside the earlier one.
    Allow,
}

/// One phase of load. Phases may overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadPhase {
    pub name: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: Span,
    #[serde(rename = "for")]
    pub length: Span,
    pub arrivals: Arrivals,
    pub jobs: JobMix,
}

impl LoadPhase {
    /// When it ends, from the start of the scenario.
    pub fn ends(&self) -> Duration {
        self.after.duration() + self.length.duration()
    }
}

/// A fault with its trigger and its repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultSpec {
    pub name: String,
    pub trigger: FaultTrigger,
    /// How long it stays, if it is one that stays.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    pub fault: Fault,
}

/// When a fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultTrigger {
    /// So long after the start of the scenario.
    After(Span),
    /// As soon as a look at a gauge shows this, while the load lasts.
    When(When),
}

/// A fault that comes again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repeat {
    /// From one beginning to the next; at least 1s.
    pub every: Span,
    /// How often in all, from 1 to 1000.
    pub times: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expect {
    pub contract: Contract,
    /// How long nothing may have changed before the records are audited.
    pub quiet: Span,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Criterion>,
}

/// What the records must show of every acknowledged run and every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Contract {
    /// Completed, and not more than once.
    #[default]
    ExactlyOnce,
    /// Completed; more than once is no violation.
    AtLeastOnce,
    /// Not completed more than once; lost is no violation.
    AtMostOnce,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most runs that are under way at once; arrivals beyond it are dropped, and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// A load that plans more arrivals than this is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u32>,
    /// After this time since its start a scenario waits for no run any more: what is unfinished is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Span>,
    /// What ends the scenario early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_on: Option<AbortOn>,
}

/// What ends a scenario early: arrivals stop, faults heal, and what there is is judged; it cannot pass any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbortOn {
    /// A CloudWatch alarm, by its name, in the state ALARM. While it is in ALARM, the scenario does not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// A gauge, compared: `queueDepth > 500`. It is looked at every 2 s, `queueAge` every 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// `true`: a look at Dagster that shows two runs of one key, or a step that was completed twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// For so long `when` must have held without a break.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(span: &Span) -> bool {
    *span == Span::ZERO
}

/// How many hexadecimal digits of SHA-256 name a spec.
const DIGEST_LENGTH: usize = 12;

impl Scenario {
    /// The digest of the spec: equal specs have equal digests, whatever the file's order, comments or format. Labels,
    /// `suspend` and `deletion` are no part of it.
    pub fn digest(&self) -> String {
        let canonical = serde_json::to_vec(&self.spec).expect("a spec has string keys only, so it always serializes");
        let hash = Sha256::digest(&canonical);
        hash.iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|nibble| char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"))
            .take(DIGEST_LENGTH)
            .collect()
    }
}
