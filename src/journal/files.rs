//! Journals as files, appended and fsynced: `journal/<scenario>/<epoch>-<number>.jsonl`, segments of one holder each.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    holding::Holding,
    log::{self, Accepted, Fence},
    record::{Event, Record},
    segment::{self, SegmentId, at},
    state::State,
    store::Store,
};
use crate::model::ScenarioName;

/// So much must find room before a journal that found none goes on.
const ROOM: usize = 64 * 1024;

/// Journals in a folder. Cheap to clone; clones share what they know of them.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
    holding: Holding,
    journals: Arc<Mutex<BTreeMap<ScenarioName, Arc<Mutex<Journal>>>>>,
}

/// What this process knows of one journal.
#[derive(Debug, Default)]
struct Journal {
    /// What others wrote, as far as this process has read it; `None` before it has.
    accepted: Option<Vec<Accepted>>,
    /// Once this process has written.
    own: Option<Own>,
    /// What is on the disk cannot be known any more.
    unusable: Option<String>,
}

/// The segment that this process appends to.
#[derive(Debug)]
struct Own {
    segment: SegmentId,
    path: PathBuf,
    file: File,
    /// So many bytes are written and fsynced.
    bytes: u64,
}

/// How an append failed.
enum Failure {
    /// The file is as it was before.
    Nothing(io::Error),
    /// Nobody knows what is on the disk: after a failed fsync the system may have dropped what it had, and a second one
    /// would say that all is well.
    Unknown(io::Error),
}

impl FileStore {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(root: &Path, holding: Holding) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        sync_folder(root)?;
        Ok(Self { root: root.to_owned(), holding, journals: Arc::default() })
    }

    fn folder(&self, scenario: &ScenarioName) -> PathBuf {
        self.root.join(scenario.as_str())
    }

    fn journal(&self, scenario: &ScenarioName) -> Arc<Mutex<Journal>> {
        let mut journals = self.journals.lock().expect("no holder of this lock panics");
        Arc::clone(journals.entry(scenario.clone()).or_default())
    }

    fn append_now(&self, scenario: &ScenarioName, lines: &[u8], compacts: bool) -> io::Result<()> {
        let journal = self.journal(scenario);
        let mut journal = journal.lock().expect("no holder of this lock panics");
        if let Some(why) = &journal.unusable {
            return Err(io::Error::other(why.clone()));
        }
        self.holding.check()?;
        let folder = self.folder(scenario);
        if journal.accepted.is_none() {
            journal.accepted = Some(segment::read_newest(&folder, &mut |_| Ok(()))?);
        }
        let written = match &mut journal.own {
            Some(own) if !compacts => own.append(lines),
            Some(_) | None => self.begin(&mut journal, &folder, lines, compacts),
        };
        match written {
            Ok(()) => {}
            Err(Failure::Nothing(error)) => return Err(error),
            Err(Failure::Unknown(error)) => {
                let why = format!("{error}; what is on the disk is not known before a restart");
                journal.unusable = Some(why.clone());
                return Err(io::Error::other(why));
            }
        }
        // Only now: whoever takes the folder over after this reads what was written.
        self.holding.check()?;
        if compacts {
            let newest = journal.own.as_ref().map(|own| own.segment).expect("it was just begun");
            remove_older(&folder, newest);
        }
        Ok(())
    }

    /// Begins a segment, which comes into its place whole.
    fn begin(&self, journal: &mut Journal, folder: &Path, lines: &[u8], compacts: bool) -> Result<(), Failure> {
        let epoch = self.holding.epoch();
        let number = journal.own.as_ref().map_or(1, |own| own.segment.number + 1);
        let segment = SegmentId { epoch, number };
        let accepted = if compacts { vec![] } else { journal.accepted.clone().unwrap_or_default() };
        let mut bytes = log::encode_fence(&Fence { epoch, accepted: accepted.clone() });
        bytes.extend_from_slice(lines);
        self.make(folder).map_err(Failure::Nothing)?;
        let own = write_whole(folder, segment, &bytes)?;
        journal.accepted = Some(accepted);
        journal.own = Some(own);
        Ok(())
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(folder).and_then(|()| sync_folder(&self.root)).map_err(|error| at(folder, &error))
    }

    fn each_now(&self, scenario: &ScenarioName, take: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()> {
        let journal = self.journal(scenario);
        let mut journal = journal.lock().expect("no holder of this lock panics");
        if let Some(why) = &journal.unusable {
            return Err(io::Error::other(why.clone()));
        }
        let folder = self.folder(scenario);
        match &journal.accepted {
            None => journal.accepted = Some(segment::read_newest(&folder, take)?),
            // What counts was decided by the first reading: others may have written since, and that counts for nothing.
            Some(accepted) => {
                let own = journal.own.iter().map(|own| Accepted { segment: own.segment, bytes: own.bytes });
                let all: Vec<Accepted> = accepted.iter().copied().chain(own).collect();
                segment::read_accepted(&folder, &all, take)?;
            }
        }
        Ok(())
    }

    fn forget_now(&self, scenario: &ScenarioName) -> io::Result<()> {
        let journal = self.journal(scenario);
        let mut journal = journal.lock().expect("no holder of this lock panics");
        self.holding.check()?;
        let (folder, aside) = (self.folder(scenario), self.root.join(format!(".{scenario}.forgotten")));
        // A crash must not leave a part of a journal: it goes in one step, and is removed afterwards.
        or_absent(fs::remove_dir_all(&aside)).map_err(|error| at(&aside, &error))?;
        or_absent(fs::rename(&folder, &aside)).map_err(|error| at(&folder, &error))?;
        sync_folder(&self.root)?;
        or_absent(fs::remove_dir_all(&aside)).map_err(|error| at(&aside, &error))?;
        *journal = Journal::default();
        Ok(())
    }

    fn room_now(&self, scenario: &ScenarioName) -> io::Result<()> {
        let path = self.folder(scenario).join(".room.tmp");
        let tried = fs::write(&path, vec![b'.'; ROOM]).map_err(|error| at(&path, &error));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path, &error)),
            Ok(()) | Err(_) => tried,
        }
    }
}

