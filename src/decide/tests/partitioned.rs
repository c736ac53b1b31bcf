//! Launches for partitions: what is known before the start, and what is sent after it.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::*;
use crate::{
    journal::{ResolvedChoice, ResolvedPartition},
    model::{PartitionView, PartitionsView},
};

/// Arrivals at 0, 10 and 20 s.
fn of(jobs: &str) -> Case {
    Case::of(read(&format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  seed: 7
  load: [{{ name: base, for: 30s, arrivals: {{ constant: {{ rate: 6/min }} }}, jobs: {{ {jobs} }} }}]
"
    )))
}

impl Case {
    /// Dagster says this of every key.
    fn partitions(&mut self, second: f64, keys: &[&str], config: &str) -> &mut Self {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let partition = |key: &String| PartitionView {
            key: key.clone(),
            config: config.replace("KEY", key),
            tags: [("dagster/partition_set", "set"), ("team", "dagster's")]
                .map(|(tag, value)| (tag.to_owned(), value.to_owned()))
                .into(),
        };
        let view = PartitionsView {
            choice: 0,
            there: None,
            keys: keys.clone(),
            partitions: keys.iter().map(partition).collect(),
        };
        self.observation.partitions = Some(Timed { asked_at: at(second), answer: Seen::Fresh(vec![view]) });
        self
    }

    fn no_partitions(&mut self, second: f64, kind: WhyKind) -> &mut Self {
        let why = Why { kind, message: "job `daily` has no partition `x`".to_owned() };
        self.observation.partitions = Some(Timed { asked_at: at(second), answer: Seen::Unavailable(why) });
        self
    }

    /// Does what is decided at this second: the notes alone.
    fn noted(&mut self, second: f64) -> &mut Self {
        let current = self.state.current.as_ref().unwrap();
        let notes = decide(&self.plan, current, &self.observation, at(second)).notes;
        notes.into_iter().for_each(|event| {
            self.event(second, event);
        });
        self
    }

    /// What the launch that is due at this second carries.
    fn launched(&self, second: f64) -> (Vec<String>, IndexMap<String, String>, Value) {
        let decision = decide(&self.plan, self.state.current.as_ref().unwrap(), &self.observation, at(second));
        let [Act { effect: Effect::LaunchRun { assets, tags, run_config, .. }, .. }] = &decision.acts[..] else {
            panic!("{:?}", decision.acts)
        };
        (assets.clone(), tags.clone(), run_config.clone())
    }
}

#[test]
fn nothing_starts_before_the_partitions_are_known() {
    let mut case = of("daily: { weight: 1, partition: latest }");
    assert_eq!(case.decides(0.0), "look dagster and jobs, look partitions");
    case.dagster(0.1, &[]);
    assert_eq!(case.decides(0.2), "look partitions, wake 1.1");
    case.no_partitions(0.3, WhyKind::NotFound);
    assert_eq!(case.decides(0.4), "unready, wake 1.1");
    case.partitions(0.5, &["a"], "day: .inf\n");
    assert_eq!(case.decides(0.6), "unready, wake 1.1", "what cannot be sent is not launched");
    case.partitions(0.7, &["a"], "day: KEY\n");
    assert_eq!(case.decides(0.8), "partitionsResolved, started, wake 1.1");
    case.no_partitions(0.9, WhyKind::Unreachable).noted(1.0);
    assert!(case.state.current.as_ref().unwrap().started_at.is_none(), "the last look counts");
    assert_eq!(case.decides(10.8), "look dagster and jobs, wake 10.9", "Dagster's users' code is not run every second");
    assert_eq!(case.decides(10.9), "look dagster and jobs, look partitions");
}

