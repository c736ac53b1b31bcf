//! From the files of the watched folder to what is desired of every scenario. Pure: content in, wishes out.

mod changes;
mod file;
mod memory;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use file::{FileReport, read_attachment};
pub use memory::Memory;

use super::{Attachment, Desired, Wanted};
use crate::{
    model::{ScenarioName, Target, Timestamp},
    publish::{PersonEvent, Rejection},
    spec::{self, Manifest, ManifestError, Scenario},
};
use file::{KnownFile, version_of};

/// One file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Relative to the watched folder.
    pub name: String,
    /// The content, or why it could not be read.
    pub content: Result<Arc<[u8]>, String>,
}

/// Finds a file by its path from the watched folder.
pub type Finder<'a> = &'a dyn Fn(&str) -> Option<Attachment>;

/// What is known of the folder: the last good version of everything, and what is wrong now.
#[derive(Debug, Default)]
pub struct Catalog {
    files: BTreeMap<String, KnownFile>,
    targets: BTreeMap<ScenarioName, Target>,
    scenarios: BTreeMap<ScenarioName, KnownScenario>,
    again: bool,
    prune_empty: bool,
    is_complete: bool,
    /// Whether a scan was ever taken over.
    is_read: bool,
    lack: Option<Lack>,
    /// The file that each target was last read from.
    target_files: BTreeMap<ScenarioName, String>,
    memory: Memory,
    /// The files in which a scenario may be that no document names.
    unclear: BTreeSet<String>,
    /// What was wrong with each file, as far as no scenario has it.
    said: BTreeMap<String, String>,
    events: Vec<PersonEvent>,
}

/// Why the last scan deletes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It found no manifest at all.
    Empty,
    /// Not everything could be read, or there is no folder.
    Incomplete,
}

impl Lack {
    /// As `intake.yaml` has it.
    pub fn message(self) -> &'static str {
        match self {
            Self::Empty => "the folder holds no manifest; nothing is pruned (--prune-empty would)",
            Self::Incomplete => {
                "the folder is missing or cannot be read completely; nothing is deleted while that lasts"
            }
        }
    }
}

/// A file and one of its documents, which is about the scenario in question.
type Place<'a> = (&'a str, &'a spec::Document);

#[derive(Debug, Clone, Default)]
struct KnownScenario {
    good: Option<Scenario>,
    rejection: Option<Rejection>,
    /// What the operator is asked to run, made once for each version of the manifest.
    wanted: Option<Arc<Wanted>>,
}

impl Catalog {
    /// A catalog whose scenarios run once more although they were concluded already.
    pub fn again() -> Self {
        Self { again: true, ..Self::default() }
    }

    /// A catalog in which a folder that holds no manifest deletes all scenarios.
    pub fn pruning_empty(self) -> Self {
        Self { prune_empty: true, ..self }
    }

    /// A catalog that knows what another process of this data folder read last.
    pub fn remembering(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Takes over what a scan found. Returns whether anything changed.
    ///
    /// `is_complete`: the folder is there, and every folder in it could be listed. A scan without any manifest changes
    /// nothing, since a folder that is not mounted yet looks like that, unless this catalog prunes; then it must be complete.
    ///
    /// `find` finds another file, which a manifest names, by its path from the watched folder.
    pub fn update(&mut self, scan: Vec<ScannedFile>, find: Finder<'_>, is_complete: bool, now: Timestamp) -> bool {
        self.is_complete = is_complete;
        let is_known = |file: &ScannedFile| {
            let known = self.files.get(&file.name).filter(|known| known.content == file.content);
            known
                .is_some_and(|known| known.attachments.iter().all(|(path, version)| version_of(find(path)) == *version))
        };
        let scan: Vec<(ScannedFile, bool)> =
            scan.into_iter().map(|file| (is_known(&file), file)).map(|(known, file)| (file, known)).collect();
        let same = scan.len() == self.files.len() && scan.iter().all(|(_, is_known)| *is_known);
        // Blank files and other tools' hold no manifest. The first file that says anything ends this.
        let is_blank = |(file, is_known): &(ScannedFile, bool)| match self.files.get(&file.name) {
            Some(known) if *is_known => self.is_blank(&file.name, known),
            _ => self.is_blank(&file.name, &KnownFile::read(file, find)),
        };
        let is_empty = scan.iter().all(is_blank);
        let lack = match (is_complete, is_empty && !self.prune_empty) {
            (false, _) => Some(Lack::Incomplete),
            (true, true) => Some(Lack::Empty),
            (true, false) => None,
        };
        let lacks_something_else = std::mem::replace(&mut self.lack, lack) != lack;
        if is_empty && lack.is_some() || same && self.is_read {
            return lacks_something_else;
        }
        self.is_read = true;
        let mut before = std::mem::take(&mut self.files);
        for (file, is_known) in scan {
            let known = match before.remove(&file.name) {
                Some(known) if is_known => known,
                _ => KnownFile::read(&file, find),
            };
            self.files.insert(file.name, known);
        }
        self.resolve(now);
        true
    }

    /// What is desired of every scenario that the files name.
    pub fn desired(&self) -> BTreeMap<ScenarioName, Desired> {
        let present = |known: &KnownScenario| Desired::Present {
            wanted: known.wanted.clone(),
            rejection: known.rejection.clone(),
        };
        self.scenarios.iter().map(|(name, known)| (name.clone(), present(known))).collect()
    }

    /// The scenarios in their last good version that have a target.
    pub fn wanted(&self) -> Vec<Arc<Wanted>> {
        self.scenarios.values().filter_map(|known| known.wanted.clone()).collect()
    }

    /// The targets in their last good version.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.values()
    }

