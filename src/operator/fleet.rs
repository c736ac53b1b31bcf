//! All reconcilers of this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{Control, Desired, Handle, LastVerdicts, Reconciler, lanes::with_lanes};
use crate::{
    journal::{FaultStage, FaultState, Fenced, Store},
    model::{ScenarioName, Timestamp, lane},
    world::{Clock, World},
};

/// A scenario is deleted when every reading for so long has missed it: long enough for an editor that renames a file away and
/// writes it anew, or empties it first.
pub const ABSENT_FOR: Duration = Duration::from_secs(1);

/// One reconciler a scenario; each is told what is desired of it and goes on by itself.
pub struct Fleet<W, S, C> {
    shared: Handle<W, S, C>,
    shutdown: watch::Receiver<bool>,
    members: BTreeMap<ScenarioName, Member>,
    control: watch::Receiver<Control>,
    verdicts: watch::Receiver<LastVerdicts>,
    absent: Absent,
    running: FuturesUnordered<Pin<Box<Running>>>,
}

/// What a reconciler is told through. It has channels of its own, so that all are told in the order of their names: one
/// channel with many receivers wakes them as chance has it, and a simulation could not be repeated.
struct Member {
    desired: watch::Sender<Desired>,
    control: watch::Sender<Control>,
    verdicts: watch::Sender<LastVerdicts>,
    shutdown: watch::Sender<bool>,
}

/// What a reconciler hears through.
pub struct Ears {
    pub desired: watch::Receiver<Desired>,
    pub control: watch::Receiver<Control>,
    pub verdicts: watch::Receiver<LastVerdicts>,
    pub shutdown: watch::Receiver<bool>,
}

/// A reconciler until its end.
type Running = dyn Future<Output = Result<ScenarioName, Fenced>> + Send;

impl<W: World, S: Store, C: Clock> Fleet<W, S, C> {
    pub fn new(shared: Handle<W, S, C>, shutdown: watch::Receiver<bool>) -> Self {
        let (control, verdicts) = (shared.control.subscribe(), shared.verdicts.subscribe());
        Self {
            shared,
            shutdown,
            members: BTreeMap::new(),
            control,
            verdicts,
            absent: Absent::default(),
            running: FuturesUnordered::new(),
        }
    }

    /// Takes up every scenario that has a journal, before any manifest is read: what is open is healed in any case.
    ///
    /// # Errors
    /// When the journals cannot be listed.
    pub async fn take_up(&mut self) -> std::io::Result<()> {
        for name in self.shared.store.names().await? {
            self.tell(&name, Desired::Unread);
        }
        Ok(())
    }

