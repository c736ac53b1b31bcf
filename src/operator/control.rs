//! What people ask beside the manifests: halt everything, suspend one scenario. It is files, so that it outlives the
//! process and needs none.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{model::ScenarioName, publish::write_atomically};

/// The file whose presence halts everything: in the folder of manifests, or under `control` in the data folder.
pub const HALT: &str = "HALT";
/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How much of a halt's reason is read.
const LONGEST_REASON: usize = 200;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    /// Nothing starts, what runs is stopped and healed. The reason, for people.
    pub halted: Option<String>,
    /// These scenarios are stopped and do not start.
    pub suspended: BTreeSet<ScenarioName>,
}

/// Where it is asked.
#[derive(Debug, Clone)]
pub struct Controls {
    folder: PathBuf,
    manifests: Option<PathBuf>,
    /// Whether the last reading failed.
    is_lost: Arc<AtomicBool>,
}

impl Controls {
    /// Those of a data folder, and of the folder of manifests where there is one.
    pub fn new(data: &Path, manifests: Option<&Path>) -> Self {
        Self { folder: data.join("control"), manifests: manifests.map(Path::to_owned), is_lost: Arc::default() }
    }

    /// Reads what is asked for.
    ///
    /// # Errors
    /// When it cannot be known: then what was asked last goes on.
    pub fn read(&self) -> io::Result<Control> {
        let mut halted = reason(&self.folder.join(HALT))?;
        if let Some(manifests) = self.manifests.as_ref().filter(|_| halted.is_none()) {
            // A folder that is away says nothing.
            fs::metadata(manifests)?;
            halted = reason(&manifests.join(HALT))?;
        }
        Ok(Control { halted, suspended: self.suspended()? })
    }

    fn suspended(&self) -> io::Result<BTreeSet<ScenarioName>> {
        let entries = match fs::read_dir(self.folder.join("suspended")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error),
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            names.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        Ok(names)
    }

    /// Asks for a halt.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn halt(&self, reason: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(HALT);
        write_atomically(&path, format!("{reason}\n").as_bytes())?;
        Ok(path)
    }

    /// Takes a halt of the data folder back. False: there was none.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn lift(&self) -> io::Result<bool> {
        remove(&self.folder.join(HALT))
    }

    /// Suspends a scenario.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn suspend(&self, scenario: &ScenarioName) -> io::Result<()> {
        let folder = self.folder.join("suspended");
        fs::create_dir_all(&folder)?;
        write_atomically(&folder.join(scenario.as_str()), b"")
    }

    /// Lets a suspended scenario go on. False: it was not suspended here.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn resume(&self, scenario: &ScenarioName) -> io::Result<bool> {
        remove(&self.folder.join("suspended").join(scenario.as_str()))
    }

    /// Tells of every change, for ever.
    pub async fn follow(self, sender: watch::Sender<Control>) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.tell(&sender).await;
        }
    }

    /// Reads and tells what has changed. What cannot be known changes nothing, and is said once.
    pub async fn tell(&self, sender: &watch::Sender<Control>) {
        let controls = self.clone();
        let read = tokio::task::spawn_blocking(move || controls.read()).await;
        match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(control) => {
                self.is_lost.store(false, Ordering::Relaxed);
                sender.send_if_modified(|known| {
                    let changed = *known != control;
                    *known = control;
                    changed
                });
            }
            Err(error) => {
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "whether a halt is asked for cannot be read: what was asked last goes on");
                }
            }
        }
    }
}

/// The text of a halt file; `None`: there is no such file.
fn reason(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(_) => {
            // It counts whatever is in it, and whatever it is.
            let text = fs::metadata(path).is_ok_and(|found| found.is_file()).then(|| fs::read(path).ok()).flatten();
            let text = text.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).unwrap_or_default();
            let text: String = text.chars().take(LONGEST_REASON).filter(|c| !c.is_control()).collect();
            Ok(Some(if text.is_empty() { format!("the file {} is there", path.display()) } else { text }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = folder.path().join("manifests");
        let controls = Controls::new(folder.path(), Some(&manifests));
        assert!(controls.read().is_err(), "a folder of manifests that is away says nothing");
        fs::create_dir(&manifests).expect("made");
        assert_eq!(controls.read().expect("read"), Control::default());
        let name: ScenarioName = "a".parse().expect("a name");
        controls.suspend(&name).expect("written");
        controls.halt("an incident").expect("written");
        let asked = controls.read().expect("read");
        assert_eq!((asked.halted.as_deref(), asked.suspended.contains(&name)), (Some("an incident"), true));
        assert!(controls.lift().expect("removed"));
        assert!(!controls.lift().expect("nothing to remove"));
        fs::write(manifests.join(HALT), "").expect("written");
        assert!(controls.read().expect("read").halted.expect("halted").contains("HALT is there"));
        fs::remove_file(manifests.join(HALT)).expect("removed");
        assert!(controls.resume(&name).expect("removed"));
        assert_eq!(controls.read().expect("read"), Control::default());
    }
}