    /// Whether a scenario that no document names may still be in the folder: not all of it could be listed, or it may be in a
    /// file that cannot be read (see [`Memory::take`]).
    pub fn may_hold(&self, name: &ScenarioName) -> bool {
        !self.is_complete || self.memory.may_hold(&self.unclear, name).next().is_some()
    }

    /// What is to be remembered over a restart.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What happened to the manifests since this was last asked, for people.
    pub fn take_events(&mut self) -> Vec<PersonEvent> {
        std::mem::take(&mut self.events)
    }

    fn is_blank(&self, name: &str, file: &KnownFile) -> bool {
        let glance = file.glance();
        let held_some = || self.memory.homes.values().any(|home| home.files.contains(name));
        file.documents.is_empty() || (file.is_ignored() && !(glance.unmarked > 0 && held_some()))
    }

    /// Whether any scan was ever taken over.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// Why the last scan deletes nothing, if it does not.
    pub fn lack(&self) -> Option<Lack> {
        self.lack
    }

    /// Every file with what it holds or what is wrong with it.
    pub fn report(&self) -> Vec<FileReport> {
        self.files.iter().map(|(file, known)| known.report(file, self.unclear.contains(file))).collect()
    }

    fn resolve(&mut self, now: Timestamp) {
        let mut found: BTreeMap<ScenarioName, Vec<Place<'_>>> = BTreeMap::new();
        let mut targets: BTreeMap<ScenarioName, Vec<(&str, &Target)>> = BTreeMap::new();
        let mut broken_targets: Vec<ScenarioName> = vec![];
        let glances = self.files.iter().map(|(file, known)| (file.clone(), known.glance())).collect();
        self.unclear = self.memory.take(&glances);
        for (file, document) in
            self.files.iter().flat_map(|(file, known)| known.ours().map(move |document| (file.as_str(), document)))
        {
            let name = || document.name.as_ref().and_then(|name| name.parse::<ScenarioName>().ok());
            match &document.content {
                Ok(Manifest::Target(target)) => targets.entry(target.name.clone()).or_default().push((file, target)),
                Ok(Manifest::Scenario(scenario)) => {
                    found.entry(scenario.name.clone()).or_default().push((file, document));
                }
                Err(_) if document.kind.as_deref() == Some("Target") => broken_targets.extend(name()),
                // A document that cannot even be read may be an edit of any scenario of its file.
                Err(_) => {
                    if let Some(name) = name() {
                        found.entry(name).or_default().push((file, document));
                    }
                }
            }
        }
        // A broken or doubled target keeps its last good version, also where its whole file cannot be read.
        let is_unclear = |name: &ScenarioName| {
            let file = self.target_files.get(name).and_then(|file| self.files.get(file));
            file.is_some_and(KnownFile::may_hold_a_target)
        };
        let targets_before = std::mem::take(&mut self.targets);
        let stays =
            |name: &ScenarioName| targets.contains_key(name) || broken_targets.contains(name) || is_unclear(name);
        self.targets = targets_before
            .iter()
            .filter(|(name, _)| stays(name))
            .map(|(name, target)| (name.clone(), target.clone()))
            .collect();
        let mut doubled = BTreeMap::new();
        for (name, places) in targets {
            match places[..] {
                [(file, target)] => {
                    self.target_files.insert(name.clone(), file.to_owned());
                    self.targets.insert(name, target.clone());
                }
                _ => {
                    doubled.insert(name, files(&places));
                }
            }
        }
        let circles = spec::circles(self.files.values().flat_map(|known| &known.documents).filter_map(scenario_of));
        let before = std::mem::take(&mut self.scenarios);
        let mut settled = BTreeMap::new();
        for (name, places) in &found {
            let last = before.get(name);
            let circle = circles.get(name).map(String::as_str);
            settled.insert(name.clone(), self.settle(name, places, circle, last, &doubled, now));
        }
        // What vanished may still be in a file that cannot be read: it stays as it was.
        for (name, known) in before.iter().filter(|(name, _)| !found.contains_key(*name)) {
            let files = self.memory.may_hold(&self.unclear, name).filter_map(|file| self.files.get(file));
            let errors: Vec<String> = files.flat_map(KnownFile::unclear_errors).collect();
            if !errors.is_empty() {
                let rejection = Some(rejection("Invalid", errors.join("\n"), known.rejection.as_ref(), now));
                settled.insert(name.clone(), KnownScenario { rejection, ..known.clone() });
            }
        }
        let places = changes::places(&found);
        self.scenarios = settled;
        self.note_scenarios(&places, &before, now);
        self.note_rest(&targets_before, now);
    }

