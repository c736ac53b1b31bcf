//! One writer: an exclusive lock on the data folder, and an epoch that grows with every holder.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::publish::write_atomically;

/// Held while this process may write. Dropping it, or dying, lets the next one in.
#[derive(Debug)]
pub struct Lease {
    _lock: File,
    pub epoch: u64,
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("another dagstorm holds the data folder {}: stop it first, or choose another folder with --data", .0.display())]
    Held(PathBuf),
    #[error("the data folder {} cannot be used: {source}", folder.display())]
    Io { folder: PathBuf, source: io::Error },
    #[error("{} holds no number: {text:?}", path.display())]
    Epoch { path: PathBuf, text: String },
}

impl Lease {
    /// Takes the data folder, or says who stands in the way.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be written.
    pub fn acquire(data: &Path) -> Result<Self, LeaseError> {
        let failed = |source: io::Error| LeaseError::Io { folder: data.to_owned(), source };
        fs::create_dir_all(data).map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(data.join("lock")).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LeaseError::Held(data.to_owned())),
            Err(errno) => return Err(failed(errno.into())),
        }
        let path = data.join("epoch");
        let last = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| LeaseError::Epoch { path: path.clone(), text })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        let epoch: u64 = last + 1;
        write_atomically(&path, format!("{epoch}\n").as_bytes()).map_err(failed)?;
        Ok(Self { _lock: lock, epoch, path })
    }
}

impl Lease {
    /// Raises the epoch above one that a journal holds: the file may have been lost or restored.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn raise_above(&mut self, seen: u64) -> io::Result<()> {
        if seen >= self.epoch {
            self.epoch = seen + 1;
            write_atomically(&self.path, format!("{}\n", self.epoch).as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_a_higher_epoch_each() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Lease::acquire(folder.path()).expect("free");
        first.raise_above(7).expect("raised");
        first.raise_above(3).expect("nothing to do");
        assert_eq!(first.epoch, 8);
        assert!(matches!(Lease::acquire(folder.path()), Err(LeaseError::Held(_))));
        let epoch = first.epoch;
        drop(first);
        assert_eq!(Lease::acquire(folder.path()).expect("free again").epoch, epoch + 1);
        fs::write(folder.path().join("epoch"), "many").expect("written");
        assert!(matches!(Lease::acquire(folder.path()), Err(LeaseError::Epoch { .. })));
    }
}
