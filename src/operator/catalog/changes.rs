//! What a reading changed, as events for people: manifests added, edited, moved, deleted, rejected, accepted again.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{Catalog, KnownScenario, Place, file::scenario_name, memory::Home, scenario_of};
use crate::{
    model::{ScenarioName, Target, Timestamp},
    publish::PersonEvent,
    spec::Scenario,
};

/// A message names so many mistakes; `intake.yaml` has all.
const MISTAKES: usize = 3;

/// Where a scenario is, and its good version if it has one place and that is good.
pub struct Found {
    files: BTreeSet<String>,
    print: Option<Print>,
}

/// What is compared of two versions.
struct Print {
    digest: String,
    suspended: bool,
}

pub fn places(found: &BTreeMap<ScenarioName, Vec<Place<'_>>>) -> BTreeMap<ScenarioName, Found> {
    let one = |places: &Vec<Place<'_>>| Found {
        files: places.iter().map(|(file, _)| (*file).to_owned()).collect(),
        print: match places[..] {
            [(_, document)] => scenario_of(document).map(Print::of),
            _ => None,
        },
    };
    found.iter().map(|(name, places)| (name.clone(), one(places))).collect()
}

impl Print {
    fn of(scenario: &Scenario) -> Self {
        let whole = Scenario { name: "any".parse().expect("a name"), suspend: false, ..scenario.clone() };
        let text = serde_json::to_vec(&whole).expect("a scenario has text keys and finite numbers");
        let digest = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { digest, suspended: scenario.suspend }
    }
}

impl Catalog {
    /// Says what became of each scenario, and remembers where it is.
    pub(super) fn note_scenarios(
        &mut self,
        found: &BTreeMap<ScenarioName, Found>,
        before: &BTreeMap<ScenarioName, KnownScenario>,
        now: Timestamp,
    ) {
        let gone: BTreeMap<String, ScenarioName> = self
            .memory
            .homes
            .iter()
            .filter(|(name, _)| !found.contains_key(*name))
            .map(|(name, home)| (home.digest.clone(), name.clone()))
            .collect();
        let mut events = vec![];
        for (name, Found { files, print }) in found {
            let home = self.memory.homes.get(name);
            let mut told = vec![];
            if let Some(print) = print {
                told = told_of(home, files, print, &gone);
            }
            let digest = match (print, home) {
                (Some(print), _) => print.digest.clone(),
                (None, Some(home)) => home.digest.clone(),
                (None, None) => String::new(),
            };
            let suspended = print.as_ref().map_or(home.is_some_and(|home| home.suspended), |print| print.suspended);
            self.memory.homes.insert(name.clone(), Home { files: files.clone(), digest, suspended });
            self.memory.deleted.remove(name);
            events.extend(told.into_iter().map(|(reason, message)| (name.clone(), reason, message)));
        }
        for (name, known) in &self.scenarios {
            let last = before.get(name).and_then(|known| known.rejection.as_ref());
            match (&known.rejection, last) {
                (Some(rejection), last) if Some(rejection) != last => {
                    self.events.push(PersonEvent::warning(
                        now,
                        Some(name.clone()),
                        "ManifestRejected",
                        shortened(&rejection.message),
                    ));
                }
                (None, Some(_)) if events.iter().all(|(told, _, _)| told != name) => {
                    events.push((name.clone(), "ManifestAccepted", "the manifest is good again".to_owned()));
                }
                (_, _) => {}
            }
        }
        let told =
            events.into_iter().map(|(name, reason, message)| PersonEvent::normal(now, Some(name), reason, message));
        self.events.extend(told);
    }

