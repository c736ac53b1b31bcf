//! Where records lie.

use std::{future::Future, io};

use super::{holding::Fenced, log::LogError, record::Record, state::State};
use crate::model::ScenarioName;

/// A durable home of journals, one a scenario.
pub trait Store: Send + Sync + 'static {
    /// Appends records, all or none.
    ///
    /// `Ok` means: they survive a crash, and after that was so this writer was still the holder of the data folder. So
    /// whoever takes the folder over later reads them; and what a superseded holder writes never comes back as `Ok`.
    /// Records that begin with [`Event::Compacted`](super::Event::Compacted) stand for all before them, which may go.
    ///
    /// On an error nothing may be done on the strength of these records, and what they added up to must be read anew:
    /// a later reader may find them or not. [`Trouble::of`] says what the error means.
    fn append(&self, scenario: &ScenarioName, records: &[Record]) -> impl Future<Output = io::Result<()>> + Send;

    /// Reads all records of a scenario. A torn tail, and what a superseded holder wrote too late, is no part of them.
    fn read(&self, scenario: &ScenarioName) -> impl Future<Output = io::Result<Vec<Record>>> + Send;

    /// Reads what the records of a scenario add up to.
    fn replay(&self, scenario: &ScenarioName) -> impl Future<Output = io::Result<State>> + Send {
        async move {
            let mut state = State::default();
            for record in self.read(scenario).await? {
                state.apply(&record).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
            Ok(state)
        }
    }

    /// After an append that found no room: whether there is some again.
    fn room(&self, _scenario: &ScenarioName) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Removes all records of a scenario, durably: the next one begins a journal.
    ///
    /// On an error a part of them may be gone.
    fn forget(&self, scenario: &ScenarioName) -> impl Future<Output = io::Result<()>> + Send;

    /// The scenarios that have a journal, sorted.
    fn names(&self) -> impl Future<Output = io::Result<Vec<ScenarioName>>> + Send;
}

/// What an error of a store means for its scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Another process writes now: stop everything.
    Fenced(Fenced),
    /// Nothing was written for want of room; it may be tried again after the journal was read anew.
    Full,
    /// The journal contradicts itself or its checksums.
    Damaged,
    /// The journal is whole, and a newer version wrote it.
    Newer,
    /// Nothing can be known of what is on the disk; only a new process may read it.
    Unusable,
}

impl Trouble {
    pub fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(fenced) = inner.and_then(|inner| inner.downcast_ref::<Fenced>()) {
            return Self::Fenced(*fenced);
        }
        if let Some(damage) = inner.and_then(|inner| inner.downcast_ref::<Damage>()) {
            return match damage.source {
                LogError::Damaged { .. } => Self::Damaged,
                LogError::Foreign { .. } | LogError::Newer { .. } => Self::Newer,
            };
        }
        let kind = error.kind();
        if [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge].contains(&kind) {
            Self::Full
        } else if kind == io::ErrorKind::InvalidData {
            Self::Damaged
        } else {
            Self::Unusable
        }
    }
}

/// A file of a journal whose content is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}")]
pub(super) struct Damage {
    pub file: String,
    pub source: LogError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_means_something() {
        for (errno, trouble) in [
            (rustix::io::Errno::NOSPC, Trouble::Full),
            (rustix::io::Errno::DQUOT, Trouble::Full),
            (rustix::io::Errno::FBIG, Trouble::Full),
            (rustix::io::Errno::IO, Trouble::Unusable),
            (rustix::io::Errno::ROFS, Trouble::Unusable),
            (rustix::io::Errno::ACCESS, Trouble::Unusable),
        ] {
            assert_eq!(Trouble::of(&io::Error::from(errno)), trouble, "{errno}");
        }
        let fenced = Fenced { epoch: 1, newest: 2 };
        assert_eq!(Trouble::of(&fenced.into()), Trouble::Fenced(fenced));
        assert_eq!(Trouble::of(&io::Error::new(io::ErrorKind::InvalidData, "illegal")), Trouble::Damaged);
        let newer = LogError::Newer { line: 1, version: 9 };
        let newer = Damage { file: "a".to_owned(), source: newer };
        assert_eq!(Trouble::of(&io::Error::new(io::ErrorKind::InvalidData, newer)), Trouble::Newer);
    }
}
