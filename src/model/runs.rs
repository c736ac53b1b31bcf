//! The runs of one generation, grouped into launches: a launched run and Dagster's own retries of it are one chain.
//!
//! Dagster copies all tags of a run to its retries, and sensors may copy them to anything. So a key alone does not make a
//! run a launch of that key: what Dagster records of a run's origin does.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Key, Origin, RunStatus, RunView, Timestamp};

/// A launch with the retries that Dagster made of it: all of them are one launch, and its last run is its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain<'a> {
    /// The id of the launched run. The run itself may have been deleted from Dagster since.
    pub root: &'a str,
    /// The launched run and its retries, in their order; never empty.
    pub runs: Vec<&'a RunView>,
    /// Further retries of a run that had been retried before, and the retries of those: Dagster ran it again twice.
    pub doubled: Vec<&'a RunView>,
    /// Runs that a person or a program made of them by re-execution, and what followed from those.
    pub again: Vec<&'a RunView>,
}

impl<'a> Chain<'a> {
    /// The run that says how the launch ended, or that is under way. Of two retries of one run it is the one that succeeded,
    /// else one that has not ended.
    pub fn end(&self) -> &'a RunView {
        let last = self.last();
        if self.doubled.is_empty() {
            return last;
        }
        let further = self.doubled.iter().copied().filter(|run| !self.is_retried(run));
        let ends: Vec<&RunView> = [last].into_iter().chain(further).collect();
        let succeeded = ends.iter().find(|run| run.status == RunStatus::Success);
        let open = || ends.iter().find(|run| !is_over(run));
        succeeded.or_else(open).copied().unwrap_or(last)
    }

    fn last(&self) -> &'a RunView {
        self.runs.last().expect("a chain has a run")
    }

    /// Its last run failed, and Dagster has announced another one that is not there yet.
    pub fn awaits_retry(&self) -> bool {
        awaits_retry(self.end())
    }

    /// Nothing more is to come of it.
    pub fn has_ended(&self) -> bool {
        is_over(self.last()) && self.doubled.iter().all(|run| is_over(run) || self.is_retried(run))
    }

    /// A further retry of it is there among the doubled ones.
    fn is_retried(&self, run: &RunView) -> bool {
        self.doubled.iter().any(|next| is_retry_of(next, run))
    }

    pub fn has_succeeded(&self) -> bool {
        self.end().status == RunStatus::Success
    }

    /// How often Dagster has run it again, also where runs of it are gone from Dagster.
    pub fn retries(&self) -> usize {
        // Dagster counts all retries of a root; with two of one run that is no longer how often it was run again.
        let number = self.end().origin.retry_number().filter(|_| self.doubled.is_empty());
        number.map_or(0, |number| number as usize).max(self.runs.len() - 1)
    }
}

fn awaits_retry(run: &RunView) -> bool {
    run.status == RunStatus::Failure && run.will_retry
}

fn is_over(run: &RunView) -> bool {
    run.status.is_terminal() && !awaits_retry(run)
}

/// The runs of one key, told apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kin<'a> {
    /// Launches, the earliest first. More than one is a duplicate, unless another writer or job explains it.
    pub chains: Vec<Chain<'a>>,
    /// Runs that carry the key and are no launch of it: a sensor's, a schedule's, a backfill's, and their retries.
    pub copies: Vec<&'a RunView>,
}

/// Tells the runs of one key apart by what Dagster records of their origin.
pub fn kin<'a>(runs: impl Iterator<Item = &'a RunView>) -> Kin<'a> {
    let mut runs = runs.peekable();
    let mut by_root: BTreeMap<&str, Vec<&RunView>> = BTreeMap::new();
    if let Some(first) = runs.next_if(|first| first.origin.is_launch()) {
        if runs.peek().is_none() {
            // Nearly every key has one run.
            let chain = Chain { root: &first.run_id, runs: vec![first], doubled: vec![], again: vec![] };
            return Kin { chains: vec![chain], copies: vec![] };
        }
        by_root.entry(first.root()).or_default().push(first);
    }
    for run in runs {
        by_root.entry(run.root()).or_default().push(run);
    }
    let mut kin = Kin::default();
    for (root, mut group) in by_root {
        group.sort_by(|a, b| order(a).cmp(&order(b)));
        match first_of(root, &group) {
            Some(first) => kin.chains.push(chain(root, first, group)),
            None => kin.copies.extend(group),
        }
    }
    kin.chains.sort_by(|a, b| order(a.runs[0]).cmp(&order(b.runs[0])));
    kin
}

fn order(run: &RunView) -> (Option<Timestamp>, &str) {
    (run.created_at.or(run.started_at), &run.run_id)
}

/// The launched run of a group; or, where it is gone from Dagster, the first retry of it. `None`: no launch began it.
fn first_of<'a>(root: &str, group: &[&'a RunView]) -> Option<&'a RunView> {
    if let Some(first) = group.iter().find(|run| run.run_id == root) {
        return first.origin.is_launch().then_some(first);
    }
    let number = |run: &&&RunView| run.origin.retry_number();
    group.iter().filter(|run| number(run).is_some()).min_by_key(number).copied()
}

