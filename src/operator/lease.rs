//! One writer: a lock on the data folder, a lease that is renewed, and an epoch that grows with every holder.
//!
//! The epoch is what is safe: who finds a higher one writes and sends nothing more, and what it wrote too late does not
//! count. Lock and lease only say when to take over, so that nobody does without need.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    decide::SEND_SLACK,
    journal::{Holding, TRUSTED_FOR, Trouble, newest_epoch, read_epoch},
    publish::write_atomically,
};

/// How often the holder renews.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A lease that did not change for so long, by the clock of whoever looks, is over.
///
/// Well above the second within which a call must follow its intent, or is not sent at all: a holder that was stopped
/// for as long as it takes to be followed has no call left that it would still send.
pub const EXPIRY: Duration = Duration::from_secs(6);
const _: () = {
    assert!(EXPIRY.as_millis() >= 4 * SEND_SLACK.as_millis(), "a call could be sent by who was followed");
    assert!(EXPIRY.as_millis() >= 2 * TRUSTED_FOR.as_millis(), "work could go on that was followed");
    assert!(EXPIRY.as_millis() >= 5 * RENEW_EVERY.as_millis(), "a renewal or two may fail");
};
/// Who looks less often than this may have slept itself, and begins to count anew.
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// Held while this process may write. Dropping it, or dying, lets the next one in at once.
#[derive(Debug)]
pub struct Lease {
    pub holding: Holding,
    data: PathBuf,
    _lock: File,
    /// Closing it ends the renewals.
    renewals: Option<mpsc::Sender<()>>,
    renewing: Option<thread::JoinHandle<Ticket>>,
}

impl Drop for Lease {
    /// Says that this holder has ended, unless somebody took over: who looks later must not take it for one that fell silent.
    fn drop(&mut self) {
        self.renewals = None;
        let Some(Ok(ticket)) = self.renewing.take().map(thread::JoinHandle::join) else { return };
        if self.holding.check().is_ok()
            && let Err(error) = renew(&self.data, &Ticket { ended: true, ..ticket })
        {
            tracing::debug!(%error, "the end of this process is not written into the lease");
        }
    }
}

/// What the holder writes of itself; `counter` grows with each renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub epoch: u64,
    pub pid: u32,
    pub host: String,
    pub counter: u64,
    /// It let the folder go by itself: nobody holds it, and nothing is wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("another dagstorm holds the data folder {}{}: stop it first, or choose another folder with --data", folder.display(), whose(holder.as_ref()))]
    Held { folder: PathBuf, holder: Option<Ticket> },
    #[error("the data folder {} cannot be used: {source}", folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

/// ` (process 17 on host-a)`, if that is known.
fn whose(holder: Option<&Ticket>) -> String {
    holder.map(|ticket| format!(" (process {} on {})", ticket.pid, ticket.host)).unwrap_or_default()
}

impl Lease {
    /// Takes the data folder if its lock is free, or says who stands in the way.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be used.
    pub fn acquire(data: &Path) -> Result<Self, LeaseError> {
        let failed = |source: io::Error| LeaseError::Io { folder: data.to_owned(), source };
        fs::create_dir_all(data).map_err(failed)?;
        let taken = take(data, None).map_err(failed)?;
        taken.ok_or_else(|| LeaseError::Held {
            folder: data.to_owned(),
            holder: sight(data).ok().and_then(Sight::ticket),
        })
    }
}

/// Watches the holder, and takes over when it is gone or silent.
#[derive(Debug)]
pub struct Watcher {
    data: PathBuf,
    seen: Sight,
    /// When this very sight was first seen, and when it was looked at last.
    since: Instant,
    looked: Instant,
}

/// The lease as it lies there: the content, and the instant of its last change as the file system has it. None of it is
/// compared with anything but an earlier sight.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    content: Vec<u8>,
    modified: Option<SystemTime>,
}

impl Sight {
    fn ticket(self) -> Option<Ticket> {
        serde_json::from_slice(&self.content).ok()
    }
}

impl Watcher {
    /// # Errors
    /// When the lease is there and cannot be read.
    pub fn new(data: &Path) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self { data: data.to_owned(), seen: sight(data)?, since: now, looked: now })
    }

    /// Looks once, at `now` of this process's clock, and takes over if it is time.
    ///
    /// # Errors
    /// When the data folder cannot be used now.
    pub fn look(&mut self, now: Instant) -> io::Result<Option<Lease>> {
        let seen = sight(&self.data)?;
        let slept = now.saturating_duration_since(self.looked) > LONGEST_GAP;
        if seen != self.seen || slept {
            (self.seen, self.since) = (seen, now);
        }
        self.looked = now;
        let is_over = now.saturating_duration_since(self.since) >= EXPIRY;
        take(&self.data, is_over.then_some(&self.seen))
    }

    /// Who holds the folder, as far as it is known: ` (process 17 on host-a)`.
    pub fn holder(&self) -> String {
        whose(self.seen.clone().ticket().as_ref())
    }
}

