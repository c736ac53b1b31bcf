//! What a person reads of retries, copies, failures and other writers. `INSTA_UPDATE=always` rewrites the goldens.

use dagstorm::{
    journal::Event,
    model::{Origin, RunStatus},
    publish,
};
use serde_json::Value;

use crate::story::Story;

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
    let [text, keys, page, junit] = one_of_each().rendered();
    insta::assert_snapshot!("report.md", text);
    insta::assert_snapshot!("keys.csv", keys);
    insta::assert_snapshot!("junit.xml", junit);
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let sorts = ["findings", "tolerated", "recoveries", "unfinished", "copies"];
    let lists = sorts.map(|sort| format!("{sort}: {}\n", serde_json::to_string_pretty(&data[sort]).unwrap()));
    insta::assert_snapshot!("report.html", lists.concat());
    let report = serde_json::to_string(&one_of_each().report().unwrap()).unwrap();
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
