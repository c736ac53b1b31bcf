//! Which AWS objects are being changed by the faults of which scenario: no two change one at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use crate::model::{Object, ScenarioName};

/// What the scenarios of this process hold. Other processes are kept away by the lease, and by the mark on the object.
#[derive(Debug, Default)]
pub struct Claims(Mutex<BTreeMap<ScenarioName, BTreeSet<Object>>>);

impl Claims {
    /// Takes these objects for a scenario, beside what it has, unless another one has one of them.
    pub fn claim(&self, name: &ScenarioName, objects: &[Object]) -> bool {
        let mut held = self.0.lock().expect("no holder of this lock panics");
        let others = held.iter().filter(|(other, _)| *other != name).flat_map(|(_, held)| held);
        if others.into_iter().any(|object| objects.contains(object)) {
            return false;
        }
        held.entry(name.clone()).or_default().extend(objects.iter().cloned());
        true
    }

    /// Whether a fault of this process has it.
    pub fn is_held(&self, object: &Object) -> bool {
        self.0.lock().expect("no holder of this lock panics").values().any(|held| held.contains(object))
    }

    /// Says what a scenario holds, as its journal has it.
    pub fn hold(&self, name: &ScenarioName, objects: BTreeSet<Object>) {
        let mut held = self.0.lock().expect("no holder of this lock panics");
        if objects.is_empty() {
            held.remove(name);
        } else {
            held.insert(name.clone(), objects);
        }
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
        let claims = Claims::default();
        assert!(claims.claim(&a, &[object("sg-1"), object("sg-2")]));
        assert!(claims.claim(&a, &[object("sg-1")]), "it has it already");
        assert!(!claims.claim(&b, &[object("sg-3"), object("sg-2")]));
        assert!(claims.claim(&b, &[object("sg-3")]));
        claims.hold(&a, [object("sg-1")].into());
        assert!(claims.claim(&b, &[object("sg-2")]), "it was let go");
        assert!(!claims.claim(&b, &[object("sg-1")]));
        claims.hold(&a, BTreeSet::new());
        assert!(claims.claim(&b, &[object("sg-1")]));
    }
}
