//! From the files of the watched folder to what is desired of every scenario. Pure: content in, wishes out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde::Serialize;

use super::{Desired, Wanted};
use crate::{
    model::{ScenarioName, Target, Timestamp},
    publish::Rejection,
    spec::{self, Attachments, Manifest, ManifestError, Scenario},
};

/// One file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Relative to the watched folder.
    pub name: String,
    /// The content, or why it could not be read.
    pub content: Result<Vec<u8>, String>,
}

/// What is known of the folder: the last good version of everything, and what is wrong now.
#[derive(Debug, Default)]
pub struct Catalog {
    files: BTreeMap<String, KnownFile>,
    targets: BTreeMap<ScenarioName, Target>,
    scenarios: BTreeMap<ScenarioName, KnownScenario>,
    again: bool,
    is_complete: bool,
}

/// A file and one of its documents, which is about the scenario in question.
type Place<'a> = (&'a str, &'a spec::Document);

#[derive(Debug)]
struct KnownFile {
    content: Result<Vec<u8>, String>,
    documents: Vec<spec::Document>,
    /// What the other files held that its manifests name, by their path from the watched folder.
    attachments: BTreeMap<String, Result<Vec<u8>, String>>,
}

#[derive(Debug)]
struct KnownScenario {
    good: Option<Scenario>,
    rejection: Option<Rejection>,
    /// The wish, made once: reconcilers compare it by its address.
    wanted: Option<Arc<Wanted>>,
}

