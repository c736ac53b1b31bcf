//! The narrow waist: everything that dagstorm can do to the world, and what can come of it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Key, TaskArn};

/// One call that changes the world. Data alone: it can be recorded before it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// Launches one run. `tags` already hold the key; Dagster itself has no idempotency key.
    LaunchRun { key: Key, job: String, tags: IndexMap<String, String>, run_config: serde_json::Value },
    /// Ends one run that is under way, as Dagster's own button does. Repeating it is harmless.
    TerminateRun { run_id: String },
    /// Stops one ECS task. `reason` is the only free text that AWS keeps of it. Repeating it is harmless.
    StopTask { task: TaskArn, reason: String },
}

/// What came of an effect: Jepsen's ok, fail and info.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It happened.
    Done(Receipt),
    /// It certainly did not happen. `retry`: the same call may succeed later.
    Refused { reason: String, retry: bool },
    /// It may have happened, now or a little later.
    Unknown { reason: String },
}

/// The proof that an effect happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Receipt {
    Launched { run_id: String },
    Stopping,
    Terminating,
    Published,
}

/// How to take a fault back. It is recorded inside the intent, before the fault is injected.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undo {
    /// What to do, in this order; each is idempotent. Empty where AWS itself restores (a service replaces its tasks).
    pub effects: Vec<Effect>,
    /// The service whose running count must reach its desired count again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<String>,
}
