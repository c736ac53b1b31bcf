//! All reconcilers of this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{Desired, Handle, Reconciler};
use crate::{
    journal::Store,
    model::ScenarioName,
    world::{Clock, World},
};

/// One reconciler a scenario; each is told what is desired of it and goes on by itself.
pub struct Fleet<W, S, C> {
    shared: Handle<W, S, C>,
    shutdown: watch::Receiver<bool>,
    members: BTreeMap<ScenarioName, watch::Sender<Desired>>,
    /// What the last reading of the manifests did not name.
    gone: BTreeSet<ScenarioName>,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = ScenarioName> + Send>>>,
}

impl<W: World, S: Store, C: Clock> Fleet<W, S, C> {
    pub fn new(shared: Handle<W, S, C>, shutdown: watch::Receiver<bool>) -> Self {
        Self { shared, shutdown, members: BTreeMap::new(), gone: BTreeSet::new(), running: FuturesUnordered::new() }
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

    /// Tells every reconciler what is desired of it.
    ///
    /// A scenario that no manifest names is deleted, if all manifests could be read, and twice in a row: an editor that
    /// renames a file away and writes it anew must not stop anything.
    pub fn want(&mut self, desired: &BTreeMap<ScenarioName, Desired>, is_complete: bool) {
        let gone: BTreeSet<ScenarioName> =
            self.members.keys().filter(|name| is_complete && !desired.contains_key(name)).cloned().collect();
        for name in gone.intersection(&self.gone).cloned().collect::<Vec<_>>() {
            self.tell(&name, Desired::Deleted);
        }
        self.gone = gone;
        for (name, desired) in desired {
            self.tell(name, desired.clone());
        }
    }

    fn tell(&mut self, name: &ScenarioName, desired: Desired) {
        if let Some(member) = self.members.get(name) {
            member.send_if_modified(|known| {
                let changed = *known != desired;
                *known = desired;
                changed
            });
            return;
        }
        let (sender, receiver) = watch::channel(desired);
        let reconciler = Reconciler::new(Arc::clone(&self.shared), name.clone(), receiver, self.shutdown.clone());
        self.running.push(Box::pin(reconciler.run()));
        self.members.insert(name.clone(), sender);
    }

    /// Drives all reconcilers until one of them ends: at a shutdown, or because its journal cannot be used.
    ///
    /// It may be dropped and called again at any time. Pending for ever when none runs.
    pub async fn step(&mut self) -> ScenarioName {
        match self.running.next().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }

    /// Drives all reconcilers to their end, after a shutdown was requested.
    pub async fn finish(&mut self) {
        while self.running.next().await.is_some() {}
    }
}
