//! Launches for partitions and of assets, over the wire.

use std::{collections::BTreeSet, process::Command};

use dagstorm::model::{KeyStream, Keys, PartitionAsk, Partitioning, PartitionsView, Query, Seen, WhyKind};
use serde_json::{Value, json};

use crate::{
    client::Rig,
    dagster::{Dagster, Quirks, Run},
    rig::{Operator, scenario, target, until},
    schema::Sdl,
};

fn ask(job: &str, assets: &[&str], partitioning: Option<Partitioning>, turns: u32) -> PartitionAsk {
    PartitionAsk {
        choice: 4,
        job: job.to_owned(),
        assets: assets.iter().map(|asset| (*asset).to_owned()).collect(),
        partitioning,
        is_tagged: false,
        stream: KeyStream { seed: 1, phase: 0, entry: 0 },
        turns,
    }
}

async fn answer(rig: &Rig, ask: PartitionAsk) -> Seen<Vec<PartitionsView>> {
    rig.see(&Query::Partitions { asks: vec![ask] }).await.partitions.unwrap().answer
}

fn key(key: &str) -> Option<Partitioning> {
    Some(Partitioning::Key(key.to_owned()))
}

#[tokio::test]
async fn dagster_resolves_what_arrivals_are_for() {
    let each = || Some(Partitioning::Each(Keys::All));
    for sdl in [Sdl::oldest(), Sdl::installed()] {
        let rig = Rig::new(sdl, Quirks::default()).await;
        for (ask, keys, resolved, tags) in [
            (
                ask("day_job", &[], Some(Partitioning::Latest), 5),
                &["2026-11-03"][..],
                &["2026-11-03"][..],
                &["dagster/partition", "dagster/partition_set", "tier"][..],
            ),
            (
                ask("day_job", &[], each(), 2),
                &["2026-11-01", "2026-11-02"],
                &["2026-11-01", "2026-11-02"],
                &["dagster/partition", "dagster/partition_set", "tier"],
            ),
            (
                ask("dims_job", &[], key("2|x"), 1),
                &["2|x"],
                &["2|x"],
                &["dagster/partition", "dagster/partition_set", "dagster/partition/a", "dagster/partition/b"],
            ),
            (
                ask("__ASSET_JOB", &["raw/orders", "customers", "whole"], key("us"), 1),
                &["us"],
                &["us"],
                &["dagster/partition"],
            ),
            (ask("__ASSET_JOB", &["whole"], None, 9), &[], &[], &[]),
        ] {
            let Seen::Fresh(views) = answer(&rig, ask.clone()).await else { panic!("{ask:?}") };
            let [view] = &views[..] else { panic!("{views:?}") };
            assert_eq!((view.choice, view.keys.as_slice()), (4, keys.map_owned().as_slice()), "{ask:?}");
            let found: Vec<&str> = view.partitions.iter().map(|one| one.key.as_str()).collect();
            assert_eq!(found, resolved, "{ask:?}");
            for one in &view.partitions {
                assert_eq!(one.tags.keys().map(String::as_str).collect::<Vec<_>>(), tags, "{ask:?}");
                assert_eq!(one.tags["dagster/partition"], one.key);
                assert_eq!(one.config.contains(&one.key), ask.job == "day_job", "{}", one.config);
            }
        }
        assert_eq!(rig.dagster.truth.lock().unwrap().misfits, [""; 0]);
    }
}

trait Owned {
    fn map_owned(&self) -> Vec<String>;
}

