//! The system's notifications, as hints. They watch the folders that a reading went to, each for itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use notify::{
    Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;

use super::scan::{Identity, Places};

/// Collects hints between two readings, and knows which notifications are one.
#[derive(Debug, Default)]
pub struct Signal {
    hint: Notify,
    ground: Mutex<Ground>,
}

#[derive(Debug, Default)]
struct Ground {
    /// Folders of which everything matters.
    folders: BTreeSet<PathBuf>,
    /// Entries that matter in folders of which nothing else does.
    entries: BTreeSet<PathBuf>,
    /// All that is watched.
    watched: BTreeSet<PathBuf>,
    /// Watched folders that went, or may have been replaced: their watch may be dead, and those below them.
    lost: BTreeSet<PathBuf>,
    /// Notifications were lost, so that any watch may be dead.
    all_lost: bool,
}

impl Signal {
    /// Waits until there was a hint since the last call.
    pub async fn hint(&self) {
        self.hint.notified().await;
    }

    /// Takes a notification. Errors and overflows are the strongest hints.
    pub fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event else { return self.hear_loss() };
        if event.need_rescan() {
            return self.hear_loss();
        }
        if is_reading(&event.kind) {
            return;
        }
        let mut ground = self.ground();
        let goes = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        let mut matters = event.paths.is_empty();
        for path in event.paths {
            matters |= ground.matters(&path);
            if goes && ground.watched.contains(&path) {
                ground.lost.insert(path);
            }
        }
        if matters {
            self.hint.notify_one();
        }
    }

    fn hear_loss(&self) {
        self.ground().all_lost = true;
        self.hint.notify_one();
    }

    fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().expect("no holder of this lock panics")
    }
}

impl Ground {
    fn matters(&self, path: &Path) -> bool {
        self.watched.contains(path)
            || self.entries.contains(path)
            || path.parent().is_some_and(|parent| self.folders.contains(parent))
    }
}

/// Our own readings are notified as well: they are no hint.
fn is_reading(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

/// Which folders are watched.
pub struct Watching {
    /// `None`: by polling alone.
    watcher: Option<Box<dyn Watcher + Send>>,
    signal: Arc<Signal>,
    armed: BTreeMap<PathBuf, Identity>,
    has_warned: bool,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").field("armed", &self.armed).finish_non_exhaustive()
    }
}

impl Watching {
    /// Begins; where the system gives no notifications, that is said, and polling goes on alone.
    pub fn start(signal: &Arc<Signal>) -> Self {
        let ear = Arc::clone(signal);
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| ear.hear(event));
        Self::with(made.map(|watcher| Box::new(watcher) as _), signal)
    }

    /// Watches nothing.
    pub fn nothing(signal: &Arc<Signal>) -> Self {
        Self { watcher: None, signal: Arc::clone(signal), armed: BTreeMap::new(), has_warned: false }
    }

    /// With what was made of a watcher.
    pub fn with(made: notify::Result<Box<dyn Watcher + Send>>, signal: &Arc<Signal>) -> Self {
        let watcher = made.inspect_err(|error| tracing::warn!(%error, "no file notifications; polling alone")).ok();
        Self { watcher, ..Self::nothing(signal) }
    }

    /// The folders that are watched.
    #[cfg(test)]
    pub fn armed(&self) -> BTreeMap<PathBuf, Identity> {
        self.armed.clone()
    }

    /// Watches these places, and no others. Returns whether a watch was begun.
    ///
    /// A watch holds on to a folder, not to its name: one that was replaced is watched anew.
    pub fn follow(&mut self, places: Places) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let Places { folders, entries } = places;
        let mut wanted = folders.clone();
        for holder in entries.iter().filter_map(|entry| entry.parent()) {
            if !wanted.contains_key(holder)
                && let Ok(identity) = Identity::of(holder)
            {
                wanted.insert(holder.to_owned(), identity);
            }
        }
        let (lost, all_lost) = {
            let mut ground = self.signal.ground();
            ground.folders = folders.into_keys().collect();
            ground.entries = entries;
            ground.watched = wanted.keys().cloned().collect();
            (std::mem::take(&mut ground.lost), std::mem::take(&mut ground.all_lost))
        };
        let is_dead = |path: &Path| all_lost || lost.iter().any(|lost| path.starts_with(lost));
        self.armed.retain(|path, identity| {
            let stays = wanted.get(path) == Some(identity) && !is_dead(path);
            if !stays {
                // The system has often dropped it already.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        let mut has_begun = false;
        for (path, identity) in wanted {
            if self.armed.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.armed.insert(path, identity);
                    has_begun = true;
                }
                // The next reading misses it as well.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.has_warned, true) {
                        tracing::warn!(%error, "some folders give no notifications; they are polled alone");
                    }
                }
            }
        }
        has_begun
    }
}
