//! Dagster's runs and step events straight from its PostgreSQL: what a census over GraphQL says, for audits that are too large
//! for pages. The tables are Dagster's own and not documented: 1.8 to 1.13 have them so.

use std::collections::BTreeMap;

use futures::{TryStreamExt, pin_mut};
use serde_json::Value;
use tokio_postgres::{Client, Row};

use super::{
    graphql::{self, Cause, ErrorWithCauses, MetadataEntry},
    postgres,
};
use crate::model::{CensusQuery, Names, RunRecord, Why, WhyKind, tags};

/// So many runs' events are asked for at once.
const RUNS: usize = 1_000;

/// Every run that carries both tags, with all of its tags as a JSON object. Dagster writes its own times as UTC.
const RUNS_OF: &str = "
    SELECT run.run_id::text, run.pipeline_name, run.status::text, run.start_time, run.end_time,
        extract(epoch FROM run.create_timestamp)::float8, extract(epoch FROM run.update_timestamp)::float8,
        (SELECT json_object_agg(tag.key, tag.value)::text FROM run_tags AS tag WHERE tag.run_id = run.run_id)
    FROM run_tags AS scenario
    JOIN run_tags AS generation ON generation.run_id = scenario.run_id AND generation.key = $3 AND generation.value = $4
    JOIN runs AS run ON run.run_id = scenario.run_id
    WHERE scenario.key = $1 AND scenario.value = $2";

/// The events that an audit counts. GraphQL gives times in whole milliseconds: so does this.
const EVENTS_OF: &str = "
    SELECT run_id::text, step_key, dagster_event_type,
        floor(extract(epoch FROM timestamp) * 1000)::bigint::text,
        CASE WHEN dagster_event_type IN ('STEP_WORKER_STARTED', 'STEP_FAILURE', 'RUN_FAILURE', 'PIPELINE_FAILURE',
            'ENGINE_EVENT')
            THEN event END
    FROM event_logs
    WHERE run_id = ANY($1) AND (dagster_event_type = ANY($2)
        OR dagster_event_type = 'ENGINE_EVENT' AND event LIKE ANY ($3))
    ORDER BY id";

/// Reads all runs of a generation with their step events, in the order in which they were written.
pub async fn read(variable: &str, query: &CensusQuery) -> Result<Vec<RunRecord>, Why> {
    let client = postgres::connect(variable).await?;
    let failed = |error: tokio_postgres::Error| postgres::why("Dagster's event log", &error);
    let (scenario, generation) = (query.scenario.to_string(), query.generation.to_string());
    let wanted = [tags::SCENARIO, &scenario, tags::GENERATION, &generation];
    let rows = client.query_raw(RUNS_OF, wanted).await.map_err(failed)?;
    pin_mut!(rows);
    let mut runs: BTreeMap<String, RunRecord> = BTreeMap::new();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let run = run(&row)?.view();
        runs.insert(run.run_id.clone(), RunRecord::new(run, vec![]));
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

fn run(row: &Row) -> Result<graphql::Run, Why> {
    let failed = |error: tokio_postgres::Error| postgres::why("Dagster's event log", &error);
    let tags: Option<&str> = row.try_get(7).map_err(failed)?;
    let tags: BTreeMap<String, String> = serde_json::from_str(tags.unwrap_or("{}")).map_err(|error| Why {
        kind: WhyKind::Protocol,
        message: format!("Dagster's event log has a tag that is no text: {error}"),
    })?;
    let code = tags.get(REPOSITORY_TAG).and_then(|code| code.split_once('@'));
    Ok(graphql::Run {
        run_id: row.try_get(0).map_err(failed)?,
        job_name: row.try_get(1).map_err(failed)?,
        status: row.try_get(2).map_err(failed)?,
        start_time: row.try_get(3).map_err(failed)?,
        end_time: row.try_get(4).map_err(failed)?,
        creation_time: row.try_get(5).map_err(failed)?,
        update_time: row.try_get(6).map_err(failed)?,
        // Dagster writes both as tags too.
        parent_run_id: None,
        root_run_id: None,
        repository_origin: code.map(|(repository, location)| graphql::RepositoryOrigin {
            repository_name: repository.to_owned(),
            repository_location_name: location.to_owned(),
        }),
        tags: tags.into_iter().map(|(key, value)| graphql::Tag { key, value }).collect(),
        event_connection: None,
    })
}

/// Where Dagster keeps the run's `repository@location`; GraphQL hides the tag and has a field of its own.
const REPOSITORY_TAG: &str = ".dagster/repository";

async fn events(client: &Client, some: &[String], runs: &mut BTreeMap<String, RunRecord>) -> Result<(), Why> {
    let failed = |error: tokio_postgres::Error| postgres::why("Dagster's event log", &error);
    let some: Vec<&str> = some.iter().map(String::as_str).collect();
    let kinds = graphql::STEP_EVENTS.iter().map(|(word, _)| *word).chain(graphql::RUN_FAILURES);
    let kinds: Vec<&str> = kinds.collect();
    let refusals = graphql::RETRY_REFUSALS.map(|words| format!("%{words}%"));
    let refusals: Vec<&str> = refusals.iter().map(String::as_str).collect();
    let rows = client.query_raw(EVENTS_OF, [some, kinds, refusals]).await.map_err(failed)?;
    pin_mut!(rows);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let run_id: &str = row.try_get(0).map_err(failed)?;
        let written: Option<&str> = row.try_get(4).map_err(failed)?;
        let event = graphql::Event {
            step_key: row.try_get(1).map_err(failed)?,
            event_type: row.try_get(2).map_err(failed)?,
            timestamp: row.try_get(3).map_err(failed)?,
            ..written.map_or(Ok(graphql::Event::default()), details)?
        };
        let Some(record) = runs.get_mut(run_id) else { continue };
        record.events.extend(event.step_event());
        record.retry_refused = event.retry_refusal().or(record.retry_refused.take());
        record.failure = event.run_failure().or(record.failure.take());
    }
    Ok(())
}

