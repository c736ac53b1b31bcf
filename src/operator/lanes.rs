//! `overlap: allow`: turns of one scenario beside each other. Each lane is a scenario of its own, with a journal of its
//! own; whichever is free takes the next turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use super::{Desired, Wanted};
use crate::{
    model::{ScenarioName, Timestamp, lane},
    spec::{Overlap, Scenario},
};

/// So many turns of a scenario run beside each other at most; one that finds all lanes busy begins when the first is free.
pub const LANES: u32 = 8;

/// Whether its turns may run beside each other.
pub fn allows(scenario: &Scenario) -> bool {
    scenario.spec.start.as_ref().is_some_and(|start| start.overlap == Overlap::Allow)
}

/// What is desired, with the further lanes of the scenarios that have some: `name--2` to `name--8`.
pub fn with_lanes(desired: &BTreeMap<ScenarioName, Desired>) -> BTreeMap<ScenarioName, Desired> {
    let mut all = desired.clone();
    for (name, wish) in desired {
        let Desired::Present { wanted: Some(wanted), rejection } = wish else { continue };
        if wanted.again || !allows(&wanted.scenario) {
            continue;
        }
        for number in 2..=LANES {
            let own = lane::of(name, number);
            let scenario = Scenario { name: own.clone(), ..wanted.scenario.clone() };
            let wanted =
                Wanted { scenario, target: wanted.target.clone(), digest: wanted.digest.clone(), again: false };
            all.insert(own, Desired::Present { wanted: Some(Arc::new(wanted)), rejection: rejection.clone() });
        }
    }
    all
}

/// Which turns were taken, by the scenario; all its lanes share it.
#[derive(Debug, Default)]
pub struct Turns(Mutex<BTreeMap<ScenarioName, Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// When the last turn was taken, whichever lane did.
    last: Option<Timestamp>,
    /// The lanes whose journals were read (or cannot be).
    read: BTreeSet<ScenarioName>,
    /// The lanes that are free to take the next one, in the order of their numbers.
    free: BTreeSet<ScenarioName>,
}

impl Turns {
    /// Tells of a lane's journal: when it last took a turn.
    pub fn post(&self, lane: &ScenarioName, accepted_at: Option<Timestamp>) {
        let mut turns = self.0.lock().expect("no holder of this lock panics");
        let taken = turns.entry(lane::scenario(lane)).or_default();
        taken.read.insert(lane.clone());
        taken.last = taken.last.max(accepted_at);
    }

    /// When the last turn was taken; `Err`: not all lanes have told yet.
    pub fn last(&self, scenario: &ScenarioName) -> Result<Option<Timestamp>, NotYet> {
        let turns = self.0.lock().expect("no holder of this lock panics");
        let taken = turns.get(&lane::scenario(scenario)).filter(|taken| taken.read.len() as u32 >= LANES);
        taken.map(|taken| taken.last).ok_or(NotYet)
    }

    /// Tells whether a lane is free to take the next turn.
    pub fn post_free(&self, lane: &ScenarioName, is_free: bool) {
        let mut turns = self.0.lock().expect("no holder of this lock panics");
        let free = &mut turns.entry(lane::scenario(lane)).or_default().free;
        if is_free {
            free.insert(lane.clone());
        } else {
            free.remove(lane);
        }
    }

    /// Takes the turn that was seen to be due. False: another lane was faster, or is the first that is free.
    pub fn claim(&self, lane: &ScenarioName, seen: Option<Timestamp>, now: Timestamp) -> bool {
        let mut turns = self.0.lock().expect("no holder of this lock panics");
        let taken = turns.entry(lane::scenario(lane)).or_default();
        let is_first = taken.free.first().is_none_or(|first| first >= lane);
        let is_free = taken.last == seen && is_first;
        if is_free {
            taken.last = Some(now);
            taken.free.remove(lane);
        }
        is_free
    }
}

/// See [`Turns::last`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Manifest, load, no_attachments};

    fn name(text: &str) -> ScenarioName {
        text.parse().expect(text)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn wanted(start: &str, again: bool) -> Desired {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load: [{{ name: base, for: 10s, arrivals: {{ constant: {{ rate: 1/s }} }}, jobs: {{ fast_job: 1 }} }}]
{start}"
        );
        let Some(Ok(Manifest::Scenario(scenario))) =
            load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content)
        else {
            panic!("{text}")
        };
        let target = serde_json::from_str(
            r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r","requestTimeout":"5s","settle":"15s"}}"#,
        );
        let wanted = Wanted::new(*scenario, target.expect("a target"), again);
        Desired::Present { wanted: Some(Arc::new(wanted)), rejection: None }
    }

    #[test]
    fn only_what_may_overlap_has_lanes_and_they_have_names_of_their_own() {
        for (start, again, lanes) in [
            ("", false, 1),
            ("  start: { every: 10s }", false, 1),
            ("  start: { every: 10s, overlap: allow }", true, 1),
            ("  start: { every: 10s, overlap: allow }", false, 8),
        ] {
            let all = with_lanes(&[(name("a"), wanted(start, again))].into());
            assert_eq!(all.len(), lanes, "{start}");
            for (own, desired) in &all {
                let Desired::Present { wanted: Some(wanted), .. } = desired else { panic!("{desired:?}") };
                assert_eq!((&wanted.scenario.name, lane::scenario(own)), (own, name("a")));
                assert_eq!(wanted.digest, wanted.scenario.digest(), "a name is no part of it");
            }
        }
    }

    #[test]
    fn a_turn_is_taken_by_one_lane() {
        let turns = Turns::default();
        let lanes: Vec<ScenarioName> = (1..=LANES).map(|number| lane::of(&name("a"), number)).collect();
        for (number, own) in (0..).zip(&lanes) {
            assert_eq!(turns.last(&lanes[0]), Err(NotYet));
            turns.post(own, (number == 3).then(|| at(7)));
        }
        assert_eq!(turns.last(&lanes[5]), Ok(Some(at(7))));
        assert!(turns.claim(&lanes[5], Some(at(7)), at(20)));
        assert!(!turns.claim(&lanes[6], Some(at(7)), at(20)), "another was faster");
        assert_eq!(turns.last(&lanes[0]), Ok(Some(at(20))));
        turns.post_free(&lanes[2], true);
        turns.post_free(&lanes[4], true);
        assert!(!turns.claim(&lanes[4], Some(at(20)), at(30)), "an earlier one is free");
        assert!(turns.claim(&lanes[2], Some(at(20)), at(30)));
        assert!(turns.claim(&lanes[4], Some(at(30)), at(40)), "who has taken a turn is not free");
    }
}
