//! `redeliver`: messages that wait are copied, so that each is delivered twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Aiming, Injected, Pick, Progress, fresh, queue_query, tasks};
use crate::model::{Effect, Object, Observation, Outcome, Query, Target, Timestamp, Undo};

/// So many are copied at most by one fault: it is one call after another.
const MOST: u32 = 1_000;

/// A share of the queued messages is copied: a true duplicate delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redeliver {
    /// How much of what is queued: a share such as `10%`, or a number of messages.
    pub share: Pick,
    /// A queue of the target's `queues`; `tasks` by default.
    #[serde(default = "tasks")]
    pub queue: String,
}

impl Redeliver {
    pub fn query(&self, target: &Target) -> Option<Query> {
        queue_query(target, &self.queue)
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Result<Aim, Aim> {
        let what = format!("queue {}", self.queue);
        let view = aiming.queue(&self.queue, &what)?;
        let visible = u32::try_from(view.visible).unwrap_or(u32::MAX);
        if visible == 0 {
            return Err(Aim::Wait(format!("no message waits in {what}: there is nothing to deliver once more")));
        }
        let count = self.share.of(visible).min(visible).min(MOST);
        Ok(Aim::Ready {
            targets: vec![],
            objects: vec![Object::Queue(view.url.clone())],
            inject: vec![Effect::CopyMessages { url: view.url.clone(), count }],
            undo: Undo::default(),
        })
    }

    /// It is over when it is done: there is nothing to come back to.
    pub fn progress(&self, injected: &Injected<'_>, observation: &Observation, since: Timestamp) -> Progress {
        if fresh(observation.policies.get(&self.queue), since, "").is_err() {
            return Progress::Unseen;
        }
        match injected.outcomes.first() {
            Some(Some(Outcome::Done(_))) => Progress::Steady,
            // It may be that nothing was copied: that proves nothing, and is not done again.
            Some(Some(Outcome::Refused { .. } | Outcome::Unknown { .. }) | None) | None => Progress::Intact,
        }
    }
}
