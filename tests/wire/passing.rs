//! States of Dagster that pass, and one that does not: what becomes of the arrivals that meet them.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    dagster::{Dagster, Location, Quirks},
    rig::{Operator, scenario, target, until},
    schema::Sdl,
};

async fn started(more: &str, quirks: Quirks) -> (Dagster, Operator) {
    let dagster = Dagster::new(Sdl::installed(), 1, quirks);
    let mut operator = Operator::new();
    operator.write("target.yaml", &target(&dagster.listen().await, "2s", "4s", ""));
    let text = scenario("small", 1, "4s", "constant: { rate: 5/s }", "fast_job: 1");
    operator.write("small.yaml", &(text + more));
    operator.start();
    (dagster, operator)
}

fn stand(dagster: &Dagster, location: Location) {
    dagster.truth.lock().unwrap().quirks.location = location;
}

async fn some_launches(dagster: &Dagster) {
    until("some launches", || (dagster.runs().len() >= 3).then_some(())).await;
}

fn not_ready(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |ready| ready["status"] == "False" && ready["reason"] == reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_cannot_be_loaded_for_a_while_costs_no_arrival() {
    for location in [Location::Broken, Location::Absent, Location::Loading] {
        let (dagster, mut operator) = started("", Quirks::default()).await;
        some_launches(&dagster).await;
        stand(&dagster, location);
        let reason = if location == Location::Absent { "LocationNotFound" } else { "LocationNotLoaded" };
        let ready = operator.condition("small", "Ready", not_ready(reason)).await;
        if location == Location::Broken {
            assert!(ready["message"].as_str().unwrap().ends_with("No module named 'pandas'"), "{ready}");
        }
        stand(&dagster, Location::Loaded);
        let status = operator.verdict("small").await;
        assert_eq!(status["phase"], "Passed", "{location:?}: {status}");
        assert_eq!((&status["load"]["acknowledged"], &status["load"]["rejected"]), (&json!(20), &json!(0)));
        assert_eq!(dagster.runs().len(), 20, "each was launched once");
        operator.condition("small", "Ready", |ready| ready["status"] == "True").await;
        assert!(operator.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_away_is_one_reason_with_its_time() {
    let (dagster, mut operator) = started("", Quirks::default()).await;
    some_launches(&dagster).await;
    stand(&dagster, Location::Renamed);
    operator.condition("small", "Ready", not_ready("JobsNotFound")).await;
    let status = operator.verdict("small").await;
    let rejections = status["load"]["rejections"].as_array().unwrap();
    let [only] = &rejections[..] else { panic!("{status}") };
    let made = dagster.runs().len();
    assert_eq!((&status["phase"], &only["count"]), (&json!("Unknown"), &json!(20 - made)));
    let reason = only["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("code location `demo` has no repository `__repository__` (first seen at 20"),
        "{reason}"
    );
    let gaps = status["audit"]["gaps"].as_array().unwrap();
    let [gap] = &gaps[..] else { panic!("{status}") };
    assert!(gap.as_str().unwrap().contains(reason) && gap.as_str().unwrap().contains("the first is small/"), "{gap}");
    assert_eq!(status["runs"]["succeeded"], made, "what was acknowledged is judged as ever");
    let keys = operator.files().into_iter().find(|(path, _)| path.ends_with("keys.csv")).unwrap().1;
    assert_eq!(String::from_utf8_lossy(&keys).matches(reason).count(), 20 - made);
    assert!(operator.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_that_are_refused_for_ever_end_at_the_limit() {
    let (dagster, mut operator) = started("  limits: { maxDuration: 6s }\n", Quirks::default()).await;
    some_launches(&dagster).await;
    dagster.truth.lock().unwrap().quirks.read_only = true;
    operator.condition("small", "Ready", not_ready("LaunchesUnauthorized")).await;
    let status = operator.verdict("small").await;
    let made = dagster.runs().len() as u64;
    let load = |field: &str| status["load"][field].as_u64().unwrap();
    assert_eq!((&status["phase"], load("acknowledged")), (&json!("Unknown"), made));
    assert!(load("rejected") > 0 && load("indeterminate") == 0, "{status}");
    let rejected = status["load"]["rejections"][0]["reason"].as_str().unwrap();
    assert_eq!(rejected, "not acknowledged in time: UnauthorizedError: Authorization failed");
    let gaps = status["audit"]["gaps"].to_string();
    assert!(gaps.contains("were never sent: ") && gaps.contains("(limits.maxDuration, 6s)"), "{gaps}");
    assert!(operator.stop().await.success());
}

fn run(operator: &Operator, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dagstorm"));
    command.arg("run").arg(operator.path("manifests/target.yaml")).arg(operator.path("manifests/small.yaml"));
    command.arg("--data").arg(operator.path("data")).args(more).env_clear();
    command.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_by_itself_where_nothing_may_be_launched() {
    let dagster = Dagster::new(Sdl::oldest(), 1, Quirks { read_only: true, ..Quirks::default() });
    let operator = Operator::new();
    operator.write("target.yaml", &target(&dagster.listen().await, "2s", "4s", ""));
    operator.write("small.yaml", &scenario("small", 1, "4s", "constant: { rate: 5/s }", "fast_job: 1"));
    let began = Instant::now();
    let done = tokio::task::block_in_place(|| run(&operator, &["--start-timeout", "2s"]));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("small: Waiting — LaunchesUnauthorized: Dagster permits no launches"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(dagster.runs().is_empty());
    assert_eq!(dagster.truth.lock().unwrap().asked.get("mutation Launch("), None, "none was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_by_itself_where_dagster_is_gone_when_its_time_is_over() {
    let (dagster, operator) = (Dagster::new(Sdl::installed(), 1, Quirks::default()), Operator::new());
    operator.write("target.yaml", &target(&dagster.listen().await, "2s", "4s", ""));
    let text = scenario("small", 1, "4s", "constant: { rate: 5/s }", "fast_job: 1");
    operator.write("small.yaml", &(text + "  limits: { maxDuration: 5s }\n"));
    let running = tokio::task::spawn_blocking(move || run(&operator, &["--start-timeout", "2s"]));
    some_launches(&dagster).await;
    let gone = (503, json!({ "errors": [{ "message": "no healthy upstream" }] }));
    {
        let mut truth = dagster.truth.lock().unwrap();
        truth.quirks.launches = vec![gone.clone(); 10_000];
        truth.quirks.looks = vec![gone; 10_000];
    }
    let done = running.await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("DagsterServerError: "), "{said}");
}
