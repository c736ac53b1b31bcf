//! The thread that writes statuses. What a scenario's status was in between is nobody's matter: the last is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use super::{
    files::{replace, yaml},
    status::Status,
};
use crate::model::ScenarioName;

/// What could not be written is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// The latest statuses, which the writer reads when it comes to them.
pub type Latest = Arc<Mutex<BTreeMap<ScenarioName, Status>>>;

/// Writes `<scenario>.yaml` in one folder. Dropping it ends the thread after what it was told of.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whose status is to be written.
    told: BTreeSet<ScenarioName>,
    /// What could not be written; it is tried again.
    failed: BTreeSet<ScenarioName>,
    /// Whether one is being written now.
    is_busy: bool,
    is_over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn start(folder: PathBuf, latest: Latest) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::Builder::new().name("status".to_owned()).spawn(move || work(&own, &folder, &latest))?;
        Ok(Self { shared })
    }

    /// Has this scenario's latest status written, or its file removed if there is none.
    pub fn tell(&self, scenario: ScenarioName) {
        self.shared.state().told.insert(scenario);
        self.shared.changed.notify_all();
    }

    /// Waits until everything was tried.
    pub fn flush(&self) {
        let left = |state: &mut State| state.is_busy || !state.told.is_empty();
        drop(self.shared.changed.wait_while(self.shared.state(), left).expect("no holder of this lock panics"));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared, folder: &Path, latest: &Latest) {
    while let Some(scenario) = next(shared) {
        let status = latest.lock().expect("no holder of this lock panics").get(&scenario).cloned();
        let written = write(folder, &scenario, status.as_ref());
        let mut state = shared.state();
        state.is_busy = false;
        match written {
            Ok(()) => drop(state.failed.remove(&scenario)),
            // Said once; the journal has it all.
            Err(error) => {
                if state.failed.insert(scenario.clone()) {
                    tracing::warn!(%scenario, %error, "the status cannot be written; trying again every second");
                }
            }
        }
        shared.changed.notify_all();
    }
}

/// Waits for the next status to write; `None` when all is over.
fn next(shared: &Shared) -> Option<ScenarioName> {
    let mut state = shared.state();
    loop {
        if let Some(scenario) = state.told.pop_first() {
            state.is_busy = true;
            return Some(scenario);
        }
        if state.is_over {
            return None;
        }
        let waited = shared.changed.wait_timeout(state, AGAIN).expect("no holder of this lock panics");
        state = waited.0;
        if waited.1.timed_out() {
            let again: Vec<ScenarioName> = state.failed.iter().cloned().collect();
            state.told.extend(again);
        }
    }
}

/// A status needs no fsync: whatever a crash takes of it, the next start renders it again.
fn write(folder: &Path, scenario: &ScenarioName, status: Option<&Status>) -> io::Result<()> {
    let path = folder.join(format!("{scenario}.yaml"));
    match status {
        Some(status) => replace(&path, yaml(status)?.as_bytes()),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::State as Journal,
        publish::{Beside, not_accepted},
    };

    #[test]
    fn the_last_status_is_written_and_one_that_is_gone_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let latest = Latest::default();
        let writer = Writer::start(folder.path().to_owned(), Arc::clone(&latest)).expect("a thread");
        let name: ScenarioName = "a".parse().expect("a name");
        let status = not_accepted(&name, &indexmap::IndexMap::new(), &Journal::default(), Beside::default());
        latest.lock().expect("free").insert(name.clone(), status);
        writer.tell(name.clone());
        writer.flush();
        let path = folder.path().join("a.yaml");
        assert!(fs::read_to_string(&path).expect("written").contains("name: a"));
        latest.lock().expect("free").clear();
        writer.tell(name);
        writer.flush();
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_written_is_tried_again_and_holds_no_flush_up() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("status");
        let latest = Latest::default();
        let writer = Writer::start(folder.clone(), Arc::clone(&latest)).expect("a thread");
        let name: ScenarioName = "a".parse().expect("a name");
        let status = not_accepted(&name, &indexmap::IndexMap::new(), &Journal::default(), Beside::default());
        latest.lock().expect("free").insert(name.clone(), status);
        writer.tell(name);
        writer.flush();
        assert!(!folder.exists());
        fs::create_dir(&folder).expect("made");
        while !folder.join("a.yaml").exists() {
            thread::yield_now();
        }
    }
}
