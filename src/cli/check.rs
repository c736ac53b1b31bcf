//! What is wrong with the given manifests, each on its own and all of them together. No I/O: the files were read.

use std::collections::BTreeMap;

use super::{
    files::{Given, GivenFile},
    surprises::surprises,
};
use crate::{
    model::{GenerationId, ScenarioName, Target},
    plan,
    spec::{
        self, Asks, Document, Locator, Manifest, ManifestError, Offers, Outline, Path, Problem, Scenario, help_for,
    },
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The manifest is good; what it means may surprise.
    Warning,
    /// The manifest is good, and cannot be run with what was given.
    Blocker,
    /// The manifest is bad.
    Error,
}

/// One thing that is wrong, with its place.
#[derive(Debug)]
pub struct Finding {
    pub severity: Severity,
    pub error: ManifestError,
}

/// A file with what was found in it, document by document.
#[derive(Debug)]
pub struct CheckedFile<'a> {
    pub file: &'a GivenFile,
    pub documents: Vec<CheckedDocument<'a>>,
}

#[derive(Debug)]
pub struct CheckedDocument<'a> {
    pub document: &'a Document,
    /// In the order of their places.
    pub findings: Vec<Finding>,
}

impl CheckedDocument<'_> {
    /// Whether it has no finding of this severity or a worse one.
    pub fn is_good(&self, severity: Severity) -> bool {
        self.findings.iter().all(|finding| finding.severity < severity)
    }
}

/// Judges everything that was given.
pub fn check(given: &Given) -> Vec<CheckedFile<'_>> {
    let known = Known::new(given);
    let documents = |file: &'_ GivenFile| {
        let locator = Locator::new(&file.name, file.content.as_deref().unwrap_or_default());
        let findings = |document| known.findings(&locator, document);
        file.documents.iter().map(findings).collect::<Vec<_>>()
    };
    given
        .files
        .iter()
        .map(|file| CheckedFile {
            file,
            documents: file
                .documents
                .iter()
                .zip(documents(file))
                .map(|(document, findings)| CheckedDocument { document, findings })
                .collect(),
        })
        .collect()
}

/// The scenarios, each with its target if exactly one manifest is that.
pub fn scenarios(given: &Given) -> Vec<(&Scenario, Option<&Target>)> {
    let known = Known::new(given);
    let scenarios = given.documents().filter_map(|(_, document)| scenario_of(document));
    scenarios.map(|scenario| (scenario, known.target(&scenario.spec.target))).collect()
}

/// What the documents say together.
struct Known<'a> {
    /// By kind and name, the files that hold one.
    places: BTreeMap<(&'a str, &'a str), Vec<&'a str>>,
    targets: BTreeMap<&'a ScenarioName, &'a Target>,
    /// What each Target has, also one with mistakes in it.
    offers: BTreeMap<&'a str, &'a Offers>,
    circles: BTreeMap<ScenarioName, String>,
}

const TARGET: &str = "Target";
const SCENARIO: &str = "Scenario";

impl<'a> Known<'a> {
    fn new(given: &'a Given) -> Self {
        let mut places: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        let mut targets = BTreeMap::new();
        let mut offers = BTreeMap::new();
        let mut after = BTreeMap::new();
        for (file, document) in given.documents() {
            if let (Some(kind), Some(name)) = (&document.kind, &document.name) {
                places.entry((kind.as_str(), name.as_str())).or_default().push(file.name.as_str());
            }
            if let Ok(Manifest::Target(target)) = &document.content {
                targets.insert(&target.name, &**target);
            }
            match (&document.outline, document.name.as_deref()) {
                (Some(Outline::Target(own)), Some(name)) => {
                    offers.insert(name, own);
                }
                (Some(Outline::Scenario(asks)), Some(name)) => {
                    let names = asks.after.iter().map(|(_, name)| name.clone()).collect();
                    after.extend(name.parse().ok().map(|name: ScenarioName| (name, names)));
                }
                (Some(_), None) | (None, _) => {}
            }
        }
        Self { places, targets, offers, circles: spec::circles_of(&after) }
    }