#[test]
fn what_was_resolved_is_sent_whatever_dagster_says_later() {
    let mut case =
        of("daily: { weight: 1, partition: { each: all }, tags: { team: ours }, runConfig: { own: { a: 1 } } }");
    case.dagster(0.1, &[]).partitions(0.1, &["a", "b"], "own: { a: 0, b: KEY }\nday: KEY\n").noted(0.2);
    assert!(case.decides(0.2).starts_with("submitIntended 0, launch 0 attempt 1"), "{}", case.decides(0.2));
    case.partitions(0.3, &["c", "d", "e"], "day: other\n");
    let sent = |index: u32, second: f64, case: &mut Case| {
        let (assets, tags, config) = case.launched(second);
        case.acknowledged(index);
        assert_eq!(assets, [""; 0]);
        assert_eq!((tags["team"].as_str(), tags["dagster/partition_set"].as_str()), ("ours", "set"));
        (tags["dagster/partition"].clone(), config)
    };
    for (index, key) in [(0, "a"), (1, "b"), (2, "a")] {
        let expected = json!({ "own": { "a": 1, "b": key }, "day": key });
        let second = f64::from(index * 10) + 0.2;
        assert_eq!(
            sent(index, second, &mut case),
            (key.to_owned(), expected),
            "the manifest's own config stands above"
        );
    }
}

#[test]
fn a_launch_that_is_sent_again_by_the_next_process_is_for_the_same_partition() {
    let mut case = of("daily: { weight: 1, partition: { draw: all } }");
    case.dagster(0.1, &[]).partitions(0.1, &["a", "b", "c"], "day: KEY\n").noted(0.2);
    let first = case.launched(0.2);
    case.sent(0.2, 0, 1);
    // The records alone survive a crash.
    let mut next = of("daily: { weight: 1, partition: { draw: all } }");
    let choices = case.state.current.as_ref().unwrap().partitions.clone().unwrap();
    let written = serde_json::to_string(&Event::PartitionsResolved { choices }).unwrap();
    next.event(0.2, serde_json::from_str(&written).unwrap());
    next.event(0.2, Event::Started { at: at(0.2), dagster_version: "1".to_owned() }).sent(0.2, 0, 1);
    next.dagster(16.5, &[]).partitions(16.5, &["z"], "day: other\n");
    let current = next.state.current.as_ref().unwrap();
    let decision = decide(&next.plan, current, &next.observation, at(17.0));
    let again = decision.acts.iter().find_map(|act| match (&act.purpose, &act.effect) {
        (Purpose::Submit { index: 0, attempt: 2 }, Effect::LaunchRun { assets, tags, run_config, .. }) => {
            Some((assets.clone(), tags.clone(), run_config.clone()))
        }
        _ => None,
    });
    assert_eq!(again, Some(first));
}

#[test]
fn assets_are_selected_and_need_no_partition() {
    let mut case = of("__ASSET_JOB: { weight: 1, assets: [raw/orders, customers] }");
    assert_eq!(case.decides(0.0), "look dagster and jobs, look partitions");
    case.dagster(0.1, &[]).partitions(0.1, &[], "").noted(0.2);
    let (assets, tags, config) = case.launched(0.2);
    assert_eq!((assets.as_slice(), config), (&["raw/orders".to_owned(), "customers".to_owned()][..], json!({})));
    assert!(!tags.keys().any(|tag| tag.starts_with("dagster/")), "{tags:?}");
}

#[test]
fn partitions_are_resolved_once_and_before_the_start() {
    let resolved = || Event::PartitionsResolved {
        choices: vec![ResolvedChoice {
            choice: 0,
            keys: vec!["a".to_owned()],
            partitions: [("a".to_owned(), ResolvedPartition { run_config: json!({}), tags: IndexMap::new() })].into(),
        }],
    };
    let mut case = of("daily: { weight: 1, partition: a }");
    case.event(0.0, resolved());
    assert!(!case.decides(0.1).contains("partitions"), "they are not asked for again");
    let record = |case: &Case| Record { seq: case.state.next_seq, at: at(0.0), epoch: 1, event: resolved() };
    let again = record(&case);
    assert!(case.state.apply(&again).is_err(), "twice");
    let mut case = Case::started(false);
    let late = record(&case);
    assert!(case.state.apply(&late).is_err(), "after the start");
}
