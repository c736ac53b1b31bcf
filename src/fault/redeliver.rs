//! `redeliver`: messages that wait are copied, so that each is delivered twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Aiming, Injected, Pick, Progress, fresh, queue_query, tasks};
use crate::model::{Effect, Object, Observation, Outcome, Query, Receipt, Target, Timestamp, Undo};

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
        // Copying a message is one receive: at the next one SQS would move the original to the dead letters.
        if view.max_receives == Some(1) {
            return Err(Aim::Never(format!(
                "the redrive policy of {what} permits one receive (maxReceiveCount: 1), and copying a message is one: the \
                 original would go to the dead letters, and nothing would be delivered twice"
            )));
        }
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
            Some(Some(Outcome::Done(Receipt::Copied(copies)))) if copies.messages > 0 => Progress::Steady,
            // It may be that nothing is twice in the queue: that proves nothing, and is not done again.
            Some(Some(Outcome::Done(_) | Outcome::Refused { .. } | Outcome::Unknown { .. }) | None) | None => {
                Progress::Intact
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Copies, PolicyView, Seen, Timed};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn observation(max_receives: Option<u32>) -> Observation {
        let view = PolicyView {
            url: "http://q/tasks".to_owned(),
            arn: "arn:aws:sqs:us-east-1:000000000000:tasks".to_owned(),
            visible: 9,
            max_receives,
            ..PolicyView::default()
        };
        let policies = [("tasks".to_owned(), Timed { asked_at: NOW, answer: Seen::Fresh(view) })].into();
        Observation { policies, ..Observation::default() }
    }

    fn fault() -> Redeliver {
        serde_json::from_value(serde_json::json!({ "share": "100%" })).expect("a fault")
    }

    #[test]
    fn a_queue_whose_messages_may_be_received_once_is_left_alone() {
        let target: Target = serde_json::from_value(serde_json::json!({
            "name": "t", "dagster": { "url": "http://d/graphql", "location": "demo", "repository": "r",
            "requestTimeout": "5s", "settle": "15s" } }))
        .expect("a target");
        for (max_receives, is_aimed) in [(None, true), (Some(2), true), (Some(1), false)] {
            let observation = observation(max_receives);
            let aim = fault().aim(&Aiming {
                target: &target,
                observation: &observation,
                not_before: NOW,
                seed: 1,
                stream: 1,
                reason: String::new(),
                fault: "f".to_owned(),
                first: None,
                writer: None,
                heal_by: NOW,
            });
            match aim {
                Ok(Aim::Ready { inject, .. }) => {
                    assert!(is_aimed, "{max_receives:?}");
                    assert_eq!(inject, [Effect::CopyMessages { url: "http://q/tasks".to_owned(), count: 9 }]);
                }
                Err(Aim::Never(reason)) => {
                    assert!(!is_aimed, "{max_receives:?}");
                    assert!(reason.contains("maxReceiveCount: 1"), "{reason}");
                }
                other => panic!("{max_receives:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn only_a_message_that_is_proved_to_be_twice_in_the_queue_shows_the_fault() {
        let copied = |copies| Some(Outcome::Done(Receipt::Copied(copies)));
        let unknown = Some(Outcome::Unknown { reason: "no answer".to_owned() });
        for (outcome, progress) in [
            (copied(Copies { messages: 1, received: 3, spent: 2, ..Copies::default() }), Progress::Steady),
            (copied(Copies { messages: 0, received: 3, spent: 3, ..Copies::default() }), Progress::Intact),
            (copied(Copies { messages: 0, received: 1, gone: 1, ..Copies::default() }), Progress::Intact),
            (unknown, Progress::Intact),
            (None, Progress::Intact),
        ] {
            let injected = Injected {
                fault: "f".to_owned(),
                targets: &[],
                objects: &[],
                undo: &Undo::default(),
                outcomes: std::slice::from_ref(&outcome),
            };
            assert_eq!(fault().progress(&injected, &observation(None), NOW), progress, "{outcome:?}");
        }
    }
}
