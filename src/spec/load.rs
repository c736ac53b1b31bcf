//! From a file's bytes to valid manifests. Every document is judged on its own: one bad document spoils no other.

use std::sync::Mutex;

use super::{
    Kind, Scenario,
    decode::decode,
    left_out::LeftOut,
    outline::Outline,
    problem::{ManifestError, Path, Place, Problem, help_for, meant, tame},
    raw::{API_VERSION, Raw, RawScenario, RawTarget},
    syntax::json_problem,
    tree::{self, Dialect, Node},
    validate::{self, Attachments},
};
use crate::model::Target;

/// The largest file that is read at all, in bytes.
pub const LARGEST_FILE: usize = 1 << 20;
/// So many documents a file has at most.
const MOST_DOCUMENTS: usize = 1_000;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its number among the documents of its file, from 0.
    pub number: usize,
    /// What the document says its name and kind are, as far as that could be read.
    pub kind: Option<String>,
    pub name: Option<String>,
    pub content: Result<Manifest, Vec<ManifestError>>,
    /// What is good and may not be what was meant.
    pub remarks: Vec<ManifestError>,
    /// What others have to fit, also of a bad document.
    pub outline: Option<Outline>,
    /// The other files that it names, relative to its own folder.
    pub attachments: Vec<String>,
}

impl Document {
    /// What stands for a file that cannot be read at all.
    pub fn unreadable(errors: Vec<ManifestError>) -> Self {
        let (kind, name, content) = (None, None, Err(errors));
        Self { number: 0, kind, name, content, remarks: vec![], outline: None, attachments: vec![] }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Manifest {
    Target(Box<Target>),
    Scenario(Box<Scenario>),
}

/// Reads every document of a file. Empty documents are passed over.
///
/// `attachments` reads the other files that a manifest names.
pub fn load(file: &str, bytes: &[u8], attachments: Attachments<'_>) -> Vec<Document> {
    let whole = |error: ManifestError| vec![Document::unreadable(vec![error])];
    let text = match text_of(file, bytes) {
        Ok(text) => text,
        Err(error) => return whole(error),
    };
    if dialect(file) == Dialect::Json
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
    {
        let problem = json_problem(&error, text);
        let place = problem.place.unwrap_or_default();
        return whole(ManifestError { place, ..ManifestError::of_file(file, problem.message) });
    }
    let parts = split(text);
    if parts.len() > MOST_DOCUMENTS {
        return whole(ManifestError::of_file(file, format!("more than {MOST_DOCUMENTS} documents in one file")));
    }
    parts.iter().enumerate().filter_map(|(number, part)| load_document(file, number, part, attachments)).collect()
}

fn dialect(file: &str) -> Dialect {
    if file.ends_with(".json") { Dialect::Json } else { Dialect::Yaml }
}

/// Finds the places of problems that were found later. The file is cut into its documents once.
pub struct Locator<'a> {
    file: &'a str,
    parts: Vec<Part<'a>>,
}

impl<'a> Locator<'a> {
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Self { file, parts: text_of(file, bytes).map(split).unwrap_or_default() }
    }

    /// The problems of the document of this number, each with its place.
    pub fn locate(&self, number: usize, problems: Vec<Problem>) -> Vec<ManifestError> {
        let part = self.parts.get(number).filter(|_| !problems.is_empty());
        let tree = part.and_then(|part| tree::parse(part.text, dialect(self.file)).ok()).map(|read| read.root);
        problems
            .into_iter()
            .map(|problem| match (part, &tree) {
                (Some(part), Some(tree)) => part.error(self.file, Some(tree), problem),
                (_, _) => ManifestError {
                    path: problem.path.to_string(),
                    ..ManifestError::of_file(self.file, problem.message)
                },
            })
            .collect()
    }
}

/// The text of the document of this number, as [`load`] counts them, without what stands around it.
pub fn document_text(bytes: &[u8], number: usize) -> Option<&str> {
    let text = text_of("", bytes).ok()?;
    split(text).into_iter().nth(number).map(|part| part.text)
}

