//! One reading of the folder: every manifest with its content, every attachment with its version.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, FileType},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    attachment::{self, Attachment, Content},
    links,
};
use crate::{operator::ScannedFile, spec::LARGEST_FILE};

const MANIFESTS: [&str; 3] = [".yaml", ".yml", ".json"];
const ATTACHMENTS: [&str; 4] = [".csv", ".jsonl", ".ndjson", ".tsv"];
/// How deep folders are searched.
const DEEPEST: usize = 8;

/// What a reading of the folder found, each list sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    pub files: Vec<ScannedFile>,
    /// What manifests may refer to: `*.csv`, `*.jsonl`, `*.ndjson`, `*.tsv`.
    pub attachments: Vec<Attachment>,
    /// Whether the folder is there and all of it could be listed: what is missing is not there then.
    pub is_complete: bool,
}

/// A scan and where it went.
#[derive(Debug, Default)]
pub struct Reading {
    pub scan: Scan,
    /// A file was written while it was read: it is as it was before, or left out.
    pub in_flux: bool,
    pub places: Places,
}

/// What to watch.
#[derive(Debug, Default)]
pub struct Places {
    /// The folders that were listed: everything in them matters.
    pub folders: BTreeMap<PathBuf, Identity>,
    /// Single entries of other folders: links on the way, and the files that they lead to.
    pub entries: BTreeSet<PathBuf>,
}

/// Tells a folder from another one that came in its place, as far as the file system can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Identity {
    /// Of what a path leads to now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), created: metadata.created().ok() })
    }
}

/// Reads one folder again and again.
#[derive(Debug)]
pub struct Scanner {
    /// Absolute; it may lead through links.
    root: PathBuf,
    /// What was complained of in the last reading: once is enough.
    complaints: BTreeMap<PathBuf, String>,
    buffer: Vec<u8>,
}

impl Scanner {
    pub fn new(root: &Path) -> Self {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self { root, complaints: BTreeMap::new(), buffer: vec![] }
    }

    /// Reads everything. Contents that are as in `known` are shared with it.
    pub fn read(&mut self, known: &Scan) -> Reading {
        let mut walk = Walk {
            root: PathBuf::new(),
            known,
            buffer: &mut self.buffer,
            reading: Reading::default(),
            visited: BTreeSet::new(),
            pending: vec![],
            linked: vec![],
            complaints: BTreeMap::new(),
        };
        walk.everything(&self.root);
        let Walk { mut reading, complaints, .. } = walk;
        for (path, complaint) in &complaints {
            if self.complaints.get(path) != Some(complaint) {
                tracing::warn!(path = %path.display(), "{complaint}");
            }
        }
        self.complaints = complaints;
        let scan = &mut reading.scan;
        scan.files.sort_by(|a, b| a.name.cmp(&b.name));
        scan.files.dedup_by(|a, b| a.name == b.name);
        scan.attachments.sort_by(|a, b| a.name.cmp(&b.name));
        scan.attachments.dedup_by(|a, b| a.name == b.name);
        reading
    }
}

/// A reading under way.
struct Walk<'a> {
    /// Without links.
    root: PathBuf,
    known: &'a Scan,
    buffer: &'a mut Vec<u8>,
    reading: Reading,
    /// By device and inode: links may lead in circles.
    visited: BTreeSet<(u64, u64)>,
    pending: Vec<Folder>,
    /// Folders behind links come last: a real folder keeps its own name.
    linked: Vec<Folder>,
    complaints: BTreeMap<PathBuf, String>,
}

struct Folder {
    /// Without links.
    path: PathBuf,
    /// Relative to the watched folder, with a `/` at its end; empty for that one.
    prefix: String,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Role {
    Manifest,
    Attachment,
    Nothing,
}

impl Walk<'_> {
    fn everything(&mut self, root: &Path) {
        self.reading.scan.is_complete = true;
        match links::follow(root, &mut self.reading.places.entries) {
            Ok(path) => {
                self.reading.places.entries.insert(path.clone());
                self.root.clone_from(&path);
                self.pending.push(Folder { path, prefix: String::new(), depth: 0 });
            }
            Err(error) => self.missed(root, &error),
        }
        while let Some(folder) = self.pending.pop().or_else(|| self.next_linked()) {
            if let Err(error) = self.list(&folder) {
                // What vanished in between is simply gone; without the folder itself nothing is known.
                if error.kind() != io::ErrorKind::NotFound || folder.depth == 0 {
                    self.missed(&folder.path, &error);
                }
            }
        }
    }

