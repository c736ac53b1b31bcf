//! Faults that are read, checked and planned, and not carried out yet: `spec` refuses them before anything happens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pick;

/// The service's desired count goes to 0 for `for`, and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainService {
    /// A role of the target's `ecs.services`.
    pub service: String,
}

/// Container instances of the cluster are set to DRAINING for `for`, and back to ACTIVE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainInstances {
    /// How many: `one`, `all`, a number, or a share such as `30%`.
    #[serde(default)]
    pub pick: Pick,
}

/// The workers cannot reach a peer for `for`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partition {
    /// Who is cut off: `workers`, the security group of the target's `network.workers`.
    pub between: String,
    /// From whom: a name of the target's `network.peers`.
    pub and: String,
    /// How it is cut; `newConnections` by default.
    #[serde(default)]
    pub cut: Cut,
}

/// How a partition cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// By security-group rules: no new connections. Tracked connections live on until their idle time-out.
    #[default]
    NewConnections,
    /// By network ACL: established connections are cut as well.
    Hard,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewConnections => "newConnections",
            Self::Hard => "hard",
        })
    }
}

/// The queue's policy denies the data plane for `for`; its administration stays open, so that healing always works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyQueue {
    /// A queue of the target's `queues`; `tasks` by default.
    #[serde(default = "tasks")]
    pub queue: String,
}

/// A share of the queued messages is copied: a true duplicate delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redeliver {
    /// How much of what is queued: a share such as `10%`, or a number of messages.
    pub share: Pick,
    /// A queue of the target's `queues`; `tasks` by default.
    #[serde(default = "tasks")]
    pub queue: String,
}

fn tasks() -> String {
    "tasks".to_owned()
}