    /// Says what became of the targets, and what is wrong with files of which no scenario is known.
    pub(super) fn note_rest(&mut self, targets_before: &BTreeMap<ScenarioName, Target>, now: Timestamp) {
        let said = self.file_errors();
        for (_, message) in said.iter().filter(|(file, message)| self.said.get(*file) != Some(*message)) {
            self.events.push(PersonEvent::warning(now, None, "ManifestRejected", message.clone()));
        }
        let is_good = |file: &String| {
            let known = self.files.get(file);
            known.is_some_and(|known| known.errors(self.unclear.contains(file)).all(|(_, errors)| errors.is_empty()))
        };
        for file in self.said.keys().filter(|file| is_good(file)) {
            self.events.push(PersonEvent::normal(now, None, "ManifestAccepted", format!("{file} is good again")));
        }
        self.said = said;
        // At the first reading all targets are new to this process alone.
        if targets_before.is_empty() {
            return;
        }
        let mut told = vec![];
        for (name, target) in &self.targets {
            let file = self.target_files.get(name).map(String::as_str).unwrap_or_default();
            match targets_before.get(name) {
                None => told.push(("ManifestAdded", format!("Target `{name}`, in {file}"))),
                Some(before) if before != target => {
                    told.push(("ManifestEdited", format!("Target `{name}`, in {file}")));
                }
                Some(_) => {}
            }
        }
        for name in targets_before.keys().filter(|name| !self.targets.contains_key(*name)) {
            let file = self.target_files.remove(name).unwrap_or_default();
            told.push(("ManifestDeleted", format!("Target `{name}` is not in {file} any more")));
        }
        self.events.extend(told.into_iter().map(|(reason, message)| PersonEvent::normal(now, None, reason, message)));
    }

    /// The mistakes of each file that no scenario's status shows.
    fn file_errors(&self) -> BTreeMap<String, String> {
        let is_kept = |file: &str| {
            let kept = |(name, known): (&ScenarioName, &KnownScenario)| {
                known.rejection.is_some() && self.memory.homes.get(name).is_some_and(|home| home.files.contains(file))
            };
            self.scenarios.iter().any(kept)
        };
        let mut said = BTreeMap::new();
        for (file, known) in &self.files {
            let is_unclear = self.unclear.contains(file);
            let is_of_no_scenario = |document: &crate::spec::Document| {
                document.kind.as_deref() == Some("Target") || scenario_name(document).is_none()
            };
            let own = known.errors(is_unclear).filter(|(document, _)| is_of_no_scenario(document));
            let errors: Vec<String> = own.flat_map(|(_, errors)| errors).collect();
            if !errors.is_empty() && !is_kept(file) {
                said.insert(file.clone(), shortened(&errors.join("\n")));
            }
        }
        said
    }

    /// These scenarios were missing for long enough: they are deleted.
    pub fn delete(&mut self, names: &[ScenarioName], now: Timestamp) {
        for name in names {
            let Some(home) = self.memory.delete(name, now) else { continue };
            let files: Vec<&str> = home.files.iter().map(String::as_str).collect();
            let there = files.iter().any(|file| self.files.contains_key(*file));
            let message =
                format!("{} {}", files.join(", "), if there { "does not hold it any more" } else { "is gone" });
            self.events.push(PersonEvent::normal(now, Some(name.clone()), "ManifestDeleted", message));
        }
    }
}

fn told_of(
    home: Option<&Home>,
    files: &BTreeSet<String>,
    print: &Print,
    gone: &BTreeMap<String, ScenarioName>,
) -> Vec<(&'static str, String)> {
    let place = files.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut told = vec![];
    let Some(home) = home else {
        let renamed = gone.get(&print.digest).map(|old| format!("; but for its name it is `{old}`, which is gone"));
        return vec![("ManifestAdded", format!("in {place}{}", renamed.unwrap_or_default()))];
    };
    if home.files.is_disjoint(files) {
        let from = home.files.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        told.push(("ManifestMoved", format!("from {from} to {place}")));
    }
    if home.digest != print.digest && !home.digest.is_empty() {
        told.push(("ManifestEdited", format!("in {place}")));
    }
    if home.suspended != print.suspended {
        let (reason, word) = if print.suspended { ("Suspended", "true") } else { ("Resumed", "false") };
        told.push((reason, format!("its manifest {place} says `suspend: {word}`")));
    }
    told
}

fn shortened(message: &str) -> String {
    let lines: Vec<&str> = message.lines().collect();
    let rest = lines.len().saturating_sub(MISTAKES);
    let shown = lines.iter().take(MISTAKES).copied().collect::<Vec<_>>().join("; ");
    if rest == 0 { shown } else { format!("{shown}; and {rest} more") }
}