impl Owned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() {
    let rig = Rig::new(Sdl::installed(), Quirks::default()).await;
    for (ask, kind, words) in [
        (
            ask("day_job", &[], key("2026-11-04"), 1),
            WhyKind::NotFound,
            "job `day_job` has no partition `2026-11-04`: did you mean `2026-11-01`? It has: 2026-11-01, 2026-11-02, 2026-11-03",
        ),
        (
            ask("fast_job", &[], key("a"), 1),
            WhyKind::Mismatch,
            "job `fast_job` is not partitioned: leave `partition` out",
        ),
        (
            ask("__ASSET_JOB", &["raw/order"], None, 1),
            WhyKind::NotFound,
            "code location `demo` has no asset `raw/order`: did you mean `raw/orders`? It has: raw/orders, customers, daily, dims, whole",
        ),
        (
            ask("__ASSET_JOB", &["moved"], None, 1),
            WhyKind::NotFound,
            "code location `demo` has no asset `moved`: it has: ",
        ),
        (ask("__ASSET_JOB", &["ext"], None, 1), WhyKind::Mismatch, "asset `ext` is external: no run materializes it"),
        (
            ask("fast_job", &["whole"], None, 1),
            WhyKind::Mismatch,
            "asset `whole` is not of job `fast_job`; it is of `__ASSET_JOB`",
        ),
        (
            ask("__ASSET_JOB", &["whole", "customers"], None, 1),
            WhyKind::Mismatch,
            "asset `customers` is partitioned: say which partition of it is materialized, as in `partition: latest`",
        ),
        (
            ask("__ASSET_JOB", &["customers", "daily"], key("eu"), 1),
            WhyKind::Mismatch,
            "assets `customers` and `daily` have different partitions",
        ),
        (
            ask("__ASSET_JOB", &["dims"], key("1|x"), 1),
            WhyKind::Mismatch,
            "asset `dims` has partitions of several dimensions",
        ),
        (ask("__ASSET_JOB", &["whole"], key("eu"), 1), WhyKind::Mismatch, "job `__ASSET_JOB` is not partitioned"),
    ] {
        let Seen::Unavailable(why) = answer(&rig, ask.clone()).await else { panic!("{ask:?} is taken") };
        assert!(why.kind == kind && why.message.starts_with(words), "{ask:?}: {why:?}");
    }
    let tagged = PartitionAsk { is_tagged: true, ..ask("__ASSET_JOB", &["customers"], None, 1) };
    assert!(matches!(answer(&rig, tagged).await, Seen::Fresh(_)), "a tag says the partition too");
}

fn started(jobs: &str, url: &str) -> Operator {
    let mut operator = Operator::new();
    operator.write("target.yaml", &target(url, "2s", "4s", ""));
    operator.write("small.yaml", &scenario("small", 1, "4s", "constant: { rate: 5/s }", jobs));
    operator.start();
    operator
}