fn chain<'a>(root: &'a str, first: &'a RunView, group: Vec<&'a RunView>) -> Chain<'a> {
    let mut chain = Chain { root, runs: vec![first], doubled: vec![], again: vec![] };
    let ids: BTreeSet<&str> = group.iter().map(|run| run.run_id.as_str()).collect();
    let mut rest: Vec<&RunView> = group.into_iter().filter(|run| run.run_id != first.run_id).collect();
    loop {
        let last = chain.last();
        let (retries, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|run| follows(run, last, &ids));
        rest = others;
        let mut retries = retries.into_iter();
        let Some(next) = retries.next() else { break };
        chain.doubled.extend(retries);
        chain.runs.push(next);
    }
    // A retry of a further retry is a further one too.
    while let Some(place) = rest.iter().position(|run| chain.doubled.iter().any(|of| is_retry_of(run, of))) {
        chain.doubled.push(rest.remove(place));
    }
    chain.again = rest;
    chain
}

/// A re-execution may have copied the number of the retry that it is of: a retry has a higher one.
fn is_retry_of(run: &RunView, of: &RunView) -> bool {
    is_retry_after(run, of, |parent| *parent == of.run_id)
}

/// The same, also where runs between the two are gone from Dagster. `ids`: those that are there.
fn follows(run: &RunView, of: &RunView, ids: &BTreeSet<&str>) -> bool {
    is_retry_after(run, of, |parent| *parent == of.run_id || !ids.contains(parent))
}

fn is_retry_after(run: &RunView, of: &RunView, is_parent: impl Fn(&str) -> bool) -> bool {
    let Origin::Retry { parent, number, .. } = &run.origin else { return false };
    is_parent(parent) && of.origin.retry_number().is_none_or(|before| *number > before)
}

/// How many launches stand where: each counts once, by the last run of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCounts {
    /// NOT_STARTED, QUEUED, MANAGED or STARTING.
    pub queued: u32,
    /// STARTED, SUSPENDED or CANCELING.
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub canceled: u32,
    /// Failed, and Dagster has announced a retry that is not there yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retrying: u32,
    /// NOT_STARTED for longer than a settle: Dagster will never start it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub never_started: u32,
    /// In a status that this version does not know.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RunCounts {
    pub fn unfinished(&self) -> u32 {
        self.queued + self.running + self.retrying + self.other
    }

    pub fn done(&self) -> u32 {
        self.succeeded + self.failed + self.canceled + self.never_started
    }

    pub fn total(&self) -> u32 {
        self.unfinished() + self.done()
    }

    /// The place in which a chain is counted.
    fn place(&mut self, chain: &Chain<'_>) -> &mut u32 {
        match chain.end().status {
            _ if chain.awaits_retry() => &mut self.retrying,
            RunStatus::NotStarted | RunStatus::Queued | RunStatus::Managed | RunStatus::Starting => &mut self.queued,
            RunStatus::Started | RunStatus::Suspended | RunStatus::Canceling => &mut self.running,
            RunStatus::Success => &mut self.succeeded,
            RunStatus::Failure => &mut self.failed,
            RunStatus::Canceled => &mut self.canceled,
            RunStatus::Other(_) => &mut self.other,
        }
    }
}

/// Every run of a generation that was seen, with what is asked of them in each pass kept up to date run by run: a pass
/// costs what has changed, not what there is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    runs: Vec<RunView>,
    by_id: BTreeMap<String, usize>,
    by_index: BTreeMap<u32, Vec<usize>>,
    counts: RunCounts,
    /// Arrivals with a launch that has not ended.
    open: BTreeSet<u32>,
    /// Runs that Dagster has made and not handed on.
    not_started: BTreeSet<usize>,
    /// Arrivals, and runs without a key, that the last look changed.
    changed: BTreeSet<u32>,
    changed_without_key: BTreeSet<usize>,
    /// Runs that have ended and whose steps were not read yet, by their end.
    unread: BTreeSet<(Option<Timestamp>, usize)>,
    /// When Dagster last changed any of them, by its own clock.
    updated_at: Option<Timestamp>,
}

