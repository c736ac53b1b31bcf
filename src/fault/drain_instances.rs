//! `drainInstances`: container instances take no more tasks, and their service tasks move away; and back.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Aiming, Injected, Pick, Progress, fresh, guard, judged};
use crate::model::{Effect, InstanceView, Object, Observation, Query, Target, Timestamp, Undo};

const ACTIVE: &str = "ACTIVE";
const DRAINING: &str = "DRAINING";

/// Container instances of the cluster are set to DRAINING for `for`, and back to ACTIVE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainInstances {
    /// How many: `one`, `all`, a number, or a share such as `30%`.
    #[serde(default)]
    pub pick: Pick,
}

impl DrainInstances {
    pub fn query(&self, target: &Target) -> Option<Query> {
        target.ecs.as_ref().map(|_| Query::Instances)
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Result<Aim, Aim> {
        let Some(ecs) = &aiming.target.ecs else {
            return Err(Aim::Never("the target names no ECS cluster".to_owned()));
        };
        let what = format!("the container instances of cluster {}", ecs.cluster);
        let all = fresh(aiming.observation.instances.as_ref(), aiming.not_before, &what)?;
        let active: Vec<&InstanceView> = all.iter().filter(|one| one.status == ACTIVE).collect();
        if active.is_empty() {
            return Err(Aim::Wait(format!("none of {what} is ACTIVE (Fargate has none)")));
        }
        let guard = &aiming.target.guard;
        let mut allowed: Vec<&InstanceView> = vec![];
        for one in &active {
            guard::is_free(&one.tags, &aiming.fault, &format!("container instance {}", one.arn))?;
            if !one.own && guard::permits_arn(guard, &one.arn, &one.tags, "").is_ok() {
                allowed.push(one);
            }
        }
        let total = active.len() as u32;
        let most = guard.max_affected.map_or(total, |limit| limit.cap(total));
        let spare = if guard.min_healthy > 0 { total.saturating_sub(1) } else { total };
        let count = self.pick.of(total).min(most).min(spare).min(allowed.len() as u32);
        if count == 0 {
            return Err(Aim::Wait(format!(
                "{total} of {what} are ACTIVE, the guard permits {} of them and lets none be drained",
                allowed.len()
            )));
        }
        allowed.sort_by(|a, b| a.arn.cmp(&b.arn));
        allowed.shuffle(&mut aiming.rng());
        allowed.truncate(count as usize);
        let set = |one: &InstanceView, draining: bool| Effect::SetInstance {
            cluster: ecs.cluster.clone(),
            instance: one.arn.clone(),
            draining,
        };
        let object = |one: &InstanceView| Object::Instance(one.arn.clone());
        let back = |one: &InstanceView| [set(one, false), Effect::Unmark { object: object(one) }];
        let mut inject = vec![];
        for one in &allowed {
            let tags = aiming.mark(&back(one))?;
            inject.push(Effect::Mark { object: object(one), tags });
        }
        inject.extend(allowed.iter().map(|one| set(one, true)));
        // All of them at once: a mark stays until nothing more can come about.
        let activate = allowed.iter().map(|one| set(one, false));
        let unmark = allowed.iter().map(|one| Effect::Unmark { object: object(one) });
        Ok(Aim::Ready {
            targets: vec![],
            objects: allowed.iter().map(|one| object(one)).collect(),
            inject,
            undo: Undo { effects: activate.chain(unmark).collect(), steady: None },
        })
    }

    pub fn progress(&self, injected: &Injected<'_>, observation: &Observation, since: Timestamp) -> Progress {
        let all = match judged(observation.instances.as_ref(), since) {
            Ok(all) => all,
            Err(progress) => return progress,
        };
        let ours = |arn: &str| injected.objects.iter().any(|object| *object == Object::Instance(arn.to_owned()));
        // One that is gone has nothing left to heal.
        let mut chosen = all.iter().filter(|one| ours(&one.arn)).peekable();
        let is_gone = chosen.peek().is_none();
        let drained = |one: &InstanceView| one.status == DRAINING && injected.has_marked(&one.tags);
        let (mut all_drained, mut none_drains, mut none_marked) = (true, true, true);
        for one in chosen {
            all_drained &= drained(one);
            none_drains &= one.status != DRAINING;
            none_marked &= !injected.has_marked(&one.tags);
        }
        match (is_gone || none_drains, none_marked, all_drained) {
            (true, true, _) => Progress::Intact,
            (true, false, _) => Progress::Marked,
            (false, _, true) => Progress::Broken,
            (false, _, false) => Progress::NotYet,
        }
    }
}
