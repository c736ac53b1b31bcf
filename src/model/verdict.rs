//! The words of an audit.

use serde::{Deserialize, Serialize};

/// The end of a generation. Merged: Failed over Unknown over Passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Passed,
    Failed,
    Unknown,
    /// Stopped by an edit or a deletion before its end: no verdict.
    Stopped,
}

/// How many keys (and steps) came to what: Jepsen's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub planned: u32,
    pub attempted: u32,
    pub acknowledged: u32,
    pub rejected: u32,
    /// In doubt at some time; each ended as recovered or as resolvedAbsent, or is still counted in a gap.
    pub indeterminate: u32,
    pub recovered: u32,
    /// Launched before this data folder knew of it: found by its tags.
    #[serde(default)]
    pub adopted: u32,
    pub resolved_absent: u32,
    /// Due, and not sent: `limits.maxInFlight` allowed no more.
    #[serde(default)]
    pub dropped: u32,
    pub completed: u32,
    pub lost: u32,
    pub duplicated: u32,
    pub unexpected: u32,
    pub unfinished: u32,
    pub falsely_failed: u32,
    pub steps_completed: u32,
    pub steps_duplicated: u32,
    pub steps_reexecuted: u32,
    /// Steps that a worker has recorded as completed.
    #[serde(default)]
    pub effects_completed: u32,
    /// … more than once.
    #[serde(default)]
    pub effects_duplicated: u32,
    /// Dagster says that they completed, and no worker has recorded it.
    #[serde(default)]
    pub effects_lost: u32,
    /// Recorded work of runs or steps that Dagster does not know.
    #[serde(default)]
    pub effects_unexpected: u32,
}
