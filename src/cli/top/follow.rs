//! Follows a data folder: reads what has changed, keeps what was read when a file cannot be.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use super::seen::{EventLine, Operator, Scenario, Seen, fold};
use crate::model::Timestamp;

/// So much of the end of `events.jsonl` is read at first; then only what is new.
const TAIL: u64 = 4 * 1024 * 1024;
/// So many events are kept, folded.
const KEPT: usize = 2_000;
/// A holder of the folder renews its lease every second; after so long somebody else may take over.
pub const SILENT_S: u64 = 6;

/// Reads a data folder again and again.
#[derive(Debug)]
pub struct Follower {
    data: PathBuf,
    read: BTreeMap<String, Kept>,
    events: Events,
}

/// What was read of `events.jsonl`.
#[derive(Debug, Default)]
struct Events {
    /// Which file it was; another one may come in its place.
    inode: u64,
    /// Up to where it was read: the end of a line.
    offset: u64,
    folded: Vec<EventLine>,
}

/// A status as it was read last.
#[derive(Debug)]
struct Kept {
    /// What tells one version of a file from another: it is replaced, never written into.
    mark: (u64, u64, Option<SystemTime>),
    scenario: Scenario,
}

impl Follower {
    pub fn new(data: PathBuf) -> Self {
        Self { data, read: BTreeMap::new(), events: Events::default() }
    }

    /// Everything as it is now.
    pub fn read(&mut self, now: Timestamp) -> Seen {
        let mut seen = Seen::at(now);
        let folder = self.data.join("status");
        match self.statuses(&folder) {
            Ok(troubles) => seen.troubles = troubles,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.read.clear();
                let missing = if self.data.is_dir() { &folder } else { &self.data };
                seen.waiting = Some(format!("waiting for {}", missing.display()));
            }
            Err(error) => seen.troubles.push(format!("{}: {error}", folder.display())),
        }
        seen.scenarios = self.read.values().map(|kept| kept.scenario.clone()).collect();
        if seen.scenarios.is_empty() && seen.waiting.is_none() {
            seen.waiting = Some(format!("waiting for the first scenario in {}", folder.display()));
        }
        let events = self.data.join("events.jsonl");
        match self.events.read(&events) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.events = Events::default(),
            Err(error) => seen.troubles.push(format!("{}: {error}", events.display())),
        }
        seen.events.clone_from(&self.events.folded);
        let halted = seen.scenarios.iter().flat_map(|scenario| &scenario.status.conditions);
        let mut halted = halted.filter(|condition| condition.kind == "Ready" && condition.reason == "Halted");
        seen.halted = halted.next().map(|condition| condition.message.clone());
        match operator(&self.data.join("lease.json")) {
            Ok(operator) => seen.operator = operator,
            Err(error) => seen.troubles.push(format!("lease.json: {error}")),
        }
        seen
    }

    /// Reads what has changed; says which files cannot be read.
    fn statuses(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        let mut troubles = vec![];
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".yaml"));
            let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
            let before = self.read.remove(name);
            match one(&path, name, before.as_ref()) {
                Ok(Some(kept)) => drop(found.insert(name.to_owned(), kept)),
                Ok(None) => found.extend(before.map(|before| (name.to_owned(), before))),
                // It was removed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    troubles.push(format!("{}: {error}", path.display()));
                    found.extend(before.map(|before| (name.to_owned(), before)));
                }
            }
        }
        self.read = found;
        Ok(troubles)
    }
}

/// `None`: nothing has changed.
fn one(path: &Path, name: &str, before: Option<&Kept>) -> io::Result<Option<Kept>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mark = (metadata.ino(), metadata.len(), metadata.modified().ok());
    if before.is_some_and(|before| before.mark == mark) {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let scenario: Scenario = serde_saphyr::from_str(&text).map_err(io::Error::other)?;
    Ok(Some(Kept { mark, scenario: scenario.named(name) }))
}

impl Events {
    /// Reads what is new, up to the last whole line.
    fn read(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if self.inode != metadata.ino() || metadata.len() < self.offset {
            *self = Self { inode: metadata.ino(), ..Self::default() };
        }
        let begin = self.offset.max(metadata.len().saturating_sub(TAIL));
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = vec![];
        file.take(TAIL).read_to_end(&mut bytes)?;
        // From the begin of a line on.
        let skipped =
            if begin > self.offset { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(skipped, |at| (at + 1).max(skipped));
        fold(&mut self.folded, parse_events(&String::from_utf8_lossy(&bytes[skipped..end])));
        self.folded.drain(..self.folded.len().saturating_sub(KEPT));
        self.offset = begin + end as u64;
        Ok(())
    }
}

/// Whole lines only: the last one may be half written, and one of another version is passed over.
pub fn parse_events(text: &str) -> Vec<EventLine> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[derive(Deserialize)]
struct Lease {
    pid: u64,
    host: String,
    #[serde(default)]
    ended: bool,
}

/// `None`: nobody has ever written here.
fn operator(path: &Path) -> io::Result<Option<Operator>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lease: Lease = serde_json::from_str(&text).map_err(io::Error::other)?;
    // By the file's own clock as far as this host's agrees with it.
    let silent = fs::metadata(path)?.modified()?.elapsed().unwrap_or_default();
    Ok(Some(Operator {
        who: format!("{} on {}", lease.pid, lease.host),
        silent_s: silent.as_secs(),
        ended: lease.ended,
    }))
}