    fn target(&self, name: &ScenarioName) -> Option<&'a Target> {
        let is_alone = self.places.get(&(TARGET, name.as_str())).is_some_and(|places| places.len() == 1);
        self.targets.get(name).copied().filter(|_| is_alone)
    }

    fn findings(&self, locator: &Locator<'_>, document: &Document) -> Vec<Finding> {
        let mut findings: Vec<Finding> = vec![];
        let own = document.content.as_ref().err().into_iter().flatten();
        findings.extend(own.map(|error| Finding { severity: Severity::Error, error: error.clone() }));
        let mut related: Vec<(Severity, Problem)> = vec![];
        related.extend(self.doubled(document).map(|problem| (Severity::Error, problem)));
        if let Some(Outline::Scenario(asks)) = &document.outline {
            related.extend(self.related(document.name.as_deref(), asks));
        }
        if let Some(scenario) = scenario_of(document) {
            let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
            let odd = surprises(scenario, &plan::compile(scenario, &generation));
            related.extend(odd.into_iter().map(|problem| (Severity::Warning, problem)));
        }
        let remarks = document.remarks.iter().cloned();
        findings.extend(remarks.map(|error| Finding { severity: Severity::Warning, error }));
        let (severities, problems): (Vec<_>, Vec<_>) = related.into_iter().unzip();
        let located = locator.locate(document.number, problems);
        findings.extend(severities.into_iter().zip(located).map(|(severity, error)| Finding { severity, error }));
        findings.sort_by_key(|finding| (finding.error.place.line, finding.error.place.column));
        findings
    }

    fn doubled(&self, document: &Document) -> Option<Problem> {
        let (kind, name) = (document.kind.as_deref()?, document.name.as_deref()?);
        let places = self.places.get(&(kind, name)).filter(|places| places.len() > 1)?;
        let mut files = places.clone();
        files.dedup();
        let message = match files[..] {
            [file] => format!("{kind} `{name}` is {} times in {file}", places.len()),
            _ => format!("{kind} `{name}` is in several files: {}", files.join(", ")),
        };
        Some(Problem::new(Path::root("metadata").key("name"), message).with_help("names are unique among a kind"))
    }

    /// What a scenario asks of others, as far as it could be read.
    fn related(&self, own_name: Option<&str>, asks: &Asks) -> Vec<(Severity, Problem)> {
        let at = Path::root("spec");
        let mut found = vec![];
        if let Some(target) = &asks.target {
            let places = self.places.get(&(TARGET, target.as_str()));
            match (places.map(Vec::len), self.offers.get(target.as_str())) {
                (Some(1), Some(offers)) => {
                    let lacks = spec::fit(asks, target.as_str(), offers);
                    found.extend(lacks.into_iter().map(|problem| (Severity::Error, problem)));
                }
                // A target that cannot be read or is doubled has findings of its own.
                (Some(_), _) => {}
                (None, _) => found.push(self.unknown_target(&at.key("target"), target)),
            }
        }
        // That it waits for itself is said already.
        let is_own = |name: &&str| !asks.after.iter().any(|(_, other)| other.as_str() == *name);
        let own_name = own_name.filter(is_own);
        if let Some(circle) = own_name.and_then(|name| self.circles.get(&name.parse::<ScenarioName>().ok()?)) {
            let message = format!("a circle, so none of them ever starts: {circle}");
            let help = "leave one of them out";
            found.push((Severity::Error, Problem::new(at.keys("start.after"), message).with_help(help)));
        }
        for (index, name) in &asks.after {
            if !self.places.contains_key(&(SCENARIO, name.as_str())) {
                let message = format!("no manifest that was given is the Scenario `{name}`");
                let problem = Problem::new(at.keys("start.after").index(*index), message);
                found.push((Severity::Warning, problem.with_help(self.given(SCENARIO, name))));
            }
        }
        found
    }

    /// Beside other Targets, a name that none of them has is a mistake; without any, the file may just not be given.
    fn unknown_target(&self, at: &Path, target: &ScenarioName) -> (Severity, Problem) {
        let message = format!("no manifest that was given is the Target `{target}`");
        let has_other = self.places.keys().any(|(kind, _)| *kind == TARGET);
        let severity = if has_other { Severity::Error } else { Severity::Blocker };
        (severity, Problem::new(at.clone(), message).with_help(self.given(TARGET, target)))
    }

    /// What of this kind was given, for a name that was not.
    fn given(&self, kind: &str, name: &ScenarioName) -> String {
        let names: Vec<&str> = self.places.keys().filter(|(own, _)| *own == kind).map(|(_, name)| *name).collect();
        if names.is_empty() {
            format!("give its file as well: no {kind} was given")
        } else {
            help_for(name.as_str(), names)
        }
    }
}

fn scenario_of(document: &Document) -> Option<&Scenario> {
    match &document.content {
        Ok(Manifest::Scenario(scenario)) => Some(scenario),
        Ok(Manifest::Target(_)) | Err(_) => None,
    }
}
