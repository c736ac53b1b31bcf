//! From a file's bytes to valid manifests. Every document is judged on its own: one bad document spoils no other.

use std::fmt;

use serde::de::DeserializeOwned;

use super::{
    Scenario,
    raw::{API_VERSION, Head, Raw, RawScenario, RawTarget},
    validate::{self, Problem},
};
use crate::model::Target;

/// The largest file that is read at all, in bytes.
pub const LARGEST_FILE: usize = 1 << 20;
const DEEPEST: usize = 32;
const MOST_NODES: usize = 50_000;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What the document says its name and kind are, as far as that could be read.
    pub kind: Option<String>,
    pub name: Option<String>,
    pub content: Result<Manifest, Vec<ManifestError>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Manifest {
    Target(Box<Target>),
    Scenario(Box<Scenario>),
}

/// What is wrong, and where. Lines and columns count from 1; 0 means that the place is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    /// The field's path, where it is known.
    pub path: String,
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Reads every document of a file. Empty documents are passed over.
pub fn load(file: &str, bytes: &[u8]) -> Vec<Document> {
    let text = match text_of(bytes) {
        Ok(text) => text,
        Err(message) => {
            let error = ManifestError { file: file.to_owned(), line: 0, column: 0, path: String::new(), message };
            return vec![Document { kind: None, name: None, content: Err(vec![error]) }];
        }
    };
    split(text).iter().filter_map(|document| load_document(file, document)).collect()
}

fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > LARGEST_FILE {
        return Err(format!("the file has {} bytes; a manifest has {LARGEST_FILE} at most", bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|error| format!("the file is not UTF-8: byte {} is wrong", error.valid_up_to()))
}

/// Cuts a file at its `---` lines. Each part keeps its place: the lines before it are blank.
fn split(text: &str) -> Vec<String> {
    let marks = |line: &str| line == "---" || line.starts_with("--- ") || line.starts_with("---\t");
    let mut parts = vec![String::new()];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if marks(line.trim_end_matches(['\n', '\r'])) {
            parts.push("\n".repeat(number));
            let rest = &line[3..];
            let part = parts.last_mut().expect("a part was just pushed");
            part.push_str("   ");
            part.push_str(rest);
        } else {
            parts.last_mut().expect("there is always a first part").push_str(line);
        }
    }
    parts
}

fn load_document(file: &str, text: &str) -> Option<Document> {
    let blank = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return None;
    }
    let fail = |problems: Vec<Problem>| {
        let errors = problems.into_iter().map(|problem| ManifestError {
            file: file.to_owned(),
            line: problem.line,
            column: problem.column,
            path: problem.path,
            message: problem.message,
        });
        Err(errors.collect::<Vec<_>>())
    };
    let head: Head = match read(text) {
        Ok(head) => head,
        Err(problem) => return Some(Document { kind: None, name: None, content: fail(vec![problem]) }),
    };
    let name = head.metadata.as_ref().and_then(|metadata| metadata.name.clone());
    let kind = head.kind.as_ref().map(|kind| kind.value.clone());
    let content = match check_head(&head) {
        Ok(Kind::Target) => read::<Raw<RawTarget>>(text)
            .map_err(|problem| vec![problem])
            .and_then(validate::target)
            .map(|target| Manifest::Target(Box::new(target))),
        Ok(Kind::Scenario) => read::<Raw<RawScenario>>(text)
            .map_err(|problem| vec![problem])
            .and_then(|raw| validate::scenario(&raw))
            .map(|scenario| Manifest::Scenario(Box::new(scenario))),
        Err(problem) => Err(vec![problem]),
    };
    Some(Document { kind, name, content: content.or_else(fail) })
}

enum Kind {
    Target,
    Scenario,
}

fn check_head(head: &Head) -> Result<Kind, Problem> {
    let missing = |field: &str, allowed: &str| Problem {
        line: 1,
        column: 1,
        path: field.to_owned(),
        message: format!("missing; write `{field}: {allowed}`"),
    };
    let version = head.api_version.as_ref().ok_or_else(|| missing("apiVersion", API_VERSION))?;
    let kind = head.kind.as_ref().ok_or_else(|| missing("kind", "Scenario` or `kind: Target"))?;
    let wrong = |at: &serde_saphyr::Spanned<String>, path: &str, message: String| Problem {
        line: at.referenced.line(),
        column: at.referenced.column(),
        path: path.to_owned(),
        message,
    };
    if version.value != API_VERSION {
        let message = format!("`{}` is not known here; this version reads `{API_VERSION}`", version.value);
        return Err(wrong(version, "apiVersion", message));
    }
    match kind.value.as_str() {
        "Target" => Ok(Kind::Target),
        "Scenario" => Ok(Kind::Scenario),
        other => Err(wrong(kind, "kind", format!("`{other}` is not a kind; allowed are `Scenario` and `Target`"))),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: MOST_NODES,
            max_aliases: 16,
            max_anchors: 16,
            max_documents: 1,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |location| (location.line(), location.column()));
        let message = error.without_snippet().to_string();
        // The place stands in front of the message already: the library's own suffix would say it twice.
        let message = message.split(" at line ").next().unwrap_or(&message).trim();
        // Advice for those who program with the library is none for those who write a manifest.
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message).to_owned();
        Problem { line, column, path: String::new(), message }
    })
}
