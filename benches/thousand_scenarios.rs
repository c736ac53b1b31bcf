//! A thousand active scenarios of ten arrivals a minute each, on one operator: its processor time, its memory, and how
//! late its launches are. The Dagster is a stub in this process that answers at once.
//!
//! `SCENARIOS=1000 MINUTES=3 cargo bench --profile release-lite --bench thousand_scenarios`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may fail loudly")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};

/// A run takes so long, in seconds.
const RUN_S: f64 = 5.0;

/// The runs by generation tag, each with the instant at which it was made and its tags.
type Runs = Arc<Mutex<BTreeMap<String, Vec<(f64, Value)>>>>;

fn main() {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let scenarios = number("SCENARIOS", 1_000);
    let minutes = number("MINUTES", 3);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(measure(scenarios, minutes));
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

async fn measure(scenarios: u64, minutes: u64) {
    let runs = Runs::default();
    let router = Router::new().route("/graphql", post(answer)).with_state(Arc::clone(&runs));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    write_manifests(folder.path(), &url, scenarios, minutes);
    let mut operator = start(folder.path());
    let began = Instant::now();
    let planned = scenarios * minutes * 10;
    let launched = || runs.lock().unwrap().values().map(Vec::len).sum::<usize>() as u64;
    let (mut peak_kib, mut next) = (0, Duration::from_secs(20));
    let lasts = Duration::from_secs(minutes * 60);
    let mut idle = 0.0;
    while began.elapsed() < lasts + Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        peak_kib = peak_kib.max(resident_kib(operator.id()));
        if began.elapsed() >= next {
            let cpu = cpu_s(operator.id());
            let share = (cpu - idle) / 20.0 * 100.0;
            println!(
                "after {:>3.0?}: {} launches, {share:.0}% of a core, {} MB",
                began.elapsed(),
                launched(),
                peak_kib / 1024
            );
            (idle, next) = (cpu, next + Duration::from_secs(20));
        }
    }
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_s(operator.id()));
    // What is published last is written within a moment.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut lateness = lateness_ms(folder.path());
    lateness.sort_unstable();
    let at = |percent: usize| lateness.get((lateness.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
    println!(
        "{scenarios} scenarios of 10 arrivals a minute (Poisson): {} launches, {planned} on average, in {elapsed:.0} s",
        launched()
    );
    println!("  processor  {:.0}% of a core, {:.2} ms a launch", cpu / elapsed * 100.0, cpu * 1e3 / launched() as f64);
    println!("  memory     {} MB at most", peak_kib / 1024);
    println!("  lateness   p99 of each scenario, in ms: median {}, p99 {}, worst {}", at(50), at(99), at(100));
    operator.kill().unwrap();
    operator.wait().unwrap();
}

fn write_manifests(folder: &Path, url: &str, scenarios: u64, minutes: u64) {
    let manifests = folder.join("manifests");
    fs::create_dir(&manifests).unwrap();
    let target = format!(
        "apiVersion: dagstorm.dev/v1alpha1\nkind: Target\nmetadata: {{ name: stub }}\nspec:\n  dagster: {{ url: '{url}', location: demo }}\n"
    );
    fs::write(manifests.join("target.yaml"), target).unwrap();
    for number in 0..scenarios {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: s-{number} }}
spec:
  target: stub
  seed: {number}
  load: [{{ name: base, for: {minutes}m, arrivals: {{ poisson: {{ rate: 10/min }} }}, jobs: {{ fast_job: 1 }} }}]
"
        );
        fs::write(manifests.join(format!("s-{number}.yaml")), text).unwrap();
    }
}

fn start(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_dagstorm"))
        .args(["operator", "--manifests", "manifests", "--data", "data"])
        .current_dir(folder)
        .env("DAGSTORM_LOG", "warn")
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// A Dagster as far as it is asked: launches, and the runs of a generation.
async fn answer(State(runs): State<Runs>, Json(body): Json<Value>) -> Json<Value> {
    let variables = &body["variables"];
    if let Some(tags) = variables["params"]["executionMetadata"]["tags"].as_array() {
        let tag = |name: &str| tags.iter().find(|tag| tag["key"] == name).map(|tag| tag["value"].as_str().unwrap());
        let generation = format!("{}/{}", tag("dagstorm/scenario").unwrap(), tag("dagstorm/generation").unwrap());
        let mut runs = runs.lock().unwrap();
        let own = runs.entry(generation).or_default();
        let id = tag("dagstorm/key").unwrap().to_owned();
        own.push((now(), json!(tags)));
        return Json(json!({ "data": { "launchRun": { "__typename": "LaunchRunSuccess", "run": { "runId": id } } } }));
    }
    let filter = variables["filter"]["tags"].as_array().cloned().unwrap_or_default();
    let tag = |name: &str| filter.iter().find(|tag| tag["key"] == name).map(|tag| tag["value"].as_str().unwrap());
    let generation =
        format!("{}/{}", tag("dagstorm/scenario").unwrap_or_default(), tag("dagstorm/generation").unwrap_or_default());
    let results: Vec<Value> =
        runs.lock().unwrap().get(&generation).map(|own| own.iter().map(run).collect()).unwrap_or_default();
    let jobs = json!({ "__typename": "Repository", "jobs": [{ "name": "fast_job" }] });
    Json(json!({ "data": {
        "version": "stub",
        "repositoryOrError": jobs,
        "runsOrError": { "__typename": "Runs", "results": results },
    } }))
}

fn run((made, tags): &(f64, Value)) -> Value {
    let key = tags.as_array().unwrap().iter().find(|tag| tag["key"] == "dagstorm/key").unwrap()["value"].clone();
    let is_done = now() > made + RUN_S;
    json!({
        "runId": key,
        "jobName": "fast_job",
        "status": if is_done { "SUCCESS" } else { "STARTED" },
        "startTime": made,
        "endTime": is_done.then_some(made + RUN_S),
        "tags": tags,
    })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Of each scenario, the p99 of how late its launches were, from its status.
fn lateness_ms(folder: &Path) -> Vec<u64> {
    let statuses = fs::read_dir(folder.join("data/status")).unwrap();
    let texts = statuses.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    texts.filter_map(|text| lateness_of(&text)).collect()
}

fn lateness_of(status: &str) -> Option<u64> {
    let lateness = status.split_once("lateness:")?.1;
    let p99 = lateness.lines().find_map(|line| line.trim().strip_prefix("p99:"))?;
    let span: dagstorm::model::Span = p99.trim().trim_matches(['"', '\'']).parse().ok()?;
    Some(span.duration().as_millis() as u64)
}

fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // USER_HZ is 100 wherever Linux runs.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
