//! What the durable records say of faults: what each may do, what it lies in, and whether what is called healed is so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dagstorm::{
    journal::{Event, Record},
    model::{
        Effect, FaultId, GenerationId, Object, Outcome, ScenarioName, Timestamp,
        mark::{FAULT_TAG, HEAL_BY_TAG},
    },
};

use crate::{aws::LATEST_SHOWN, core::Core, hands::Orphan};

/// All faults of the data folder.
#[derive(Default)]
pub struct Faults {
    /// Those of the generation that each scenario has now.
    known: BTreeMap<ScenarioName, BTreeMap<FaultId, Fault>>,
    /// Which faults may copy messages now, by the epoch of who intended that; the earliest first.
    copiers: BTreeMap<u64, VecDeque<String>>,
    /// Which faults have sent that off.
    copied: BTreeSet<String>,
}

/// A fault as its intent says.
struct Fault {
    /// `scenario/generation/fault`.
    identity: String,
    inject: Vec<Effect>,
    undo: Vec<Effect>,
    objects: Vec<Object>,
    is_open: bool,
}

impl Faults {
    /// Takes in a durable record. Returns what may be done once on the strength of it.
    pub fn note(
        &mut self,
        core: &mut Core,
        scenario: &ScenarioName,
        generation: Option<&GenerationId>,
        record: &Record,
    ) -> Vec<Effect> {
        let allowed = self.allowed(core, scenario, generation, record);
        let copies = allowed.iter().any(|(effect, _)| matches!(effect, Effect::CopyMessages { .. }));
        if let Some((_, identity)) = allowed.first().filter(|_| copies) {
            self.copiers.entry(record.epoch).or_default().push_back(identity.clone());
        }
        allowed.into_iter().map(|(effect, _)| effect).collect()
    }

    fn allowed(
        &mut self,
        core: &mut Core,
        scenario: &ScenarioName,
        generation: Option<&GenerationId>,
        record: &Record,
    ) -> Vec<(Effect, String)> {
        match &record.event {
            Event::Accepted { .. } => {
                self.known.remove(scenario);
                vec![]
            }
            Event::FaultIntended { fault, objects, inject, undo, .. } => {
                let generation = generation.expect("a fault is of a generation");
                let identity = format!("{scenario}/{generation}/{fault}");
                if let Some(other) = self.open().find(|other| other.objects.iter().any(|one| objects.contains(one))) {
                    core.violates(format!("{identity} lies in an object that {} has", other.identity));
                }
                let at_once = |(number, effect): &(usize, &Effect)| *number == 0 || !effect.waits_for_earlier();
                let first = inject.iter().enumerate().filter(at_once);
                let first = first.map(|(_, effect)| (effect.clone(), identity.clone())).collect();
                let known = Fault {
                    identity,
                    inject: inject.clone(),
                    undo: undo.effects.clone(),
                    objects: objects.clone(),
                    is_open: true,
                };
                self.known.entry(scenario.clone()).or_default().insert(fault.clone(), known);
                first
            }
            Event::InjectIntended { fault, effect } => {
                let fault = self.fault(scenario, fault);
                vec![(fault.inject[*effect as usize].clone(), fault.identity.clone())]
            }
            Event::InjectTried { fault, effect: 0, outcome: Outcome::Refused { .. } } => {
                // Where it was never sent, nothing was said of it.
                let fault = self.fault(scenario, fault).identity.clone();
                for allowed in self.copiers.values_mut() {
                    allowed.retain(|other| *other != fault);
                }
                vec![]
            }
            Event::HealIntended { fault, effect } => {
                let fault = self.fault(scenario, fault);
                vec![(fault.undo[*effect as usize].clone(), fault.identity.clone())]
            }
            Event::FaultStalled { .. } => {
                core.stalled += 1;
                vec![]
            }
            Event::Healed { fault, .. } | Event::FaultGivenUp { fault, .. } => {
                let is_healed = matches!(record.event, Event::Healed { .. });
                let fault = self.fault(scenario, fault);
                fault.is_open = false;
                if is_healed {
                    core.healed.insert(format!("dagstorm {}", fault.identity));
                }
                vec![]
            }
            Event::Concluded { .. } => {
                let faults = self.known.get(scenario).into_iter().flat_map(BTreeMap::values);
                for fault in faults.filter(|fault| fault.is_open) {
                    core.violates(format!("{scenario} is concluded, and {} is open", fault.identity));
                }
                vec![]
            }
            _ => vec![],
        }
    }

    fn fault(&mut self, scenario: &ScenarioName, fault: &FaultId) -> &mut Fault {
        self.known.get_mut(scenario).and_then(|faults| faults.get_mut(fault)).expect("it was intended")
    }

    fn open(&self) -> impl Iterator<Item = &Fault> {
        self.known.values().flat_map(BTreeMap::values).filter(|fault| fault.is_open)
    }

    /// Messages are being copied. Returns what is wrong with that.
    pub fn note_copy(&mut self, epoch: u64) -> Option<String> {
        let identity = self.copiers.get_mut(&epoch)?.pop_front()?;
        let again = format!("{identity} copies messages once more");
        (!self.copied.insert(identity)).then_some(again)
    }

    /// The copy that was allowed did not come off.
    pub fn note_no_copy(&mut self, epoch: u64) -> Option<String> {
        self.copiers.get_mut(&epoch).and_then(VecDeque::pop_front);
        None
    }

    /// What is about to be written down as restored was restored when that was asked.
    pub fn check(&self, core: &mut Core, scenario: &ScenarioName, record: &Record) {
        let (fault, asked_at, is_proof) = match &record.event {
            Event::FaultSteady { fault, asked_at } => (fault, asked_at, false),
            Event::Healed { fault, asked_at } => (fault, asked_at, true),
            _ => return,
        };
        let Some(known) = self.known.get(scenario).and_then(|faults| faults.get(fault)) else { return };
        let asked = core.asked.get(asked_at).copied().expect("a look of this world");
        if matches!(known.inject.first(), Some(Effect::StopTask { .. })) && !core.was_whole_since(asked) {
            core.violates(format!("{fault} counts as restored, yet the service was never whole"));
        }
        // That it seems steady proves nothing yet.
        for object in known.objects.iter().filter(|_| is_proof && !known.undo.is_empty()) {
            let since = asked.minus(LATEST_SHOWN);
            // What somebody has changed just now could not be seen: it is nothing that anyone would notice.
            if core.objects.edit.as_ref().is_some_and(|edit| edit.since >= since) {
                core.mend();
            }
            // The mark of an earlier life, whose last call was late, is none of this one's.
            if core.is_an_orphans(object) {
                continue;
            }
            if let Some(what) = core.objects.differed_since(since, object) {
                core.violates(format!("{} counts as healed, yet {what}", known.identity));
            }
            if matches!(object, Object::Service(_)) && !core.objects.was_whole_since(since) {
                core.violates(format!("{} counts as healed, yet {object} does not run what it wants", known.identity));
            }
        }
    }

    /// What all faults that are open leave behind.
    pub fn orphans(&self, since: Timestamp) -> Vec<Orphan> {
        let marks = self.open().flat_map(|fault| fault.inject.iter().map(move |effect| (fault, effect)));
        let orphans = marks.filter_map(|(fault, effect)| {
            let Effect::Mark { tags, .. } = effect else { return None };
            let heal_by: Timestamp = tags.get(HEAL_BY_TAG)?.parse().ok()?;
            Some(Orphan { since, fault: tags.get(FAULT_TAG)?.clone(), heal_by, undo: fault.undo.clone() })
        });
        orphans.collect()
    }
}
