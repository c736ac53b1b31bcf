//! `dagstorm forget`: a scenario that is deleted and of which nothing is under way leaves nothing behind.

use std::io;

use super::Reconciler;
use crate::{
    journal::{FaultStage, State, Store},
    model::lane,
    operator::Desired,
    publish::PersonEvent,
    world::{Clock, World},
};

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    /// Whether somebody asks for it, and nothing stands against it: no manifest names it, no generation of it lives, no fault
    /// of it is open.
    pub(super) fn is_to_be_forgotten(&self, desired: &Desired) -> bool {
        let is_asked = self.control.borrow().forgotten.contains(&lane::scenario(&self.name));
        let is_there = self.state.current.is_some() || self.state.next_seq > 0;
        is_asked && is_there && matches!(desired, Desired::Deleted) && may_be_forgotten(&self.state)
    }

    /// Removes its journal, then all that was rendered from it.
    pub(super) async fn forget_all(&mut self) -> io::Result<()> {
        self.shared.store.forget(&self.name).await?;
        self.begin_tenure();
        self.state = State::default();
        self.compile();
        let name = lane::scenario(&self.name);
        self.shared.verdicts.send_if_modified(|known| std::sync::Arc::make_mut(known).remove(&name).is_some());
        if let Err(error) = self.shared.folder.remove_reports(&self.name) {
            tracing::warn!(scenario = %self.name, %error, "not all of its reports can be removed");
        }
        let message = "its journal, its status and its reports are removed".to_owned();
        let event = PersonEvent::normal(self.shared.clock.now(), Some(self.name.clone()), "Forgotten", message);
        tracing::info!(scenario = %self.name, reason = event.reason, "{}", event.message);
        if let Err(error) = self.shared.folder.append_events(&[event]) {
            tracing::warn!(scenario = %self.name, %error, "events.jsonl cannot be written");
        }
        Ok(())
    }
}

/// Whether nothing of it is under way.
pub fn may_be_forgotten(state: &State) -> bool {
    let is_open = |fault: &crate::journal::FaultState| fault.stage == FaultStage::Open;
    state.living().is_none() && !state.current.iter().flat_map(|current| current.faults.values()).any(is_open)
}
