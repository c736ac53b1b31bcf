//! What serde reads: the shape of the files and nothing else. These types do not leave this folder.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Contract, Repeat};
use crate::{
    fault::StopTasks,
    load::{Burst, Constant, Diurnal, Poisson, Ramp, Spike, Stairs},
    model::Span,
};

/// The API version that this program reads.
pub const API_VERSION: &str = "dagstorm.dev/v1alpha1";

/// The head of any document: enough to know what it is. The rest is read strictly afterwards.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    pub api_version: Option<Spanned<String>>,
    pub kind: Option<Spanned<String>>,
    pub metadata: Option<HeadMetadata>,
}

#[derive(Debug, Deserialize)]
pub struct HeadMetadata {
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Raw<T> {
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    #[serde(rename = "kind")]
    pub _kind: String,
    pub metadata: RawMetadata,
    pub spec: T,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetadata {
    pub name: Spanned<String>,
    #[serde(default, rename = "labels")]
    pub _labels: IndexMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawScenario {
    pub target: Spanned<String>,
    #[serde(default)]
    pub seed: u64,
    pub load: Spanned<Vec<RawPhase>>,
    #[serde(default)]
    pub faults: Vec<RawFault>,
    #[serde(default)]
    pub expect: RawExpect,
    #[serde(default)]
    pub limits: RawLimits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawPhase {
    pub name: Spanned<String>,
    #[serde(default)]
    pub after: Span,
    #[serde(rename = "for")]
    pub length: Spanned<Span>,
    pub arrivals: Spanned<RawArrivals>,
    pub jobs: Spanned<IndexMap<String, RawWeight>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RawArrivals {
    Constant(Constant),
    Ramp(Ramp),
    Stairs(Stairs),
    Poisson(Poisson),
    Burst(Burst),
    Spike(Spike),
    Diurnal(Diurnal),
}

/// `70%` or a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawWeight(pub f64);

impl<'de> Deserialize<'de> for RawWeight {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_suffix('%').unwrap_or(&text).trim();
        match number.parse::<f64>() {
            Ok(weight) if weight.is_finite() && weight >= 0.0 => Ok(Self(weight)),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` is not a weight: write a number from zero up, as in `3` or `70%`"
            ))),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawFault {
    pub name: Spanned<String>,
    pub after: Spanned<Span>,
    #[serde(default)]
    pub repeat: Option<Spanned<Repeat>>,
    pub stop_tasks: Option<Spanned<StopTasks>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawExpect {
    #[serde(default = "exactly_once")]
    pub contract: Contract,
    #[serde(default = "default_quiet")]
    pub quiet: Span,
}

impl Default for RawExpect {
    fn default() -> Self {
        Self { contract: exactly_once(), quiet: default_quiet() }
    }
}

fn exactly_once() -> Contract {
    Contract::ExactlyOnce
}

/// Three minutes outlast Dagster's own start time-out.
fn default_quiet() -> Span {
    Span::from_secs(180)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawLimits {
    pub max_duration: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTarget {
    pub dagster: RawDagster,
    pub ecs: Option<RawEcs>,
    pub queues: Option<RawQueues>,
    pub network: Option<RawNetwork>,
    pub metrics: Option<RawMetrics>,
    #[serde(default)]
    pub guard: RawGuard,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawDagster {
    pub url: Spanned<String>,
    pub location: String,
    #[serde(default = "default_repository")]
    pub repository: String,
    #[serde(default = "default_request_timeout")]
    pub request_timeout: Span,
    pub settle: Option<Spanned<Span>>,
    #[serde(default)]
    pub headers_from_env: IndexMap<String, String>,
}

/// The name that Dagster gives to the repository of a `Definitions` object.
fn default_repository() -> String {
    "__repository__".to_owned()
}

fn default_request_timeout() -> Span {
    Span::from_secs(30)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawEcs {
    pub cluster: String,
    #[serde(default)]
    pub services: IndexMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawQueues {
    pub tasks: RawQueue,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawQueue {
    pub name: String,
    pub dead_letters: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawNetwork {
    pub workers: RawWorkers,
    #[serde(default)]
    pub peers: IndexMap<String, Spanned<RawPeer>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawWorkers {
    pub security_group: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawPeer {
    pub security_group: Option<String>,
    pub cidr: Option<String>,
    pub port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawMetrics {
    #[serde(default = "default_namespace")]
    pub namespace: String,
    #[serde(default)]
    pub dimensions: IndexMap<String, String>,
}

fn default_namespace() -> String {
    "dagstorm".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawGuard {
    pub account: Option<String>,
    pub region: Option<String>,
    #[serde(default)]
    pub require_tag: IndexMap<String, String>,
    pub max_affected: Option<Spanned<String>>,
    #[serde(default)]
    pub min_healthy: u32,
}
