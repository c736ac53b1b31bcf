//! How long a journal of a million records takes to write and to replay, and how much memory:
//! `cargo bench --bench replay`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may fail loudly")]

use std::{fs, path::Path, time::Instant};

use dagstorm::{
    journal::{Event, FileStore, Found, Holding, Record, State, Store},
    model::{GenerationId, ScenarioName, Target, Timestamp},
    spec::{Manifest, Scenario, load, no_attachments},
};

/// Of each arrival two: the intent and its outcome.
const RECORDS: u64 = 1_000_000;
/// Arrivals that are due at once become durable by one fsync.
const BATCHES: [u64; 2] = [256, 1];
/// With a record an fsync, so many are enough to see how fast that is.
const SINGLE: u64 = 2_000;
/// Scenarios that write at the same time, a batch of two records each.
const SCENARIOS: [u64; 3] = [1, 100, 1_000];

#[tokio::main]
async fn main() {
    // Where the journals of an operator would lie: not in memory.
    let folder = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| ".".into())).unwrap();
    for batch in BATCHES {
        let count = if batch == 1 { SINGLE } else { RECORDS };
        write(&folder.path().join(batch.to_string()), count, batch).await;
    }
    replay(&folder.path().join(BATCHES[0].to_string())).await;
    for scenarios in SCENARIOS {
        together(&folder.path().join(format!("together-{scenarios}")), scenarios).await;
    }
}

async fn write(root: &Path, count: u64, batch: u64) {
    let store = FileStore::open(root, Holding::alone(1)).unwrap();
    let name = name(0);
    store.append(&name, &[accepted()]).await.unwrap();
    let began = Instant::now();
    let mut seq = 1;
    while seq <= count {
        let records: Vec<Record> = (seq..(seq + batch).min(count + 1)).map(record).collect();
        seq += records.len() as u64;
        store.append(&name, &records).await.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "write {count:>9} records, {batch:>3} an fsync: {seconds:6.2} s, {:>7.0} records/s, {:6.1} MB",
        count as f64 / seconds,
        megabytes(root)
    );
}

async fn replay(root: &Path) {
    for round in 1..=3 {
        peak_kb();
        let before = peak_kb();
        let store = FileStore::open(root, Holding::alone(2)).unwrap();
        let began = Instant::now();
        let state: State = store.replay(&name(0)).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(state.next_seq, RECORDS + 1);
        let size = megabytes(root);
        println!(
            "replay {RECORDS:>8} records, round {round}: {seconds:8.2} s, {:>7.0} records/s, {:6.1} MB/s, peak {:.0} MB for {} arrivals",
            RECORDS as f64 / seconds,
            size / seconds,
            peak_kb().saturating_sub(before) as f64 / 1024.0,
            state.current.unwrap().submissions.len(),
        );
    }
}

/// Many scenarios, each of which waits for its own append before the next one.
async fn together(root: &Path, scenarios: u64) {
    const ROUNDS: u64 = 5;
    let store = FileStore::open(root, Holding::alone(1)).unwrap();
    let rounds = |first: u64, last: u64| {
        let appends = (0..scenarios).map(|scenario| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in first..last {
                    store.append(&name(scenario), &[record(round * 2 + 1), record(round * 2 + 2)]).await.unwrap();
                }
            })
        });
        futures::future::join_all(appends.collect::<Vec<_>>())
    };
    // The first one makes folders and files.
    rounds(0, 1).await;
    let began = Instant::now();
    rounds(1, 1 + ROUNDS).await;
    let seconds = began.elapsed().as_secs_f64();
    println!("{scenarios:>5} scenarios at once: {:>7.0} appends/s", (scenarios * ROUNDS) as f64 / seconds);
}

fn name(number: u64) -> ScenarioName {
    format!("scenario-{number}").parse().unwrap()
}

fn record(seq: u64) -> Record {
    let index = ((seq - 1) / 2) as u32;
    let event = if seq % 2 == 1 {
        Event::SubmitIntended { index, attempt: 1, due: None }
    } else {
        Event::Submitted { index, run_id: format!("5f0c1d3e-9a63-4a52-8f0e-{index:012x}"), found: Found::Acknowledged }
    };
    Record { seq, at: Timestamp::from_micros(1_790_000_000_000_000 + seq as i64 * 1_234), epoch: 1, event }
}

fn accepted() -> Record {
    let (scenario, target) = documents();
    let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
    let event = Event::Accepted { generation, scenario: Box::new(scenario), target: Box::new(target) };
    Record { seq: 0, at: Timestamp::from_micros(1_790_000_000_000_000), epoch: 1, event }
}

fn documents() -> (Scenario, Target) {
    let text = "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: scenario-0 }
spec:
  target: local
  load: [{ name: base, for: 10000s, arrivals: { constant: { rate: 50/s } }, jobs: { fast_job: 1 } }]
---
apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: { name: local }
spec:
  dagster: { url: 'http://127.0.0.1:1/graphql', location: demo, requestTimeout: 2s, settle: 5s }
";
    let mut found = load("bench.yaml", text.as_bytes(), &no_attachments).into_iter().map(|one| one.content);
    match (found.next(), found.next()) {
        (Some(Ok(Manifest::Scenario(scenario))), Some(Ok(Manifest::Target(target)))) => (*scenario, *target),
        other => panic!("{other:?}"),
    }
}

fn megabytes(root: &Path) -> f64 {
    let folder = fs::read_dir(root.join("scenario-0")).unwrap();
    folder.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>() as f64 / 1e6
}

/// The most memory that was resident since the last call, which begins anew here where the system allows it.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    // Linux sets the peak back to what is resident now.
    let _ = fs::write("/proc/self/clear_refs", "5");
    peak
}
