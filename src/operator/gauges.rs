//! Queue depth and worker counts of every target, at an even pace, whether or not a scenario runs.

use std::{sync::Arc, time::Duration};

use super::Handle;
use crate::{
    model::{Observation, Outcome, Query, Target},
    publish,
    world::{Clock, World},
};

/// How often the gauges are published.
pub const EVERY: Duration = Duration::from_secs(10);

/// Looks at each target once and publishes what was seen. What cannot be seen gives no datum.
pub async fn publish<W: World, S, C: Clock>(shared: Handle<W, S, C>, targets: Vec<Target>) {
    for target in targets {
        let observation = look(&shared, &target).await;
        let data = publish::gauges(&target, &observation, shared.clock.now());
        if target.metrics.is_none() {
            for datum in &data {
                tracing::info!(target = %target.name, metric = datum.name, values = ?datum.values, "metric");
            }
            continue;
        }
        if data.is_empty() {
            continue;
        }
        match shared.world.emit(&target, &data).await {
            Outcome::Done(_) => {}
            Outcome::Refused { reason, .. } | Outcome::Unknown { reason } => {
                tracing::warn!(target = %target.name, %reason, "metrics were not published");
            }
        }
    }
}

async fn look<W: World, S, C: Clock>(shared: &Arc<super::Shared<W, S, C>>, target: &Target) -> Observation {
    let services = target.ecs.iter().flat_map(|ecs| ecs.services.values());
    let queries: Vec<Query> = services
        .map(|service| Query::Service { service: service.clone() })
        .chain(target.queue.iter().map(|_| Query::Queue))
        .collect();
    let looks = queries.iter().map(|query| shared.world.look(target, query));
    let mut observation = Observation::default();
    for seen in futures::future::join_all(looks).await {
        observation.merge(seen);
    }
    observation
}
