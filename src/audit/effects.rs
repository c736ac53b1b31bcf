//! What faults that last really did, by what Dagster's event log shows of the workers: measured, not assumed.

use std::time::Duration;

use serde::Serialize;

use crate::{
    journal::{FaultState, Generation},
    model::{Census, FaultId, Span, StepEventKind, Timestamp},
    plan::Plan,
};

/// How the steps of a generation's runs started before, while and after a fault was in place.
///
/// A step that starts has come through whatever the fault cuts: it is a leak, or was on its way before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultEffect {
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
    let mut starts: Vec<Timestamp> =
        events.filter(|event| event.kind == StepEventKind::Started).map(|event| event.at).collect();
    starts.sort_unstable();
    let faults = plan.faults.iter().filter_map(|planned| Some((&planned.id, generation.faults.get(&planned.id)?)));
    faults.filter_map(|(id, fault)| of(id, fault, &starts)).collect()
}

fn of(id: &FaultId, fault: &FaultState, starts: &[Timestamp]) -> Option<FaultEffect> {
    let (from, to) = (fault.seen_at.map(|_| fault.intended_at)?, fault.heal.as_ref()?.began_at);
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
    use crate::journal::Heal;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).plus(Duration::from_secs(second))
    }

    fn held(seen: bool, began: u64, heal: Option<u64>) -> FaultState {
        let heal = heal.map(|second| Heal { began_at: at(second), reason: String::new(), steps: vec![] });
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
