//! After a stop that asks for it: the runs that are under way are ended.

use std::time::Duration;

use super::{Act, Decision, Purpose};
use crate::{
    journal::{Event, Generation},
    model::{Effect, Observation, Timestamp},
};

/// A run that is still under way is asked once more after so long.
const AGAIN: Duration = Duration::from_secs(15);

pub fn decide(state: &Generation, observation: &Observation, now: Timestamp, decision: &mut Decision) {
    let Some(stop) = state.stop.as_ref().filter(|_| state.terminate) else { return };
    // Only a look asked after the stop knows what was launched before it.
    let looked = observation.dagster.as_ref().filter(|seen| seen.asked_at >= stop.at);
    let Some(view) = looked.and_then(|seen| seen.answer.fresh()) else { return };
    for run in view.runs.open().map(|chain| chain.end()).filter(|run| !run.status.is_terminal()) {
        match state.terminations.get(&run.run_id).map(|at| at.plus(AGAIN)) {
            Some(again) if again > now => decision.wake(again),
            Some(_) | None => {
                let run_id = run.run_id.clone();
                decision.intents.push(Event::TerminateIntended { run_id: run_id.clone() });
                let effect = Effect::TerminateRun { run_id: run_id.clone() };
                decision.acts.push(Act { purpose: Purpose::Terminate { run_id }, effect, due: None });
            }
        }
    }
}
