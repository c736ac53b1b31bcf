//! What a job entry launches of its job: a partition, a selection of assets.

use indexmap::IndexMap;

use super::{Path, Problem, Problems};
use crate::{
    load::JobMix,
    model::{Keys, PARTITION_SET_TAG, PARTITION_TAG, Partitioning},
    spec::{
        partition::{RawKeys, RawPartition},
        passed_on::Text,
    },
};

/// Dagster's own tags of a partition.
const OF_PARTITIONS: [&str; 2] = [PARTITION_TAG, PARTITION_SET_TAG];
const EXAMPLE: &str = "name each asset by its key, as in `[raw/orders, customers]`";

/// The partition of a job's runs. Keys that cannot be are named, and tags that say a partition a second time.
pub fn partition(
    problems: &mut Problems<'_>,
    at: &Path,
    raw: Option<RawPartition>,
    tags: &IndexMap<String, String>,
) -> Option<Partitioning> {
    let raw = raw?;
    for tag in OF_PARTITIONS.into_iter().filter(|tag| tags.contains_key(*tag)) {
        let message = format!("`partition` sets the tag `{tag}` itself");
        let problem = Problem::new(at.key("tags").key(tag), message).with_help("leave the tag out");
        problems.found.push(problem.on_key());
    }
    let here = at.key("partition");
    let choice = match raw {
        RawPartition::One(partitioning) => return Some(partitioning),
        RawPartition::Several(choice) => choice,
    };
    if !problems.exactly_one(&here, &[("each", choice.each.is_some()), ("draw", choice.draw.is_some())]) {
        return None;
    }
    let each = choice.each.map(|RawKeys(keys)| Partitioning::Each(keys));
    let partitioning = each.or(choice.draw.map(|RawKeys(keys)| Partitioning::Draw(keys)))?;
    match &partitioning {
        Partitioning::Each(keys) => check_keys(problems, &here.key("each"), keys),
        Partitioning::Draw(keys) => check_keys(problems, &here.key("draw"), keys),
        Partitioning::Key(_) | Partitioning::Latest => {}
    }
    Some(partitioning)
}

fn check_keys(problems: &mut Problems<'_>, at: &Path, keys: &Keys) {
    let Keys::These(keys) = keys else { return };
    if keys.is_empty() && !problems.left_out.touches(at) {
        problems.add(at, "is empty: name at least one key, or write `all`");
    }
    for (number, _) in keys.iter().enumerate().filter(|(_, key)| key.is_empty()) {
        let index = problems.left_out.index(at, number);
        problems.add(&at.index(index), "is empty: a partition key is a text");
    }
}

/// A tag that each row of a trace sets, and that `partition` of a job may set already.
pub fn check_column(problems: &mut Problems<'_>, at: &Path, tag: &str, jobs: Option<&JobMix>) {
    let mut partitioned = jobs.iter().flat_map(|mix| &mix.jobs).filter(|one| one.partition.is_some());
    let Some(one) = partitioned.next().filter(|_| OF_PARTITIONS.contains(&tag)) else { return };
    let message = format!("`partition` of job `{}` sets the tag `{tag}` itself", one.job);
    problems.found.push(Problem::new(at.clone(), message).with_help("leave one of the two out").on_key());
}

/// The keys of the selected assets, each once; none: the whole job.
pub fn assets(problems: &mut Problems<'_>, at: &Path, raw: Option<Vec<Text>>) -> Vec<String> {
    let Some(raw) = raw else { return vec![] };
    if raw.is_empty() && !problems.left_out.touches(at) {
        problems.add_with_help(at, "is empty", format!("{EXAMPLE}, or leave it out for the whole job"));
    }
    let mut assets: Vec<String> = vec![];
    for (number, Text(asset)) in raw.into_iter().enumerate() {
        let here = at.index(problems.left_out.index(at, number));
        if asset.split('/').any(|part| part.trim().is_empty()) {
            problems.add_with_help(&here, format!("`{asset}` is no asset key"), EXAMPLE);
        } else if asset.contains(['*', '+', ':', '"', '(', ')']) {
            problems.add_with_help(&here, format!("`{asset}` is a selection of assets, and not a key"), EXAMPLE);
        } else if assets.contains(&asset) {
            problems.add(&here, format!("`{asset}` is given twice"));
        }
        assets.push(asset);
    }
    assets
}