impl Runs {
    /// Takes in what a look shows of a run. One that has not changed costs nothing further.
    pub fn insert(&mut self, run: RunView) {
        self.updated_at = self.updated_at.max(run.updated_at);
        let index = run.key.as_ref().map(|key| key.index);
        let known = self.by_id.get(&run.run_id).copied();
        if known.is_some_and(|place| self.runs[place] == run) {
            return;
        }
        // Dagster never changes a run's key.
        index.into_iter().for_each(|index| self.uncount(index));
        let place = known.unwrap_or(self.runs.len());
        if known.is_none() {
            self.by_id.insert(run.run_id.clone(), place);
            index.into_iter().for_each(|index| self.by_index.entry(index).or_default().push(place));
        }
        if run.status == RunStatus::NotStarted {
            self.not_started.insert(place);
        } else {
            self.not_started.remove(&place);
        }
        let had_ended = known.is_some_and(|place| self.runs[place].status.is_terminal());
        if run.status.is_terminal() && !had_ended {
            self.unread.insert((run.ended_at, place));
        }
        match known {
            Some(place) => self.runs[place] = run,
            None => self.runs.push(run),
        }
        match index {
            Some(index) => {
                self.count(index);
                self.changed.insert(index);
            }
            None => drop(self.changed_without_key.insert(place)),
        }
    }

    /// Takes in a newer look. `is_whole`: it shows every run there is, so that what it lacks is gone from Dagster.
    pub fn absorb(&mut self, newer: Self, is_whole: bool) {
        let is_gone = |run: &RunView| !newer.by_id.contains_key(&run.run_id);
        if is_whole && self.runs.iter().any(is_gone) {
            // Rare: somebody deleted runs. All of them are gone through again, and what was read is told apart by the journal.
            *self = newer;
            return;
        }
        self.changed.clear();
        self.changed_without_key.clear();
        newer.runs.into_iter().for_each(|run| self.insert(run));
    }

    /// When Dagster last changed any of them, by its own clock.
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// Arrivals with a run that the last look changed.
    pub fn changed(&self) -> impl Iterator<Item = u32> {
        self.changed.iter().copied()
    }

    /// Runs without a key of ours that the last look changed.
    pub fn changed_without_key(&self) -> impl Iterator<Item = &RunView> {
        self.changed_without_key.iter().map(|place| &self.runs[*place])
    }

    /// Runs that have ended and whose steps were not read yet, the longest ended first.
    pub fn unread(&self) -> impl Iterator<Item = &RunView> {
        self.unread.iter().map(|(_, place)| &self.runs[*place])
    }

    /// Takes runs whose steps were read out of those that are to be read.
    pub fn retain_unread(&mut self, is_unread: impl Fn(&str) -> bool) {
        let runs = &self.runs;
        self.unread.retain(|(_, place)| is_unread(&runs[*place].run_id));
    }

    fn uncount(&mut self, index: u32) {
        let mut counts = self.counts;
        self.of_index(index).chains.iter().for_each(|chain| *counts.place(chain) -= 1);
        self.counts = counts;
        self.open.remove(&index);
    }

    fn count(&mut self, index: u32) {
        let mut counts = self.counts;
        let kin = self.of_index(index);
        kin.chains.iter().for_each(|chain| *counts.place(chain) += 1);
        let is_open = kin.chains.iter().any(|chain| !chain.has_ended());
        self.counts = counts;
        if is_open {
            self.open.insert(index);
        }
    }

    /// The runs of an arrival.
    pub fn of_index(&self, index: u32) -> Kin<'_> {
        kin(self.by_index.get(&index).into_iter().flatten().map(|place| &self.runs[*place]))
    }

    /// The runs of a key.
    pub fn of(&self, key: &Key) -> Kin<'_> {
        let places = self.by_index.get(&key.index).into_iter().flatten();
        kin(places.map(|place| &self.runs[*place]).filter(|run| run.key.as_ref() == Some(key)))
    }

    pub fn get(&self, run_id: &str) -> Option<&RunView> {
        self.by_id.get(run_id).map(|place| &self.runs[*place])
    }

    /// In the order in which they were first seen.
    pub fn iter(&self) -> impl Iterator<Item = &RunView> {
        self.runs.iter()
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The arrivals that have runs, with these.
    pub fn kin(&self) -> impl Iterator<Item = (u32, Kin<'_>)> {
        self.by_index.keys().map(|index| (*index, self.of_index(*index)))
    }

    /// Launches that have not ended.
    pub fn open(&self) -> impl Iterator<Item = Chain<'_>> {
        let chains = self.open.iter().flat_map(|index| self.of_index(*index).chains);
        chains.filter(|chain| !chain.has_ended())
    }

    /// Runs that Dagster has made and neither queued nor launched.
    pub fn not_started(&self) -> impl Iterator<Item = &RunView> {
        self.not_started.iter().map(|place| &self.runs[*place])
    }

    /// How many launches stand where. What was never started counts as queued here: only time tells it.
    pub fn counts(&self) -> RunCounts {
        self.counts
    }
}

impl FromIterator<RunView> for Runs {
    fn from_iter<I: IntoIterator<Item = RunView>>(runs: I) -> Self {
        let mut all = Self::default();
        runs.into_iter().for_each(|run| all.insert(run));
        all
    }
}

impl Extend<RunView> for Runs {
    fn extend<I: IntoIterator<Item = RunView>>(&mut self, runs: I) {
        runs.into_iter().for_each(|run| self.insert(run));
    }
}

#[cfg(test)]
mod tests;
