//! One file of the folder: its documents, whose they are, and what `intake.yaml` says of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde::Serialize;

use super::{Finder, ScannedFile, memory::Glance};
use crate::{
    model::ScenarioName,
    operator::{Attachment, Version},
    spec::{self, Document, ManifestError, Origin},
};

#[derive(Debug)]
pub struct KnownFile {
    pub content: Result<Arc<[u8]>, String>,
    pub documents: Vec<Document>,
    /// Whose each document is.
    origins: Vec<Origin>,
    /// The versions of the other files that its manifests name, by their path from the watched folder.
    pub attachments: BTreeMap<String, Option<Version>>,
}

/// One file in `intake.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    pub file: String,
    pub accepted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    /// Documents of other tools: nothing is made of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl KnownFile {
    pub fn read(file: &ScannedFile, find: Finder<'_>) -> Self {
        let used = Mutex::new(BTreeMap::new());
        let read = |name: &str| {
            let path = beside(&file.name, name);
            used.lock().expect("no holder of this lock panics").insert(path.clone(), version_of(find(&path)));
            read_attachment(&file.name, name, find)
        };
        let documents = match &file.content {
            Ok(content) => spec::load(&file.name, content, &read),
            Err(message) => vec![Document::unreadable(vec![ManifestError::of_file(&file.name, message.clone())])],
        };
        // Nobody knows whose a file is that cannot even be opened.
        let origin = |document| file.content.as_ref().map_or(Origin::Ours, |content| spec::origin(content, document));
        let origins = documents.iter().map(origin).collect();
        let attachments = used.into_inner().unwrap_or_default();
        Self { content: file.content.clone(), documents, origins, attachments }
    }

    fn judged(&self) -> impl Iterator<Item = (&Document, Origin)> {
        self.documents.iter().zip(self.origins.iter().copied())
    }

    /// The documents that are manifests, good or bad.
    pub fn ours(&self) -> impl Iterator<Item = &Document> {
        self.judged().filter(|(_, origin)| *origin == Origin::Ours).map(|(document, _)| document)
    }

    /// Whether nothing of it is a manifest.
    pub fn is_ignored(&self) -> bool {
        self.ours().next().is_none()
    }

    pub fn glance(&self) -> Glance {
        let mut glance = Glance::default();
        for (document, origin) in self.judged() {
            match (origin, scenario_name(document)) {
                (Origin::Ours, _) if document.kind.as_deref() == Some("Target") => {}
                (Origin::Ours, Some(name)) => drop(glance.names.insert(name)),
                (Origin::Ours, None) => glance.nameless += 1,
                (Origin::Unmarked, _) => glance.unmarked += 1,
                (Origin::Foreign, _) => {}
            }
        }
        glance
    }

    /// Whether a target may be in it that no document names.
    pub fn may_hold_a_target(&self) -> bool {
        let is_other = |document: &Document| document.kind.as_deref().is_some_and(|kind| kind != "Target");
        self.ours().any(|document| scenario_name(document).is_none() && !is_other(document))
    }

    /// What is wrong with the documents in which a scenario may be that none of them names.
    pub fn unclear_errors(&self) -> Vec<String> {
        let may = |(document, origin): &(&Document, Origin)| match origin {
            Origin::Ours => scenario_name(document).is_none() && document.kind.as_deref() != Some("Target"),
            Origin::Unmarked => true,
            Origin::Foreign => false,
        };
        self.judged().filter(may).flat_map(|(document, _)| errors_of(document)).collect()
    }

    /// What is wrong, document by document. In an unclear file an unmarked document is a manifest by a bad edit.
    pub fn errors(&self, is_unclear: bool) -> impl Iterator<Item = (&Document, Vec<String>)> {
        let counts = move |origin: Origin| match origin {
            Origin::Ours => true,
            Origin::Unmarked => is_unclear,
            Origin::Foreign => false,
        };
        self.judged().filter(move |(_, origin)| counts(*origin)).map(|(document, _)| (document, errors_of(document)))
    }

    pub fn report(&self, file: &str, is_unclear: bool) -> FileReport {
        let is_ignored = |origin: Origin| origin == Origin::Foreign || (origin == Origin::Unmarked && !is_unclear);
        let (ignored, documents): (Vec<_>, Vec<_>) = self.judged().partition(|(_, origin)| is_ignored(*origin));
        let errors: Vec<String> = self.errors(is_unclear).flat_map(|(_, errors)| errors).collect();
        FileReport {
            file: file.to_owned(),
            accepted: errors.is_empty(),
            documents: documents.into_iter().map(|(document, _)| describe(document)).collect(),
            ignored: ignored.into_iter().map(|(document, origin)| describe_other(document, origin)).collect(),
            errors,
        }
    }
}

/// The name, if a scenario can have it.
pub fn scenario_name(document: &Document) -> Option<ScenarioName> {
    document.name.as_ref().and_then(|name| name.parse().ok())
}

fn errors_of(document: &Document) -> Vec<String> {
    document.content.as_ref().err().into_iter().flatten().map(ToString::to_string).collect()
}

fn describe(document: &Document) -> String {
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    format!("{}/{}", or_unknown(&document.kind), or_unknown(&document.name))
}

fn describe_other(document: &Document, origin: Origin) -> String {
    let number = document.number + 1;
    match (origin, &document.kind) {
        (Origin::Foreign, Some(kind)) => format!("document {number} ({kind}): its `apiVersion` is another tool's"),
        (Origin::Foreign, None) => format!("document {number}: its `apiVersion` is another tool's"),
        (Origin::Unmarked | Origin::Ours, _) => {
            format!("document {number}: it has no `apiVersion: dagstorm.dev/…`, so it is no manifest")
        }
    }
}

/// Reads a file that a manifest names.
///
/// # Errors
/// A sentence for people.
pub fn read_attachment(manifest: &str, name: &str, find: Finder<'_>) -> Result<Vec<u8>, String> {
    match find(&beside(manifest, name)) {
        Some(attachment) => attachment.read().map_err(|error| format!("`{name}` cannot be read: {error}")),
        None => Err(format!("there is no file `{name}` beside the manifest")),
    }
}

pub fn version_of(attachment: Option<Attachment>) -> Option<Version> {
    attachment.map(|attachment| attachment.version)
}

/// The path of a file that a manifest names, from where the manifest's own path is counted.
fn beside(manifest: &str, name: &str) -> String {
    match manifest.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}
