//! What Dagster says of the partitions and the assets that launches are for.
//!
//! The documents fit every Dagster from 1.8.0 on: there, a job itself knows nothing of its partitions, its partition set
//! does. Dagster's own job of assets has no partition set; its partitions are those of the assets, it has no config of
//! theirs, and the key is the only tag.

mod answers;

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use indexmap::IndexMap;
use serde_json::{Value, json};

use self::answers::{Asset, AssetsData, PartitionData, PartitionsData};
use super::{
    dagster::{Dagster, Partial},
    graphql::{ASSETS, Cause, PARTITION, PARTITIONS},
};
use crate::model::{
    ASSET_JOB, KeyRange, Keys, PARTITION_TAG, PartitionAsk, PartitionView, Partitioning, PartitionsView, Why, WhyKind,
    meant, suggest,
};

/// Of so many partitions the config is asked for at most.
const MOST_PARTITIONS: usize = 1_000;
/// So many are asked for at once: each makes the code location work.
const AT_ONCE: usize = 8;
const MULTIPLE: &str = "MULTIPARTITIONED";

/// The keys of a job, and the partition set that makes their config and tags.
struct Source {
    keys: Vec<String>,
    set: Option<String>,
}

impl Dagster {
    /// Answers every ask, in their order.
    ///
    /// # Errors
    /// What is not as the manifest says, or could not be asked.
    pub async fn partitions(&self, asks: &[PartitionAsk]) -> Result<Vec<PartitionsView>, Why> {
        let mut views = vec![];
        for ask in asks {
            views.push(self.partitions_of(ask).await?);
        }
        Ok(views)
    }

    async fn partitions_of(&self, ask: &PartitionAsk) -> Result<PartitionsView, Why> {
        let assets = self.assets(ask).await?;
        let Some(partitioning) = &ask.partitioning else {
            return Ok(PartitionsView { choice: ask.choice, there: None, keys: vec![], partitions: vec![] });
        };
        let source = self.source(ask, assets).await?;
        let there = range(&source.keys);
        let keys = chosen(&ask.job, partitioning, source.keys, ask.turns)?;
        let positions = (0..ask.turns).map(|turn| partitioning.position(ask.stream, turn, keys.len()));
        let used: BTreeSet<usize> = positions.collect();
        if used.len() > MOST_PARTITIONS {
            return Err(mismatch(format!(
                "job `{}` would be launched for {} partitions, and {MOST_PARTITIONS} are the most: name the keys, as in \
                 `partition: {{ each: [a, b] }}`",
                ask.job,
                used.len()
            )));
        }
        let (set, job) = (source.set.as_deref(), &ask.job);
        let keys_used: Vec<String> = used.into_iter().map(|position| keys[position].clone()).collect();
        let asked = keys_used.into_iter().map(|key| async move {
            match set {
                Some(set) => self.partition(job, set, key).await,
                None => Ok(of_assets(key)),
            }
        });
        let partitions = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        Ok(PartitionsView { choice: ask.choice, there, keys, partitions })
    }

    /// The selected assets; an error where the job cannot materialize them.
    async fn assets(&self, ask: &PartitionAsk) -> Result<Vec<Asset>, Why> {
        if ask.assets.is_empty() {
            return Ok(vec![]);
        }
        let found = self.assets_of(Some(&ask.assets), ask.partitioning.is_some()).await?;
        for wanted in &ask.assets {
            let Some(asset) = found.iter().find(|asset| asset.name() == *wanted) else {
                let all = self.assets_of(None, false).await?;
                let names: Vec<String> = all.iter().filter(|asset| asset.is_executable).map(Asset::name).collect();
                let known = suggest(wanted, names.iter().map(String::as_str), "it has");
                let location = &self.target.location;
                return Err(not_found(format!("code location `{location}` has no asset `{wanted}`: {known}")));
            };
            if !asset.is_executable {
                return Err(mismatch(format!("asset `{wanted}` is external: no run materializes it")));
            }
            if !asset.job_names.contains(&ask.job) {
                let jobs = asset.job_names.iter().map(|job| format!("`{job}`")).collect::<Vec<_>>().join(", ");
                return Err(mismatch(format!("asset `{wanted}` is not of job `{}`; it is of {jobs}", ask.job)));
            }
            if asset.is_partitioned && ask.partitioning.is_none() && !ask.is_tagged {
                let way_out = "say which partition of it is materialized, as in `partition: latest`";
                return Err(mismatch(format!("asset `{wanted}` is partitioned: {way_out}")));
            }
        }
        Ok(found)
    }

