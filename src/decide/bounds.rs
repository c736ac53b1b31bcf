//! Until when launches are waited for: no arrival that Dagster never acknowledges keeps a scenario for ever.

use super::{Decision, PATIENCE};
use crate::{
    journal::{Event, Generation},
    model::{Span, Timestamp},
    plan::Plan,
};

/// When launches that are not acknowledged are given up: at `limits.maxDuration`, else a settle and [`PATIENCE`] after the
/// load's end, and never before that end. `None`: it has not started.
pub fn gives_up_at(plan: &Plan, state: &Generation) -> Option<Timestamp> {
    let started_at = state.started_at?;
    let ends = started_at.plus(plan.ends_at);
    Some(match plan.max_duration {
        Some(limit) => started_at.plus(limit).max(ends),
        None => ends.plus(state.target.dagster.settle.duration()).plus(PATIENCE),
    })
}

/// Gives up what is not acknowledged in time. Returns whether launches may go on.
pub(super) fn decide(plan: &Plan, state: &Generation, now: Timestamp, decision: &mut Decision) -> bool {
    let unsent = plan.arrivals.len().saturating_sub(state.frontier);
    let open = state.open.len();
    let Some(gives_up_at) = gives_up_at(plan, state).filter(|_| state.ending().is_none() && unsent as usize + open > 0)
    else {
        return true;
    };
    if now < gives_up_at {
        decision.wake(gives_up_at);
        return true;
    }
    let limit = match plan.max_duration {
        Some(limit) => format!("limits.maxDuration, {}", Span::new(limit)),
        None => format!(
            "the load's end, a settle of {} and {}; limits.maxDuration sets another limit",
            state.target.dagster.settle,
            Span::new(PATIENCE)
        ),
    };
    let last = state.launches.last.as_ref().map(|last| format!("; the last failure: {}", last.value));
    let reason = format!(
        "{open} launches were not acknowledged and {unsent} not sent by {gives_up_at} ({limit}){}",
        last.unwrap_or_default()
    );
    decision.notes.push(Event::LoadGivenUp { reason });
    false
}