impl Own {
    fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        if let Err(error) = self.file.write_all(lines) {
            // A part of it may be there: cut back, so that the next line begins where a line begins.
            let error = at(&self.path, &error);
            return match self.file.set_len(self.bytes) {
                Ok(()) => Err(Failure::Nothing(error)),
                Err(cut) => {
                    Err(Failure::Unknown(io::Error::other(format!("{error}, and it cannot be cut back: {cut}"))))
                }
            };
        }
        self.file.sync_data().map_err(|error| Failure::Unknown(at(&self.path, &error)))?;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

fn write_whole(folder: &Path, segment: SegmentId, bytes: &[u8]) -> Result<Own, Failure> {
    let (path, aside) = (folder.join(segment.to_string()), folder.join(aside(segment)));
    let nothing = |error: &io::Error| {
        // What stays aside counts for nothing, and the next compaction removes it.
        let _ = fs::remove_file(&aside);
        Failure::Nothing(at(&aside, error))
    };
    let unknown = |error: &io::Error| Failure::Unknown(at(&path, error));
    // In the mode in which it is appended to later: nobody else writes to it.
    let mut file = OpenOptions::new().create(true).append(true).open(&aside).map_err(|error| nothing(&error))?;
    file.set_len(0).and_then(|()| file.write_all(bytes)).map_err(|error| nothing(&error))?;
    file.sync_all().map_err(|error| unknown(&error))?;
    fs::rename(&aside, &path).map_err(|error| nothing(&error))?;
    sync_folder(folder).map_err(|error| unknown(&error))?;
    Ok(Own { segment, path, file, bytes: bytes.len() as u64 })
}

fn aside(segment: SegmentId) -> String {
    format!(".{segment}.tmp")
}

/// Removes the segments that a compacted one stands for. What cannot be removed counts for nothing all the same.
///
/// Only after the holder was seen to be one behind the write of `newest`: so no later holder counts on the older ones.
fn remove_older(folder: &Path, newest: SegmentId) {
    let removed = segment::list(folder).and_then(|ids| {
        for id in ids.into_iter().filter(|id| *id < newest) {
            fs::remove_file(folder.join(id.to_string()))?;
        }
        Ok(())
    });
    if let Err(error) = removed {
        tracing::warn!(folder = %folder.display(), %error, "segments that are not needed any more cannot be removed");
    }
}

/// The highest epoch that anyone wrote to any journal of this folder.
///
/// The names tell it. Only a segment from before there were fences is read; if it is damaged, as far as it goes.
///
/// # Errors
/// When a folder cannot be read.
pub fn newest_epoch(root: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for name in names(root)? {
        let folder = root.join(name.as_str());
        let ids = segment::list(&folder)?;
        newest = newest.max(ids.last().map_or(0, |id| id.epoch));
        for old in ids.into_iter().filter(|id| id.epoch == 0) {
            let whole = Accepted { segment: old, bytes: u64::MAX };
            // That it ends before all these bytes is known; so is what it held until there.
            let _ = segment::read_accepted(&folder, &[whole], &mut |record| {
                newest = newest.max(record.epoch);
                Ok(())
            });
        }
    }
    Ok(newest)
}

fn names(root: &Path) -> io::Result<Vec<ScenarioName>> {
    let mut names = vec![];
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(at(root, &error)),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
        }
    }
    names.sort();
    Ok(names)
}

/// What is not there need not be removed.
fn or_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the creation or renaming of a folder's entries durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Store for FileStore {
    async fn append(&self, scenario: &ScenarioName, records: &[Record]) -> io::Result<()> {
        let (store, scenario) = (self.clone(), scenario.clone());
        let lines: Vec<u8> = records.iter().flat_map(log::encode).collect();
        let compacts = records.first().is_some_and(|record| matches!(record.event, Event::Compacted { .. }));
        blocking(move || store.append_now(&scenario, &lines, compacts)).await
    }

    async fn read(&self, scenario: &ScenarioName) -> io::Result<Vec<Record>> {
        let (store, scenario) = (self.clone(), scenario.clone());
        blocking(move || {
            let mut records = vec![];
            store.each_now(&scenario, &mut |record| {
                records.push(record.clone());
                Ok(())
            })?;
            Ok(records)
        })
        .await
    }

    /// One record at a time is in memory.
    async fn replay(&self, scenario: &ScenarioName) -> io::Result<State> {
        let (store, scenario) = (self.clone(), scenario.clone());
        blocking(move || {
            let mut state = State::default();
            store.each_now(&scenario, &mut |record| {
                state.apply(record).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            })?;
            Ok(state)
        })
        .await
    }

    async fn room(&self, scenario: &ScenarioName) -> io::Result<()> {
        let (store, scenario) = (self.clone(), scenario.clone());
        blocking(move || store.room_now(&scenario)).await
    }

    async fn forget(&self, scenario: &ScenarioName) -> io::Result<()> {
        let (store, scenario) = (self.clone(), scenario.clone());
        blocking(move || store.forget_now(&scenario)).await
    }

    async fn names(&self) -> io::Result<Vec<ScenarioName>> {
        let root = self.root.clone();
        blocking(move || names(&root)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
