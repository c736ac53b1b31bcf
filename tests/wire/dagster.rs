//! A Dagster over HTTP: its truth lies in the memory of the test, its answers have the shapes of the real one's.
//!
//! A launch makes a run every time it is asked. The run is seen a little later, and goes from NOT_STARTED by QUEUED and
//! STARTED to SUCCESS, with the events of its steps. A request that does not fit the schema is refused, and remembered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
    serve::Listener,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{partitions, schema::Sdl};

pub const KEY_TAG: &str = "dagstorm/key";
/// How late a run is seen at most, in milliseconds.
const SEEN_AFTER: std::ops::RangeInclusive<u64> = 13..=450;
/// Jobs, and how many steps each has. `picky_job` refuses its configuration.
const JOBS: &[(&str, usize)] = &[
    ("fast_job", 1),
    ("slow_job", 3),
    ("wide_job", 840),
    ("picky_job", 1),
    ("day_job", 1),
    ("dims_job", 1),
    ("__ASSET_JOB", 1),
];
/// Events of a run that came with its launch, and of each step.
const EVENTS_OF_A_STEP: [&str; 4] = ["STEP_WORKER_STARTED", "STEP_START", "LOGS_CAPTURED", "STEP_SUCCESS"];

/// What the server does otherwise than the Dagster of its schema.
#[derive(Debug, Clone, Default)]
pub struct Quirks {
    /// Answers of the next launches, with their HTTP status; no run is made.
    pub launches: Vec<(u16, Value)>,
    /// Answers of the next look-ups, likewise; [`AS_EVER`] stands for what is true.
    pub looks: Vec<(u16, Value)>,
    /// After the next page of this operation, the last run of it is deleted.
    pub deletes_after: Option<&'static str>,
    /// A word between STARTED and SUCCESS.
    pub extra_status: Option<&'static str>,
    /// Runs are there and over at once.
    pub instant: bool,
    /// How the code location stands; a launch of any job is answered accordingly.
    pub location: Location,
    /// Launches are not permitted.
    pub read_only: bool,
}

/// How the code location stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Location {
    #[default]
    Loaded,
    /// It has another repository than the one that is asked for.
    Renamed,
    /// Its new version is being loaded; what it had is shown.
    Reloading,
    /// It is loaded for the first time.
    Loading,
    /// Its last load failed.
    Broken,
    /// The workspace has none of this name.
    Absent,
}

/// In place of an HTTP status: this call is answered as any other.
pub const AS_EVER: u16 = 0;

/// One run, as it was made.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: String,
    pub job: String,
    pub tags: BTreeMap<String, String>,
    /// The assets that were selected, and the run config.
    pub assets: Value,
    pub config: Value,
    /// Seconds since 1970.
    pub made_at: f64,
    pub seen_at: f64,
    started_at: f64,
    ended_at: f64,
}

#[derive(Default)]
pub struct Truth {
    /// In the order of their making.
    pub runs: Vec<Run>,
    /// What did not fit the schema.
    pub misfits: Vec<String>,
    /// The headers of every request.
    pub headers: Vec<HeaderMap>,
    pub quirks: Quirks,
    /// The documents that were asked for, by operation, and how often.
    pub asked: BTreeMap<&'static str, u32>,
}

/// A running server. It ends with the test.
#[derive(Clone)]
pub struct Dagster {
    pub truth: Arc<Mutex<Truth>>,
    sdl: Arc<Sdl>,
    seed: u64,
}

impl Dagster {
    pub fn new(sdl: Sdl, seed: u64, quirks: Quirks) -> Self {
        Self { truth: Arc::new(Mutex::new(Truth { quirks, ..Truth::default() })), sdl: Arc::new(sdl), seed }
    }

