//! What a generation keeps of single things that were seen.

use crate::model::{Metric, Timestamp};

/// Something that was written down, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<T> {
    pub at: Timestamp,
    pub value: T,
}

/// Runs that were there before this data folder knew of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopting {
    /// How many there were at the first look.
    pub first: u32,
    /// How many there are now, and since when.
    pub runs: u32,
    pub since: Timestamp,
}

/// Another dagstorm that launches the same generation at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherWriter {
    /// A run of its own.
    pub run_id: String,
    /// What was seen, in a sentence.
    pub reason: String,
    /// It began before this one did, or took over while this one was away.
    pub is_first: bool,
}

/// When a task was seen to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLife {
    pub service: String,
    /// The first look that showed it running …
    pub seen_at: Timestamp,
    /// … and the first after it that did not.
    pub left_at: Option<Timestamp>,
}

/// What a gauge showed in one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub metric: Metric,
    pub asked_at: Timestamp,
    pub value: f64,
}
