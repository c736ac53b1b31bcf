//! The documents against the schemas of the oldest Dagster and of the installed one.

use std::collections::BTreeSet;

use dagstorm::{
    model::{RunStatus, Standing},
    world::{DOCUMENTS, LAUNCH_ANSWERS},
};
use serde_json::{Value, json};

use crate::schema::Sdl;

/// Variables in the shape that the client sends; what it really sends, the other tests of this binary judge.
fn variables(name: &str) -> Value {
    let filter = json!({ "tags": [{ "key": "dagstorm/scenario", "value": "steady" }] });
    let repository = json!({ "repositoryName": "r", "repositoryLocationName": "l" });
    match name {
        "runs" | "runs in pages" => json!({
            "filter": filter, "cursor": null, "limit": 500, "location": "demo", "repository": "__repository__",
            "withJobs": true, "withEvents": false,
        }),
        "run ids" => json!({ "filter": filter, "cursor": null, "limit": 5_000 }),
        "events" => json!({ "runId": "1", "after": "7", "limit": 1000 }),
        "launch" => json!({ "params": {
            "selector": {
                "jobName": "a", "repositoryName": "__repository__", "repositoryLocationName": "demo",
                "assetSelection": [{ "path": ["raw", "orders"] }],
            },
            "runConfigData": {},
            "executionMetadata": { "tags": [{ "key": "a", "value": "b" }] },
        } }),
        "partitions" => json!({ "repository": repository, "job": "j" }),
        "partition" => json!({ "repository": repository, "set": "j_partition_set", "key": "2026-11-30" }),
        "assets" => json!({ "assets": [{ "path": ["raw", "orders"] }], "withKeys": true }),
        "terminate" => json!({ "runId": "r" }),
        "location" => json!({ "location": "demo" }),
        "locations" => json!({}),
        "config" => {
            let job = json!({ "pipelineName": "j", "repositoryName": "r", "repositoryLocationName": "l" });
            let repository = json!({ "repositoryName": "r", "repositoryLocationName": "l" });
            json!({ "pipeline": job, "runConfig": { "ops": {} }, "repository": repository, "job": "j" })
        }
        other => panic!("no variables are known of the document `{other}`"),
    }
}

#[test]
fn every_document_fits_the_schemas_that_it_is_sent_to() {
    for (sdl, misfits) in [(Sdl::oldest(), &["runs in pages"][..]), (Sdl::installed(), &[])] {
        let judged: Vec<(&str, Result<(), String>)> =
            DOCUMENTS.iter().map(|(name, document)| (*name, sdl.judge(document, &variables(name)))).collect();
        assert_eq!(judged.len(), 12);
        for (name, judgement) in judged {
            assert_eq!(judgement.is_err(), misfits.contains(&name), "{} {name}: {judgement:?}", sdl.version);
        }
    }
}

#[test]
fn every_answer_to_a_launch_is_known() {
    for sdl in [Sdl::oldest(), Sdl::installed()] {
        let members = sdl.members("LaunchRunResult");
        assert!(members.len() > 5, "{members:?}");
        for member in members {
            let known = LAUNCH_ANSWERS.iter().filter(|(known, _)| *known == member).count();
            assert_eq!(known, 1, "Dagster {}: `{member}` has no line of its own in LAUNCH_ANSWERS", sdl.version);
        }
    }
}

#[test]
fn every_status_of_a_run_is_known() {
    let mut all = BTreeSet::new();
    for sdl in [Sdl::oldest(), Sdl::installed()] {
        let words = sdl.words("RunStatus");
        assert!(words.len() > 5, "{words:?}");
        for word in &words {
            let is_known = RunStatus::TABLE.iter().any(|(_, known, _)| known == word);
            assert!(is_known, "Dagster {}: the status `{word}` has no line in RunStatus::TABLE", sdl.version);
        }
        all.extend(words);
    }
    for (status, word, standing) in RunStatus::TABLE {
        assert!(all.contains(word), "no Dagster has the status `{word}`");
        assert_eq!((RunStatus::of(word), status.word(), status.standing()), (status.clone(), word, standing));
    }
    assert_eq!(RunStatus::of("HIBERNATING").standing(), Standing::Unknown, "a word of a later Dagster ends nothing");
}

#[test]
fn the_schemas_are_of_the_versions_that_they_say() {
    let (oldest, installed) = (Sdl::oldest(), Sdl::installed());
    assert!(oldest.version.starts_with("1.8."), "{}", oldest.version);
    assert_ne!(oldest.version, installed.version);
    assert!(oldest.has_field("Mutation", "launchRun") && !oldest.has_field("Mutation", "launchMultipleRuns"));
    assert!(installed.has_field("Mutation", "launchMultipleRuns"));
}

#[test]
fn what_does_not_fit_is_noticed() {
    let sdl = Sdl::installed();
    let runs = DOCUMENTS[0].1;
    for (document, what, change) in [
        (runs.replace("jobName", "jobsName"), "a field that Dagster does not have", json!({})),
        (runs.replace("$limit: Int!", "$limit: String!"), "a variable of another type", json!({ "limit": "1" })),
        (runs.replace("... on Runs ", "... on Sprints "), "a type that Dagster does not have", json!({})),
        (runs.to_owned(), "a variable of another shape", json!({ "filter": { "tags": [{ "name": "a" }] } })),
        (runs.to_owned(), "a variable that is null", json!({ "limit": null })),
    ] {
        let mut variables = variables("runs");
        for (name, value) in change.as_object().unwrap() {
            variables[name] = value.clone();
        }
        assert!(sdl.judge(&document, &variables).is_err(), "{what}");
    }
    let mut launch = variables("launch");
    launch["params"]["executionMetadata"]["runId"] = json!("1");
    assert!(sdl.judge(DOCUMENTS[3].1, &launch).is_err(), "a launch cannot name its run");
}