    /// Listens; returns the GraphQL endpoint.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.serve(listener);
        format!("http://{address}/graphql")
    }

    /// Answers whoever the listener lets in.
    pub fn serve(&self, listener: impl Listener<Addr = SocketAddr>) {
        let router = Router::new().route("/graphql", post(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    pub fn version(&self) -> &str {
        &self.sdl.version
    }

    pub fn runs(&self) -> Vec<Run> {
        self.truth.lock().unwrap().runs.clone()
    }

    /// Makes runs that were launched by somebody else.
    pub fn make(&self, job: &str, tags: &BTreeMap<String, String>) {
        self.truth.lock().unwrap().make(self.seed, job, tags.clone());
    }

    fn carry_out(&self, body: &Value, headers: HeaderMap) -> (StatusCode, Value) {
        let (document, variables) = (body["query"].as_str().unwrap_or_default(), &body["variables"]);
        let judged = self.sdl.judge(document, variables);
        let mut truth = self.truth.lock().unwrap();
        truth.headers.push(headers);
        if let Err(wrong) = judged {
            truth.misfits.push(wrong.clone());
            return (StatusCode::BAD_REQUEST, json!({ "data": null, "errors": [{ "message": wrong }] }));
        }
        let operation = [
            "mutation Launch(",
            "query Runs(",
            "query RunIds(",
            "query Events(",
            "query Location(",
            "query Partitions(",
            "query Partition(",
            "query Assets(",
            "query Config(",
        ];
        let operation = operation.into_iter().find(|start| document.starts_with(start)).unwrap();
        *truth.asked.entry(operation).or_default() += 1;
        let quirks = match operation {
            "mutation Launch(" => &mut truth.quirks.launches,
            "query Runs(" => &mut truth.quirks.looks,
            _ => &mut vec![],
        };
        let quirk = (!quirks.is_empty()).then(|| quirks.remove(0)).filter(|(status, _)| *status != AS_EVER);
        if let Some((status, answer)) = quirk {
            return (StatusCode::from_u16(status).unwrap(), answer);
        }
        let data = match operation {
            "mutation Launch(" => json!({ "launchRun": truth.launch(self.seed, &variables["params"]) }),
            "query Runs(" => truth.look(&self.sdl.version, document, variables),
            "query RunIds(" => {
                json!({ "runIdsOrError": { "__typename": "RunIds", "results": truth.page(variables).map(|run| &run.id).collect::<Vec<_>>() } })
            }
            "query Location(" => json!({ "workspaceLocationEntryOrError": truth.location() }),
            "query Partitions(" => partitions::partitions(variables),
            "query Partition(" => partitions::partition(variables, truth.asked[operation]),
            "query Assets(" => partitions::assets(variables),
            "query Config(" => partitions::config(variables),
            _ => json!({ "logsForRun": truth.logs(variables) }),
        };
        if truth.quirks.deletes_after == Some(operation) {
            truth.quirks.deletes_after = None;
            truth.delete_last(&data);
        }
        (StatusCode::OK, json!({ "data": data }))
    }
}

async fn answer(
    State(dagster): State<Dagster>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let (status, answer) = dagster.carry_out(&body, headers);
    (status, Json(answer))
}

impl Truth {
    fn launch(&mut self, seed: u64, params: &Value) -> Value {
        let job = params["selector"]["jobName"].as_str().unwrap();
        if job == "picky_job" {
            let errors = json!([{ "message": "Missing required config entry \"ops\" at the root." }]);
            return json!({ "__typename": "RunConfigValidationInvalid", "errors": errors });
        }
        if self.quirks.read_only {
            return json!({ "__typename": "UnauthorizedError", "message": "Authorization failed" });
        }
        let is_loaded = [Location::Loaded, Location::Reloading].contains(&self.quirks.location);
        if !is_loaded || !JOBS.iter().any(|(known, _)| *known == job) {
            let message = format!("Could not find Pipeline demo.{job}");
            return json!({ "__typename": "PipelineNotFoundError", "message": message });
        }
        let tags = params["executionMetadata"]["tags"].as_array().unwrap();
        let text = |tag: &Value, field: &str| tag[field].as_str().unwrap().to_owned();
        let tags = tags.iter().map(|tag| (text(tag, "key"), text(tag, "value"))).collect();
        let id = self.make(seed, job, tags);
        let run = self.runs.last_mut().unwrap();
        run.assets = params["selector"]["assetSelection"].clone();
        run.config = params["runConfigData"].clone();
        json!({ "__typename": "LaunchRunSuccess", "run": { "runId": id } })
    }

    fn make(&mut self, seed: u64, job: &str, tags: BTreeMap<String, String>) -> String {
        let number = self.runs.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number as u64);
        let made_at = now();
        let id = format!("{number:08x}-{:08x}", rng.random::<u32>());
        let mut after = |from: f64, millis: std::ops::RangeInclusive<u64>| {
            if self.quirks.instant {
                from
            } else {
                from + Duration::from_millis(rng.random_range(millis)).as_secs_f64()
            }
        };
        let seen_at = after(made_at, SEEN_AFTER);
        let started_at = after(seen_at, 20..=400);
        let ended_at = after(started_at, 20..=600);
        let job = job.to_owned();
        let (assets, config) = (Value::Null, Value::Null);
        self.runs.push(Run { id: id.clone(), job, tags, assets, config, made_at, seen_at, started_at, ended_at });
        id
    }

    /// The newest first. Of a run that is not there Dagster does not know what comes after it.
    fn page(&self, variables: &Value) -> impl Iterator<Item = &Run> {
        let tags = variables["filter"]["tags"].as_array().cloned().unwrap_or_default();
        let ids = variables["filter"]["runIds"].as_array();
        let ids: Option<BTreeSet<String>> =
            ids.map(|ids| ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect());
        let since = variables["filter"]["updatedAfter"].as_f64();
        let fits = move |run: &&Run| {
            let has =
                |tag: &Value| run.tags.get(tag["key"].as_str().unwrap()).map(String::as_str) == tag["value"].as_str();
            let is_asked = ids.as_ref().is_none_or(|ids| ids.contains(&run.id));
            let is_changed = || since.is_none_or(|since| run.changed_at(now()) > since);
            is_asked && run.seen_at <= now() && is_changed() && tags.iter().all(has)
        };
        let cursor = variables["cursor"].as_str().map(str::to_owned);
        let skipped = usize::from(cursor.is_some());
        let newest = self.runs.iter().rev();
        let after = newest.skip_while(move |run| cursor.as_ref().is_some_and(|cursor| run.id != *cursor)).skip(skipped);
        after.filter(fits).take(variables["limit"].as_u64().unwrap() as usize)
    }

    /// Somebody deletes the run that a page ends with.
    fn delete_last(&mut self, data: &Value) {
        let of_runs = data["runsOrError"]["results"].as_array().and_then(|page| page.last()?["runId"].as_str());
        let of_ids = data["runIdsOrError"]["results"].as_array().and_then(|page| page.last()?.as_str());
        self.runs.retain(|run| Some(run.id.as_str()) != of_runs.or(of_ids));
    }

    fn look(&self, version: &str, document: &str, variables: &Value) -> Value {
        let at_once = if document.contains("eventConnection(limit: 1000)") { 1_000 } else { usize::MAX };
        let with_events = variables["withEvents"].as_bool().unwrap().then_some(at_once);
        let results: Vec<Value> = self.page(variables).map(|run| self.describe(run, with_events)).collect();
        let mut data = json!({ "version": version, "runsOrError": { "__typename": "Runs", "results": results } });
        if variables["withJobs"].as_bool().unwrap() {
            data["repositoryOrError"] = match self.quirks.location {
                Location::Loaded | Location::Reloading => json!({ "__typename": "Repository", "jobs": jobs() }),
                _ => json!({ "__typename": "RepositoryNotFoundError", "message": "Could not find Repository demo.r" }),
            };
            data["locationStatusesOrError"] = self.statuses();
        }
        data
    }

    /// All locations of the workspace.
    fn statuses(&self) -> Value {
        let permission = json!([{
            "permission": "launch_pipeline_execution", "value": !self.quirks.read_only,
            "disabledReason": self.quirks.read_only.then_some("Disabled by your administrator"),
        }]);
        let is_there = self.quirks.location != Location::Absent;
        let names = ["etl", "demo"].into_iter().filter(|name| *name == "etl" || is_there);
        let entry = |name| json!({ "name": name, "loadStatus": self.load_status(), "permissions": permission });
        json!({ "__typename": "WorkspaceLocationStatusEntries", "entries": names.map(entry).collect::<Vec<_>>() })
    }

    fn load_status(&self) -> &str {
        let is_loading = [Location::Loading, Location::Reloading].contains(&self.quirks.location);
        if is_loading { "LOADING" } else { "LOADED" }
    }

    /// The location's own entry.
    fn location(&self) -> Value {
        let loaded = |repository: &str| {
            let repositories = json!([{ "name": repository, "jobs": jobs() }]);
            json!({ "__typename": "RepositoryLocation", "repositories": repositories })
        };
        let loaded = match self.quirks.location {
            Location::Loaded | Location::Reloading => loaded("__repository__"),
            Location::Renamed => loaded("other"),
            Location::Loading => json!(null),
            Location::Broken => json!({
                "__typename": "PythonError", "message": "DagsterUserCodeLoadError: Error occurred during the loading of\nmodule",
                "causes": [{ "message": "ImportError: so\n" }, { "message": "ModuleNotFoundError: No module named 'pandas'\n" }],
            }),
            Location::Absent => return json!(null),
        };
        json!({ "__typename": "WorkspaceLocationEntry", "loadStatus": self.load_status(), "locationOrLoadError": loaded })
    }

    fn describe(&self, run: &Run, events: Option<usize>) -> Value {
        let now = now();
        let middle = f64::midpoint(run.started_at, run.ended_at);
        let status = match self.quirks.extra_status {
            _ if now >= run.ended_at => "SUCCESS",
            Some(extra) if now >= middle => extra,
            _ if now >= run.started_at => "STARTED",
            _ if now >= f64::midpoint(run.seen_at, run.started_at) => "QUEUED",
            _ => "NOT_STARTED",
        };
        let tags: Vec<Value> = run.tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let mut described = json!({
            "runId": run.id,
            "jobName": run.job,
            "status": status,
            "creationTime": run.seen_at,
            "updateTime": run.changed_at(now),
            "startTime": (now >= run.started_at).then_some(run.started_at),
            "endTime": (now >= run.ended_at).then_some(run.ended_at),
            "tags": tags,
        });
        if let Some(limit) = events {
            described["eventConnection"] = page(run, 0, limit);
        }
        described
    }

    fn logs(&self, variables: &Value) -> Value {
        let id = variables["runId"].as_str().unwrap();
        let Some(run) = self.runs.iter().find(|run| run.id == id) else {
            return json!({ "__typename": "RunNotFoundError", "message": format!("Run {id} could not be found.") });
        };
        let after = variables["after"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let mut page = page(run, after, variables["limit"].as_u64().unwrap() as usize);
        page["__typename"] = json!("EventConnection");
        page
    }
}

impl Run {
    /// When its row last changed: with each of its statuses.
    fn changed_at(&self, now: f64) -> f64 {
        let queued_at = f64::midpoint(self.seen_at, self.started_at);
        let middle = f64::midpoint(self.started_at, self.ended_at);
        let all = [self.seen_at, queued_at, self.started_at, middle, self.ended_at];
        all.into_iter().filter(|at| *at <= now).fold(self.seen_at, f64::max)
    }
}

fn jobs() -> Vec<Value> {
    JOBS.iter().map(|(name, _)| json!({ "name": name })).collect()
}

impl Run {
    pub fn key(&self) -> &str {
        &self.tags[KEY_TAG]
    }

    pub fn steps(&self) -> usize {
        JOBS.iter().find(|(name, _)| *name == self.job).unwrap().1
    }

    /// The events that were written until now, in their order.
    fn events(&self) -> Vec<Value> {
        let event = |kind: &str, step: Option<String>, at: f64| {
            let mut event = json!({
                "__typename": "EngineEvent", "eventType": kind, "stepKey": step, "timestamp": format!("{:.3}", at * 1_000.0),
            });
            if kind == "STEP_WORKER_STARTED" {
                let task = "arn:aws:ecs:us-east-1:000000000000:task/demo/1";
                event["metadataEntries"] = json!([{ "label": "pid" }, { "label": "task_arn", "text": task }]);
            }
            (at, event)
        };
        let mut events =
            vec![event("PIPELINE_ENQUEUED", None, self.made_at), event("PIPELINE_START", None, self.started_at)];
        let steps = self.steps();
        let tick = (self.ended_at - self.started_at) / (steps * EVENTS_OF_A_STEP.len() + 1) as f64;
        for number in 0..steps * EVENTS_OF_A_STEP.len() {
            let step = format!("step_{}", number / EVENTS_OF_A_STEP.len());
            let at = self.started_at + tick * (number + 1) as f64;
            events.push(event(EVENTS_OF_A_STEP[number % EVENTS_OF_A_STEP.len()], Some(step), at));
        }
        events.push(event("PIPELINE_SUCCESS", None, self.ended_at));
        let now = now();
        events.into_iter().filter(|(at, _)| *at <= now).map(|(_, event)| event).collect()
    }
}

/// A page of a run's events. The cursor is how many were read.
fn page(run: &Run, after: usize, limit: usize) -> Value {
    let events = run.events();
    let until = after.saturating_add(limit).min(events.len());
    json!({ "cursor": until.to_string(), "hasMore": until < events.len(), "events": events[after.min(until)..until] })
}

pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