/// One file in `intake.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    pub file: String,
    pub accepted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Catalog {
    /// A catalog whose scenarios run once more although they were concluded already.
    pub fn again() -> Self {
        Self { again: true, ..Self::default() }
    }

    /// Takes over what a scan found. Returns whether anything changed.
    ///
    /// `is_complete`: every folder and file could be read. An empty scan changes nothing: a folder that is missing or empty prunes nothing.
    ///
    /// `attachments` reads another file by its path from the watched folder.
    pub fn update(
        &mut self,
        scan: Vec<ScannedFile>,
        attachments: Attachments<'_>,
        is_complete: bool,
        now: Timestamp,
    ) -> bool {
        self.is_complete = is_complete;
        let is_known = |file: &ScannedFile| {
            let known = self.files.get(&file.name).filter(|known| known.content == file.content);
            known.is_some_and(|known| known.attachments.iter().all(|(path, content)| attachments(path) == *content))
        };
        let changed: Vec<bool> = scan.iter().map(|file| !is_known(file)).collect();
        let same = scan.len() == self.files.len() && !changed.contains(&true);
        if scan.is_empty() || same {
            return false;
        }
        let mut before = std::mem::take(&mut self.files);
        for (file, is_changed) in scan.into_iter().zip(changed) {
            let known = match before.remove(&file.name) {
                Some(known) if !is_changed => known,
                _ => read(&file, attachments),
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

    /// Whether everything that is in the folder is known: no folder that could not be listed, no document without a name.
    ///
    /// If not, a scenario that is missing here may still be there.
    pub fn is_complete(&self) -> bool {
        let named = |document: &spec::Document| document.content.is_ok() || document.name.is_some();
        self.is_complete && self.files.values().flat_map(|known| &known.documents).all(named)
    }

    /// Whether any scan has ever found a file.
    pub fn is_read(&self) -> bool {
        !self.files.is_empty()
    }

    /// Every file with what it holds or what is wrong with it.
    pub fn report(&self) -> Vec<FileReport> {
        let describe = |document: &spec::Document| {
            let unknown = || "?".to_owned();
            format!(
                "{}/{}",
                document.kind.clone().unwrap_or_else(unknown),
                document.name.clone().unwrap_or_else(unknown)
            )
        };
        self.files
            .iter()
            .map(|(file, known)| {
                let errors: Vec<String> = known
                    .documents
                    .iter()
                    .filter_map(|document| document.content.as_ref().err())
                    .flatten()
                    .map(ToString::to_string)
                    .collect();
                FileReport {
                    file: file.clone(),
                    accepted: errors.is_empty(),
                    documents: known.documents.iter().map(describe).collect(),
                    errors,
                }
            })
            .collect()
    }

    fn resolve(&mut self, now: Timestamp) {
        let mut found: BTreeMap<ScenarioName, Vec<Place<'_>>> = BTreeMap::new();
        let mut targets: BTreeMap<ScenarioName, Vec<(&str, &Target)>> = BTreeMap::new();
        let mut broken_targets: Vec<ScenarioName> = vec![];
        for (file, document) in self
            .files
            .iter()
            .flat_map(|(file, known)| known.documents.iter().map(move |document| (file.as_str(), document)))
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
        // A broken or doubled target keeps its last good version.
        self.targets.retain(|name, _| targets.contains_key(name) || broken_targets.contains(name));
        let mut doubled = BTreeMap::new();
        for (name, places) in targets {
            match places[..] {
                [(_, target)] => {
                    self.targets.insert(name, target.clone());
                }
                _ => {
                    doubled.insert(name, files(&places));
                }
            }
        }
        let unreadable: Vec<String> = self
            .files
            .values()
            .flat_map(|known| &known.documents)
            .filter(|document| document.name.is_none())
            .filter_map(|document| document.content.as_ref().err())
            .flatten()
            .map(ToString::to_string)
            .collect();
        let circles = spec::circles(self.files.values().flat_map(|known| &known.documents).filter_map(scenario_of));
        let mut before = std::mem::take(&mut self.scenarios);
        let mut settled = BTreeMap::new();
        for (name, places) in found {
            let last = before.remove(&name);
            let circle = circles.get(&name).map(String::as_str);
            settled.insert(name.clone(), self.settle(&name, &places, circle, last, &doubled, now));
        }
        self.scenarios = settled;
        // What vanished while a file cannot be read at all may still be in that file: it stays as it was.
        if !unreadable.is_empty() {
            for (name, mut known) in before {
                let message = unreadable.join("\n");
                known.rejection = Some(Rejection { at: now, reason: "Invalid", message });
                self.scenarios.insert(name, known);
            }
        }
    }

    /// What is to be made of one scenario: its last good version, and what is wrong with it as it stands now.
    fn settle(
        &self,
        name: &ScenarioName,
        places: &[Place<'_>],
        circle: Option<&str>,
        last: Option<KnownScenario>,
        doubled: &BTreeMap<ScenarioName, String>,
        now: Timestamp,
    ) -> KnownScenario {
        let (last_good, last_wanted, last_rejection) =
            last.map_or((None, None, None), |known| (known.good, known.wanted, known.rejection));
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
        let made = good.as_ref().zip(target).filter(|_| problem.is_none()).map(|(scenario, target)| Wanted {
            scenario: scenario.clone(),
            target: target.clone(),
            again: self.again,
        });
        let wanted = match (made, last_wanted) {
            (Some(made), Some(last)) if *last == made => Some(last),
            (Some(made), _) => Some(Arc::new(made)),
            (None, last) => last,
        };
        let rejection = problem.map(|(reason, message)| match last_rejection {
            Some(last) if last.reason == reason && last.message == message => last,
            _ => Rejection { at: now, reason, message },
        });
        KnownScenario { good, rejection, wanted }
    }

    /// What is wrong with a scenario and its target together, with the places in the scenario's file.
    fn relate(&self, places: &[Place<'_>], scenario: &Scenario, target: &Target) -> Option<(&'static str, String)> {
        let problems = spec::relate(scenario, target);
        let (reason, problems) = match problems.is_empty() {
            false => ("Invalid", problems),
            true => ("Unsupported", spec::unsupported(scenario, target)),
        };
        if problems.is_empty() {
            return None;
        }
        let (file, document) = places.first()?;
        let bytes = self.files.get(*file).and_then(|known| known.content.as_deref().ok()).unwrap_or_default();
        Some((reason, lines(&spec::locate(file, bytes, document.number, problems))))
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

fn read(file: &ScannedFile, attachments: Attachments<'_>) -> KnownFile {
    let used = Mutex::new(BTreeMap::new());
    let read = |name: &str| {
        let path = beside(&file.name, name);
        let content = attachments(&path);
        used.lock().expect("no holder of this lock panics").insert(path, content.clone());
        content
    };
    let documents = match &file.content {
        Ok(content) => spec::load(&file.name, content, &read),
        Err(message) => {
            let content = Err(vec![ManifestError::of_file(&file.name, message.clone())]);
            vec![spec::Document { number: 0, kind: None, name: None, content, attachments: vec![] }]
        }
    };
    KnownFile { documents, content: file.content.clone(), attachments: used.into_inner().unwrap_or_default() }
}

/// The path of a file that a manifest names, from where the manifest's own path is counted.
pub fn beside(manifest: &str, name: &str) -> String {
    match manifest.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::no_attachments;

    const TARGET: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: { name: local }
spec: { dagster: { url: 'http://127.0.0.1:3000/graphql', location: demo } }
";

    fn scenario(name: &str, rate: &str) -> String {
        format!(
            "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: {name} }}
spec:
  target: local
  load:
    - {{ name: base, for: 10s, arrivals: {{ constant: {{ rate: {rate} }} }}, jobs: {{ fast_job: 1 }} }}
"
        )
    }

    fn scan(files: &[(&str, &str)]) -> Vec<ScannedFile> {
        files
            .iter()
            .map(|(name, text)| ScannedFile { name: (*name).to_owned(), content: Ok(text.as_bytes().to_vec()) })
            .collect()
    }

    fn seen(catalog: &Catalog, name: &str) -> (bool, Option<&'static str>, String) {
        match catalog.desired().get(&name.parse().expect("a name")) {
            Some(Desired::Present { wanted, rejection }) => (
                wanted.is_some(),
                rejection.as_ref().map(|rejection| rejection.reason),
                rejection.as_ref().map(|rejection| rejection.message.clone()).unwrap_or_default(),
            ),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn a_bad_edit_keeps_the_last_good_version_and_the_others_go_on() {
        let mut catalog = Catalog::default();
        let (a, b) = (scenario("a", "1/s"), scenario("b", "1/s"));
        assert!(catalog.update(
            scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]),
            &no_attachments,
            true,
            at(1)
        ));
        assert!(
            !catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]), &no_attachments, true, at(2)),
            "nothing changed"
        );
        for broken in
            [scenario("a", "fast"), scenario("a", "1/s").replace("target", "targett"), "{ not yaml: [".to_owned()]
        {
            assert!(catalog.update(
                scan(&[("t.yaml", TARGET), ("a.yaml", &broken), ("b.yaml", &b)]),
                &no_attachments,
                true,
                at(3)
            ));
            let (wanted, reason, message) = seen(&catalog, "a");
            assert_eq!((wanted, reason), (true, Some("Invalid")), "{broken}");
            assert!(message.starts_with("a.yaml:"), "{message}");
            assert!(!catalog.report()[0].accepted);
            assert_eq!(catalog.is_complete(), !broken.contains("not yaml"), "a nameless document may be any scenario");
            if broken.contains("not yaml") {
                continue;
            }
            assert_eq!(seen(&catalog, "b"), (true, None, String::new()));
        }
        catalog.update(
            scan(&[("t.yaml", TARGET), ("a.yaml", &scenario("a", "2/s")), ("b.yaml", &b)]),
            &no_attachments,
            true,
            at(4),
        );
        assert_eq!(seen(&catalog, "a"), (true, None, String::new()));
    }

    #[test]
    fn an_empty_folder_prunes_nothing_and_a_deleted_file_prunes_its_own() {
        let mut catalog = Catalog::default();
        let a = scenario("a", "1/s");
        assert!(!catalog.update(vec![], &no_attachments, true, at(1)));
        assert!(!catalog.is_read());
        catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a)]), &no_attachments, true, at(1));
        assert!(!catalog.update(vec![], &no_attachments, true, at(2)));
        assert_eq!(catalog.desired().len(), 1);
        assert!(catalog.update(scan(&[("t.yaml", TARGET)]), &no_attachments, true, at(3)));
        assert_eq!(catalog.desired().len(), 0);
    }

    #[test]
    fn one_name_in_two_files_is_applied_from_neither() {
        let mut catalog = Catalog::default();
        let (one, two) = (scenario("a", "1/s"), scenario("a", "2/s"));
        catalog.update(
            scan(&[("t.yaml", TARGET), ("one.yaml", &one), ("two.yaml", &two)]),
            &no_attachments,
            true,
            at(1),
        );
        let (wanted, reason, message) = seen(&catalog, "a");
        assert_eq!((wanted, reason), (false, Some("DuplicateName")));
        assert!(message.contains("one.yaml, two.yaml"), "{message}");
    }

    #[test]
    fn a_missing_target_is_named() {
        let mut catalog = Catalog::default();
        catalog.update(scan(&[("a.yaml", &scenario("a", "1/s"))]), &no_attachments, true, at(1));
        let (wanted, reason, message) = seen(&catalog, "a");
        assert_eq!((wanted, reason), (false, Some("TargetNotFound")));
        assert!(message.contains("`local`"), "{message}");
    }
}
