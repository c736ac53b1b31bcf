//! The watched folder. Notifications are hints; a reading of the contents is the truth, every few seconds in any case.

mod attachment;
mod links;
mod scan;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

pub use self::{
    attachment::{Attachment, LARGEST_ATTACHMENT, Version},
    scan::Scan,
};
use self::{
    scan::Scanner,
    watch::{Signal, Watching},
};

/// A change is read when nothing has happened for this long (editors write in several steps) …
const QUIET: Duration = Duration::from_millis(20);
/// … and this long after its first hint at the latest.
const LATEST: Duration = Duration::from_millis(200);
/// What has changed is read again so soon: what vanished is deleted only if it stays away (see `Fleet::want`).
const AGAIN: Duration = super::fleet::ABSENT_FOR.saturating_add(Duration::from_millis(100));
/// After a reading it rests so many times as long as that took: neither a huge nor a busy folder takes a processor.
const REST: u32 = 4;

/// A folder and how it is followed.
#[derive(Debug, Clone)]
pub struct Following {
    pub root: PathBuf,
    pub watch: Watch,
    /// It is read this often without any notification: there is none on EFS and NFS.
    pub poll_interval: Duration,
    /// Whether a folder without any manifest deletes all scenarios.
    pub prune_empty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// By the system's notifications, where it gives any, and by polling.
    Auto,
    /// By polling alone.
    Poll,
}

/// Reads a folder of manifests (`*.yaml`, `*.yml`, `*.json`) and of what they refer to, whenever it may have changed.
///
/// Passed over: names that begin with `.`, `#` or `~` (hidden, or an editor's), and whatever is no regular file. Links
/// are followed; a folder is read once, however many links lead to it.
#[derive(Debug)]
pub struct Intake {
    eye: Arc<Mutex<Eye>>,
    signal: Arc<Signal>,
    poll_interval: Duration,
    again: Duration,
    /// What was handed out last; `None` before the first reading.
    last: Option<Arc<Scan>>,
    rest_until: Instant,
    poll_at: Instant,
}

/// What looks at the files, in a thread of its own.
#[derive(Debug)]
struct Eye {
    scanner: Scanner,
    watching: Watching,
}

/// One look.
struct Look {
    scan: Arc<Scan>,
    /// A file was written while it was read.
    in_flux: bool,
    /// Folders are watched that were not before: what happened in them meanwhile was not notified.
    is_new_ground: bool,
    took: Duration,
}

impl Intake {
    /// Reads nothing yet.
    pub fn new(following: &Following) -> Self {
        let signal = Arc::new(Signal::default());
        let watching = match following.watch {
            Watch::Auto => Watching::start(&signal),
            Watch::Poll => Watching::nothing(&signal),
        };
        let eye = Eye { scanner: Scanner::new(&following.root), watching };
        let now = Instant::now();
        Self {
            eye: Arc::new(Mutex::new(eye)),
            signal,
            poll_interval: following.poll_interval,
            again: AGAIN,
            last: None,
            rest_until: now,
            poll_at: now,
        }
    }

    /// Waits for a hint or for the next poll, then reads everything. The first reading does not wait.
    ///
    /// What was being written meanwhile is as it was before, or comes when it is whole.
    pub async fn next(&mut self) -> Arc<Scan> {
        let mut is_calm = self.last.is_some() && self.wait().await;
        let latest = Instant::now() + LATEST;
        let mut before: Option<Arc<Scan>> = None;
        loop {
            let look = self.look(before.clone().or_else(|| self.last.clone()).unwrap_or_default()).await;
            self.rest_until = Instant::now() + look.took.saturating_mul(REST).min(self.poll_interval);
            is_calm &= !look.is_new_ground;
            // Without word that all is quiet, what has changed counts when it was read twice alike.
            let is_known = [&self.last, &before].into_iter().any(|known| known.as_ref() == Some(&look.scan));
            let is_settled = !look.in_flux && !look.is_new_ground && (is_calm || is_known);
            if is_settled || Instant::now() >= latest {
                return self.hand_out(look);
            }
            before = Some(look.scan);
            sleep(QUIET).await;
        }
    }

    /// Waits for a hint or the poll. Returns whether it is quiet, as far as notifications tell.
    async fn wait(&mut self) -> bool {
        sleep_until(self.rest_until).await;
        if timeout_at(self.poll_at, self.signal.hint()).await.is_err() {
            return false;
        }
        let latest = Instant::now() + LATEST;
        while timeout(QUIET, self.signal.hint()).await.is_ok() {
            if Instant::now() >= latest {
                return false;
            }
        }
        true
    }

    /// Looks once. What is as it was in `known` is shared with it.
    async fn look(&self, known: Arc<Scan>) -> Look {
        let eye = Arc::clone(&self.eye);
        let looked = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let mut eye = eye.lock().expect("no holder of this lock panics");
            let reading = eye.scanner.read(&known);
            let is_new_ground = eye.watching.follow(reading.places);
            Look { scan: Arc::new(reading.scan), in_flux: reading.in_flux, is_new_ground, took: began.elapsed() }
        });
        looked.await.expect("a look does not panic and is not cancelled")
    }

    fn hand_out(&mut self, look: Look) -> Arc<Scan> {
        let is_same = !look.in_flux && self.last.as_ref() == Some(&look.scan);
        let pause = if is_same { self.poll_interval } else { self.poll_interval.min(self.again) };
        self.poll_at = Instant::now() + pause;
        if !is_same {
            self.last = Some(look.scan);
        }
        Arc::clone(self.last.as_ref().expect("it was just set, or compared"))
    }
}
