//! Orphans: what carries a fault's mark, should have been healed by now, and is of no fault that this process knows.
//!
//! They are left by a process that lost its data folder, or by another one that was killed for good.

use std::time::Duration;

use super::{Handle, Shared, orphan::take_back};
use crate::{
    model::{Target, WhyKind},
    world::{Clock, Leftover, World},
};

/// How often orphans are looked for.
pub const EVERY: Duration = Duration::from_secs(60);

/// Looks for orphans of each target once, and takes them back.
pub async fn sweep<W: World, S, C: Clock>(shared: Handle<W, S, C>, targets: Vec<Target>) {
    for target in targets {
        // What a fault has now it may have healed when the looks are over, which show its mark.
        let held = shared.claims.all();
        let leftovers = shared.world.leftovers(&target).await;
        for why in &leftovers.unseen {
            // Who has no right to look has had none to break anything.
            if why.kind == WhyKind::Unauthorized {
                tracing::debug!(target = %target.name, %why, "orphaned faults may not be looked for");
            } else {
                tracing::warn!(target = %target.name, %why, "orphaned faults could not be looked for");
            }
        }
        let unheld = leftovers.found.iter().filter(|leftover| !held.contains(&leftover.object));
        for leftover in unheld.filter(|leftover| is_orphan(&shared, leftover)) {
            let (object, fault) = (&leftover.object, &leftover.mark.fault);
            let writer = leftover.mark.writer.as_ref().map(tracing::field::display);
            match take_back(&shared.world, &target, leftover).await {
                Ok(_) => tracing::warn!(target = %target.name, %object, fault, writer, "an orphaned fault is healed"),
                Err(reason) => {
                    tracing::warn!(target = %target.name, %object, fault, writer, reason, "an orphaned fault is not healed yet");
                }
            }
        }
    }
}

/// Its time is over, and no fault of a journal here has it.
fn is_orphan<W, S, C: Clock>(shared: &Shared<W, S, C>, leftover: &Leftover) -> bool {
    let is_over = leftover.mark.heal_by.is_some_and(|heal_by| heal_by < shared.clock.now());
    is_over && !shared.claims.is_held(&leftover.object)
}
