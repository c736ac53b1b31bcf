//! Statuses of runs, in Dagster's own words.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A run's status: Dagster's own words. Dagster may add words: those are `Other`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunStatus {
    /// Made, not handed to the queue or the launcher. It passes within a second, or never: the webserver died in between.
    NotStarted,
    Queued,
    /// Managed outside of Dagster.
    Managed,
    Starting,
    Started,
    /// It waits for something outside, without a run worker.
    Suspended,
    Canceling,
    Success,
    Failure,
    Canceled,
    Other(String),
}

/// What a status says of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Another status follows.
    Passing,
    /// Nothing follows, unless Dagster retries the run.
    Final,
    /// Passing for one settle after the launch; after that Dagster will never start it.
    PassingOrNever,
    /// A word that this version does not know: waited for, and not taken for an end.
    Unknown,
}

impl RunStatus {
    /// Each of Dagster's words that is known, with what it says.
    pub const TABLE: [(Self, &'static str, Standing); 10] = [
        (Self::NotStarted, "NOT_STARTED", Standing::PassingOrNever),
        (Self::Queued, "QUEUED", Standing::Passing),
        (Self::Managed, "MANAGED", Standing::Passing),
        (Self::Starting, "STARTING", Standing::Passing),
        (Self::Started, "STARTED", Standing::Passing),
        (Self::Suspended, "SUSPENDED", Standing::Passing),
        (Self::Canceling, "CANCELING", Standing::Passing),
        (Self::Success, "SUCCESS", Standing::Final),
        (Self::Failure, "FAILURE", Standing::Final),
        (Self::Canceled, "CANCELED", Standing::Final),
    ];

    /// Reads Dagster's word.
    pub fn of(word: &str) -> Self {
        let known = Self::TABLE.into_iter().find(|(_, known, _)| *known == word);
        known.map_or_else(|| Self::Other(word.to_owned()), |(status, ..)| status)
    }

    /// Dagster's word.
    pub fn word(&self) -> &str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Queued => "QUEUED",
            Self::Managed => "MANAGED",
            Self::Starting => "STARTING",
            Self::Started => "STARTED",
            Self::Suspended => "SUSPENDED",
            Self::Canceling => "CANCELING",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Canceled => "CANCELED",
            Self::Other(word) => word,
        }
    }

    pub fn standing(&self) -> Standing {
        let known = Self::TABLE.into_iter().find(|(status, ..)| status == self);
        known.map_or(Standing::Unknown, |(.., standing)| standing)
    }

    pub fn is_terminal(&self) -> bool {
        self.standing() == Standing::Final
    }

    /// The words that histories had before they held Dagster's own.
    fn of_old(word: &str) -> Self {
        match word {
            "Queued" => Self::Queued,
            "Started" => Self::Started,
            "Success" => Self::Success,
            "Failure" => Self::Failure,
            "Canceled" => Self::Canceled,
            word => Self::of(word),
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for RunStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for RunStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(String),
            Other {
                #[serde(rename = "Other")]
                word: String,
            },
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Word(word) => Self::of_old(&word),
            Written::Other { word } => Self::of(&word),
        })
    }
}
