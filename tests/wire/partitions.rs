//! The partitions and the assets of the Dagster of these tests, as the real one answers.
//!
//! `day_job` has its config from its partition, and each time it is asked it says something else. `dims_job` has two
//! dimensions. The assets `raw/orders` and `customers` have the same partitions, `whole` has none, `ext` is external.

use serde_json::{Value, json};

const DAYS: [&str; 3] = ["2026-11-01", "2026-11-02", "2026-11-03"];
const REGIONS: [&str; 3] = ["eu", "us", "asia"];

/// The partition set of a job, if it has one.
pub fn partitions(variables: &Value) -> Value {
    let keys: &[&str] = match variables["job"].as_str().unwrap() {
        "day_job" => &DAYS,
        "dims_job" => &["1|x", "2|x"],
        _ => return json!({ "partitionSetsOrError": { "__typename": "PartitionSets", "results": [] } }),
    };
    let names: Vec<Value> = keys.iter().map(|key| json!({ "name": key })).collect();
    let set = json!({
        "name": format!("{}_partition_set", variables["job"].as_str().unwrap()),
        "partitionsOrError": { "__typename": "Partitions", "results": names },
    });
    json!({ "partitionSetsOrError": { "__typename": "PartitionSets", "results": [set] } })
}

/// The config and the tags of a partition. As the real one, it answers for any key.
pub fn partition(variables: &Value, asked: u32) -> Value {
    let (set, key) = (variables["set"].as_str().unwrap(), variables["key"].as_str().unwrap());
    let (config, more) = if set == "day_job_partition_set" {
        let config = format!("ops:\n  use_day:\n    config:\n      day: {key}\n      asked: {asked}\n");
        (config, vec![("tier", "gold".to_owned())])
    } else {
        let (first, second) = key.split_once('|').unwrap();
        ("{}\n".to_owned(), vec![("dagster/partition/a", first.to_owned()), ("dagster/partition/b", second.to_owned())])
    };
    let own = [("dagster/partition", key.to_owned()), ("dagster/partition_set", set.to_owned())];
    let tags: Vec<Value> =
        own.into_iter().chain(more).map(|(key, value)| json!({ "key": key, "value": value })).collect();
    json!({ "partitionSetOrError": { "__typename": "PartitionSet", "partition": {
        "runConfigOrError": { "__typename": "PartitionRunConfig", "yaml": config },
        "tagsOrError": { "__typename": "PartitionTags", "results": tags },
    } } })
}

/// The assets that are asked for, or all.
pub fn assets(variables: &Value) -> Value {
    let with_keys = variables["withKeys"].as_bool().unwrap();
    let asset = |path: &[&str], kind: Option<&str>, keys: &[&str], is_executable: bool| {
        let mut node = json!({
            "assetKey": { "path": path },
            "isExecutable": is_executable,
            "isPartitioned": kind.is_some(),
            "jobNames": if is_executable { vec!["__ASSET_JOB"] } else { vec![] },
            "repository": { "name": "__repository__", "location": { "name": "demo" } },
            "partitionDefinition": kind.map(|kind| json!({ "type": kind })),
        });
        if with_keys {
            node["partitionKeys"] = json!(keys);
        }
        node
    };
    let mut elsewhere = asset(&["moved"], None, &[], true);
    elsewhere["repository"]["location"]["name"] = json!("etl");
    let all = [
        asset(&["raw", "orders"], Some("STATIC"), &REGIONS, true),
        asset(&["customers"], Some("STATIC"), &REGIONS, true),
        asset(&["daily"], Some("TIME_WINDOW"), &DAYS, true),
        asset(&["dims"], Some("MULTIPARTITIONED"), &["1|x"], true),
        asset(&["whole"], None, &[], true),
        asset(&["ext"], None, &[], false),
        elsewhere,
    ];
    let wanted = variables["assets"].as_array();
    let is_asked = |node: &Value| wanted.is_none_or(|wanted| wanted.contains(&node["assetKey"]));
    json!({ "assetNodes": all.into_iter().filter(is_asked).collect::<Vec<_>>() })
}

/// Whether a run config would be taken: `day_job` needs that of a partition.
pub fn config(variables: &Value) -> Value {
    let lacks = variables["job"] == "day_job" && variables["runConfig"]["ops"]["use_day"].is_null();
    let member = if lacks {
        json!({ "__typename": "RunConfigValidationInvalid", "errors": [{ "message": "Missing required config entry \"ops\"" }] })
    } else {
        json!({ "__typename": "PipelineConfigValidationValid" })
    };
    let mut data = partitions(variables);
    data["isPipelineConfigValid"] = member;
    data
}
