//! Whether this process still is the one that may write: its epoch against the newest that anyone took.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// So long after a renewal nobody can have taken over: well below the time for which a lease must have been unchanged.
pub const TRUSTED_FOR: Duration = Duration::from_secs(3);

/// The right to write, until someone takes a higher epoch. Cheap to clone; clones share what is known.
#[derive(Debug, Clone)]
pub struct Holding(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: u64,
    /// The file with the newest epoch that anyone took; absent where nobody else can come.
    newest: Option<PathBuf>,
    renewed_at: Mutex<Instant>,
    lost: watch::Sender<Option<Fenced>>,
}

/// Another process took a higher epoch: what this one writes does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another dagstorm took the data folder over (its epoch is {newest}, this one's {epoch})")]
pub struct Fenced {
    pub epoch: u64,
    pub newest: u64,
}

impl From<Fenced> for io::Error {
    fn from(fenced: Fenced) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, fenced)
    }
}

impl Holding {
    /// The holder of this epoch, as long as the file names no higher one.
    pub fn new(newest: &Path, epoch: u64) -> Self {
        Self::with(Some(newest.to_owned()), epoch)
    }

    /// A holder whom nobody can follow: for a folder that no other process knows.
    pub fn alone(epoch: u64) -> Self {
        Self::with(None, epoch)
    }

    fn with(newest: Option<PathBuf>, epoch: u64) -> Self {
        Self(Arc::new(Inner { epoch, newest, renewed_at: Mutex::new(Instant::now()), lost: watch::Sender::new(None) }))
    }

    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Looks whether someone took a higher epoch.
    ///
    /// The file is opened and read each time, a few microseconds: a shared file system answers `stat` from its memory,
    /// and only opening makes it ask.
    ///
    /// # Errors
    /// [`Fenced`] when someone did, now or before; another error when that cannot be known.
    pub fn check(&self) -> io::Result<()> {
        if let Some(fenced) = *self.0.lost.borrow() {
            return Err(fenced.into());
        }
        let Some(path) = &self.0.newest else { return Ok(()) };
        let newest = read_epoch(path)?.ok_or_else(|| {
            let missing = format!("{} is gone: nobody can say who may write", path.display());
            io::Error::new(io::ErrorKind::NotFound, missing)
        })?;
        if newest > self.0.epoch {
            let fenced = Fenced { epoch: self.0.epoch, newest };
            self.0.lost.send_replace(Some(fenced));
            return Err(fenced.into());
        }
        Ok(())
    }

    /// Notes that the lease was renewed. `began` is from before the check that preceded it.
    pub fn renewed(&self, began: Instant) {
        *self.0.renewed_at.lock().expect("no holder of this lock panics") = began;
    }

    /// As [`check`](Self::check), without any I/O as long as the last renewal vouches for it.
    ///
    /// Who was stopped and goes on, or was starved, finds out here before it does anything else.
    ///
    /// # Errors
    /// When this process is known to hold no more. Where that cannot be known, the next append will tell.
    pub fn confirm(&self) -> Result<(), Fenced> {
        let renewed_at = *self.0.renewed_at.lock().expect("no holder of this lock panics");
        if self.0.newest.is_some() && renewed_at.elapsed() > TRUSTED_FOR && self.check().is_ok() {
            return Ok(());
        }
        self.0.lost.borrow().map_or(Ok(()), Err)
    }

    /// Waits until this process is known to hold no more.
    pub async fn lost(&self) -> Fenced {
        let mut lost = self.0.lost.subscribe();
        let found = lost.wait_for(Option::is_some).await.map(|fenced| *fenced);
        found.expect("the sender lives as long as this").expect("it was waited for")
    }
}

/// Reads a file with an epoch; `None` if there is none.
///
/// # Errors
/// When it cannot be read, or holds no number.
pub fn read_epoch(path: &Path) -> io::Result<Option<u64>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} holds no number: {text:?}", path.display()));
    text.trim().parse().map(Some).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_overtaken_finds_out_and_never_forgets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("epoch");
        fs::write(&path, "3\n").expect("written");
        let holding = Holding::new(&path, 3);
        holding.check().expect("held");
        fs::write(&path, "4\n").expect("written");
        // The renewal is fresh: no I/O, so nothing is known yet.
        assert_eq!(holding.confirm(), Ok(()));
        holding.renewed(Instant::now() - TRUSTED_FOR - Duration::from_millis(1));
        let fenced = Fenced { epoch: 3, newest: 4 };
        assert_eq!(holding.confirm(), Err(fenced));
        fs::write(&path, "3\n").expect("written");
        let error = holding.clone().check().expect_err("lost for ever");
        assert_eq!(error.get_ref().and_then(|inner| inner.downcast_ref::<Fenced>()), Some(&fenced));
        assert_eq!(holding.lost().await, fenced);
    }

    #[test]
    fn what_cannot_be_known_is_an_error_and_no_verdict() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("epoch");
        let holding = Holding::new(&path, 1);
        assert_eq!(holding.check().expect_err("missing").kind(), io::ErrorKind::NotFound);
        fs::write(&path, "many").expect("written");
        assert_eq!(holding.check().expect_err("no number").kind(), io::ErrorKind::InvalidInput);
        fs::write(&path, "1").expect("written");
        holding.check().expect("held after all");
        Holding::alone(1).check().expect("nobody can come");
    }
}
