//! The end of the process: what is broken is taken back, and the answers to what was sent are waited for.

use std::{io, sync::Arc};

use futures::StreamExt;

use super::Reconciler;
use crate::{
    decide,
    journal::{FaultStage, Store, SubmissionStage},
    model::FaultId,
    world::{Clock, World},
};

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    /// After a shutdown: what is broken is healed, what was sent is waited for and recorded, as long as there is time. What
    /// is left, the next start finds by its intent.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        let told_at = self.shared.clock.now();
        self.observation.leaving = Some(told_at);
        let deadline = told_at.plus(self.shared.stop_within);
        loop {
            self.wake_at = None;
            self.pass().await?;
            let now = self.shared.clock.now();
            if self.is_clean() || now >= deadline {
                break;
            }
            let wake_at = self.wake_at.map_or(deadline, |at| at.min(deadline));
            let shared = Arc::clone(&self.shared);
            let answer = tokio::select! {
                biased;
                Some(answer) = self.calls.next() => Some(answer),
                () = shared.clock.sleep_until(wake_at) => None,
            };
            self.take(answer).await?;
        }
        self.publish_now();
        Ok(())
    }

    /// Whether nothing is broken by us, as far as the answers say, and no answer is waited for.
    fn is_clean(&self) -> bool {
        let Some(current) = &self.state.current else { return true };
        let awaits_launch =
            current.open.iter().any(|index| current.submissions[index].stage == SubmissionStage::Intended);
        let open = || current.faults.iter().filter(|(_, fault)| fault.stage == FaultStage::Open);
        let awaits_fault = open().any(|(_, fault)| {
            fault.sent_at.iter().zip(&fault.outcomes).any(|(sent_at, outcome)| sent_at.is_some() && outcome.is_none())
        });
        let awaited = (awaits_launch || awaits_fault) && !self.calls.is_empty();
        // Waiting does not help where somebody else's change stands in the way.
        let stalled = self.stalled_faults();
        !awaited && open().all(|(id, fault)| fault.is_undone() || stalled.contains(id))
    }

    /// The faults that cannot be taken back, as looks of this process show.
    pub(super) fn stalled_faults(&self) -> Vec<FaultId> {
        match (&self.plan, &self.state.current) {
            (Some(plan), Some(current)) => decide::stalled(plan, current, &self.observation, self.shared.clock.now()),
            (_, _) => vec![],
        }
    }
}