fn sight(data: &Path) -> io::Result<Sight> {
    let path = data.join("lease.json");
    match fs::read(&path) {
        Ok(content) => Ok(Sight { content, modified: fs::metadata(&path).and_then(|meta| meta.modified()).ok() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sight { content: vec![], modified: None }),
        Err(error) => Err(error),
    }
}

/// Takes the folder if its lock is free, or if the lease still is the one that is over. One process at a time tries.
fn take(data: &Path, over: Option<&Sight>) -> io::Result<Option<Lease>> {
    let election = open(&data.join("election"))?;
    if !try_lock(&election)? {
        return Ok(None);
    }
    let (path, last) = (data.join("epoch"), sight(data)?);
    let is_over = over == Some(&last);
    let (taken, renewed) = (read_epoch(&path)?, last.ticket().map(|ticket| ticket.epoch));
    let in_place = lock_in_place(data)?;
    // A lease of another epoch is not that of whoever has the lock: a version from before there were leases, say, which
    // would not notice that it was followed.
    let may_follow = is_over && renewed.is_some() && renewed == taken;
    if in_place.is_none() && !may_follow {
        return Ok(None);
    }
    // The file may have been lost or restored from a copy: every trace of an epoch counts.
    let traces = [taken, renewed, Some(newest_epoch(&data.join("journal"))?)];
    let epoch = traces.into_iter().flatten().max().unwrap_or(0) + 1;
    let lock = match in_place {
        Some(lock) => lock,
        None => replace_lock(data)?,
    };
    // From here on nobody of an older epoch is told that what it wrote counts.
    write_atomically(&path, format!("{epoch}\n").as_bytes())?;
    let holding = Holding::new(&path, epoch);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut ticket = Ticket { epoch, pid: std::process::id(), host, counter: 0, ended: false };
    renew(data, &ticket)?;
    let (renewals, ended) = mpsc::channel();
    let (data, own, renewed) = (data.to_owned(), data.to_owned(), holding.clone());
    let begin = move || {
        while ended.recv_timeout(RENEW_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
            ticket.counter += 1;
            if !keep(&own, &ticket, &renewed) {
                break;
            }
        }
        ticket
    };
    // A thread of its own: whatever keeps the others busy must not look like death.
    let renewing = Some(thread::Builder::new().name("lease".to_owned()).spawn(begin)?);
    Ok(Some(Lease { holding, data, _lock: lock, renewals: Some(renewals), renewing }))
}

/// Renews once. Returns whether it goes on: not after someone took over.
fn keep(data: &Path, ticket: &Ticket, holding: &Holding) -> bool {
    let began = Instant::now();
    if let Err(error) = holding.check() {
        // When it cannot be read, the folder is as good as gone: not renewing lets another one try.
        return !matches!(Trouble::of(&error), Trouble::Fenced(_));
    }
    match renew(data, ticket) {
        Ok(()) => holding.renewed(began),
        Err(error) => tracing::warn!(%error, "the lease cannot be renewed"),
    }
    true
}

/// Writes the ticket, in one step; where there is no room for that, the old one is touched.
///
/// Not fsynced: after a crash of the machine nobody holds anything.
fn renew(data: &Path, ticket: &Ticket) -> io::Result<()> {
    let (path, aside) = (data.join("lease.json"), data.join(format!(".lease-{}.tmp", ticket.epoch)));
    let text = serde_json::to_vec(ticket)?;
    let written = fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path));
    if written.is_err() {
        let touched = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        return touched.and(fs::remove_file(&aside).or(Ok(())));
    }
    written
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Locks `lock`, unless someone has it or has put another in its place.
fn lock_in_place(data: &Path) -> io::Result<Option<File>> {
    let path = data.join("lock");
    let lock = open(&path)?;
    if !try_lock(&lock)? {
        return Ok(None);
    }
    let (own, there) = (lock.metadata()?, fs::metadata(&path)?);
    Ok(((own.dev(), own.ino()) == (there.dev(), there.ino())).then_some(lock))
}

/// Puts a lock of our own in the place of the one that a silent process still has: when that one dies, it lets nobody in.
fn replace_lock(data: &Path) -> io::Result<File> {
    let aside = data.join(".lock.tmp");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let lock = open(&aside)?;
    if !try_lock(&lock)? {
        return Err(io::Error::other(format!("{} is new, and locked already", aside.display())));
    }
    fs::rename(&aside, data.join("lock"))?;
    Ok(lock)
}

#[cfg(test)]
mod tests;