    /// These assets of the target's repository, or all.
    async fn assets_of(&self, assets: Option<&[String]>, with_keys: bool) -> Result<Vec<Asset>, Why> {
        let keys: Option<Vec<Value>> = assets.map(|assets| assets.iter().map(|asset| asset_key(asset)).collect());
        let variables = json!({ "assets": keys, "withKeys": with_keys });
        let data: AssetsData = self.call(ASSETS, &variables, Partial::Refused).await.map_err(|failure| failure.why)?;
        let is_here = |asset: &Asset| {
            asset.repository.location.name == self.target.location && asset.repository.name == self.target.repository
        };
        Ok(data.asset_nodes.into_iter().filter(is_here).collect())
    }

    /// Where the keys of a job come from: from its partition set, or else from its assets.
    async fn source(&self, ask: &PartitionAsk, assets: Vec<Asset>) -> Result<Source, Why> {
        if let Some(set) = self.partition_set(&ask.job).await? {
            return Ok(set);
        }
        let job = &ask.job;
        let mut partitioned = assets.into_iter().filter(|asset| asset.is_partitioned);
        let Some(first) = partitioned.next() else {
            let hint = if ask.assets.is_empty() && job == ASSET_JOB { ", or name `assets`" } else { "" };
            return Err(mismatch(format!("job `{job}` is not partitioned: leave `partition` out{hint}")));
        };
        if first.partition_definition.as_ref().is_some_and(|definition| definition.kind == MULTIPLE) {
            return Err(mismatch(format!(
                "asset `{}` has partitions of several dimensions: launch it by an asset job of its own, which knows their tags",
                first.name()
            )));
        }
        if let Some(other) = partitioned.find(|other| other.partition_keys != first.partition_keys) {
            let (first, other) = (first.name(), other.name());
            return Err(mismatch(format!(
                "assets `{first}` and `{other}` have different partitions: launch them by job entries of their own"
            )));
        }
        Ok(Source { keys: first.partition_keys, set: None })
    }

    async fn partition_set(&self, job: &str) -> Result<Option<Source>, Why> {
        let variables = json!({ "repository": self.repository(), "job": job });
        let data: PartitionsData =
            self.call(PARTITIONS, &variables, Partial::Refused).await.map_err(|failure| failure.why)?;
        let sets = data.partition_sets_or_error;
        if sets.typename != "PartitionSets" {
            let what = format!("the partitions of job `{job}`");
            return Err(failed(&what, &sets.typename, sets.message.as_deref(), &sets.fields.causes));
        }
        let Some(set) = sets.fields.results.into_iter().next() else { return Ok(None) };
        let names = set.partitions_or_error;
        if names.typename != "Partitions" {
            let what = format!("the partition keys of job `{job}`");
            return Err(failed(&what, &names.typename, names.message.as_deref(), &names.fields.causes));
        }
        let keys = names.fields.results.into_iter().map(|one| one.name).collect();
        Ok(Some(Source { keys, set: Some(set.name) }))
    }

    /// The config and the tags of one partition, as Dagster's own pages ask for them before they launch it.
    async fn partition(&self, job: &str, set: &str, key: String) -> Result<PartitionView, Why> {
        let variables = json!({ "repository": self.repository(), "set": set, "key": key });
        let data: PartitionData =
            self.call(PARTITION, &variables, Partial::Refused).await.map_err(|failure| failure.why)?;
        let found = data.partition_set_or_error;
        let Some(partition) = found.fields.partition else {
            let message = found.message.as_deref();
            return Err(failed(&format!("partition `{key}` of job `{job}`"), &found.typename, message, &[]));
        };
        let (config, tags) = (partition.run_config_or_error, partition.tags_or_error);
        let Some(yaml) = config.fields.yaml else {
            let what = format!("the run config of partition `{key}` of job `{job}`");
            return Err(failed(&what, &config.typename, config.message.as_deref(), &config.fields.causes));
        };
        if tags.typename != "PartitionTags" {
            let what = format!("the tags of partition `{key}` of job `{job}`");
            return Err(failed(&what, &tags.typename, tags.message.as_deref(), &tags.fields.causes));
        }
        let tags = tags.fields.results.into_iter().map(|tag| (tag.key, tag.value)).collect();
        Ok(PartitionView { key, config: yaml, tags })
    }

    fn repository(&self) -> Value {
        json!({ "repositoryName": self.target.repository, "repositoryLocationName": self.target.location })
    }
}

/// Names the assets in a selector of a job; none: the whole job.
pub(super) fn select_assets(selector: &mut Value, assets: &[String]) {
    if !assets.is_empty() {
        selector["assetSelection"] = assets.iter().map(|asset| asset_key(asset)).collect();
    }
}

