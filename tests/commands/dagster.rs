//! As much of Dagster as a launch and a look need: runs that succeed at once, kept with whoever asked for them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::{Value, json};

/// The header by which the stub tells one operator from another.
pub const WHO: &str = "x-operator";

#[derive(Debug, Clone)]
pub struct Run {
    pub id: String,
    pub who: String,
    pub tags: BTreeMap<String, String>,
}

impl Run {
    pub fn key(&self) -> &str {
        &self.tags["dagstorm/key"]
    }
}

/// A server on a port of its own, until the test's runtime ends.
pub struct Dagster {
    pub url: String,
    runs: Arc<Mutex<Vec<Run>>>,
}

impl Dagster {
    pub async fn start() -> Self {
        let runs: Arc<Mutex<Vec<Run>>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/graphql", listener.local_addr().unwrap());
        let router = Router::new().route("/graphql", post(answer)).with_state(Arc::clone(&runs));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, runs }
    }

    /// All runs, in the order of their launches.
    pub fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    pub fn launched_by(&self, who: &str) -> usize {
        self.runs().iter().filter(|run| run.who == who).count()
    }
}

async fn answer(State(runs): State<Arc<Mutex<Vec<Run>>>>, headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
    let variables = &body["variables"];
    let mut runs = runs.lock().unwrap();
    if body["query"].as_str().unwrap().contains("launchRun") {
        let tags = pairs(&variables["params"]["executionMetadata"]["tags"]);
        let who = headers.get(WHO).map(|who| who.to_str().unwrap().to_owned()).unwrap_or_default();
        let id = format!("run-{}", runs.len() + 1);
        runs.push(Run { id: id.clone(), who, tags });
        return Json(json!({ "data": { "launchRun": { "__typename": "LaunchRunSuccess", "run": { "runId": id } } } }));
    }
    let jobs = json!([{ "name": "fast_job" }, { "name": "picky_job" }]);
    if body["query"].as_str().unwrap().contains("isPipelineConfigValid") {
        let member = if variables["job"] == "picky_job" {
            json!({ "__typename": "RunConfigValidationInvalid", "errors": [{ "message": "Missing required config entry \"ops\"" }] })
        } else {
            json!({ "__typename": "PipelineConfigValidationValid" })
        };
        let partitions = json!({ "__typename": "PartitionSets", "results": [] });
        return Json(json!({ "data": { "isPipelineConfigValid": member, "partitionSetsOrError": partitions } }));
    }
    if body["query"].as_str().unwrap().contains("workspaceLocationEntryOrError") {
        let repositories = json!([{ "name": "__repository__", "jobs": jobs }]);
        let loaded = json!({ "__typename": "RepositoryLocation", "repositories": repositories });
        let entry =
            json!({ "__typename": "WorkspaceLocationEntry", "loadStatus": "LOADED", "locationOrLoadError": loaded });
        return Json(json!({ "data": { "workspaceLocationEntryOrError": entry } }));
    }
    let wanted = pairs(&variables["filter"]["tags"]);
    let ids = variables["filter"]["runIds"].as_array();
    let is_asked = |run: &Run| ids.is_none_or(|ids| ids.iter().any(|id| id.as_str() == Some(&run.id)));
    let has = |run: &&Run| is_asked(run) && wanted.iter().all(|(key, value)| run.tags.get(key) == Some(value));
    let cursor = variables["cursor"].as_str();
    let newest = runs.iter().rev().filter(has).skip_while(|run| cursor.is_some_and(|cursor| run.id != cursor));
    let page = newest.skip(usize::from(cursor.is_some())).take(variables["limit"].as_u64().unwrap() as usize);
    if body["query"].as_str().unwrap().contains("runIdsOrError") {
        let ids: Vec<&str> = page.map(|run| run.id.as_str()).collect();
        return Json(json!({ "data": { "runIdsOrError": { "__typename": "RunIds", "results": ids } } }));
    }
    let results: Vec<Value> = page.map(shown).collect();
    Json(json!({ "data": {
        "version": "1.13.27",
        "repositoryOrError": { "__typename": "Repository", "jobs": jobs },
        "runsOrError": { "__typename": "Runs", "results": results },
    } }))
}

fn shown(run: &Run) -> Value {
    let tags: Vec<Value> = run.tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let event = |what: &str| json!({ "eventType": what, "stepKey": "one", "timestamp": "1500.0" });
    let events = json!({ "cursor": "", "hasMore": false, "events": [event("STEP_START"), event("STEP_SUCCESS")] });
    json!({
        "runId": run.id, "jobName": "fast_job", "status": "SUCCESS", "startTime": 1.0, "endTime": 2.0, "tags": tags,
        "eventConnection": events,
    })
}

fn pairs(tags: &Value) -> BTreeMap<String, String> {
    let text = |tag: &Value, field: &str| tag[field].as_str().unwrap().to_owned();
    tags.as_array().unwrap().iter().map(|tag| (text(tag, "key"), text(tag, "value"))).collect()
}
