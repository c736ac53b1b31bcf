//! A journal that cannot be used: what is said of it, and whether the scenario goes on.

use std::{io, time::Duration};

use futures::stream::FuturesUnordered;

use super::Reconciler;
use crate::{
    journal::{Fenced, State, Store, Trouble},
    publish::Rejection,
    world::{Clock, World},
};

/// Where there was no room, it is looked for this often.
const ROOM_EVERY: Duration = Duration::from_secs(5);

impl<W: World, S: Store, C: Clock> Reconciler<W, S, C> {
    /// Says what is wrong. Returns whether the scenario goes on: it waits for room, and for nothing else.
    pub(super) async fn survive(&mut self, error: io::Error) -> Result<bool, Fenced> {
        let (reason, way_out) = match Trouble::of(&error) {
            Trouble::Fenced(fenced) => return Err(fenced),
            Trouble::Full => return self.wait_for_room(error).await,
            Trouble::Damaged => ("JournalDamaged", "restore this journal from a copy, or move its folder away"),
            Trouble::Newer => ("JournalNewer", "upgrade dagstorm, or move the folder of this journal away"),
            Trouble::Unusable => ("JournalUnusable", "mend that, then restart the operator"),
        };
        tracing::error!(scenario = %self.name, %error, "the scenario is stalled: its journal cannot be used");
        self.stalled = Some(self.stall(reason, format!("{error}: {way_out}")));
        self.publish_now();
        Ok(false)
    }

    fn stall(&self, reason: &'static str, message: String) -> Rejection {
        Rejection { at: self.shared.clock.now(), reason, message }
    }

    /// Nothing was done on the strength of what was not written. All that was under way is given up, as by a crash, and
    /// found again in the same way: by its intent.
    async fn wait_for_room(&mut self, error: io::Error) -> Result<bool, Fenced> {
        tracing::warn!(scenario = %self.name, %error, "the scenario is stalled: there is no room for its journal");
        let message = format!("{error}: make room, and the scenario goes on by itself within {ROOM_EVERY:?}");
        self.forget();
        match self.shared.store.replay(&self.name).await {
            Ok(state) => self.state = state,
            // What cannot be read either is no matter of room.
            Err(error) if Trouble::of(&error) != Trouble::Full => return Box::pin(self.survive(error)).await,
            Err(_) => {}
        }
        self.compile();
        self.stalled = Some(self.stall("DiskFull", message));
        self.publish_now();
        while !*self.shutdown.borrow() {
            let shared = std::sync::Arc::clone(&self.shared);
            let again = shared.clock.now().plus(ROOM_EVERY);
            tokio::select! {
                biased;
                changed = self.shutdown.changed() => super::closed(changed).await,
                () = shared.clock.sleep_until(again) => {}
            }
            match shared.store.room(&self.name).await {
                Ok(()) => {
                    tracing::info!(scenario = %self.name, "there is room for its journal again: the scenario goes on");
                    self.stalled = None;
                    return Ok(true);
                }
                Err(error) => tracing::debug!(scenario = %self.name, %error, "there still is no room"),
            }
        }
        Ok(false)
    }

    /// As a process does that ends and starts anew.
    fn forget(&mut self) {
        self.calls = FuturesUnordered::new();
        self.begin_tenure();
        self.state = State::default();
        self.wake_at = None;
    }
}
