//! L2: manifests. `raw` is what serde reads, `validate` makes it valid by type, `load` goes from a file's bytes to both.

mod load;
mod raw;
mod validate;

pub use load::{Document, LARGEST_FILE, Manifest, ManifestError, load};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    fault::Fault,
    load::{Arrivals, JobMix},
    model::{ScenarioName, Span},
};

/// A validated `Scenario`. Every value is valid by its type or was checked by `validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    pub name: ScenarioName,
    pub spec: ScenarioSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioSpec {
    pub target: ScenarioName,
    pub seed: u64,
    pub load: Vec<LoadPhase>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    pub expect: Expect,
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
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

/// A fault with its trigger and its repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultSpec {
    pub name: String,
    pub after: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    pub fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repeat {
    pub every: Span,
    pub times: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expect {
    pub contract: Contract,
    /// How long nothing may have changed before the records are audited.
    pub quiet: Span,
}

/// What the records must show. The other contracts of the API come with the audit's own issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Contract {
    ExactlyOnce,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// After this time since its start a scenario waits for no run any more: what is unfinished is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Span>,
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
    /// The digest of the spec: equal specs have equal digests, whatever the file's order, comments or format.
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
