//! From a file's bytes to valid manifests. Every document is judged on its own: one bad document spoils no other.

use std::sync::Mutex;

use super::{
    Scenario,
    decode::decode,
    problem::{ManifestError, Path, Place, Problem, help_for, tame},
    raw::{API_VERSION, Raw, RawScenario, RawTarget},
    tree::{self, Dialect, Node},
    validate::{self, Attachments},
};
use crate::model::Target;

/// The largest file that is read at all, in bytes.
pub const LARGEST_FILE: usize = 1 << 20;
/// So many documents a file has at most.
const MOST_DOCUMENTS: usize = 1_000;
const KINDS: [&str; 2] = ["Scenario", "Target"];

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its number among the documents of its file, from 0.
    pub number: usize,
    /// What the document says its name and kind are, as far as that could be read.
    pub kind: Option<String>,
    pub name: Option<String>,
    pub content: Result<Manifest, Vec<ManifestError>>,
    /// The other files that it names, relative to its own folder.
    pub attachments: Vec<String>,
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
    let whole = |error: ManifestError| {
        vec![Document { number: 0, kind: None, name: None, content: Err(vec![error]), attachments: vec![] }]
    };
    let text = match text_of(file, bytes) {
        Ok(text) => text,
        Err(error) => return whole(error),
    };
    if dialect(file) == Dialect::Json
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
    {
        let place = Place::new(error.line().max(1) as u64, error.column().max(1) as u64, 1);
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        return whole(ManifestError { place, ..ManifestError::of_file(file, format!("not valid JSON: {message}")) });
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
        let tree = part.and_then(|part| tree::parse(part.text, dialect(self.file)).ok());
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
    let fail = |tree: Option<&Node>, mut problems: Vec<Problem>| {
        let mut errors: Vec<ManifestError> =
            problems.drain(..).map(|problem| part.error(file, tree, problem)).collect();
        errors.sort_by_key(|error| (error.place.line, error.place.column));
        errors.dedup();
        Err(errors)
    };
    let (kind, name, content) = match tree::parse(part.text, dialect(file)) {
        // Nothing guessed: a wrong name could make another scenario look deleted.
        Err(problem) => (None, None, fail(None, vec![problem])),
        Ok(tree) => {
            let kind = tree.get("kind").and_then(|entry| entry.node.text()).map(str::to_owned);
            let name =
                tree.get("metadata").and_then(|entry| entry.node.get("name")).and_then(|entry| entry.node.text());
            let content = read_tree(&tree, &read).or_else(|problems| fail(Some(&tree), problems));
            (kind, name.map(str::to_owned), content)
        }
    };
    let attachments = used.into_inner().unwrap_or_default();
    Some(Document { number, kind, name, content, attachments })
}

fn read_tree(tree: &Node, attachments: Attachments<'_>) -> Result<Manifest, Vec<Problem>> {
    match check_head(tree)? {
        "Target" => {
            let decoded = decode::<Raw<RawTarget>>(tree);
            let judged = decoded.value.map(validate::target);
            finish(decoded.problems, judged).map(|target| Manifest::Target(Box::new(target)))
        }
        _ => {
            let decoded = decode::<Raw<RawScenario>>(tree);
            let is_whole = decoded.problems.is_empty();
            let judged = decoded.value.map(|raw| validate::scenario(raw, is_whole, attachments));
            finish(decoded.problems, judged).map(|scenario| Manifest::Scenario(Box::new(scenario)))
        }
    }
}

fn finish<T>(mut problems: Vec<Problem>, judged: Option<Result<T, Vec<Problem>>>) -> Result<T, Vec<Problem>> {
    match judged {
        Some(Ok(value)) if problems.is_empty() => Ok(value),
        Some(Err(more)) => {
            // What had to be left out may be all that something around it lacks: that is no second mistake.
            let is_own =
                |problem: &Problem| !problems.iter().any(|left_out| left_out.path.0.starts_with(&problem.path.0));
            let own: Vec<Problem> = more.into_iter().filter(is_own).collect();
            problems.extend(own);
            Err(problems)
        }
        Some(Ok(_)) | None => Err(problems),
    }
}

/// The kind, if the head says one that this version reads.
fn check_head(tree: &Node) -> Result<&'static str, Vec<Problem>> {
    if !matches!(tree.value, tree::Value::Map(_)) {
        let help = format!("it begins with `apiVersion: {API_VERSION}` and `kind: Scenario` or `kind: Target`");
        return Err(vec![Problem::at(tree.place.start(), "a manifest is a map of fields").with_help(help)]);
    }
    let mut problems = vec![];
    let missing = |field: &str, help: String| Problem::new(Path::root(field), "missing").with_help(help);
    match tree.get("apiVersion").map(|entry| entry.node.text()) {
        None => problems.push(missing("apiVersion", format!("write `apiVersion: {API_VERSION}`"))),
        Some(Some(API_VERSION)) => {}
        Some(version) => {
            let message = format!("unknown version `{}`", version.unwrap_or("?"));
            let help = format!("this program reads `{API_VERSION}`");
            problems.push(Problem::new(Path::root("apiVersion"), message).with_help(help));
        }
    }
    let kind = match tree.get("kind").map(|entry| entry.node.text()) {
        None => {
            problems.push(missing("kind", "write `kind: Scenario` or `kind: Target`".to_owned()));
            None
        }
        Some(text) => {
            let word = text.unwrap_or("?");
            let kind = KINDS.into_iter().find(|kind| *kind == word);
            if kind.is_none() {
                let problem = Problem::new(Path::root("kind"), format!("unknown kind `{word}`"));
                problems.push(problem.with_help(help_for(word, KINDS)));
            }
            kind
        }
    };
    kind.filter(|_| problems.is_empty()).ok_or(problems)
}

/// A reader of attachments for places that have none.
pub fn no_attachments(name: &str) -> Result<Vec<u8>, String> {
    Err(format!("`{name}` cannot be read here"))
}
