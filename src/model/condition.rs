//! The words of a status: Kubernetes' conditions and the phases of a scenario.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{GenerationId, Timestamp};

/// One word for where a scenario stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, nothing done yet, or never accepted (see the condition `Accepted`).
    Pending,
    /// It cannot start yet; the condition `Ready` says why.
    Waiting,
    Running,
    /// Every arrival was sent and every fault healed; runs finish and the quiet period passes.
    Settling,
    Auditing,
    Passed,
    Failed,
    Unknown,
    Suspended,
    Stopped,
}

impl Phase {
    /// Nothing more happens to this generation.
    pub fn is_final(self) -> bool {
        match self {
            Self::Passed | Self::Failed | Self::Unknown | Self::Stopped => true,
            Self::Pending | Self::Waiting | Self::Running | Self::Settling | Self::Auditing | Self::Suspended => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionType {
    Accepted,
    Ready,
    Reconciling,
    Stalled,
    FaultsInjected,
    FaultsHealed,
    Audited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// One condition, as Kubernetes writes it. `reason` is one CamelCase word for machines, `message` a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: ConditionType,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<GenerationId>,
}
