//! The manifests that a command was given: files, folders, standard input, each read once.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    operator::{ScannedFile, Source, on_disk, read_attachment},
    spec::{self, Document, LARGEST_FILE, ManifestError},
};

/// What stands for standard input on the command line, and what it is called in messages.
const STDIN: &str = "-";
const STDIN_NAME: &str = "<stdin>";
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];
/// How deep folders are searched, as the operator does.
const DEEPEST: usize = 8;

/// Some files with all that they hold.
#[derive(Debug, Default)]
pub struct Given {
    pub files: Vec<GivenFile>,
}

/// One file.
#[derive(Debug)]
pub struct GivenFile {
    pub name: String,
    /// The content, or why it could not be read.
    pub content: Result<Vec<u8>, String>,
    pub documents: Vec<Document>,
}

impl GivenFile {
    /// The text, as far as it is one: what is shown beside a message.
    pub fn text(&self) -> &str {
        self.content.as_ref().ok().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Given {
    /// Reads files, folders (`*.yaml`, `*.yml`, `*.json` in them and below; hidden ones are passed over) and `-`.
    pub fn read(paths: &[PathBuf]) -> Self {
        let mut reading = Reading::default();
        for path in paths {
            reading.path(path);
        }
        Self::of(reading.files)
    }

    /// Takes contents by name; what they refer to is read beside their names.
    pub fn of(contents: Vec<(String, Result<Vec<u8>, String>)>) -> Self {
        Self { files: contents.into_iter().map(|(name, content)| load(name, content)).collect() }
    }

    /// All documents, each with its file.
    pub fn documents(&self) -> impl Iterator<Item = (&GivenFile, &Document)> {
        self.files.iter().flat_map(|file| file.documents.iter().map(move |document| (file, document)))
    }

    /// These files as what the operator runs.
    pub fn into_source(self) -> Source {
        let scanned = |file: GivenFile| ScannedFile { name: file.name, content: file.content.map(Into::into) };
        Source::Files(self.files.into_iter().map(scanned).collect())
    }
}

fn load(name: String, content: Result<Vec<u8>, String>) -> GivenFile {
    let beside = |attachment: &str| read_attachment(&name, attachment, &on_disk);
    let documents = match &content {
        Ok(bytes) => spec::load(&name, bytes, &beside),
        Err(message) => vec![Document::unreadable(vec![ManifestError::of_file(&name, message.clone())])],
    };
    GivenFile { name, content, documents }
}

#[derive(Default)]
struct Reading {
    files: Vec<(String, Result<Vec<u8>, String>)>,
    /// A file that is given twice, by itself and by its folder, is read once.
    known: BTreeSet<PathBuf>,
}

impl Reading {
    fn path(&mut self, path: &Path) {
        if path == Path::new(STDIN) {
            if self.known.insert(PathBuf::from(STDIN)) {
                self.files.push((
                    STDIN_NAME.to_owned(),
                    limited(io::stdin(), LARGEST_FILE as u64).map_err(|error| cannot(&error)),
                ));
            }
        } else if path.is_dir() {
            let before = self.files.len();
            self.folder(path, 0);
            if self.files.len() == before {
                let message = "no manifest is in this folder (*.yaml, *.yml, *.json)".to_owned();
                self.files.push((path.display().to_string(), Err(message)));
            }
        } else {
            self.file(path);
        }
    }

    fn file(&mut self, path: &Path) {
        if self.known.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) {
            let content = read_limited(path, LARGEST_FILE as u64).map_err(|error| cannot(&error));
            self.files.push((path.display().to_string(), content));
        }
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut paths: Vec<PathBuf> = match listed {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return self.files.push((folder.display().to_string(), Err(cannot(&error)))),
        };
        paths.sort();
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            let is_manifest = ENDINGS.iter().any(|ending| name.ends_with(ending));
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => {
                    if depth < DEEPEST {
                        self.folder(&path, depth + 1);
                    }
                }
                // Whoever opens a named pipe waits for its writer: pipes are read where they are named only.
                Ok(found) if !found.is_file() => {}
                Ok(_) | Err(_) if is_manifest => self.file(&path),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn cannot(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::NotFound, "there is no such file or folder"),
        (io::ErrorKind::PermissionDenied, "you have no permission to read it"),
        (io::ErrorKind::IsADirectory, "it is a folder"),
    ];
    match known.into_iter().find(|(kind, _)| *kind == error.kind()) {
        Some((_, why)) => format!("cannot be read: {why}"),
        None => format!("cannot be read: {error}"),
    }
}

fn read_limited(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    limited(File::open(path)?, most)
}

/// At most one byte more than allowed: whoever judges the size sees that it is too large.
fn limited(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    reader.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
