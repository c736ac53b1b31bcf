//! The client alone: pages, words that it does not know, and the oldest Dagster.

use std::collections::{BTreeMap, BTreeSet};

use dagstorm::{
    model::{
        Acted, CensusQuery, Effect, GenerationId, Key, LocationState, LocationView, Observation, Outcome, Query,
        Receipt, RunStatus, ScenarioName, Seen, StepEventKind, Target, WhyKind,
    },
    spec::{self, Manifest},
    world::{LiveWorld, World},
};
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::{
    dagster::{AS_EVER, Dagster, KEY_TAG, Location, Quirks},
    rig,
    schema::Sdl,
};

const GENERATION: &str = "abc123-1";

pub struct Rig {
    pub dagster: Dagster,
    world: LiveWorld,
    target: Target,
}

impl Rig {
    pub async fn new(sdl: Sdl, quirks: Quirks) -> Self {
        let dagster = Dagster::new(sdl, 1, quirks);
        let url = dagster.listen().await;
        Self::at(dagster, &url)
    }

    /// The client of a Dagster that listens there.
    pub fn at(dagster: Dagster, url: &str) -> Self {
        let manifest = rig::target(url, "20s", "60s", "");
        let documents = spec::load("target.yaml", manifest.as_bytes(), &spec::no_attachments);
        let Ok(Manifest::Target(target)) = documents.into_iter().next().unwrap().content else { panic!("no target") };
        Self { dagster, world: LiveWorld::default(), target: *target }
    }

    fn scenario() -> ScenarioName {
        "wired".parse().unwrap()
    }

    fn key(index: u32) -> Key {
        Key { scenario: Self::scenario(), generation: GENERATION.parse().unwrap(), index }
    }

