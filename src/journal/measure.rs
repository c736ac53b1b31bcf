//! What samples stand for.

use std::time::Duration;

use super::generation::{Generation, Sample};
use crate::model::{Metric, Timestamp};

/// A sample and how long it stands: until the next one, as long as it was looked at, and to the end of sampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    pub from: Timestamp,
    pub length: Duration,
    pub value: f64,
}

/// A gauge over the time: a value is written down when it has changed, so each counts for the time that it stood.
///
/// `until`: what came later was not sampled.
pub fn held(generation: &Generation, metric: Metric, until: Timestamp) -> Vec<Held> {
    let ends = [generation.ending().map(|end| end.at), generation.audit_began_at, Some(until)];
    let until = ends.into_iter().flatten().min().unwrap_or(until);
    let mut samples = generation.samples.iter().filter(|sample| sample.metric == metric).peekable();
    let mut found = vec![];
    while let Some(Sample { asked_at, value, .. }) = samples.next() {
        let next = samples.peek().map_or(until.max(*asked_at), |next| next.asked_at);
        let length = next.since(*asked_at).min(metric.stands());
        found.push(Held { from: *asked_at, length, value: *value });
    }
    found
}
