//! From the files of the watched folder to what is desired of every scenario. Pure: content in, wishes out.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{Desired, Wanted};
use crate::{
    model::{ScenarioName, Target, Timestamp},
    publish::Rejection,
    spec::{self, Manifest, ManifestError, Scenario},
};

/// One file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Relative to the watched folder.
    pub name: String,
    /// The content, or why it could not be read.
    pub content: Result<Arc<[u8]>, String>,
}

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

/// A file and what it says of a scenario.
type Place<'a> = (&'a str, Result<&'a Scenario, &'a [ManifestError]>);

#[derive(Debug)]
struct KnownFile {
    content: Result<Arc<[u8]>, String>,
    documents: Vec<spec::Document>,
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

    /// A catalog in which a folder that holds no manifest deletes all scenarios.
    pub fn pruning_empty(self) -> Self {
        Self { prune_empty: true, ..self }
    }

    /// Takes over what a scan found. Returns whether anything changed.
    ///
    /// `is_complete`: the folder is there, and every folder in it could be listed. A scan without any manifest changes
    /// nothing, since a folder that is not mounted yet looks like that, unless this catalog prunes; then it must be complete.
    pub fn update(&mut self, scan: Vec<ScannedFile>, is_complete: bool, now: Timestamp) -> bool {
        self.is_complete = is_complete;
        let known = |file: &ScannedFile| self.files.get(&file.name).filter(|known| known.content == file.content);
        let same = scan.len() == self.files.len() && scan.iter().all(|file| known(file).is_some());
        // Blank files hold no manifest. The first file that says anything ends this.
        let is_blank = |file| known(file).map_or_else(|| read(file).is_empty(), |known| known.documents.is_empty());
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
        for file in scan {
            let known = match before.remove(&file.name) {
                Some(known) if known.content == file.content => known,
                _ => KnownFile { documents: read(&file), content: file.content },
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
                    found.entry(scenario.name.clone()).or_default().push((file, Ok(scenario)));
                }
                Err(_) if document.kind.as_deref() == Some("Target") => broken_targets.extend(name()),
                // A document that cannot even be read may be an edit of any scenario of its file.
                Err(errors) => {
                    if let Some(name) = name() {
                        found.entry(name).or_default().push((file, Err(errors)));
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
        let mut before = std::mem::take(&mut self.scenarios);
        for (name, places) in found {
            let last = before.remove(&name);
            let good = last.as_ref().and_then(|known| known.good.clone());
            let (good, problem) = match &places[..] {
                [(_, Ok(scenario))] => (Some((*scenario).clone()), None),
                [(_, Err(errors))] => {
                    let message = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                    (good, Some(("Invalid", message)))
                }
                _ => (
                    good,
                    Some(("DuplicateName", format!("Scenario `{name}` is in several files: {}", files(&places)))),
                ),
            };
            self.scenarios.insert(name, settle(good, problem, last, &self.targets, &doubled, self.again, now));
        }
        // What vanished while a file cannot be read at all may still be in that file: it stays as it was.
        if !unreadable.is_empty() {
            for (name, mut known) in before {
                let message = unreadable.join("\n");
                known.rejection = Some(Rejection { at: now, reason: "Invalid", message });
                self.scenarios.insert(name, known);
            }
        }
    }
}

fn settle(
    good: Option<Scenario>,
    problem: Option<(&'static str, String)>,
    last: Option<KnownScenario>,
    targets: &BTreeMap<ScenarioName, Target>,
    doubled: &BTreeMap<ScenarioName, String>,
    again: bool,
    now: Timestamp,
) -> KnownScenario {
    let (last_wanted, last_rejection) = last.map_or((None, None), |known| (known.wanted, known.rejection));
    let target = good.as_ref().and_then(|scenario| targets.get(&scenario.spec.target));
    let problem = problem.or_else(|| {
        let name = &good.as_ref()?.spec.target;
        match doubled.get(name) {
            Some(files) => Some(("DuplicateName", format!("Target `{name}` is in several files: {files}"))),
            None if target.is_none() => Some((
                "TargetNotFound",
                format!("no Target named `{name}` is in the folder; known are: {}", known_targets(targets)),
            )),
            None => None,
        }
    });
    let made = good.as_ref().zip(target).map(|(scenario, target)| Wanted {
        scenario: scenario.clone(),
        target: target.clone(),
        again,
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

fn known_targets(targets: &BTreeMap<ScenarioName, Target>) -> String {
    if targets.is_empty() {
        return "none".to_owned();
    }
    targets.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn files<T>(places: &[(&str, T)]) -> String {
    places.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(", ")
}

fn read(file: &ScannedFile) -> Vec<spec::Document> {
    match &file.content {
        Ok(content) => spec::load(&file.name, content),
        Err(message) => {
            let error = ManifestError {
                file: file.name.clone(),
                line: 0,
                column: 0,
                path: String::new(),
                message: message.clone(),
            };
            vec![spec::Document { kind: None, name: None, content: Err(vec![error]) }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            .map(|(name, text)| ScannedFile { name: (*name).to_owned(), content: Ok(text.as_bytes().into()) })
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
        assert!(catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]), true, at(1)));
        assert!(
            !catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]), true, at(2)),
            "nothing changed"
        );
        for broken in
            [scenario("a", "fast"), scenario("a", "1/s").replace("target", "targett"), "{ not yaml: [".to_owned()]
        {
            assert!(catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &broken), ("b.yaml", &b)]), true, at(3)));
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
        catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &scenario("a", "2/s")), ("b.yaml", &b)]), true, at(4));
        assert_eq!(seen(&catalog, "a"), (true, None, String::new()));
    }

    #[test]
    fn an_empty_folder_prunes_nothing_and_a_deleted_file_prunes_its_own() {
        let mut catalog = Catalog::default();
        let all = [("t.yaml", TARGET), ("a.yaml", &scenario("a", "1/s"))];
        assert!(catalog.update(vec![], true, at(1)));
        assert!(!catalog.is_read());
        assert!(catalog.update(scan(&all), true, at(1)));
        for (nothing, is_complete, lack) in [
            (scan(&[]), true, Lack::Empty),
            (scan(&[("t.yaml", "# nothing\n---\n"), ("a.yaml", "")]), true, Lack::Empty),
            (scan(&[]), false, Lack::Incomplete),
        ] {
            assert!(catalog.update(nothing.clone(), is_complete, at(2)));
            assert_eq!((catalog.desired().len(), catalog.report().len(), catalog.lack()), (1, 2, Some(lack)));
            assert!(!catalog.update(nothing, is_complete, at(2)), "it is said once");
            assert!(catalog.update(scan(&all), true, at(3)), "what was said is over");
            assert_eq!((catalog.desired().len(), catalog.lack()), (1, None));
        }
        assert!(catalog.update(scan(&[("t.yaml", TARGET)]), true, at(3)));
        assert_eq!((catalog.desired().len(), catalog.lack()), (0, None));
    }

    #[test]
    fn an_empty_folder_prunes_everything_if_it_shall_and_if_it_is_there() {
        let all = [("t.yaml", TARGET), ("a.yaml", &scenario("a", "1/s"))];
        for nothing in [scan(&[]), scan(&[("a.yaml", "# nothing")])] {
            let mut catalog = Catalog::default().pruning_empty();
            assert!(catalog.update(scan(&[]), false, at(1)));
            assert!(!catalog.is_read(), "a missing folder says nothing of what the journals hold");
            catalog.update(scan(&all), true, at(1));
            catalog.update(nothing.clone(), false, at(2));
            assert_eq!((catalog.desired().len(), catalog.is_complete()), (1, false));
            assert!(catalog.update(nothing, true, at(3)));
            assert_eq!((catalog.desired().len(), catalog.is_complete(), catalog.lack()), (0, true, None));
        }
        let mut catalog = Catalog::default().pruning_empty();
        assert!(catalog.update(scan(&[]), true, at(1)));
        assert!(catalog.is_read(), "empty from the start: what the journals hold is deleted");
        assert!(!catalog.update(scan(&[]), true, at(2)));
    }

    #[test]
    fn one_name_in_two_files_is_applied_from_neither() {
        let mut catalog = Catalog::default();
        let (one, two) = (scenario("a", "1/s"), scenario("a", "2/s"));
        catalog.update(scan(&[("t.yaml", TARGET), ("one.yaml", &one), ("two.yaml", &two)]), true, at(1));
        let (wanted, reason, message) = seen(&catalog, "a");
        assert_eq!((wanted, reason), (false, Some("DuplicateName")));
        assert!(message.contains("one.yaml, two.yaml"), "{message}");
    }

    #[test]
    fn a_missing_target_is_named() {
        let mut catalog = Catalog::default();
        catalog.update(scan(&[("a.yaml", &scenario("a", "1/s"))]), true, at(1));
        let (wanted, reason, message) = seen(&catalog, "a");
        assert_eq!((wanted, reason), (false, Some("TargetNotFound")));
        assert!(message.contains("`local`"), "{message}");
    }
}