/// What a written event carries beside its columns: the texts of its metadata, and its error.
fn details(written: &str) -> Result<graphql::Event, Why> {
    let event: Value = serde_json::from_str(written).map_err(|error| Why {
        kind: WhyKind::Protocol,
        message: format!("Dagster's event log has an event that is no JSON: {error}"),
    })?;
    let data = &event["dagster_event"]["event_specific_data"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(graphql::Event {
        metadata_entries: metadata(data),
        message: text(&event["dagster_event"]["message"]).or_else(|| text(&event["user_message"])),
        // An enum is written as `{"__enum__": "ErrorSource.USER_CODE_ERROR"}`.
        error_source: data["error_source"]["__enum__"]
            .as_str()
            .and_then(|word| word.rsplit('.').next())
            .map(str::to_owned),
        error: data["error"].is_object().then(|| error(&data["error"])),
        ..graphql::Event::default()
    })
}

fn error(written: &Value) -> ErrorWithCauses {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut causes = vec![];
    let mut cause = &written["cause"];
    while cause.is_object() && causes.len() < MOST_CAUSES {
        causes
            .push(Cause { message: text(&cause["message"]).unwrap_or_default(), class_name: text(&cause["cls_name"]) });
        cause = &cause["cause"];
    }
    ErrorWithCauses {
        message: text(&written["message"]).unwrap_or_default(),
        class_name: text(&written["cls_name"]),
        causes,
    }
}

/// As many as GraphQL gives.
const MOST_CAUSES: usize = 10;

/// The texts of an event's metadata, wherever Dagster's serialization keeps them.
fn metadata(data: &Value) -> Vec<MetadataEntry> {
    let listed = data["metadata_entries"].as_array().into_iter().flatten().filter_map(|entry| {
        let text = entry["entry_data"]["text"].as_str().or_else(|| entry["entry_data"]["value"].as_str());
        Some(MetadataEntry { label: entry["label"].as_str()?.to_owned(), text: text.map(str::to_owned) })
    });
    let mapped = data["metadata"].as_object().into_iter().flatten().map(|(label, entry)| {
        let text = entry["text"].as_str().or_else(|| entry["value"].as_str());
        MetadataEntry { label: label.clone(), text: text.map(str::to_owned) }
    });
    listed.chain(mapped).collect()
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
            let found = details(written).expect("JSON").metadata_entries;
            assert_eq!((found[0].label.as_str(), found[0].text.as_deref()), ("task_arn", Some("arn:x")), "{written}");
        }
        assert!(details(r#"{"dagster_event":null}"#).expect("JSON").metadata_entries.is_empty());
        assert!(details("torn").is_err());
    }

    #[test]
    fn an_error_is_read_down_to_its_cause() {
        let written = r#"{"dagster_event":{"message":"Execution of step \"a\" failed.","event_specific_data":{
            "error_source":{"__enum__":"ErrorSource.USER_CODE_ERROR"},"error":{"__class__":"SerializableErrorInfo",
            "message":"DagsterExecutionStepExecutionError: Error occurred:\n","cls_name":"DagsterExecutionStepExecutionError",
            "cause":{"message":"ValueError: no such customer\n","cls_name":"ValueError","cause":null}}}}}"#;
        let event = graphql::Event {
            event_type: Some("STEP_FAILURE".to_owned()),
            step_key: Some("a".to_owned()),
            timestamp: Some("1000".to_owned()),
            ..details(written).expect("JSON")
        };
        let failure = event.step_event().and_then(|event| event.failure).expect("a failure");
        assert_eq!(failure.error, "ValueError: no such customer");
        assert_eq!(failure.class.as_deref(), Some("DagsterExecutionStepExecutionError"));
        assert_eq!(failure.source.as_deref(), Some("USER_CODE_ERROR"));
    }
}