fn text_of<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, ManifestError> {
    let fail = |message: String, place: Place| ManifestError { place, ..ManifestError::of_file(file, message) };
    if bytes.len() > LARGEST_FILE {
        let message = format!("the file has {} bytes; a manifest has {LARGEST_FILE} at most", bytes.len());
        return Err(fail(message, Place::default()));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(fail("the file is UTF-16: save it as UTF-8".to_owned(), Place::default()));
    }
    let position = |valid: &[u8]| {
        let text = String::from_utf8_lossy(valid);
        let line = text.split('\n').count() as u64;
        let column = text.rsplit('\n').next().map_or(0, |line| line.chars().count()) as u64;
        Place::new(line, column + 1, 1)
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let wrong = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        fail(format!("the file is not UTF-8: byte {} is 0x{wrong:02x}", error.valid_up_to()), position(valid))
    })?;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(fail(format!("byte {at} is NUL: this is no text file"), position(&bytes[..at])));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// One document's text, and where it begins (both from 0).
struct Part<'a> {
    text: &'a str,
    line: u64,
    column: u64,
}

impl Part<'_> {
    fn error(&self, file: &str, tree: Option<&Node>, problem: Problem) -> ManifestError {
        let place = problem
            .place
            .unwrap_or_else(|| tree.map_or(Place::new(1, 1, 1), |tree| tree.locate(&problem.path, problem.on_key)));
        ManifestError {
            file: file.to_owned(),
            place: place.within(self.line, self.column),
            path: tame(&problem.path.to_string()),
            message: tame(&problem.message),
            help: problem.help.map(|help| tame(&help)),
        }
    }
}

/// Cuts a file at its `---` lines.
fn split(text: &str) -> Vec<Part<'_>> {
    let marks = |line: &str| line == "---" || line.starts_with("--- ") || line.starts_with("---\t");
    let mut parts = vec![];
    let (mut begin, mut first, mut column) = (0, 0, 0);
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if marks(line.trim_end_matches(['\n', '\r'])) {
            parts.push(Part { text: &text[begin..offset], line: first, column });
            (begin, first, column) = (offset + 3, number as u64, 3);
        }
        offset += line.len();
    }
    parts.push(Part { text: &text[begin..], line: first, column });
    parts
}

fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line.starts_with('%') || line == "..."
    })
}

fn load_document(file: &str, number: usize, part: &Part<'_>, attachments: Attachments<'_>) -> Option<Document> {
    if is_blank(part.text) {
        return None;
    }
    let used = Mutex::new(vec![]);
    let read = |name: &str| {
        used.lock().expect("no holder of this lock panics").push(name.to_owned());
        attachments(name)
    };
    let place = |tree: Option<&Node>, problems: Vec<Problem>| {
        let mut errors: Vec<ManifestError> =
            problems.into_iter().map(|problem| part.error(file, tree, problem)).collect();
        errors.sort_by_key(|error| (error.place.line, error.place.column));
        errors.dedup();
        errors
    };
    let document = match tree::parse(part.text, dialect(file)) {
        // Nothing guessed: a wrong name could make another scenario look deleted.
        Err(problems) => Document { number, ..Document::unreadable(place(None, problems)) },
        Ok(tree::Read { root, problems }) => {
            let kind = root.get("kind").and_then(|entry| entry.node.text()).map(str::to_owned);
            let name =
                root.get("metadata").and_then(|entry| entry.node.get("name")).and_then(|entry| entry.node.text());
            let judged = judge(&root, problems, &read);
            Document {
                number,
                kind,
                name: name.map(str::to_owned),
                content: judged.manifest.ok_or_else(|| place(Some(&root), judged.problems)),
                remarks: place(Some(&root), judged.remarks),
                outline: judged.outline,
                attachments: vec![],
            }
        }
    };
    Some(Document { attachments: used.into_inner().unwrap_or_default(), ..document })
}

/// What a document says, and all that is wrong with it.
struct Judged {
    manifest: Option<Manifest>,
    problems: Vec<Problem>,
    remarks: Vec<Problem>,
    outline: Option<Outline>,
}