    fn next_linked(&mut self) -> Option<Folder> {
        self.linked.sort_by(|a, b| b.prefix.cmp(&a.prefix));
        self.linked.pop()
    }

    fn list(&mut self, folder: &Folder) -> io::Result<()> {
        let identity = Identity::of(&folder.path)?;
        if !self.visited.insert((identity.device, identity.inode)) {
            return Ok(());
        }
        let entries = fs::read_dir(&folder.path)?;
        self.reading.places.folders.insert(folder.path.clone(), identity);
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.as_bytes().first(), Some(b'.' | b'#' | b'~')) {
                continue;
            }
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            self.entry(folder, &name, kind);
        }
        Ok(())
    }

    /// Takes one entry of a folder. Sockets, FIFOs and devices are passed over.
    fn entry(&mut self, folder: &Folder, name: &OsStr, kind: FileType) {
        let role = role(name);
        let is_file = kind.is_file();
        if is_file && matches!(role, Role::Nothing) {
            return;
        }
        let path = folder.path.join(name);
        let relative = format!("{}{}", folder.prefix, printable(name));
        if is_file {
            self.file(role, relative, path);
        } else if kind.is_dir() {
            if folder.depth < DEEPEST {
                self.pending.push(Folder { path, prefix: relative + "/", depth: folder.depth + 1 });
            }
        } else if kind.is_symlink() {
            self.link(role, folder.depth, relative, &path);
        }
    }

    /// Follows a link: Kubernetes and git-sync put files and folders behind them.
    fn link(&mut self, role: Role, depth: usize, relative: String, link: &Path) {
        let entries = &mut self.reading.places.entries;
        let followed =
            links::follow(link, entries).and_then(|path| Ok((fs::symlink_metadata(&path)?.file_type(), path)));
        match followed {
            Ok((kind, path)) if kind.is_dir() => {
                // A link to the watched folder or above it leads in a circle.
                if depth < DEEPEST && !self.root.starts_with(&path) {
                    self.linked.push(Folder { path, prefix: relative + "/", depth: depth + 1 });
                }
            }
            Ok((kind, path)) if kind.is_file() && !matches!(role, Role::Nothing) => {
                entries.insert(path.clone());
                self.file(role, relative, path);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !matches!(role, Role::Nothing) {
                    self.complaints.insert(link.to_owned(), "the link leads to nothing; it is passed over".to_owned());
                }
            }
            Err(error) => match role {
                Role::Manifest => self.reading.scan.files.push(broken(relative, &error)),
                Role::Attachment | Role::Nothing => self.missed(link, &error),
            },
        }
    }

    fn file(&mut self, role: Role, name: String, path: PathBuf) {
        match role {
            Role::Manifest => self.manifest(name, &path),
            Role::Attachment => self.reading.scan.attachments.extend(Attachment::look(name, path)),
            Role::Nothing => {}
        }
    }

    fn manifest(&mut self, name: String, path: &Path) {
        let read = attachment::read(path, LARGEST_FILE, self.buffer);
        let files = &self.known.files;
        let known = files.binary_search_by(|file| file.name.as_str().cmp(&name)).map(|index| &files[index].content);
        let content = match (read, known) {
            (Ok(Content::Whole), Ok(Ok(known))) if **known == self.buffer[..] => Ok(known.clone()),
            (Ok(Content::Whole), _) => Ok(self.buffer.as_slice().into()),
            (Ok(Content::Changing), known) => {
                self.reading.in_flux = true;
                match known {
                    Ok(known) => known.clone(),
                    Err(_) => {
                        self.reading.scan.is_complete = false;
                        return;
                    }
                }
            }
            // It went between the listing and the reading.
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => return,
            (Err(error), _) => Err(error.to_string()),
        };
        self.reading.scan.files.push(ScannedFile { name, content });
    }

    /// Something could not be looked into.
    fn missed(&mut self, path: &Path, error: &io::Error) {
        self.reading.scan.is_complete = false;
        let complaint = format!("cannot be read: {error}; nothing is deleted while that lasts");
        self.complaints.insert(path.to_owned(), complaint);
    }
}

fn broken(name: String, error: &io::Error) -> ScannedFile {
    ScannedFile { name, content: Err(error.to_string()) }
}

fn role(name: &OsStr) -> Role {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.as_bytes().ends_with(ending.as_bytes()));
    if ends(&MANIFESTS) {
        Role::Manifest
    } else if ends(&ATTACHMENTS) {
        Role::Attachment
    } else {
        Role::Nothing
    }
}

/// A name as text; bytes that are no UTF-8 are written as `\xff`, so that two names stay two.
fn printable(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}
