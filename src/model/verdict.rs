//! The words of an audit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is proved. Merged: Failed over Unknown over Passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// Everything is proved.
    Passed,
    /// Something broke the contract.
    Failed,
    /// Nothing wrong was found, and something is not proved.
    Unknown,
    /// Stopped by an edit or a deletion before its end: no verdict.
    Stopped,
}

/// How many keys (and steps) came to what: Jepsen's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Arrivals of the plan.
    pub planned: u32,
    /// Sent at least once, or adopted.
    pub attempted: u32,
    /// Dagster said that it launched the run, or a look-up by tag found it.
    pub acknowledged: u32,
    /// Dagster refused it for good.
    pub rejected: u32,
    /// In doubt at some time; each ended as recovered or as resolvedAbsent, or is still counted in a gap.
    pub indeterminate: u32,
    /// In doubt, and then found.
    pub recovered: u32,
    /// Launched before this data folder knew of it: found by its tags.
    #[serde(default)]
    pub adopted: u32,
    /// In doubt, absent after each of several attempts, and given up.
    pub resolved_absent: u32,
    /// Due, and not sent: `limits.maxInFlight` allowed no more.
    #[serde(default)]
    pub dropped: u32,
    /// Acknowledged, and its run, or the last retry that Dagster made of it, is SUCCESS.
    pub completed: u32,
    /// Acknowledged, and Dagster has no run of the key, or it ended with work undone and no error of its own.
    pub lost: u32,
    /// Acknowledged, and its run ended as FAILURE by an error of the job's own code.
    #[serde(default)]
    pub failed: u32,
    /// Those of them that a fault overlapped.
    #[serde(default)]
    pub failed_under_faults: u32,
    /// Dagster made its run and will never start it.
    #[serde(default)]
    pub never_started: u32,
    /// Dagster ran its failed run again, whatever came of it.
    #[serde(default)]
    pub retried: u32,
    /// Acknowledged, and launched more than once.
    pub duplicated: u32,
    /// Launched by another dagstorm as well.
    #[serde(default)]
    pub other_writers: u32,
    /// Runs that carry tags of ours and are no launches of ours.
    #[serde(default)]
    pub copied: u32,
    /// A run whose key was never sent.
    pub unexpected: u32,
    /// Acknowledged, and the run has not ended.
    pub unfinished: u32,
    /// The run is said to have failed, yet all its steps completed.
    pub falsely_failed: u32,
    /// Steps that completed.
    pub steps_completed: u32,
    /// Steps that completed more than once in a run.
    pub steps_duplicated: u32,
    /// Steps that were started again after an attempt that never completed.
    pub steps_reexecuted: u32,
    /// Steps that a worker has recorded as completed.
    #[serde(default)]
    pub effects_completed: u32,
    /// Steps that a worker has recorded as completed more than once.
    #[serde(default)]
    pub effects_duplicated: u32,
    /// Dagster says that they completed, and no worker has recorded it.
    #[serde(default)]
    pub effects_lost: u32,
    /// Recorded work of runs or steps that Dagster does not know.
    #[serde(default)]
    pub effects_unexpected: u32,
}
