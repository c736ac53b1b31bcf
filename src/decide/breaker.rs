//! The circuit breaker of launches: when Dagster takes none of them, it is not hammered.

use std::time::Duration;

use super::submit::overdue_at;
use crate::{
    journal::{Generation, SubmissionStage},
    model::Timestamp,
};

/// So many launches must fail one after another to open it.
const TRIPS_AT: u32 = 5;
/// While it is open, one launch is tried this long after the last failure; an answer closes it.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Whether launches are held back. What is held back is late, and counted so.
pub fn is_open(state: &Generation) -> bool {
    state.launches.failures >= TRIPS_AT
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    All,
    /// One launch, to see whether Dagster answers again.
    One,
    /// Nothing before this instant, or before an answer; `None`: what may be sent is being sent in this pass.
    None(Option<Timestamp>),
}

pub fn gate(state: &Generation, now: Timestamp) -> Gate {
    let Some(last) = state.launches.last.as_ref().filter(|_| is_open(state)) else { return Gate::All };
    let probe_at = last.at.plus(PROBE_EVERY);
    let tried = state.open.iter().map(|index| &state.submissions[index]);
    let tried = tried
        .filter(|submission| submission.stage == SubmissionStage::Intended && submission.last_attempt_at > last.at);
    // What has no answer by then will get none: after a crash, say.
    let answers_by = tried.map(|submission| overdue_at(state, submission)).max().filter(|at| *at > now);
    if let Some(at) = answers_by {
        Gate::None(Some(at))
    } else if now < probe_at {
        Gate::None(Some(probe_at))
    } else {
        Gate::One
    }
}