/// An asset key as GraphQL takes it.
fn asset_key(asset: &str) -> Value {
    json!({ "path": asset.split('/').collect::<Vec<_>>() })
}

fn of_assets(key: String) -> PartitionView {
    let tags = IndexMap::from([(PARTITION_TAG.to_owned(), key.clone())]);
    PartitionView { key, config: String::new(), tags }
}

/// The keys that arrivals choose from.
fn chosen(job: &str, partitioning: &Partitioning, keys: Vec<String>, turns: u32) -> Result<Vec<String>, Why> {
    let wanted = match partitioning {
        Partitioning::Key(key) => std::slice::from_ref(key),
        Partitioning::Each(Keys::These(wanted)) | Partitioning::Draw(Keys::These(wanted)) => wanted,
        Partitioning::Latest | Partitioning::Each(Keys::All) | Partitioning::Draw(Keys::All) => &[],
    };
    let Some(last) = keys.last() else {
        return Err(mismatch(format!("job `{job}` has no partition yet")));
    };
    let known: BTreeSet<&String> = keys.iter().collect();
    if let Some(missing) = wanted.iter().find(|key| !known.contains(key)) {
        return Err(not_found(format!("job `{job}` has no partition `{missing}`: {}", instead(missing, &keys))));
    }
    Ok(match partitioning {
        Partitioning::Key(_) | Partitioning::Each(Keys::These(_)) | Partitioning::Draw(Keys::These(_)) => {
            wanted.to_vec()
        }
        Partitioning::Latest => vec![last.clone()],
        // No arrival comes further than this.
        Partitioning::Each(Keys::All) => keys.into_iter().take(turns.max(1) as usize).collect(),
        Partitioning::Draw(Keys::All) => keys,
    })
}

/// So many keys are listed.
const LISTED: usize = 10;

/// What there is instead of a key.
fn instead(missing: &str, keys: &[String]) -> String {
    let names = || keys.iter().map(String::as_str);
    match range(keys).filter(|range| range.count > LISTED) {
        None => suggest(missing, names(), "it has"),
        Some(range) => {
            let meant = meant(missing, names()).map(|meant| format!("did you mean `{meant}`? "));
            format!("{}it has {range}", meant.unwrap_or_default())
        }
    }
}

fn range(keys: &[String]) -> Option<KeyRange> {
    let (first, last) = (keys.first()?.clone(), keys.last()?.clone());
    Some(KeyRange { first, last, count: keys.len() })
}

fn not_found(message: String) -> Why {
    Why { kind: WhyKind::NotFound, message }
}

fn mismatch(message: String) -> Why {
    Why { kind: WhyKind::Mismatch, message }
}

fn failed(what: &str, typename: &str, message: Option<&str>, causes: &[Cause]) -> Why {
    let mut parts: Vec<&str> = message.map(str::trim).into_iter().collect();
    parts.extend(causes.iter().map(|cause| cause.message.trim()));
    let message = format!("Dagster cannot tell {what}: {typename}: {}", super::dagster::quote(&parts.join("; ")));
    Why { kind: WhyKind::ServerError, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_chosen_from_those_that_there_are() {
        let keys = || ["a", "b", "c"].map(str::to_owned).to_vec();
        let these = |keys: &[&str]| Keys::These(keys.iter().map(|key| (*key).to_owned()).collect());
        for (partitioning, chosen_keys) in [
            (Partitioning::Key("b".to_owned()), &["b"][..]),
            (Partitioning::Latest, &["c"]),
            (Partitioning::Each(Keys::All), &["a", "b"]),
            (Partitioning::Draw(Keys::All), &["a", "b", "c"]),
            (Partitioning::Each(these(&["c", "a", "c"])), &["c", "a", "c"]),
            (Partitioning::Draw(these(&["b"])), &["b"]),
        ] {
            assert_eq!(chosen("j", &partitioning, keys(), 2).expect("keys"), chosen_keys, "{partitioning:?}");
        }
        for (partitioning, keys, words) in [
            (
                Partitioning::Key("d".to_owned()),
                keys(),
                "job `j` has no partition `d`: did you mean `a`? It has: a, b, c",
            ),
            (Partitioning::Each(these(&["a", "x"])), keys(), "no partition `x`"),
            (Partitioning::Latest, vec![], "job `j` has no partition yet"),
            (Partitioning::Draw(Keys::All), vec![], "job `j` has no partition yet"),
        ] {
            let why = chosen("j", &partitioning, keys, 2).expect_err(words);
            assert!(why.message.contains(words), "{why}");
        }
    }
}
