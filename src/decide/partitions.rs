//! The partitions that launches are for: Dagster resolves them before the start, and what it says then holds for every
//! launch, so that one that is sent again sends the same.

use std::{collections::BTreeMap, time::Duration};

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    journal::{Event, Generation, ResolvedChoice, ResolvedPartition},
    model::{Observation, PARTITION_TAG, PartitionsView, Query, Seen, Timed, Why, WhyKind},
    plan::{Arrival, Choice, Plan},
    spec,
};

/// How often to ask again while something else is waited for. Each time, Dagster runs code of its users.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What has to be asked before the start.
pub fn look(plan: &Plan, state: &Generation) -> Option<Query> {
    let is_open = state.started_at.is_none() && state.partitions.is_none() && !plan.asks.is_empty();
    is_open.then(|| Query::Partitions { asks: plan.asks.clone() })
}

/// The answer, with Dagster's YAML read.
pub fn read(seen: &Timed<Vec<PartitionsView>>) -> Timed<Vec<ResolvedChoice>> {
    let answer = match &seen.answer {
        Seen::Fresh(views) => {
            views.iter().map(resolve).collect::<Result<_, Why>>().map_or_else(Seen::Unavailable, Seen::Fresh)
        }
        Seen::Unavailable(why) => Seen::Unavailable(why.clone()),
    };
    Timed { asked_at: seen.asked_at, answer }
}

fn resolve(view: &PartitionsView) -> Result<ResolvedChoice, Why> {
    let mut partitions = BTreeMap::new();
    for one in &view.partitions {
        let run_config = spec::run_config(&one.config).map_err(|wrong| Why {
            kind: WhyKind::Mismatch,
            message: format!("the run config that Dagster has for partition `{}` cannot be sent: {wrong}", one.key),
        })?;
        let mut tags = one.tags.clone();
        tags.insert(PARTITION_TAG.to_owned(), one.key.clone());
        partitions.insert(one.key.clone(), ResolvedPartition { run_config, tags });
    }
    Ok(ResolvedChoice { choice: view.choice, keys: view.keys.clone(), partitions })
}

/// What is to be written down before the start, if anything is.
///
/// # Errors
/// Why it is not known yet.
pub fn resolved(plan: &Plan, state: &Generation, observation: &Observation) -> Result<Option<Event>, Why> {
    if look(plan, state).is_none() {
        return Ok(None);
    }
    let missing = || Why { kind: WhyKind::NotFound, message: "nobody has asked yet".to_owned() };
    match read(observation.partitions.as_ref().ok_or_else(missing)?).answer {
        Seen::Fresh(choices) => Ok(Some(Event::PartitionsResolved { choices })),
        Seen::Unavailable(why) => Err(why),
    }
}

/// The partition of an arrival; `None`: its choice has none.
pub fn of<'a>(choice: &Choice, arrival: Arrival, resolved: &'a [ResolvedChoice]) -> Option<&'a ResolvedPartition> {
    let planned = choice.partition.as_ref()?;
    let known = resolved.iter().find(|known| known.choice == arrival.choice);
    let known = known.expect("partitions are resolved before the start");
    let position = planned.partitioning.position(planned.stream, arrival.turn, known.keys.len());
    let key = known.keys.get(position).expect("a choice that is launched has a key");
    Some(known.partitions.get(key).expect("every key that an arrival has is resolved"))
}

/// The run config and the tags of a launch: the manifest's stand before the partition's.
pub fn merged(choice: &Choice, partition: Option<&ResolvedPartition>) -> (Value, IndexMap<String, String>) {
    let Some(partition) = partition else { return (choice.run_config.clone(), choice.tags.clone()) };
    let mut tags = choice.tags.clone();
    for (tag, value) in &partition.tags {
        tags.entry(tag.clone()).or_insert_with(|| value.clone());
    }
    (laid_over(partition.run_config.clone(), &choice.run_config), tags)
}

/// Maps are joined key by key; of anything else, what lies above is taken.
fn laid_over(below: Value, above: &Value) -> Value {
    match (below, above) {
        (Value::Object(mut below), Value::Object(above)) => {
            for (key, value) in above {
                let joined = below.remove(key).map_or_else(|| value.clone(), |under| laid_over(under, value));
                below.insert(key.clone(), joined);
            }
            Value::Object(below)
        }
        (_, above) => above.clone(),
    }
}
