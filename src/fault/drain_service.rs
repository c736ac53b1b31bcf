//! `drainService`: a service's desired count goes to 0, and back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Aiming, Injected, Progress, fresh, guard, judged};
use crate::model::{
    Effect, Object, Observation, Query, ServiceView, Target, TaskView, Timestamp, Undo, target::Amount,
};

/// The service's desired count goes to 0 for `for`, and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainService {
    /// A role of the target's `ecs.services`.
    pub service: String,
}

impl DrainService {
    pub fn query(&self, target: &Target) -> Option<Query> {
        Some(Query::Service { service: target.ecs.as_ref()?.service(&self.service)?.to_owned() })
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Result<Aim, Aim> {
        let ecs = aiming.target.ecs.as_ref();
        let Some((ecs, service)) = ecs.and_then(|ecs| Some((ecs, ecs.service(&self.service)?))) else {
            return Err(Aim::Never(format!("the target names no service for {}", self.service)));
        };
        let what = format!("service {service}");
        let view = fresh(aiming.observation.services.get(service), aiming.not_before, &what)?;
        guard::permits_arn(&aiming.target.guard, &view.arn, &view.tags, &what)?;
        guard::is_free(&view.tags, &aiming.fault, &what)?;
        if view.tasks.iter().any(|task| task.own) {
            return Err(Aim::Never(format!("dagstorm itself runs in {what}: it would stop itself")));
        }
        if view.draining {
            return Err(Aim::Wait(guard::nothing_replaces(&what)));
        }
        self.is_allowed(aiming, view)?;
        if view.desired == 0 {
            return Err(Aim::Wait(format!("{what} wants no task: there is nothing to drain")));
        }
        let object = Object::Service(view.arn.clone());
        let set = |from: u32, to: u32| Effect::SetDesiredCount {
            cluster: ecs.cluster.clone(),
            service: view.arn.clone(),
            from,
            to,
        };
        let undo = vec![set(0, view.desired), Effect::Unmark { object: object.clone() }];
        let tags = aiming.mark(&undo)?;
        Ok(Aim::Ready {
            targets: running(view),
            objects: vec![object.clone()],
            inject: vec![Effect::Mark { object, tags }, set(view.desired, 0)],
            undo: Undo { effects: undo, steady: Some(service.to_owned()) },
        })
    }

    /// A drain leaves no task at all: the guard must allow that.
    fn is_allowed(&self, aiming: &Aiming<'_>, view: &ServiceView) -> Result<(), Aim> {
        let guard = &aiming.target.guard;
        let running = running(view).len() as u32;
        if guard.min_healthy > 0 {
            return Err(Aim::Never(format!(
                "minHealthy {} forbids to drain {}: no task would stay",
                guard.min_healthy, self.service
            )));
        }
        let cap = guard.max_affected.map(|limit: Amount| limit.cap(running));
        match cap.filter(|most| *most < running) {
            Some(most) => Err(Aim::Never(format!(
                "maxAffected allows {most} of the {running} tasks of {}: a drain takes all",
                self.service
            ))),
            None => Ok(()),
        }
    }

    pub fn progress(
        &self,
        target: &Target,
        injected: &Injected<'_>,
        observation: &Observation,
        since: Timestamp,
    ) -> Progress {
        let service = target.ecs.as_ref().and_then(|ecs| ecs.service(&self.service));
        let seen = service.and_then(|service| observation.services.get(service));
        let view = match judged(seen, since) {
            Ok(view) => view,
            Err(progress) => return progress,
        };
        let marked = injected.has_marked(&view.tags);
        match (view.desired, running(view).len() as u32) {
            (0, 0) if marked => Progress::Broken,
            (0, _) => Progress::NotYet,
            (_, _) if marked => Progress::Marked,
            // Whoever else set another count has taken it over: nothing of ours is left.
            (desired, running) if running < desired => Progress::Recovering,
            (_, _) => Progress::Steady,
        }
    }
}

fn running(view: &ServiceView) -> Vec<TaskView> {
    view.tasks.iter().filter(|task| task.running && !task.stopping).cloned().collect()
}
