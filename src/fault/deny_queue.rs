//! `denyQueue`: a statement of ours in the queue's policy denies the data plane.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Aiming, Injected, Progress, judged, queue_query, tasks};
use crate::model::{Effect, Object, Observation, Query, Target, Timestamp, Undo};

/// The queue's policy denies the data plane for `for`; its administration stays open, so that healing always works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyQueue {
    /// A queue of the target's `queues`; `tasks` by default.
    #[serde(default = "tasks")]
    pub queue: String,
}

impl DenyQueue {
    pub fn query(&self, target: &Target) -> Option<Query> {
        queue_query(target, &self.queue)
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Result<Aim, Aim> {
        let what = format!("queue {}", self.queue);
        let view = aiming.queue(&self.queue, &what)?;
        if let Some(reason) = &view.unreadable {
            return Err(Aim::Never(format!("the policy of {what} cannot be read, so it is not changed: {reason}")));
        }
        if view.denied {
            return Err(Aim::Wait(format!("{what} is denied already by a statement of dagstorm's")));
        }
        let object = Object::Queue(view.url.clone());
        let undo = vec![Effect::AllowQueue { url: view.url.clone() }, Effect::Unmark { object: object.clone() }];
        let tags = aiming.mark(&undo)?;
        Ok(Aim::Ready {
            targets: vec![],
            objects: vec![object.clone()],
            inject: vec![Effect::Mark { object, tags }, Effect::DenyQueue { url: view.url.clone() }],
            undo: Undo { effects: undo, steady: None },
        })
    }

    pub fn progress(&self, injected: &Injected<'_>, observation: &Observation, since: Timestamp) -> Progress {
        let view = match judged(observation.policies.get(&self.queue), since) {
            Ok(view) => view,
            Err(progress) => return progress,
        };
        match (view.denied, injected.has_marked(&view.tags)) {
            (true, true) => Progress::Broken,
            (false, false) => Progress::Intact,
            (false, true) => Progress::Marked,
            (true, false) => Progress::NotYet,
        }
    }
}
