//! Journals as files: `journal/<scenario>/00000001.jsonl`, appended and fsynced.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{log, record::Record, store::Store};
use crate::model::ScenarioName;

/// The first and, until segments are compacted, only segment.
const SEGMENT: &str = "00000001.jsonl";

/// Journals in a folder. Cheap to clone; clones share the open files.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
    open: Arc<Mutex<BTreeMap<ScenarioName, Arc<Mutex<File>>>>>,
}

impl FileStore {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        sync_folder(root)?;
        Ok(Self { root: root.to_owned(), open: Arc::default() })
    }

    fn segment(&self, scenario: &ScenarioName) -> PathBuf {
        self.root.join(scenario.as_str()).join(SEGMENT)
    }

    fn file(&self, scenario: &ScenarioName) -> io::Result<Arc<Mutex<File>>> {
        let mut open = self.open.lock().expect("no holder of this lock panics");
        if let Some(file) = open.get(scenario) {
            return Ok(Arc::clone(file));
        }
        let path = self.segment(scenario);
        let folder = self.root.join(scenario.as_str());
        fs::create_dir_all(&folder)?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        sync_folder(&folder)?;
        sync_folder(&self.root)?;
        let file = Arc::new(Mutex::new(file));
        open.insert(scenario.clone(), Arc::clone(&file));
        Ok(file)
    }

    fn append_now(&self, scenario: &ScenarioName, lines: &[u8]) -> io::Result<()> {
        let file = self.file(scenario)?;
        let mut file = file.lock().expect("no holder of this lock panics");
        file.write_all(lines)?;
        file.sync_data()
    }

    fn read_now(&self, scenario: &ScenarioName) -> io::Result<Vec<Record>> {
        let path = self.segment(scenario);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let (records, good) = log::decode(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))?;
        if good < bytes.len() {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(good as u64)?;
            file.sync_all()?;
        }
        Ok(records)
    }

    fn names_now(&self) -> io::Result<Vec<ScenarioName>> {
        let mut names = vec![];
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Makes the creation or renaming of a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Store for FileStore {
    async fn append(&self, scenario: &ScenarioName, records: &[Record]) -> io::Result<()> {
        let (store, scenario) = (self.clone(), scenario.clone());
        let lines: Vec<u8> = records.iter().flat_map(log::encode).collect();
        blocking(move || store.append_now(&scenario, &lines)).await
    }

    async fn read(&self, scenario: &ScenarioName) -> io::Result<Vec<Record>> {
        let (store, scenario) = (self.clone(), scenario.clone());
        blocking(move || store.read_now(&scenario)).await
    }

    async fn names(&self) -> io::Result<Vec<ScenarioName>> {
        let store = self.clone();
        blocking(move || store.names_now()).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Event, RunCounts},
        model::Timestamp,
    };

    fn record(seq: u64) -> Record {
        Record { seq, at: Timestamp::from_micros(0), epoch: 1, event: Event::Counted { runs: RunCounts::default() } }
    }

    #[tokio::test]
    async fn what_was_appended_is_read_by_the_next_process_and_a_torn_tail_is_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let name: ScenarioName = "a".parse().expect("a name");
        let store = FileStore::open(folder.path()).expect("a store");
        store.append(&name, &[record(0), record(1)]).await.expect("appended");
        let path = store.segment(&name);
        let mut bytes = fs::read(&path).expect("read");
        bytes.extend_from_slice(b"{\"v\":1,\"crc\":\"00");
        fs::write(&path, bytes).expect("torn");

        let next = FileStore::open(folder.path()).expect("a store");
        assert_eq!(next.names().await.expect("names"), std::slice::from_ref(&name));
        assert_eq!(next.read(&name).await.expect("read"), [record(0), record(1)]);
        next.append(&name, &[record(2)]).await.expect("appended");
        assert_eq!(next.read(&name).await.expect("read").len(), 3);
    }
}