/// The day of a run of `day_job` by its tag and by its config, and how often had been asked when it was resolved.
fn day(run: &Run) -> (String, String, u64) {
    let config = &run.config["ops"]["use_day"]["config"];
    (
        run.tags["dagster/partition"].clone(),
        config["day"].as_str().unwrap().to_owned(),
        config["asked"].as_u64().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_killed_goes_on_with_the_partitions_of_its_start() {
    let dagster = Dagster::new(Sdl::installed(), 1, Quirks::default());
    let jobs =
        "day_job: { weight: 1, partition: { each: all }, runConfig: { ops: { use_day: { config: { own: yes } } } } }";
    let mut operator = started(jobs, &dagster.listen().await);
    until("some launches", || (dagster.runs().len() >= 3).then_some(())).await;
    operator.kill();
    operator.start();
    let status = operator.verdict("small").await;
    assert_eq!((&status["phase"], &status["load"]["acknowledged"]), (&json!("Passed"), &json!(20)), "{status}");
    assert!(operator.stop().await.success());
    let runs = dagster.runs();
    let mut asked: BTreeSet<(String, u64)> = BTreeSet::new();
    for run in &runs {
        let (key, day, answer) = day(run);
        let index: usize = run.key().rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!(key, format!("2026-11-0{}", index % 3 + 1), "in turn");
        assert_eq!((&day, &run.config["ops"]["use_day"]["config"]["own"]), (&key, &json!(true)));
        assert_eq!(
            (run.tags["dagster/partition_set"].as_str(), run.tags["tier"].as_str()),
            ("day_job_partition_set", "gold")
        );
        asked.insert((key, answer));
    }
    assert_eq!(asked.len(), 3, "each partition was resolved once, though two processes launched: {asked:?}");
    assert_eq!(dagster.truth.lock().unwrap().misfits, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_launched_in_dagsters_own_job() {
    let dagster = Dagster::new(Sdl::oldest(), 1, Quirks::default());
    let jobs = "__ASSET_JOB: { weight: 1, assets: [raw/orders, customers], partition: { draw: [eu, us] } }";
    let mut operator = started(jobs, &dagster.listen().await);
    let status = operator.verdict("small").await;
    assert_eq!(status["phase"], "Passed", "{status}");
    assert!(operator.stop().await.success());
    let runs = dagster.runs();
    let keys: BTreeSet<&str> = runs.iter().map(|run| run.tags["dagster/partition"].as_str()).collect();
    assert_eq!(keys, BTreeSet::from(["eu", "us"]));
    let selected = json!([{ "path": ["raw", "orders"] }, { "path": ["customers"] }]);
    assert!(runs.len() == 20 && runs.iter().all(|run| run.job == "__ASSET_JOB" && run.assets == selected), "{runs:?}");
    assert_eq!(dagster.truth.lock().unwrap().misfits, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_partition_is_said_and_nothing_is_launched() {
    let dagster = Dagster::new(Sdl::installed(), 1, Quirks::default());
    let mut operator = started("day_job: { weight: 1, partition: 2026-11-04 }", &dagster.listen().await);
    let ready = operator.condition("small", "Ready", |ready| ready["reason"] == "PartitionsNotFound").await;
    assert!(ready["message"].as_str().unwrap().contains("did you mean `2026-11-01`?"), "{ready}");
    let small = scenario("small", 1, "1s", "constant: { rate: 5/s }", "day_job: { weight: 1, partition: 2026-11-02 }");
    operator.write("small.yaml", &small);
    assert_eq!(operator.verdict("small").await["phase"], "Passed", "once it is mended");
    assert!(operator.stop().await.success());
    assert!(dagster.runs().iter().all(|run| day(run).0 == "2026-11-02"), "nothing was launched before");
}

fn plan(operator: &Operator, output: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dagstorm"));
    command.args(["plan", "--online", "-o", output]).arg(operator.path("manifests")).env_clear();
    let done = tokio::task::block_in_place(|| command.env("HOME", "/nonexistent").output().unwrap());
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_which_partitions_there_are_and_all_that_are_not() {
    let dagster = Dagster::new(Sdl::installed(), 1, Quirks::default());
    let operator = Operator::new();
    operator.write("target.yaml", &target(&dagster.listen().await, "2s", "4s", ""));
    let good = "day_job: { weight: 1, partition: { each: all } }, __ASSET_JOB: { weight: 1, assets: [customers], partition: latest }";
    operator.write("small.yaml", &scenario("small", 1, "4s", "constant: { rate: 5/s }", good));
    let (code, page) = plan(&operator, "table");
    assert_eq!(code, Some(0), "the partition's config is judged with the manifest's: {page}");
    let lines: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "partition each of all keys",
        "assets customers, partition latest",
        "✓ small: job day_job has 3 keys, from 2026-11-01 to 2026-11-03; launched for partition each of all keys, first: 2026-11-01, 2026-11-02, 2026-11-03",
        "✓ small: job __ASSET_JOB has assets customers, with 3 keys, from eu to asia; launched for partition latest, first: asia",
    ] {
        assert!(lines.contains(line), "{line}: {page}");
    }
    let (_, json) = plan(&operator, "json");
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        report["targets"][0]["partitions"][0]["keys"],
        json!({ "first": "2026-11-01", "last": "2026-11-03", "count": 3 })
    );
    let bad = "day_job: { weight: 1, partition: 2026-11-30 }, fast_job: { weight: 1, partition: latest }, __ASSET_JOB: { weight: 1, assets: [costumers] }, dims_job: 1";
    operator.write("small.yaml", &scenario("small", 1, "4s", "constant: { rate: 5/s }", bad));
    let (code, page) = plan(&operator, "table");
    let lines: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, Some(4), "{page}");
    for line in [
        "✗ small: job `day_job` has no partition `2026-11-30`: did you mean",
        "✗ small: job `fast_job` is not partitioned",
        "✗ small: code location `demo` has no asset `costumers`: did you mean `customers`?",
        "! small: job `dims_job` has partitions, and its launches name none: give it `partition: latest`",
    ] {
        assert!(lines.contains(line), "{line}: {page}");
    }
    assert!(dagster.runs().is_empty(), "a plan launches nothing");
    assert_eq!(dagster.truth.lock().unwrap().misfits, [""; 0]);
}
