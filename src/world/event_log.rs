//! Dagster's runs and step events straight from its PostgreSQL: what a census over GraphQL says, for audits that are too large
//! for pages. The tables are Dagster's own and not documented: 1.8 to 1.13 have them so.

use std::collections::BTreeMap;

use futures::{TryStreamExt, pin_mut};
use serde_json::Value;
use tokio_postgres::{Client, Row};

use super::{
    graphql::{self, MetadataEntry},
    postgres,
};
use crate::model::{CensusQuery, Names, RunRecord, Why, WhyKind};

/// So many runs' events are asked for at once.
const RUNS: usize = 1_000;

/// Every run that carries both tags, with the tags that are ours.
const RUNS_OF: &str = "
    SELECT run.run_id::text, run.pipeline_name, run.status::text, run.start_time, run.end_time, key.value, started.value
    FROM run_tags AS scenario
    JOIN run_tags AS generation ON generation.run_id = scenario.run_id AND generation.key = $3 AND generation.value = $4
    JOIN runs AS run ON run.run_id = scenario.run_id
    LEFT JOIN run_tags AS key ON key.run_id = scenario.run_id AND key.key = $5
    LEFT JOIN run_tags AS started ON started.run_id = scenario.run_id AND started.key = $6
    WHERE scenario.key = $1 AND scenario.value = $2";

/// The events that an audit counts. GraphQL gives times in whole milliseconds: so does this.
const EVENTS_OF: &str = "
    SELECT run_id::text, step_key, dagster_event_type,
        floor(extract(epoch FROM timestamp) * 1000)::bigint::text,
        CASE WHEN dagster_event_type = 'STEP_WORKER_STARTED' THEN event END
    FROM event_logs
    WHERE run_id = ANY($1) AND dagster_event_type = ANY($2) AND step_key IS NOT NULL
    ORDER BY id";

/// Reads all runs of a generation with their step events, in the order in which they were written.
pub async fn read(variable: &str, query: &CensusQuery) -> Result<Vec<RunRecord>, Why> {
    let client = postgres::connect(variable).await?;
    let failed = |error: tokio_postgres::Error| postgres::why("Dagster's event log", &error);
    let (scenario, generation) = (query.scenario.to_string(), query.generation.to_string());
    let tags = [
        graphql::SCENARIO_TAG,
        &scenario,
        graphql::GENERATION_TAG,
        &generation,
        graphql::KEY_TAG,
        graphql::STARTED_TAG,
    ];
    let rows = client.query_raw(RUNS_OF, tags).await.map_err(failed)?;
    pin_mut!(rows);
    let mut runs: BTreeMap<String, RunRecord> = BTreeMap::new();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let run = run(&row).map_err(failed)?.view();
        runs.insert(run.run_id.clone(), RunRecord { run, events: vec![] });
    }
    let ids: Vec<String> = runs.keys().cloned().collect();
    for some in ids.chunks(RUNS) {
        events(&client, some, &mut runs).await?;
    }
    let mut names = Names::default();
    Ok(runs
        .into_values()
        .map(|mut record| {
            record.share(&mut names);
            record
        })
        .collect())
}

fn run(row: &Row) -> Result<graphql::Run, tokio_postgres::Error> {
    let tag = |name: &str, column: usize| {
        let value: Option<String> = row.try_get(column)?;
        Ok::<_, tokio_postgres::Error>(value.map(|value| graphql::Tag { key: name.to_owned(), value }))
    };
    Ok(graphql::Run {
        run_id: row.try_get(0)?,
        job_name: row.try_get(1)?,
        status: row.try_get(2)?,
        start_time: row.try_get(3)?,
        end_time: row.try_get(4)?,
        tags: [tag(graphql::KEY_TAG, 5)?, tag(graphql::STARTED_TAG, 6)?].into_iter().flatten().collect(),
        event_connection: None,
    })
}

async fn events(client: &Client, some: &[String], runs: &mut BTreeMap<String, RunRecord>) -> Result<(), Why> {
    let failed = |error: tokio_postgres::Error| postgres::why("Dagster's event log", &error);
    let some: Vec<&str> = some.iter().map(String::as_str).collect();
    let kinds: Vec<&str> = graphql::STEP_EVENTS.iter().map(|(word, _)| *word).collect();
    let rows = client.query_raw(EVENTS_OF, [some, kinds]).await.map_err(failed)?;
    pin_mut!(rows);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let run_id: &str = row.try_get(0).map_err(failed)?;
        let written: Option<&str> = row.try_get(4).map_err(failed)?;
        let event = graphql::Event {
            step_key: row.try_get(1).map_err(failed)?,
            event_type: row.try_get(2).map_err(failed)?,
            timestamp: row.try_get(3).map_err(failed)?,
            metadata_entries: written.map_or(Ok(vec![]), metadata)?,
        };
        if let (Some(record), Some(event)) = (runs.get_mut(run_id), event.step_event()) {
            record.events.push(event);
        }
    }
    Ok(())
}

/// The texts that a written event carries, wherever Dagster's serialization keeps them.
fn metadata(written: &str) -> Result<Vec<MetadataEntry>, Why> {
    let event: Value = serde_json::from_str(written).map_err(|error| Why {
        kind: WhyKind::Protocol,
        message: format!("Dagster's event log has an event that is no JSON: {error}"),
    })?;
    let data = &event["dagster_event"]["event_specific_data"];
    let listed = data["metadata_entries"].as_array().into_iter().flatten().filter_map(|entry| {
        let text = entry["entry_data"]["text"].as_str().or_else(|| entry["entry_data"]["value"].as_str());
        Some(MetadataEntry { label: entry["label"].as_str()?.to_owned(), text: text.map(str::to_owned) })
    });
    let mapped = data["metadata"].as_object().into_iter().flatten().map(|(label, entry)| {
        let text = entry["text"].as_str().or_else(|| entry["value"].as_str());
        MetadataEntry { label: label.clone(), text: text.map(str::to_owned) }
    });
    Ok(listed.chain(mapped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_as_either_version_writes_them() {
        let listed = r#"{"dagster_event":{"event_specific_data":{"metadata_entries":[
            {"entry_data":{"__class__":"TextMetadataEntryData","text":"arn:x"},"label":"task_arn"}]}}}"#;
        let mapped = r#"{"dagster_event":{"event_specific_data":{"metadata":{
            "task_arn":{"__class__":"TextMetadataValue","text":"arn:x"}}}}}"#;
        for written in [listed, mapped] {
            let found = metadata(written).expect("JSON");
            assert_eq!((found[0].label.as_str(), found[0].text.as_deref()), ("task_arn", Some("arn:x")), "{written}");
        }
        assert!(metadata(r#"{"dagster_event":null}"#).expect("JSON").is_empty());
        assert!(metadata("torn").is_err());
    }
}
