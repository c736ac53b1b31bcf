//! The watched folder. Notifications are hints; a scan of the contents is the truth, every few seconds in any case.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::catalog::ScannedFile;

/// A change is looked at this soon after a hint (editors write in several steps) …
const DEBOUNCE: Duration = Duration::from_millis(100);
/// … and without any hint this often: inotify is silent on EFS and NFS.
const POLL: Duration = Duration::from_secs(2);
/// A file that is larger is not read: its size is its error.
const LARGEST: u64 = (1 << 20) + 1;
/// How deep folders are searched.
const DEEPEST: usize = 8;

/// What a reading of the folder found.
#[derive(Debug)]
pub struct Scan {
    pub files: Vec<ScannedFile>,
    /// Whether all of it could be listed: what is missing is not there then.
    pub is_complete: bool,
}

impl Scan {
    /// Something could not be looked into. What vanished in between is simply gone.
    fn missed(&mut self, path: &Path, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "cannot be read: nothing is deleted while that lasts");
            self.is_complete = false;
        }
    }
}

/// Watches a folder for manifests: `*.yaml`, `*.yml`, `*.json`; hidden files and folders are passed over.
#[derive(Debug)]
pub struct Intake {
    root: PathBuf,
    hints: mpsc::Receiver<()>,
    /// Kept alive; `None`: the system gives no notifications, polling alone works as well, only later.
    watcher: Option<notify::RecommendedWatcher>,
    armed: bool,
}

impl Intake {
    pub fn new(root: &Path) -> Self {
        let (sender, hints) = mpsc::channel(1);
        // A full channel holds a hint already: one is enough.
        let watcher = notify::recommended_watcher(move |_event: notify::Result<notify::Event>| {
            let _ = sender.try_send(());
        });
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "no file notifications; polling alone")).ok();
        Self { root: root.to_owned(), hints, watcher, armed: false }
    }

    /// Waits for a hint, or for the next poll, whichever comes first.
    pub async fn changed(&mut self) {
        self.arm();
        if let Ok(Some(())) = tokio::time::timeout(POLL, self.hints.recv()).await {
            tokio::time::sleep(DEBOUNCE).await;
            while self.hints.try_recv().is_ok() {}
        }
    }

    /// Reads every manifest of the folder, sorted by name. A folder that is missing is empty.
    pub async fn scan(&self) -> Scan {
        let root = self.root.clone();
        let scanned = tokio::task::spawn_blocking(move || {
            let mut scan = Scan { files: vec![], is_complete: true };
            collect(&root, &root, 0, &mut scan);
            scan.files.sort_by(|a, b| a.name.cmp(&b.name));
            scan
        });
        scanned.await.expect("a scan does not panic and is not cancelled")
    }

    /// Watches the folder as long as it is there; one that vanished is watched again when it comes back.
    fn arm(&mut self) {
        let there = self.root.is_dir();
        if there && !self.armed {
            if let Some(watcher) = &mut self.watcher {
                self.armed = watcher.watch(&self.root, RecursiveMode::Recursive).is_ok();
            }
        } else if !there && self.armed {
            if let Some(watcher) = &mut self.watcher {
                let _ = watcher.unwatch(&self.root);
            }
            self.armed = false;
        }
    }
}

fn collect(root: &Path, folder: &Path, depth: usize, scan: &mut Scan) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return scan.missed(folder, &error),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                scan.missed(folder, &error);
                continue;
            }
        };
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if name.starts_with('.') {
            continue;
        }
        // Follows links: Kubernetes and git-sync put files behind them.
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                scan.missed(&path, &error);
                continue;
            }
        };
        if metadata.is_dir() && depth < DEEPEST {
            collect(root, &path, depth + 1, scan);
        } else if metadata.is_file() && [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending)) {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            match read(&path, metadata.len()) {
                Ok(content) => scan.files.push(ScannedFile { name: relative, content: Ok(content) }),
                // It went between the listing and the reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => scan.files.push(ScannedFile { name: relative, content: Err(error.to_string()) }),
            }
        }
    }
}

fn read(path: &Path, size: u64) -> io::Result<Vec<u8>> {
    if size > LARGEST {
        return Err(io::Error::other(format!("the file has {size} bytes; a manifest has {} at most", LARGEST - 1)));
    }
    fs::read(path)
}
