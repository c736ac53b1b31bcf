//! Dagster's answers about partitions and assets.

use serde::Deserialize;

use crate::world::graphql::{Cause, Member, Tag};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionsData {
    pub partition_sets_or_error: Member<Sets>,
}

#[derive(Debug, Deserialize)]
pub struct Sets {
    #[serde(default)]
    pub results: Vec<Set>,
    #[serde(default)]
    pub causes: Vec<Cause>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Set {
    pub name: String,
    pub partitions_or_error: Member<Names>,
}

#[derive(Debug, Deserialize)]
pub struct Names {
    #[serde(default)]
    pub results: Vec<Name>,
    #[serde(default)]
    pub causes: Vec<Cause>,
}

#[derive(Debug, Deserialize)]
pub struct Name {
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionData {
    pub partition_set_or_error: Member<SetOfOne>,
}

#[derive(Debug, Deserialize)]
pub struct SetOfOne {
    pub partition: Option<Partition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    pub run_config_or_error: Member<Config>,
    pub tags_or_error: Member<Tags>,
}

#[derive(Debug, Deserialize)]
pub struct Config {
    pub yaml: Option<String>,
    #[serde(default)]
    pub causes: Vec<Cause>,
}

#[derive(Debug, Deserialize)]
pub struct Tags {
    #[serde(default)]
    pub results: Vec<Tag>,
    #[serde(default)]
    pub causes: Vec<Cause>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetsData {
    pub asset_nodes: Vec<Asset>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asset {
    pub asset_key: AssetKey,
    pub is_executable: bool,
    pub is_partitioned: bool,
    #[serde(default)]
    pub job_names: Vec<String>,
    pub repository: Repository,
    pub partition_definition: Option<Definition>,
    #[serde(default)]
    pub partition_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct AssetKey {
    pub path: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Repository {
    pub name: String,
    pub location: Name,
}

#[derive(Debug, Deserialize)]
pub struct Definition {
    #[serde(rename = "type")]
    pub kind: String,
}

impl Asset {
    pub fn name(&self) -> String {
        self.asset_key.path.join("/")
    }
}
