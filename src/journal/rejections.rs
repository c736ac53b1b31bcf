//! Why launches were rejected, grouped by the reason.

use std::collections::BTreeMap;

use super::{generation::Generation, submission::SubmissionStage};

/// Launches that were rejected for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejections<'a> {
    /// In Dagster's words, where Dagster rejected them.
    pub reason: &'a str,
    pub count: u32,
    /// The lowest index of them.
    pub first: u32,
}

impl Generation {
    /// Its rejected launches: the most frequent reason first, of equally frequent ones the earlier.
    pub fn rejections(&self) -> Vec<Rejections<'_>> {
        let mut groups: BTreeMap<&str, Rejections<'_>> = BTreeMap::new();
        for (index, submission) in &self.submissions {
            if let SubmissionStage::Rejected(reason) = &submission.stage {
                let new = Rejections { reason, count: 0, first: *index };
                groups.entry(reason).or_insert(new).count += 1;
            }
        }
        let mut groups: Vec<Rejections<'_>> = groups.into_values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.count), group.first));
        groups
    }
}
