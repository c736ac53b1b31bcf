//! What became of one key's launches.

use super::{generation::Fact, record::Found};
use crate::model::Timestamp;

/// One key's way.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// When attempts were released: their intent was durable, and their instant had come.
    pub first_attempt_at: Timestamp,
    pub last_attempt_at: Timestamp,
    pub attempts: u32,
    /// When a connection took the request of the last attempt; `None`: none did, or it is not known.
    pub sent_at: Option<Timestamp>,
    /// The first attempt that a connection took.
    pub first_sent: Option<Departure>,
    /// How many earlier attempts were in doubt until a look-up showed that they never arrived.
    pub doubts: u32,
    pub stage: SubmissionStage,
}

/// When an attempt was let go, and when its request went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    pub released_at: Timestamp,
    /// `None`: no connection took it, or it is not known (a crash, an older dagstorm).
    pub sent_at: Option<Timestamp>,
}

impl Departure {
    /// When it went out; where that is not known, when it was released.
    pub fn at(&self) -> Timestamp {
        self.sent_at.unwrap_or(self.released_at)
    }
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
    /// One of which no attempt is written yet.
    pub(super) fn new(at: Timestamp, stage: SubmissionStage) -> Self {
        Self {
            first_attempt_at: at,
            last_attempt_at: at,
            attempts: 0,
            sent_at: None,
            first_sent: None,
            doubts: 0,
            stage,
        }
    }

    /// The attempt that lateness is measured by: the one that Dagster acknowledged. Of other launches, the first that a
    /// connection took, for it may have arrived; or the first.
    pub fn departure(&self) -> Departure {
        let last = Departure { released_at: self.last_attempt_at, sent_at: self.sent_at };
        let first = || Departure { released_at: self.first_attempt_at, sent_at: None };
        match self.stage {
            SubmissionStage::Acknowledged { found: Found::Acknowledged, .. } => last,
            SubmissionStage::Acknowledged { found: Found::LookedUp | Found::Adopted, .. }
            | SubmissionStage::Intended
            | SubmissionStage::InDoubt(_)
            | SubmissionStage::Deferred { .. }
            | SubmissionStage::Rejected(_)
            | SubmissionStage::Absent(_)
            | SubmissionStage::Dropped { .. } => self.first_sent.unwrap_or_else(first),
        }
    }

    pub(super) fn sent(&mut self, attempt: u32, sent_at: Timestamp) -> Result<(), String> {
        if attempt != self.attempts || self.sent_at.is_some() {
            return Err(format!("attempt {attempt} of {} is sent twice, or after the next one", self.attempts));
        }
        self.sent_at = Some(sent_at);
        self.first_sent.get_or_insert(Departure { released_at: self.last_attempt_at, sent_at: Some(sent_at) });
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn acknowledged(found: Found) -> SubmissionStage {
        SubmissionStage::Acknowledged { at: at(9), run_id: "r".to_owned(), found }
    }

    /// Released at each of these seconds, and sent at that beside it, if at all.
    fn submission(attempts: &[(i64, Option<i64>)], stage: SubmissionStage) -> Submission {
        let first = at(attempts[0].0);
        let mut submission = Submission::new(first, stage);
        for (released, sent) in attempts {
            submission.attempts += 1;
            (submission.last_attempt_at, submission.sent_at) = (at(*released), None);
            if let Some(sent) = sent {
                submission.sent(submission.attempts, at(*sent)).expect("it is legal");
            }
        }
        submission
    }

    #[test]
    fn lateness_is_measured_by_the_attempt_that_may_have_arrived() {
        let doubt = || SubmissionStage::InDoubt("lost".to_owned());
        for (attempts, stage, released, sent) in [
            (&[(1, Some(2))][..], acknowledged(Found::Acknowledged), 1, Some(2)),
            // The first had no connection, or was turned away.
            (&[(1, None), (3, Some(4))], acknowledged(Found::Acknowledged), 3, Some(4)),
            (&[(1, Some(2)), (3, Some(4))], acknowledged(Found::Acknowledged), 3, Some(4)),
            // A journal of before tells no instant.
            (&[(1, None)], acknowledged(Found::Acknowledged), 1, None),
            (&[(1, Some(2)), (3, Some(4))], acknowledged(Found::LookedUp), 1, Some(2)),
            (&[(1, None), (3, Some(4)), (5, Some(6))], doubt(), 3, Some(4)),
            (&[(1, None), (3, None)], doubt(), 1, None),
        ] {
            let departure = submission(attempts, stage.clone()).departure();
            let expected = Departure { released_at: at(released), sent_at: sent.map(at) };
            assert_eq!(departure, expected, "{attempts:?} {stage:?}");
            assert_eq!(departure.at(), at(sent.unwrap_or(released)));
        }
    }

    #[test]
    fn an_attempt_goes_out_once_and_before_the_next_one() {
        let mut submission = submission(&[(1, None), (3, Some(4))], SubmissionStage::Intended);
        assert!(submission.sent(2, at(5)).is_err(), "twice");
        assert!(submission.sent(1, at(5)).is_err(), "after the next one");
    }
}
