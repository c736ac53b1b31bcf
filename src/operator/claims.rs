//! Which AWS objects are being changed by the faults of which scenario: no two change one at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use crate::{
    journal::{FaultStage, FaultState},
    model::{Object, ScenarioName, Timestamp},
};

/// So long after a look has proved an object healed it rests: a look that the next fault aims by may be two seconds old,
/// and show what was there a few seconds before.
const REST: Duration = Duration::from_secs(5);

/// What the scenarios of this process hold. Other processes are kept away by the lease, and by the mark on the object.
#[derive(Debug, Default)]
pub struct Claims(Mutex<BTreeMap<ScenarioName, Held>>);

/// Objects, each until when it rests; `None`: a fault has it.
pub type Held = BTreeMap<Object, Option<Timestamp>>;

/// What these faults have, and what rests from them.
pub fn held<'a>(faults: impl Iterator<Item = &'a FaultState>, now: Timestamp) -> Held {
    let mut held = Held::new();
    for fault in faults {
        let rests = match &fault.stage {
            FaultStage::Open => None,
            FaultStage::Healed(at) if at.plus(REST) > now => Some(at.plus(REST)),
            FaultStage::Healed(_) | FaultStage::GivenUp(_) | FaultStage::Skipped(_) => continue,
        };
        for object in &fault.objects {
            let known = held.entry(object.clone()).or_insert(rests);
            *known = known.and(rests);
        }
    }
    held
}

impl Claims {
    /// Takes these objects for a scenario, beside what it has, unless another one has one of them, or it rests.
    pub fn claim(&self, name: &ScenarioName, objects: &[Object], now: Timestamp) -> bool {
        let mut held = self.0.lock().expect("no holder of this lock panics");
        let is_taken = |owner: &ScenarioName, rests: &Option<Timestamp>| match rests {
            None => owner != name,
            Some(until) => *until > now,
        };
        let taken = |(owner, own): (&ScenarioName, &Held)| {
            own.iter().any(|(object, rests)| objects.contains(object) && is_taken(owner, rests))
        };
        if held.iter().any(taken) {
            return false;
        }
        held.entry(name.clone()).or_default().extend(objects.iter().map(|object| (object.clone(), None)));
        true
    }

    /// All that faults of this process have.
    pub fn all(&self) -> BTreeSet<Object> {
        let held = self.0.lock().expect("no holder of this lock panics");
        let objects = held.values().flatten().filter(|(_, rests)| rests.is_none());
        objects.map(|(object, _)| object.clone()).collect()
    }

    /// Whether a fault of this process has it.
    pub fn is_held(&self, object: &Object) -> bool {
        let held = self.0.lock().expect("no holder of this lock panics");
        held.values().any(|own| own.get(object).is_some_and(Option::is_none))
    }

    /// Says what a scenario holds, as its journal has it. What rests, rests on.
    pub fn hold(&self, name: &ScenarioName, objects: Held, now: Timestamp) {
        let mut held = self.0.lock().expect("no holder of this lock panics");
        let own = held.entry(name.clone()).or_default();
        own.retain(|_, rests| rests.is_some_and(|until| until > now));
        own.extend(objects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_of_one_scenario_at_a_time() {
        let name = |text: &str| text.parse::<ScenarioName>().expect("a name");
        let (a, b) = (name("a"), name("b"));
        let object = |id: &str| Object::SecurityGroup(id.to_owned());
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let claims = Claims::default();
        assert!(claims.claim(&a, &[object("sg-1"), object("sg-2")], at(0)));
        assert!(claims.claim(&a, &[object("sg-1")], at(0)), "it has it already");
        assert!(!claims.claim(&b, &[object("sg-3"), object("sg-2")], at(0)));
        assert!(claims.claim(&b, &[object("sg-3")], at(0)));
        claims.hold(&a, [(object("sg-1"), None)].into(), at(1));
        assert!(claims.claim(&b, &[object("sg-2")], at(1)), "it was let go");
        assert!(!claims.claim(&b, &[object("sg-1")], at(1)) && claims.is_held(&object("sg-1")));
        assert_eq!(claims.all(), [object("sg-1"), object("sg-2"), object("sg-3")].into());
        claims.hold(&a, [(object("sg-1"), Some(at(7)))].into(), at(2));
        claims.hold(&a, Held::new(), at(3));
        assert!(!claims.is_held(&object("sg-1")) && !claims.all().contains(&object("sg-1")));
        assert!(!claims.claim(&b, &[object("sg-1")], at(6)) && !claims.claim(&a, &[object("sg-1")], at(6)), "it rests");
        assert!(claims.claim(&b, &[object("sg-1")], at(7)));
    }
}
