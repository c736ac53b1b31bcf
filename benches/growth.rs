//! From the last run's end to the verdict, at 400 runs and at 100,000, and what looks cost: `cargo bench --bench growth`.
//!
//! Dagster is a server that answers from memory at once: what is measured is dagstorm. A run is over when it is launched.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may fail loudly")]

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const RUNS: [u32; 4] = [400, 4_000, 20_000, 100_000];
const RATE: u32 = 1_000;
const QUIET: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Dagster {
    /// In the order of their ends.
    runs: Vec<Run>,
    by_id: BTreeMap<String, usize>,
    ended: Option<Instant>,
    /// When the census asked for the first events, and when the last ones were answered.
    read_from: Option<Instant>,
    read_until: Option<Instant>,
    /// The answers to looks, to the census, and how many runs were in each.
    looks: Asked,
    census: Asked,
}

#[derive(Default)]
struct Asked {
    times: u32,
    runs: usize,
}

struct Run {
    id: String,
    job: String,
    /// As JSON.
    tags: String,
    ended_at: f64,
}

#[tokio::main]
async fn main() {
    for count in RUNS {
        measure(count).await;
    }
}

async fn measure(count: u32) {
    let dagster = Arc::new(Mutex::new(Dagster::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    let router = Router::new().route("/graphql", post(answer)).with_state(Arc::clone(&dagster));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let folder = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let (code, memory) = run(folder.path(), &url, count).await;
    server.abort();
    let dagster = dagster.lock().unwrap();
    let [ended, read_from, read_until] = [dagster.ended, dagster.read_from, dagster.read_until].map(Option::unwrap);
    let after = ended.elapsed();
    assert_eq!((code, dagster.runs.len()), (Some(0), count as usize), "it passes");
    println!(
        "{count:7} runs: the verdict came {:.1} s after the quiet period of {} s ({:.1} s to the first events, {:.1} s to read all, \
         {:.1} s to judge and report); {:.0} MB, {:.1} kB a run; looks: {} answers with {} runs in all; census: {} answers with {} runs",
        after.saturating_sub(QUIET).as_secs_f64(),
        QUIET.as_secs(),
        (read_from - ended).saturating_sub(QUIET).as_secs_f64(),
        (read_until - read_from).as_secs_f64(),
        read_until.elapsed().as_secs_f64(),
        memory / 1_024.0,
        memory / f64::from(count),
        dagster.looks.times,
        dagster.looks.runs,
        dagster.census.times,
        dagster.census.runs,
    );
}

/// Runs the program to its end. Returns its exit code, and the most memory that it had, in kB.
async fn run(folder: &Path, url: &str, count: u32) -> (Option<i32>, f64) {
    let manifests = format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: nothing }}
spec:
  dagster: {{ url: '{url}', location: demo, maxConcurrentLaunches: 64 }}
---
apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: growth }}
spec:
  target: nothing
  load: [{{ name: base, for: {}ms, arrivals: {{ constant: {{ rate: {RATE}/s }} }}, jobs: {{ fast_job: 1 }} }}]
  expect: {{ quiet: {}s }}