    /// Takes up scenarios that the folder held before: one that is not there any more is told so.
    pub fn take_up_known<'a>(&mut self, names: impl Iterator<Item = &'a ScenarioName>) {
        for name in names {
            if !self.members.contains_key(name) {
                self.tell(name, Desired::Unread);
            }
        }
    }

    /// Takes up the scenarios, beside these, that have left a fault in place: it is healed, and they are stopped. Returns
    /// their names.
    ///
    /// # Errors
    /// When the journals cannot be listed.
    pub async fn heal_others(&mut self, wanted: &BTreeSet<ScenarioName>) -> std::io::Result<BTreeSet<ScenarioName>> {
        let mut others = BTreeSet::new();
        for name in self.shared.store.names().await?.into_iter().filter(|name| !wanted.contains(name)) {
            let state = match self.shared.store.replay(&name).await {
                Ok(state) => state,
                Err(error) => {
                    tracing::warn!(scenario = %name, %error, "whether it has left a fault in place cannot be read");
                    continue;
                }
            };
            let is_open = |fault: &FaultState| fault.stage == FaultStage::Open && fault.is_held();
            if state.living().is_some_and(|living| living.faults.values().any(is_open)) {
                tracing::warn!(scenario = %name, "it was left with a fault in place: that is healed, and it is stopped");
                self.tell(&name, Desired::Deleted);
                others.insert(name);
            }
        }
        Ok(others)
    }

    /// Tells every reconciler what is desired of it.
    ///
    /// A scenario that no manifest names, and that cannot be in the folder all the same, is deleted when that is still so
    /// `ABSENT_FOR` later. Returns those that are deleted now.
    pub fn want(
        &mut self,
        desired: &BTreeMap<ScenarioName, Desired>,
        may_hold: impl Fn(&ScenarioName) -> bool,
        read_at: Timestamp,
    ) -> Vec<ScenarioName> {
        let desired = &with_lanes(desired);
        let is_unnamed = |name: &&ScenarioName| !desired.contains_key(*name) && !may_hold(&lane::scenario(name));
        let absent = self.absent.read(self.members.keys().filter(is_unnamed), read_at);
        let deleted = absent.into_iter().filter(|name| self.tell(name, Desired::Deleted)).collect();
        for (name, desired) in desired {
            self.tell(name, desired.clone());
        }
        deleted
    }

    /// Returns whether that is new.
    fn tell(&mut self, name: &ScenarioName, desired: Desired) -> bool {
        if let Some(member) = self.members.get(name) {
            return member.desired.send_if_modified(|known| {
                let changed = *known != desired;
                *known = desired;
                changed
            });
        }
        let (control, verdicts) = (self.control.borrow().clone(), self.verdicts.borrow().clone());
        let member = Member {
            desired: watch::Sender::new(desired),
            control: watch::Sender::new(control),
            verdicts: watch::Sender::new(verdicts),
            shutdown: watch::Sender::new(*self.shutdown.borrow()),
        };
        let ears = Ears {
            desired: member.desired.subscribe(),
            control: member.control.subscribe(),
            verdicts: member.verdicts.subscribe(),
            shutdown: member.shutdown.subscribe(),
        };
        self.running.push(Box::pin(Reconciler::new(Arc::clone(&self.shared), name.clone(), ears).run()));
        self.members.insert(name.clone(), member);
        true
    }

    /// Drives all reconcilers until one of them ends: at a shutdown, or because its journal cannot be used.
    ///
    /// It may be dropped and called again at any time. Pending for ever when none runs.
    ///
    /// # Errors
    /// When another process took the data folder over: drop the fleet, so that it sends nothing more.
    pub async fn step(&mut self) -> Result<ScenarioName, Fenced> {
        loop {
            // What is heard is passed on before any reconciler goes on. The senders are in what is shared, so the channels
            // never close.
            tokio::select! {
                biased;
                Ok(()) = self.control.changed() => {
                    let control = self.control.borrow_and_update();
                    self.members.values().for_each(|member| drop(member.control.send_replace(control.clone())));
                }
                Ok(()) = self.verdicts.changed() => {
                    let verdicts = self.verdicts.borrow_and_update();
                    self.members.values().for_each(|member| drop(member.verdicts.send_replace(Arc::clone(&verdicts))));
                }
                Ok(()) = self.shutdown.changed() => {
                    let shutdown = *self.shutdown.borrow_and_update();
                    self.members.values().for_each(|member| _ = member.shutdown.send_replace(shutdown));
                }
                Some(ended) = self.running.next() => return ended,
            }
        }
    }

    /// Asks all reconcilers to end, as a shutdown does: what they broke is healed, and what they sent is waited for.
    pub fn stop(&mut self) {
        self.members.values().for_each(|member| _ = member.shutdown.send_replace(true));
    }

    /// Drives all reconcilers to their end, after a shutdown was requested or [`stop`](Self::stop).
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn finish(&mut self) -> Result<(), Fenced> {
        while !self.running.is_empty() {
            self.step().await?;
        }
        Ok(())
    }
}

/// What the last readings of the manifests did not name, and since when.
#[derive(Debug, Default)]
struct Absent(BTreeMap<ScenarioName, Timestamp>);

impl Absent {
    /// Takes what a reading did not name. Returns what has been absent for long enough.
    fn read<'a>(&mut self, unnamed: impl Iterator<Item = &'a ScenarioName>, at: Timestamp) -> Vec<ScenarioName> {
        let since = |name: &ScenarioName| self.0.get(name).copied().unwrap_or(at);
        self.0 = unnamed.map(|name| (name.clone(), since(name))).collect();
        self.0.iter().filter(|(_, since)| at >= since.plus(ABSENT_FOR)).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_for_a_moment_is_not_deleted() {
        let (name, at) =
            ("a".parse::<ScenarioName>().expect("a name"), |millis: i64| Timestamp::from_micros(millis * 1_000));
        let mut absent = Absent::default();
        for (millis, is_named, is_deleted) in [
            (0, true, false),
            (10, false, false),
            (40, false, false),
            (999, false, false),
            (1_005, true, false),
            (1_010, false, false),
            (2_009, false, false),
            (2_010, false, true),
            (4_000, false, true),
            (4_010, true, false),
        ] {
            let deleted = absent.read([&name].into_iter().filter(|_| !is_named), at(millis));
            assert_eq!(!deleted.is_empty(), is_deleted, "at {millis} ms");
        }
    }
}
