//! What faults that last really did, by what Dagster's event log shows of the workers: measured, not assumed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    journal::{FaultState, Generation},
    model::{Census, FaultId, Span, Timestamp},
    plan::Plan,
};

/// How the steps of a generation's runs started before, while and after a fault was in place.
///
/// A step that starts has come through whatever the fault cuts: it is a leak, or was on its way before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultEffect {
    /// Which fault.
    pub fault: FaultId,
    /// Steps that started in a time as long before the injection: without any, nothing is proved.
    pub starts_before: u32,
    /// Steps that started between the injection and the way back.
    pub leaks: u32,
    /// From the injection to the last of those: after that nothing came through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onset: Option<Span>,
    /// From the begin of the way back to the next step that started; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal_time: Option<Span>,
}

/// Measures every fault that lasted and was taken back.
pub fn measure(plan: &Plan, generation: &Generation, census: &Census) -> Vec<FaultEffect> {
    let events = census.runs.iter().flat_map(|record| &record.events);
    let mut starts: Vec<Timestamp> = events.filter(|event| event.kind.is_begin()).map(|event| event.at).collect();
    starts.sort_unstable();
    let faults = plan.faults.iter().filter_map(|planned| Some((&planned.id, generation.faults.get(&planned.id)?)));
    faults.filter_map(|(id, fault)| of(id, fault, &starts)).collect()
}

/// When a fault was over: its service was steady again, and the queue moved, which a step that started since shows. Where
/// no step started any more, there was nothing to move.
pub fn recovered_at(fault: &FaultState, census: &Census) -> Option<Timestamp> {
    let steady_at = fault.steady_at?;
    let events = census.runs.iter().flat_map(|record| &record.events);
    let starts = events.filter(|event| event.kind.is_begin() && event.at >= fault.intended_at);
    let first = starts.map(|event| event.at).min().filter(|_| !fault.is_held());
    Some(first.map_or(steady_at, |first| first.max(steady_at)))
}

fn of(id: &FaultId, fault: &FaultState, starts: &[Timestamp]) -> Option<FaultEffect> {
    let (from, to) = (fault.seen_at.map(|_| fault.intended_at)?, fault.heal.as_ref()?.cause.at);
    let within = |from: Timestamp, to: Timestamp| starts.iter().filter(move |at| **at >= from && **at < to);
    let span = |length: Duration| Span::from_millis(length.as_millis() as u64);
    Some(FaultEffect {
        fault: id.clone(),
        starts_before: within(from.minus(to.since(from)), from).count() as u32,
        leaks: within(from, to).count() as u32,
        onset: within(from, to).next_back().map(|last| span(last.since(from))),
        heal_time: starts.iter().find(|at| **at >= to).map(|next| span(next.since(to))),
    })
}

impl FaultEffect {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let steps = |count: u32| if count == 1 { "1 step".to_owned() } else { format!("{count} steps") };
        let leaks = match (&self.onset, self.leaks) {
            (Some(onset), leaks) => {
                format!("{} while it was in place, the last {onset} after the injection", steps(leaks))
            }
            (None, _) => "none while it was in place".to_owned(),
        };
        let next = self
            .heal_time
            .map_or("none after it".to_owned(), |after| format!("the next {after} after its way back began"));
        format!("{}: {} started in as long a time before, {leaks}; {next}", self.fault, steps(self.starts_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Fact, Heal};

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).plus(Duration::from_secs(second))
    }

    #[test]
    fn a_service_that_is_steady_has_not_recovered_before_the_queue_moves() {
        let mut kill =
            FaultState { steady_at: Some(at(26)), ..FaultState::new(at(20), &[], &[], &[], &Default::default()) };
        let census = |seconds: &[u64]| {
            let start = |second: &u64| serde_json::json!({ "step": "work", "kind": "Started", "at": at(*second) });
            let events: Vec<serde_json::Value> = seconds.iter().map(start).collect();
            let run = serde_json::json!({ "runId": "r", "key": null, "job": "j", "status": "Success", "startedAt": null,
                "endedAt": null, "generationStarted": null, "events": events });
            let census = serde_json::json!({ "takenAt": at(99), "dagsterVersion": "1", "runs": [run] });
            serde_json::from_value::<Census>(census).expect("a census")
        };
        for (starts, recovered) in [(&[5, 21, 30][..], 26), (&[5, 31, 40], 31), (&[5], 26), (&[], 26)] {
            assert_eq!(recovered_at(&kill, &census(starts)), Some(at(recovered)), "{starts:?}");
        }
        kill.steady_at = None;
        assert_eq!(recovered_at(&kill, &census(&[30])), None);
    }

    fn held(seen: bool, began: u64, heal: Option<u64>) -> FaultState {
        let heal = heal.map(|second| Heal {
            cause: Fact { at: at(second), value: String::new() },
            began_at: at(second),
            reason: String::new(),
            steps: vec![],
        });
        FaultState {
            seen_at: seen.then(|| at(began)),
            heal,
            ..FaultState::new(at(began), &[], &[], &[], &Default::default())
        }
    }

    #[test]
    fn starts_are_counted_before_within_and_after() {
        let id: FaultId = "cut#1".parse().expect("an id");
        let starts: Vec<Timestamp> = [5, 12, 18, 20, 23, 29, 34].map(at).to_vec();
        for (fault, sentence) in [
            (
                held(true, 20, Some(30)),
                "cut#1: 2 steps started in as long a time before, 3 steps while it was in place, the last 9s after the injection; the next 4s after its way back began",
            ),
            (
                held(true, 24, Some(28)),
                "cut#1: 2 steps started in as long a time before, none while it was in place; the next 1s after its way back began",
            ),
            (
                held(true, 33, Some(40)),
                "cut#1: 1 step started in as long a time before, 1 step while it was in place, the last 1s after the injection; none after it",
            ),
        ] {
            assert_eq!(of(&id, &fault, &starts).expect("it lasted").sentence(), sentence);
        }
        assert_eq!(of(&id, &held(false, 20, Some(30)), &starts), None, "it was never in place");
        assert_eq!(of(&id, &held(true, 20, None), &starts), None, "nobody took it back");
    }
}
