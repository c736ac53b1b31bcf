//! What a person reads of retries, copies, failures and other writers. `INSTA_UPDATE=always` rewrites the goldens.

use dagstorm::{
    journal::Event,
    model::{Origin, RunStatus},
    publish,
};
use serde_json::Value;

use crate::{every, story::Story};

/// One of everything: what failed, inside and outside of a fault's time; what Dagster ran again; what it never started or
/// announced; what others launched.
fn one_of_each() -> Story {
    let mut story = Story::new(12);
    story.events.push((0, Event::WriterNamed { writer: "ours".parse().unwrap() }));
    story.runs.iter_mut().for_each(|record| record.run.writer = "ours".parse().ok());
    story.raised("run-0");
    story.raised("run-3");
    story.died("run-4");
    story.retry("run-4", 1, "run-4b");
    story.died("run-5");
    story.retry("run-5", 1, "run-5b");
    story.raised("run-5b");
    story.retry("run-5b", 2, "run-5c");
    story.follow("run-6", "run-6-follow-up", Origin::Sensor("follow_up".into()));
    let (parent, root) = ("run-7".to_owned(), "run-7".to_owned());
    story.follow("run-7", "run-7-again", Origin::Reexecution { parent, root });
    let never = story.run(8);
    (never.run.status, never.run.started_at, never.run.ended_at) = (RunStatus::NotStarted, None, None);
    never.events.clear();
    story.died("run-9").run.will_retry = true;
    story.complete(10, "run-10-theirs");
    story.by_id("run-10-theirs").run.writer = "theirs".parse().ok();
    story.died("run-11");
    story
}

#[test]
fn one_of_each_is_told_in_every_report() {
    let story = one_of_each();
    // The digest of the scenario is no matter here.
    let generation = story.plan.generation.to_string();
    let plain = |text: String| text.replace(&generation, "abcdef-1");
    let [text, keys, page, junit] = story.rendered().map(plain);
    insta::assert_snapshot!("report.md", text);
    insta::assert_snapshot!("keys.csv", keys);
    insta::assert_snapshot!("junit.xml", junit);
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let sorts = ["findings", "tolerated", "recoveries", "unfinished", "copies"];
    let lists = sorts.map(|sort| format!("{sort}: {}\n", serde_json::to_string_pretty(&data[sort]).unwrap()));
    insta::assert_snapshot!("report.html", lists.concat());
    let report = plain(serde_json::to_string(&story.report().unwrap()).unwrap());
    let recorded = publish::recorded::read(&report).unwrap();
    insta::assert_snapshot!("summary", publish::summary(&recorded, "reports/story", &[]));
}

/// Which failures fell into a fault's time, and which did not.
#[test]
fn a_failure_says_whether_a_fault_was_in_place() {
    let audit = one_of_each().audit();
    let failed = audit.findings.iter().filter(|one| one.message.contains("failed by its own code"));
    let told: Vec<(u32, Vec<String>)> =
        failed.map(|one| (one.key.as_ref().unwrap().index, one.overlapping_faults.clone())).collect();
    assert_eq!(told, [(0, vec!["kill#1".to_owned()]), (3, vec![])]);
    assert_eq!((audit.counts.failed, audit.counts.failed_under_faults), (2, 1));
}

/// What is said of a defect: the first finding, permitted or not; else the first copy.
fn says(name: &str) -> String {
    let defect = every().find(|defect| defect.name == name).unwrap();
    let mut story = Story::new(12);
    (defect.plant)(&mut story);
    let audit = story.audit();
    let found = audit.findings.iter().chain(&audit.tolerated).chain(&audit.copies).next().unwrap();
    found.message.replace(&format!("{}/{}", story.plan.scenario, story.plan.generation), "s/g")
}

#[test]
fn each_sentence_names_what_a_person_needs() {
    for (name, expected) in [
        (
            "duplicated: a step was done by two retries at once",
            "s/g/3: Dagster ran a failed run again more than once: run run-3 by run-3b, run-3c",
        ),
        (
            "failed: by its own error, also in the retry",
            "s/g/3 failed by its own code in run run-3b: step work: ValueError: no such customer, also when Dagster ran it again",
        ),
        (
            "lost: both retries died",
            "s/g/3 was acknowledged and ended as FAILURE (step work: the child process crashed), also when Dagster ran it \
             again 2 times",
        ),
        (
            "failed: the code could not be loaded in the run's process",
            "s/g/3 failed by its own code in run run-3: ImportError: no module named pandas",
        ),
        (
            "lost: the step failed its health check",
            "s/g/3 was acknowledged and ended as FAILURE (step work: it went wrong)",
        ),
        (
            "two writers: an older dagstorm without a writer's tag",
            "s/g/3 was launched by an older dagstorm, as run theirs-3: two dagstorms were at work on this scenario",
        ),
        ("unexpected: never sent, and there with a retry", "s/g/3 was dropped, yet Dagster has run-3, run-3b"),
        (
            "no defect: a launch of another job with these tags",
            "s/g/3: run copy carries its tags and is no launch of it, but one of the job `other_job`, where the key is of \
             `fast_job`",
        ),
        (
            "no defect: a launch of another code location with these tags",
            "s/g/3: run copy carries its tags and is no launch of it, but one in the code `r@staging`, where the key is of \
             `r@demo`",
        ),
        (
            "no defect: a sensor's run with the tags of the generation and no key",
            "run copy carries the tags of this generation without a key, and is a run of the sensor `follow_up`",
        ),
    ] {
        assert_eq!(says(name), expected, "{name}");
    }
}

/// Work that was done before its worker died, and by the retry: with whoever recorded it, and when.
#[test]
fn work_that_a_retry_did_again_has_both_records() {
    let name = "duplicated at effect level: done before its worker died, and by the retry";
    let mut story = Story::new(12);
    (every().find(|defect| defect.name == name).unwrap().plant)(&mut story);
    let audit = story.audit();
    let found = audit.findings.iter().find(|one| one.message.contains("again in its retry")).unwrap();
    assert_eq!(
        (&found.runs[..], found.step.as_deref()),
        (&["run-3".to_owned(), "run-3b".to_owned()][..], Some("work"))
    );
    let attempts: Vec<&str> = found.attempts.iter().map(|one| one.what.as_ref()).collect();
    assert_eq!(attempts, ["started", "completed", "started", "completed"]);
    assert_eq!(audit.counts.effects_duplicated, 1);
}