    /// What is to be made of one scenario: its last good version, and what is wrong with it as it stands now.
    fn settle(
        &self,
        name: &ScenarioName,
        places: &[Place<'_>],
        circle: Option<&str>,
        last: Option<&KnownScenario>,
        doubled: &BTreeMap<ScenarioName, String>,
        now: Timestamp,
    ) -> KnownScenario {
        let last = last.cloned().unwrap_or_default();
        let KnownScenario { good: last_good, wanted: last_wanted, rejection: last_rejection } = last;
        let (good, mut problem) = match places {
            [(_, spec::Document { content: Ok(Manifest::Scenario(scenario)), .. })] => {
                (Some((**scenario).clone()), circle.map(|circle| ("Invalid", format!("a circle: {circle}"))))
            }
            [(_, spec::Document { content: Err(errors), .. })] => (last_good, Some(("Invalid", lines(errors)))),
            _ => {
                let message = format!("Scenario `{name}` is in several files: {}", files(places));
                (last_good, Some(("DuplicateName", message)))
            }
        };
        let target = good.as_ref().and_then(|scenario| self.targets.get(&scenario.spec.target));
        if problem.is_none() {
            problem = good.as_ref().and_then(|scenario| match (doubled.get(&scenario.spec.target), target) {
                (Some(files), _) => {
                    let message = format!("Target `{}` is in several files: {files}", scenario.spec.target);
                    Some(("DuplicateName", message))
                }
                (None, None) => {
                    let (target, known) = (&scenario.spec.target, known_targets(&self.targets));
                    Some(("TargetNotFound", format!("no manifest is the Target `{target}`; known are: {known}")))
                }
                (None, Some(target)) => self.relate(places, scenario, target),
            });
        }
        let made = good.as_ref().zip(target).filter(|_| problem.is_none());
        let made = made.map(|(scenario, target)| Wanted::new(scenario.clone(), target.clone(), self.again));
        let wanted = match (made, last_wanted) {
            (Some(made), Some(last)) if *last == made => Some(last),
            (Some(made), _) => Some(Arc::new(made)),
            (None, last) => last,
        };
        let rejection = problem.map(|(reason, message)| rejection(reason, message, last_rejection.as_ref(), now));
        KnownScenario { good, rejection, wanted }
    }

    /// What is wrong with a scenario and its target together, with the places in the scenario's file.
    fn relate(&self, places: &[Place<'_>], scenario: &Scenario, target: &Target) -> Option<(&'static str, String)> {
        let problems = spec::relate(scenario, target);
        if problems.is_empty() {
            return None;
        }
        let (file, document) = places.first()?;
        let bytes = self.files.get(*file).and_then(|known| known.content.as_deref().ok()).unwrap_or_default();
        Some(("Invalid", lines(&spec::Locator::new(file, bytes).locate(document.number, problems))))
    }
}

/// The same as before, if that is what it is: then it is so since then.
fn rejection(reason: &'static str, message: String, last: Option<&Rejection>, now: Timestamp) -> Rejection {
    match last {
        Some(last) if last.reason == reason && last.message == message => last.clone(),
        Some(_) | None => Rejection { at: now, reason, message },
    }
}

fn scenario_of(document: &spec::Document) -> Option<&Scenario> {
    match &document.content {
        Ok(Manifest::Scenario(scenario)) => Some(scenario),
        Ok(Manifest::Target(_)) | Err(_) => None,
    }
}

fn lines(errors: &[ManifestError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn known_targets(targets: &BTreeMap<ScenarioName, Target>) -> String {
    if targets.is_empty() {
        return "none".to_owned();
    }
    targets.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn files<T>(places: &[(&str, T)]) -> String {
    places.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