",
        count * 1_000 / RATE,
        QUIET.as_secs()
    );
    let file = folder.join("growth.yaml");
    fs::write(&file, manifests).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dagstorm"));
    command.arg("run").arg(&file).arg("--data").arg(folder.join("data"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0.0;
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return (ended.code(), most);
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(most);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs are rendered as text, so that the server takes as little of the machine as it can.
async fn answer(State(dagster): State<Arc<Mutex<Dagster>>>, Json(body): Json<Value>) -> String {
    let (document, variables) = (body["query"].as_str().unwrap_or_default(), &body["variables"]);
    let mut dagster = dagster.lock().unwrap();
    let data = if document.starts_with("mutation Launch(") {
        json!({ "launchRun": dagster.launch(&variables["params"]) }).to_string()
    } else if document.starts_with("query Runs(") {
        dagster.look(variables)
    } else if document.starts_with("query RunIds(") {
        json!({ "runIdsOrError": { "__typename": "RunIds", "results": dagster.ids(variables) } }).to_string()
    } else {
        panic!("it is not asked for: {document}");
    };
    format!("{{\"data\":{data}}}")
}

impl Dagster {
    fn launch(&mut self, params: &Value) -> Value {
        let id = format!("{:08x}-0000-4000-8000-000000000000", self.runs.len());
        let job = params["selector"]["jobName"].as_str().unwrap().to_owned();
        let tags = params["executionMetadata"]["tags"].to_string();
        self.by_id.insert(id.clone(), self.runs.len());
        self.runs.push(Run { id: id.clone(), job, tags, ended_at: now() });
        self.ended = Some(Instant::now());
        json!({ "__typename": "LaunchRunSuccess", "run": { "runId": id } })
    }

    fn ids<'a>(&'a self, variables: &'a Value) -> Vec<&'a str> {
        if let Some(ids) = variables["filter"]["runIds"].as_array() {
            return ids.iter().filter_map(Value::as_str).collect();
        }
        let cursor = variables["cursor"].as_str().map_or(self.runs.len(), |cursor| self.by_id[cursor]);
        let limit = variables["limit"].as_u64().unwrap() as usize;
        self.runs[..cursor].iter().rev().take(limit).map(|run| run.id.as_str()).collect()
    }

    /// The newest runs first, in pages.
    fn look(&mut self, variables: &Value) -> String {
        let filter = &variables["filter"];
        let with_events = variables["withEvents"].as_bool().unwrap();
        let since = filter["updatedAfter"].as_f64().unwrap_or_default();
        let cursor = variables["cursor"].as_str().map_or(self.runs.len(), |cursor| self.by_id[cursor]);
        let limit = variables["limit"].as_u64().unwrap() as usize;
        let results: Vec<String> = match filter["runIds"].as_array() {
            Some(ids) => {
                ids.iter().map(|id| self.runs[self.by_id[id.as_str().unwrap()]].describe(with_events)).collect()
            }
            None => {
                let changed = self.runs[..cursor].iter().rev().take_while(|run| run.ended_at > since);
                changed.take(limit).map(|run| run.describe(with_events)).collect()
            }
        };
        if with_events && self.is_over() {
            self.read_from.get_or_insert_with(Instant::now);
            self.read_until = Some(Instant::now());
        }
        let asked = if with_events { &mut self.census } else { &mut self.looks };
        asked.times += 1;
        asked.runs += results.len();
        let mut parts = vec![
            r#""version":"1.13.0""#.to_owned(),
            format!(r#""runsOrError":{{"__typename":"Runs","results":[{}]}}"#, results.join(",")),
        ];
        if variables["withJobs"].as_bool().unwrap() {
            let repository = json!({ "__typename": "Repository", "jobs": [{ "name": "fast_job" }] });
            let permissions = json!([{ "permission": "launch_pipeline_execution", "value": true }]);
            let entries = json!([{ "name": "demo", "loadStatus": "LOADED", "permissions": permissions }]);
            let locations = json!({ "__typename": "WorkspaceLocationStatusEntries", "entries": entries });
            parts.push(format!(r#""repositoryOrError":{repository},"locationStatusesOrError":{locations}"#));
        }
        format!("{{{}}}", parts.join(","))
    }

    /// Nothing was launched for the quiet period.
    fn is_over(&self) -> bool {
        self.ended.is_some_and(|at| at.elapsed() > QUIET)
    }
}

impl Run {
    fn describe(&self, with_events: bool) -> String {
        let Self { id, job, tags, ended_at } = self;
        let mut described = format!(
            r#"{{"runId":"{id}","jobName":"{job}","status":"SUCCESS","tags":{tags},"creationTime":{ended_at},
            "updateTime":{ended_at},"startTime":{ended_at},"endTime":{ended_at}"#
        );
        if with_events {
            let at = ended_at * 1_000.0;
            let event = |kind: &str| {
                format!(r#"{{"__typename":"EngineEvent","eventType":"{kind}","stepKey":"work","timestamp":"{at:.3}"}}"#)
            };
            let events = ["STEP_WORKER_STARTED", "STEP_START", "STEP_SUCCESS"].map(event).join(",");
            write!(described, r#","eventConnection":{{"cursor":"3","hasMore":false,"events":[{events}]}}"#).unwrap();
        }
        described.push('}');
        described
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