    fn tags(index: u32) -> BTreeMap<String, String> {
        [
            (KEY_TAG, Self::key(index).to_string()),
            ("dagstorm/scenario", "wired".to_owned()),
            ("dagstorm/generation", GENERATION.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Runs of ours, and one of another generation.
    fn make(&self, runs: u32, job: &str) {
        for index in 0..runs {
            self.dagster.make(job, &Self::tags(index));
        }
        let mut foreign = Self::tags(0);
        foreign.insert("dagstorm/generation".to_owned(), "abc123-2".to_owned());
        self.dagster.make(job, &foreign);
    }

    pub async fn see(&self, query: &Query) -> Observation {
        self.world.look(&self.target, query).await
    }

    pub async fn look(&self, jobs: &[&str]) -> Seen<dagstorm::model::DagsterView> {
        let generation: GenerationId = GENERATION.parse().unwrap();
        let jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
        let query = Query::Dagster { scenario: Self::scenario(), generation, jobs, since: None };
        self.world.look(&self.target, &query).await.dagster.unwrap().answer
    }

    pub async fn launch(&self, index: u32, job: &str) -> Outcome {
        self.act(index, job).await.outcome
    }

    pub async fn act(&self, index: u32, job: &str) -> Acted {
        let tags: IndexMap<String, String> = Self::tags(index).into_iter().collect();
        let effect = Effect::LaunchRun {
            key: Self::key(index),
            job: job.to_owned(),
            assets: vec![],
            tags,
            run_config: json!({}),
        };
        self.world.act(&self.target, &effect).await
    }

    async fn census(&self) -> dagstorm::model::Census {
        let query = CensusQuery { scenario: Self::scenario(), generation: GENERATION.parse().unwrap(), spool: None };
        match self.world.census(&self.target, &query).await {
            Seen::Fresh(census) => census,
            Seen::Unavailable(why) => panic!("{why}"),
        }
    }

    fn asked(&self, operation: &str) -> u32 {
        self.dagster.truth.lock().unwrap().asked.get(operation).copied().unwrap_or_default()
    }
}

fn instant() -> Quirks {
    Quirks { instant: true, ..Quirks::default() }
}

fn runs_of(seen: Seen<dagstorm::model::DagsterView>) -> Vec<dagstorm::model::RunView> {
    match seen {
        Seen::Fresh(view) => view.runs.iter().cloned().collect(),
        Seen::Unavailable(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn a_look_up_reads_page_after_page() {
    for (runs, pages) in [(0, 1), (499, 1), (500, 2), (501, 2), (1_203, 3)] {
        let rig = Rig::new(Sdl::installed(), instant()).await;
        rig.make(runs, "fast_job");
        let seen = runs_of(rig.look(&[]).await);
        let indices: BTreeSet<u32> = seen.iter().map(|run| run.key.as_ref().unwrap().index).collect();
        assert_eq!((seen.len(), indices.len()), (runs as usize, runs as usize), "{runs} runs");
        assert_eq!(rig.asked("query Runs("), pages, "{runs} runs");
    }
}

#[tokio::test]
async fn scenarios_of_one_spec_share_a_generation_and_no_run() {
    let rig = Rig::new(Sdl::installed(), instant()).await;
    rig.make(3, "fast_job");
    let mut others = Rig::tags(3);
    others.insert("dagstorm/scenario".to_owned(), "twin".to_owned());
    rig.dagster.make("fast_job", &others);
    assert_eq!(runs_of(rig.look(&[]).await).len(), 3);
    assert_eq!(rig.census().await.runs.len(), 3);
}

#[tokio::test]
async fn a_run_that_is_deleted_between_two_pages_hides_no_other_one() {
    let rig = Rig::new(Sdl::installed(), Quirks { deletes_after: Some("query Runs("), ..instant() }).await;
    rig.make(1_203, "fast_job");
    let Seen::Unavailable(why) = rig.look(&[]).await else { panic!("what comes after the first page is not known") };
    assert!(why.message.ends_with("was deleted while Dagster's runs were read; they are read again"), "{why}");
    assert_eq!(runs_of(rig.look(&[]).await).len(), 1_202);
    let rig = Rig::new(Sdl::installed(), Quirks { deletes_after: Some("query RunIds("), ..instant() }).await;
    rig.make(5_003, "fast_job");
    assert_eq!(rig.census().await.runs.len(), 5_002);
}

#[tokio::test]
async fn a_census_reads_every_run_with_every_event() {
    for (sdl, pages_of_events) in [(Sdl::installed(), 3), (Sdl::oldest(), 0)] {
        let rig = Rig::new(sdl, instant()).await;
        rig.make(120, "fast_job");
        rig.dagster.make("wide_job", &Rig::tags(120));
        let census = rig.census().await;
        let keys: BTreeSet<&Key> = census.runs.iter().filter_map(|record| record.run.key.as_ref()).collect();
        assert_eq!((census.runs.len(), keys.len()), (121, 121));
        for record in &census.runs {
            let steps = if &*record.run.job == "wide_job" { 840 } else { 1 };
            for kind in [StepEventKind::Claimed, StepEventKind::Started, StepEventKind::Succeeded] {
                let of_it: Vec<_> = record.events.iter().filter(|event| event.kind == kind).collect();
                let distinct: BTreeSet<&str> = of_it.iter().map(|event| &*event.step).collect();
                assert_eq!((of_it.len(), distinct.len()), (steps, steps), "{kind:?} of {}", record.run.job);
                assert!(of_it.iter().all(|event| event.task.is_some() == (kind == StepEventKind::Claimed)));
            }
            assert_eq!(record.events.len(), 3 * steps, "nothing else is counted");
        }
        assert_eq!(rig.asked("query Events("), pages_of_events);
        assert_eq!(census.dagster_version, rig.dagster.version());
        assert_eq!(rig.dagster.truth.lock().unwrap().misfits, [""; 0]);
    }
}

#[tokio::test]
async fn a_census_survives_what_passes_and_is_nothing_when_a_page_stays_away() {
    let error = (500, json!({ "errors": [{ "message": "database is locked" }] }));
    let partial = (
        200,
        json!({ "data": { "version": "1.13.27", "runsOrError": { "__typename": "Runs", "results": [] } },
        "errors": [{ "message": "one run could not be read" }] }),
    );
    for (looks, is_read) in [(vec![error.clone()], true), (vec![error; 4], false), (vec![partial], false)] {
        let rig = Rig::new(Sdl::installed(), Quirks { looks, ..instant() }).await;
        rig.make(3, "fast_job");
        let query = CensusQuery { scenario: Rig::scenario(), generation: GENERATION.parse().unwrap(), spool: None };
        match rig.world.census(&rig.target, &query).await {
            Seen::Fresh(census) => assert!(is_read && census.runs.len() == 3),
            Seen::Unavailable(why) => assert!(!is_read, "{why}"),
        }
    }
}

#[tokio::test]
async fn an_interrupted_census_goes_on_where_it_stood() {
    let (fine, error) = ((AS_EVER, json!({})), (500, json!({ "errors": [{ "message": "database is locked" }] })));
    // The version and four of six pages, the first one among them; then nothing for as long as it tries.
    let looks = [vec![fine; 5], vec![error; 100]].concat();
    let rig = Rig::new(Sdl::installed(), Quirks { looks, ..instant() }).await;
    rig.make(300, "fast_job");
    let folder = tempfile::tempdir().unwrap();
    let spool = Some(folder.path().join(".census.jsonl"));
    let query = CensusQuery { scenario: Rig::scenario(), generation: GENERATION.parse().unwrap(), spool };
    let Seen::Unavailable(_) = rig.world.census(&rig.target, &query).await else { panic!("it cannot be complete") };
    rig.dagster.truth.lock().unwrap().quirks.looks.clear();
    let asked = rig.asked("query Runs(");
    // Another process, as after a crash.
    let world = LiveWorld::default();
    let Seen::Fresh(census) = world.census(&rig.target, &query).await else { panic!("it is complete now") };
    let keys: BTreeSet<&Key> = census.runs.iter().filter_map(|record| record.run.key.as_ref()).collect();
    assert_eq!((census.runs.len(), keys.len()), (300, 300));
    let asked = rig.asked("query Runs(") - asked;
    assert!((1 + 2..=1 + 5).contains(&asked), "the version and the pages that were missing: {asked}");
    assert!(!query.spool.unwrap().exists());
}

#[tokio::test]
async fn a_status_that_is_new_to_us_is_no_end() {
    let rig = Rig::new(Sdl::installed(), Quirks { extra_status: Some("HIBERNATING"), ..Quirks::default() }).await;
    rig.make(40, "slow_job");
    let hibernating = RunStatus::Other("HIBERNATING".to_owned());
    let mut has_hibernated = false;
    rig::until_async("all runs end", async || {
        let seen = runs_of(rig.look(&[]).await);
        has_hibernated |= seen.iter().any(|run| run.status == hibernating);
        (seen.len() == 40 && seen.iter().all(|run| run.status.is_terminal())).then_some(())
    })
    .await;
    assert!(has_hibernated);
    assert!(!hibernating.is_terminal());
}

#[tokio::test]
async fn answers_that_are_new_to_us_decide_nothing() {
    let said =
        |typename: &str| json!({ "data": { "launchRun": { "__typename": typename, "message": "so", "more": [1] } } });
    let launches = vec![
        (200, said("RunQuotaExceededError")),
        (200, json!({ "data": { "launchRun": { "__typename": "RunQuotaExceededError" } } })),
        (200, json!({ "data": { "launchRun": null } })),
        (200, json!({ "data": null, "errors": [{ "message": "new", "extensions": { "code": 1 } }] })),
        (200, json!({ "data": { "launchRun": { "__typename": "LaunchRunSuccess", "run": null } } })),
    ];
    let runs = |answer: Value| json!({ "data": { "version": "9.9", "runsOrError": answer } });
    let looks = vec![
        (200, runs(json!({ "__typename": "RunsAreElsewhereError", "message": "so", "where": {} }))),
        (200, runs(json!({ "__typename": "Runs", "results": null }))),
        (
            200,
            json!({ "data": { "version": "9.9", "repositoryOrError": { "__typename": "RepositoryMovedError" },
            "runsOrError": { "__typename": "Runs", "results": [] } } }),
        ),
    ];
    let (launched, looked) = (launches.len() as u32, looks.len());
    let rig = Rig::new(Sdl::installed(), Quirks { launches, looks, ..instant() }).await;
    for index in 0..launched {
        let outcome = rig.launch(index, "fast_job").await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    }
    for _ in 0..looked {
        let Seen::Unavailable(why) = rig.look(&["fast_job"]).await else { panic!("a failed look is no empty answer") };
        assert!([WhyKind::ServerError, WhyKind::Protocol].contains(&why.kind), "{why:?}");
    }
    assert!(rig.dagster.runs().is_empty());
    let outcome = rig.launch(launched, "fast_job").await;
    assert!(matches!(outcome, Outcome::Done(Receipt::Launched { .. })), "{outcome:?}");
}

#[tokio::test]
async fn what_the_client_sends_fits_both_schemas() {
    for sdl in [Sdl::oldest(), Sdl::installed()] {
        let rig = Rig::new(sdl, instant()).await;
        let outcome = rig.launch(0, "fast_job").await;
        assert!(matches!(outcome, Outcome::Done(Receipt::Launched { .. })), "{outcome:?}");
        let outcome = rig.launch(1, "picky_job").await;
        assert!(matches!(outcome, Outcome::Refused { retry: false, .. }), "{outcome:?}");
        let outcome = rig.launch(2, "no_job").await;
        assert!(
            matches!(outcome, Outcome::Refused { retry: true, .. }),
            "a look tells whether it is final: {outcome:?}"
        );
        let Seen::Fresh(view) = rig.look(&["fast_job", "no_job"]).await else { panic!("no look") };
        let message = "code location `demo` has no job `no_job`".to_owned();
        let known = "it has: fast_job, slow_job, wide_job, picky_job, day_job, dims_job".to_owned();
        let lacks = LocationState::Lacks { jobs: vec!["no_job".to_owned()], message, known };
        let location = LocationView { state: lacks, forbidden: None };
        assert_eq!((view.runs.len(), view.location), (1, Some(location)));
        assert_eq!(view.version, rig.dagster.version());
        assert_eq!(rig.census().await.runs.len(), 1);
        assert_eq!(rig.dagster.truth.lock().unwrap().misfits, [""; 0]);
    }
}

#[tokio::test]
async fn a_location_is_asked_why_a_job_is_not_there() {
    let not_loaded = |message: &str| LocationState::NotLoaded(message.to_owned());
    let renamed = LocationState::Lacks {
        jobs: vec!["fast_job".to_owned()],
        message: "code location `demo` has no repository `__repository__`".to_owned(),
        known: "it has: other".to_owned(),
    };
    let mut seen = vec![];
    for (location, expected) in [
        (Location::Loaded, LocationState::Ready),
        (Location::Renamed, renamed),
        (Location::Reloading, not_loaded("code location `demo` is being loaded")),
        (Location::Loading, not_loaded("code location `demo` is being loaded")),
        (
            Location::Broken,
            not_loaded("code location `demo` could not be loaded: ModuleNotFoundError: No module named 'pandas'"),
        ),
        (
            Location::Absent,
            LocationState::Absent("Dagster has no code location `demo`: the server has: etl".to_owned()),
        ),
    ] {
        for sdl in [Sdl::oldest(), Sdl::installed()] {
            let rig = Rig::new(sdl, Quirks { location, ..instant() }).await;
            rig.make(1, "fast_job");
            let Seen::Fresh(view) = rig.look(&["fast_job"]).await else { panic!("{location:?}") };
            assert_eq!(view.runs.len(), 1, "its runs are seen all the same");
            assert_eq!(view.location.map(|view| view.state), Some(expected.clone()), "{location:?}");
            let without = rig.look(&[]).await;
            assert_eq!(without.fresh().and_then(|view| view.location.clone()), None, "nothing was asked");
            assert_eq!(rig.dagster.truth.lock().unwrap().misfits, [""; 0]);
            seen.push(rig.launch(0, "fast_job").await);
        }
    }
    let refused = seen.iter().filter(|outcome| matches!(outcome, Outcome::Refused { retry: true, .. })).count();
    assert_eq!(
        (seen.len(), refused),
        (12, 8),
        "the one that is loaded and the one with old code take the launch: {seen:?}"
    );
}

#[tokio::test]
async fn a_server_that_permits_no_launches_says_so_before_one_is_sent() {
    let rig = Rig::new(Sdl::installed(), Quirks { read_only: true, ..instant() }).await;
    let Seen::Fresh(view) = rig.look(&["fast_job"]).await else { panic!("no look") };
    let forbidden = view.location.unwrap().forbidden.unwrap();
    assert!(forbidden.contains("launch_pipeline_execution is false: Disabled by your administrator"), "{forbidden}");
    let outcome = rig.launch(0, "fast_job").await;
    assert!(matches!(&outcome, Outcome::Refused { retry: true, reason } if reason.starts_with("UnauthorizedError")));
}