/// Reads a tree. `problems`: what is known to be wrong with it already.
fn judge(tree: &Node, mut problems: Vec<Problem>, attachments: Attachments<'_>) -> Judged {
    let mut left_out = LeftOut::default();
    for problem in &problems {
        left_out.add_unknown(problem.path.0.clone());
    }
    let (kind, more) = check_head(tree, &left_out);
    for field in ["apiVersion", "kind"] {
        left_out.add(Path::root(field).0);
    }
    problems.extend(more);
    match kind {
        None => Judged { manifest: None, problems, remarks: vec![], outline: None },
        Some(Kind::Target) => {
            let decoded = decode::<Raw<RawTarget>>(tree, left_out);
            problems.extend(decoded.problems);
            let judged = decoded.value.map(|raw| validate::target(raw, &decoded.left_out)).unwrap_or_default();
            problems.extend(judged.problems);
            let manifest = judged.value.filter(|_| problems.is_empty());
            let manifest = manifest.map(|target| Manifest::Target(Box::new(target)));
            Judged { manifest, problems, remarks: judged.remarks, outline: judged.outline.map(Outline::Target) }
        }
        Some(Kind::Scenario) => {
            let decoded = decode::<Raw<RawScenario>>(tree, left_out);
            problems.extend(decoded.problems);
            let judge = |raw| validate::scenario(raw, &decoded.left_out, attachments);
            let judged = decoded.value.map(judge).unwrap_or_default();
            problems.extend(judged.problems);
            let manifest = judged.value.filter(|_| problems.is_empty());
            let manifest = manifest.map(|scenario| Manifest::Scenario(Box::new(scenario)));
            Judged { manifest, problems, remarks: judged.remarks, outline: judged.outline.map(Outline::Scenario) }
        }
    }
}

/// The kind, and what is wrong with the head. A kind that is misspelt or missing is guessed, so that the rest is judged
/// in the same run; of an unknown version nothing is known.
fn check_head(tree: &Node, left_out: &LeftOut) -> (Option<Kind>, Vec<Problem>) {
    if !matches!(tree.value, tree::Value::Map(_)) {
        if left_out.touches(&Path::default()) {
            return (None, vec![]);
        }
        let help = format!("it begins with `apiVersion: {API_VERSION}` and `kind: Scenario` or `kind: Target`");
        let problem = Problem::at(tree.place.start(), "a manifest is a map of fields").with_help(help);
        return (None, vec![problem]);
    }
    let mut problems = vec![];
    let is_known = match written(tree, "apiVersion") {
        Written::Missing => {
            if !left_out.has(&Path::root("apiVersion")) {
                let help = format!("write `apiVersion: {API_VERSION}`");
                problems.push(Problem::new(Path::root("apiVersion"), "missing").with_help(help));
            }
            true
        }
        Written::Text(API_VERSION) => true,
        Written::Text(version) => {
            let help = format!("this program reads `{API_VERSION}`");
            let problem = Problem::new(Path::root("apiVersion"), format!("unknown version `{version}`"));
            problems.push(problem.with_help(help));
            false
        }
        Written::Other => {
            let problem = Problem::new(Path::root("apiVersion"), "expected a text");
            problems.push(problem.with_help(format!("write `apiVersion: {API_VERSION}`")));
            true
        }
    };
    let kind = match written(tree, "kind") {
        Written::Missing | Written::Other if left_out.has(&Path::root("kind")) => by_fields(tree),
        Written::Missing | Written::Other => {
            let is_missing = matches!(written(tree, "kind"), Written::Missing);
            let message = if is_missing { "missing" } else { "expected a text" };
            let problem = Problem::new(Path::root("kind"), message);
            problems.push(problem.with_help("write `kind: Scenario` or `kind: Target`"));
            by_fields(tree)
        }
        Written::Text(word) => {
            let words = Kind::ALL.map(Kind::word);
            let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
            if kind.is_none() {
                let problem = Problem::new(Path::root("kind"), format!("unknown kind `{word}`"));
                problems.push(problem.with_help(help_for(word, words)));
            }
            kind.or_else(|| meant(word, words).and_then(|meant| Kind::ALL.into_iter().find(|one| one.word() == meant)))
        }
    };
    (kind.filter(|_| is_known), problems)
}

/// What stands at a field of the head.
enum Written<'a> {
    Missing,
    Text(&'a str),
    Other,
}

fn written<'a>(tree: &'a Node, field: &str) -> Written<'a> {
    match tree.get(field).map(|entry| &entry.node) {
        None => Written::Missing,
        Some(node) => node.text().map_or(Written::Other, Written::Text),
    }
}

/// The kind that has the fields of this spec.
fn by_fields(tree: &Node) -> Option<Kind> {
    let spec = &tree.get("spec")?.node;
    match (spec.get("load").or(spec.get("target")), spec.get("dagster")) {
        (Some(_), None) => Some(Kind::Scenario),
        (None, Some(_)) => Some(Kind::Target),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// A reader of attachments for places that have none.
pub fn no_attachments(name: &str) -> Result<Vec<u8>, String> {
    Err(format!("`{name}` cannot be read here"))
}
