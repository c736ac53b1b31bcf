//! What a job entry launches of its job: a partition, a selection of assets.

use indexmap::IndexMap;

use super::{Path, Problem, Problems};
use crate::{
    model::{Keys, PARTITION_SET_TAG, PARTITION_TAG, Partitioning},
    spec::passed_on::Text,
};

const EXAMPLE: &str = "name each asset by its key, as in `[raw/orders, customers]`";

/// Keys that cannot be, and tags that say a partition a second time.
pub fn check_partition(
    problems: &mut Problems<'_>,
    at: &Path,
    partition: Option<&Partitioning>,
    tags: &IndexMap<String, String>,
) {
    let Some(partition) = partition else { return };
    let (word, keys) = match partition {
        Partitioning::Key(_) | Partitioning::Latest => ("", None),
        Partitioning::Each(keys) => ("each", Some(keys)),
        Partitioning::Draw(keys) => ("draw", Some(keys)),
    };
    if let Some(Keys::These(keys)) = keys {
        let here = at.key("partition").key(word);
        if keys.is_empty() && !problems.left_out.touches(&here) {
            problems.add(&here, "is empty: name at least one key, or write `all`");
        }
        for (number, _) in keys.iter().enumerate().filter(|(_, key)| key.is_empty()) {
            let index = problems.left_out.index(&here, number);
            problems.add(&here.index(index), "is empty: a partition key is a text");
        }
    }
    for tag in [PARTITION_TAG, PARTITION_SET_TAG].into_iter().filter(|tag| tags.contains_key(*tag)) {
        let message = format!("`partition` sets the tag `{tag}` itself");
        let problem = Problem::new(at.key("tags").key(tag), message).with_help("leave the tag out");
        problems.found.push(problem.on_key());
    }
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
