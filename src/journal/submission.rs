//! What became of one key's launches.

use super::{generation::Fact, record::Found};
use crate::model::Timestamp;

/// One key's way.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    pub first_attempt_at: Timestamp,
    pub last_attempt_at: Timestamp,
    pub attempts: u32,
    /// How many earlier attempts were in doubt until a look-up showed that they never arrived.
    pub doubts: u32,
    pub stage: SubmissionStage,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SubmissionStage {
    /// Intended; no outcome is written yet. After a crash it is as good as in doubt.
    Intended,
    InDoubt(String),
    /// Refused at this instant; the same key will be sent again.
    Deferred {
        at: Timestamp,
        reason: String,
    },
    Acknowledged {
        at: Timestamp,
        run_id: String,
        found: Found,
    },
    Rejected(String),
    Absent(String),
    /// Never sent: so many runs were under way.
    Dropped {
        in_flight: u32,
    },
}

impl Submission {
    /// Whether its fate is known for good.
    pub fn is_settled(&self) -> bool {
        match self.stage {
            SubmissionStage::Intended | SubmissionStage::InDoubt(_) | SubmissionStage::Deferred { .. } => false,
            SubmissionStage::Acknowledged { .. }
            | SubmissionStage::Rejected(_)
            | SubmissionStage::Absent(_)
            | SubmissionStage::Dropped { .. } => true,
        }
    }
}

/// Launches that failed one after another, with no answer in between.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaunchTrouble {
    pub failures: u32,
    /// The last failure and its reason.
    pub last: Option<Fact<String>>,
}

impl LaunchTrouble {
    pub(super) fn failed(&mut self, at: Timestamp, reason: &str) {
        self.failures += 1;
        self.last = Some(Fact { at, value: reason.to_owned() });
    }

    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }
}
