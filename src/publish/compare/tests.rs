use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    model::Metric,
    publish::{compare::measured::RunTimes, recorded},
};

/// A report of two jobs and a fault that recovered; `change` spoils it.
fn report(change: impl FnOnce(&mut Value)) -> Recorded {
    let mut report = json!({
        "apiVersion": "dagstorm.dev/v1alpha1", "kind": "Report", "scenario": "nightly", "generation": "3f2a9c41d0b7-1",
        "verdict": "Passed", "summary": "all of it completed exactly once",
        "counts": { "planned": 200, "acknowledged": 200, "completed": 200, "lost": 0 },
        "findings": [], "gaps": [], "assumptions": ["a launch appears within 15s, or never"],
        "thresholds": [{ "threshold": "runLatency p95 < 1m30s", "value": "45s", "samples": 200, "holds": true }],
        "startedAt": "2026-11-24T12:00:00Z", "censusAt": "2026-11-24T12:30:00Z", "dagsterVersion": "1.13.27",
        "load": { "late": 0, "lateness": { "samples": 200, "p50": "1ms", "p95": "4ms", "p99": "9ms", "max": "12ms" } },
        "runLatency": { "samples": 200, "p50": "10s", "p95": "20s", "p99": "25s", "max": "30s" },
        "jobs": [{ "job": "fast_job", "planned": 100, "succeeded": 100 }, { "job": "slow_job", "planned": 100, "succeeded": 100 }],
        "faults": [{ "name": "kill#1", "what": "stop one of workers", "state": "Healed", "recoveryTime": "12s" }],
        "manifest": { "name": "nightly", "spec": { "target": "local", "seed": 7, "load": [{ "name": "base", "for": "5m" }] } },
    });
    change(&mut report);
    recorded::read(&report.to_string()).expect("a report")
}

/// Runs of two jobs, as long as the function says.
fn measured(count: u64, seconds: impl Fn(u64) -> f64) -> Measured {
    let start: Timestamp = "2026-11-24T12:00:00Z".parse().expect("an instant");
    let run = |index: u64| {
        let due = start.plus(Duration::from_secs(index));
        RunTimes {
            job: if index.is_multiple_of(2) { "fast_job" } else { "slow_job" }.to_owned(),
            due,
            started: Some(due.plus(Duration::from_secs(1))),
            ended: Some(due.plus(Duration::from_secs_f64(seconds(index)))),
            succeeded: true,
        }
    };
    Measured { source: Source::History, runs: (0..count).map(run).collect(), ..Measured::nothing() }
}

/// Somewhat irregular: from 8 to 12 seconds.
fn usual(index: u64) -> f64 {
    8.0 + (index * 37 % 101) as f64 / 25.0
}

fn side(count: u64, seconds: impl Fn(u64) -> f64, change: impl FnOnce(&mut Value)) -> Side {
    Side { report: report(change), measured: measured(count, seconds) }
}

fn as_it_was() -> Side {
    side(200, usual, |_| {})
}

fn tolerance() -> Tolerance {
    "10%".parse().expect("a share")
}

fn judged(comparison: &Comparison, metric: Metric, of: Option<&str>, quantile: &str) -> Judgement {
    let is_it =
        |measure: &&Measure| measure.metric == metric && measure.of.as_deref() == of && measure.quantile == quantile;
    comparison.measures.iter().find(is_it).unwrap_or_else(|| panic!("{metric} {of:?} {quantile}")).judgement
}

#[test]
fn nothing_is_worse_than_itself() {
    let comparison = compare(&as_it_was(), &as_it_was(), tolerance());
    assert_eq!((comparison.outcome, comparison.summary.as_str()), (Outcome::NothingWorse, "nothing is worse"));
    assert_eq!((comparison.setup.len(), comparison.broke.len(), comparison.mended.len()), (0, 0, 0));
    for measure in &comparison.measures {
        assert!(matches!(measure.judgement, Judgement::WithinTolerance | Judgement::TooFewSamples), "{measure:?}");
    }
}

#[test]
fn what_broke_is_said_and_what_is_mended_too() {
    let lost = json!({ "kind": "lost", "level": "run", "message": "a/ab-1/3 is lost" });
    let gap = json!({ "reason": "FaultSkipped", "message": "fault kill#2 was skipped" });
    type Change = Box<dyn Fn(&mut Value)>;
    let cases: [(&str, Change, Outcome, &[&str]); 7] = [
        (
            "a finding",
            Box::new(move |report| {
                (report["verdict"], report["findings"]) = ("Failed".into(), json!([lost, lost]));
            }),
            Outcome::Worse,
            &["verdict: Passed → Failed", "lost (run): 0 → 2"],
        ),
        (
            "a threshold that held",
            Box::new(|report| {
                report["thresholds"][0]["holds"] = false.into();
                report["thresholds"][0]["value"] = "2m".into();
            }),
            Outcome::Worse,
            &["runLatency p95 < 1m30s: held at 45s → does not hold at 2m"],
        ),
        (
            "a threshold that is new",
            Box::new(|report| {
                report["thresholds"] =
                    json!([{ "threshold": "workers max >= 9", "value": "2", "samples": 9, "holds": false }]);
            }),
            Outcome::Worse,
            &["workers max >= 9: not asked for → does not hold at 2"],
        ),
        (
            "a proof that is missing",
            Box::new(move |report| (report["verdict"], report["gaps"]) = ("Unknown".into(), json!([gap]))),
            Outcome::Unknown,
            &["verdict: Passed → Unknown", "FaultSkipped: 0 → 1"],
        ),
        (
            "it was stopped",
            Box::new(|report| report["verdict"] = "Stopped".into()),
            Outcome::Unknown,
            &["verdict: Passed → Stopped"],
        ),
        (
            "a threshold that nobody asks for any more",
            Box::new(|report| report["thresholds"] = json!([])),
            Outcome::NothingWorse,
            &[],
        ),
        ("another fault", Box::new(|report| report["faults"] = json!([])), Outcome::NothingWorse, &[]),
    ];
    for (what, change, outcome, broke) in cases {
        let (good, bad) = (as_it_was(), side(200, usual, &change));
        let told = |broken: &[Broken]| -> Vec<String> {
            broken.iter().map(|broken| format!("{}: {} → {}", broken.what, broken.before, broken.after)).collect()
        };
        let comparison = compare(&good, &bad, tolerance());
        assert_eq!(
            (comparison.outcome, told(&comparison.broke)),
            (outcome, broke.iter().map(|text| (*text).to_owned()).collect()),
            "{what}"
        );
        assert_eq!(comparison.mended, [], "{what}");
        // The other way round it is mended, where it holds now; a verdict that is missing stays missing.
        let back = compare(&bad, &good, tolerance());
        assert_eq!(back.broke, [], "{what}");
        let mended = if what == "a threshold that is new" { 0 } else { broke.len() };
        assert_eq!(back.mended.len(), mended, "{what}");
        assert_eq!(back.outcome == Outcome::Unknown, outcome == Outcome::Unknown, "{what}");
    }
}

#[test]
fn more_of_a_gap_breaks_what_had_failed_anyway() {
    let failed = |gaps: usize| {
        side(200, usual, move |report| {
            report["verdict"] = "Failed".into();
            report["findings"] = json!([{ "kind": "lost", "level": "run", "message": "one" }]);
            report["gaps"] = vec![json!({ "reason": "NotSent", "message": "some" }); gaps].into();
        })
    };
    assert_eq!(compare(&failed(1), &failed(1), tolerance()).outcome, Outcome::NothingWorse);
    assert_eq!(compare(&failed(1), &failed(2), tolerance()).outcome, Outcome::Worse);
}

#[test]
fn slower_is_what_is_beyond_the_tolerance_and_beyond_chance() {
    let wild = |index: u64| if index.is_multiple_of(30) { 40.0 } else { usual(index) };
    let one_wild = |index: u64| if index == 7 { 90.0 } else { usual(index) };
    for (what, count, after, quantile, judgement, outcome) in [
        (
            "half as slow again",
            200,
            (&|index| usual(index) * 1.5) as &dyn Fn(u64) -> f64,
            "p50",
            Judgement::Slower,
            Outcome::Worse,
        ),
        ("faster", 200, &|index| usual(index) * 0.7, "p50", Judgement::Faster, Outcome::NothingWorse),
        (
            "a little slower",
            200,
            &|index| usual(index) * 1.05,
            "p50",
            Judgement::WithinTolerance,
            Outcome::NothingWorse,
        ),
        ("one that is very slow", 200, &one_wild, "max", Judgement::WithinNoise, Outcome::NothingWorse),
        ("every thirtieth is slow", 300, &wild, "max", Judgement::Slower, Outcome::Worse),
        ("few samples", 19, &|index| usual(index) * 9.0, "p50", Judgement::TooFewSamples, Outcome::NothingWorse),
        ("enough of them", 20, &|index| usual(index) * 9.0, "p50", Judgement::Slower, Outcome::Worse),
        (
            "enough, yet not for so high a quantile",
            99,
            &|index| usual(index) * 9.0,
            "p99",
            Judgement::TooFewSamples,
            Outcome::Worse,
        ),
    ] {
        let comparison = compare(&side(count, usual, |_| {}), &side(count, after, |_| {}), tolerance());
        assert_eq!(judged(&comparison, Metric::RunLatency, None, quantile), judgement, "{what}");
        assert_eq!(comparison.outcome, outcome, "{what}: {}", comparison.summary);
    }
    // Of one job alone.
    let slow = |index: u64| if index.is_multiple_of(2) { usual(index) } else { usual(index) * 2.0 };
    let comparison = compare(&as_it_was(), &side(200, slow, |_| {}), tolerance());
    assert_eq!(judged(&comparison, Metric::RunLatency, Some("slow_job"), "p50"), Judgement::Slower);
    assert_eq!(judged(&comparison, Metric::RunLatency, Some("fast_job"), "p50"), Judgement::WithinTolerance);
    // A wide tolerance takes it.
    let wide = compare(&as_it_was(), &side(200, slow, |_| {}), "150%".parse().expect("a share"));
    assert_eq!(wide.outcome, Outcome::NothingWorse);
}

#[test]
fn less_throughput_is_slower_and_a_deeper_queue_too() {
    let with = |depths: &[f64], seconds: fn(u64) -> f64| {
        let mut side = side(200, seconds, |_| {});
        side.measured.gauges.insert(Metric::QueueDepth, depths.to_vec());
        side
    };
    let flat = [5.0; 30];
    let deep: Vec<f64> = (0..30).map(|second| if second == 9 { 80.0 } else { 5.0 }).collect();
    let comparison = compare(&with(&flat, usual), &with(&deep, |index| usual(index) + 100.0), tolerance());
    assert_eq!(judged(&comparison, Metric::QueueDepth, None, "max"), Judgement::Slower);
    assert_eq!(judged(&comparison, Metric::Throughput, None, "value"), Judgement::Slower);
    let back = compare(&with(&deep, usual), &with(&flat, usual), tolerance());
    assert_eq!(judged(&back, Metric::QueueDepth, None, "max"), Judgement::Faster);
    let few = compare(&with(&flat[..3], usual), &with(&deep, usual), tolerance());
    assert_eq!(judged(&few, Metric::QueueDepth, None, "max"), Judgement::TooFewSamples);
    let nothing = compare(&as_it_was(), &with(&deep, usual), tolerance());
    assert_eq!(judged(&nothing, Metric::QueueDepth, None, "max"), Judgement::OneSided);
    // A few messages more are none.
    let a_few: Vec<f64> = flat.iter().map(|depth| depth * 2.0).collect();
    let comparison = compare(&with(&flat, usual), &with(&a_few, usual), tolerance());
    assert_eq!(judged(&comparison, Metric::QueueDepth, None, "max"), Judgement::WithinTolerance);
}

#[test]
fn a_report_that_stands_alone_is_compared_by_its_quantiles() {
    let alone = |p95: &'static str| Side {
        report: report(|report| report["runLatency"]["p95"] = p95.into()),
        measured: Measured::nothing(),
    };
    let comparison = compare(&alone("20s"), &alone("29s"), tolerance());
    assert_eq!(judged(&comparison, Metric::RunLatency, None, "p95"), Judgement::Slower);
    let measure = &comparison.measures[1];
    assert_eq!((measure.samples, measure.change, measure.interval), ([200, 200], Some(9.0), None));
    assert!((measure.relative.expect("a share") - 0.45).abs() < 1e-9);
    assert_eq!(comparison.before.samples_from, Source::Report);
}

#[test]
fn a_tolerance_is_a_share() {
    for (text, shown) in [("10%", "10%"), ("12.5", "12.5%"), (" 0% ", "0%"), ("1000%", "1000%")] {
        assert_eq!(text.parse::<Tolerance>().expect(text).to_string(), shown);
    }
    for text in ["", "%", "-1%", "ten", "NaN", "1001%", "inf"] {
        assert!(text.parse::<Tolerance>().is_err(), "{text}");
    }
}

#[test]
fn a_comparison_reads_well() {
    let slow = |index: u64| usual(index) * if index.is_multiple_of(2) { 1.0 } else { 2.5 };
    let mut after = side(180, slow, |report| {
        report["generation"] = "aa11bb22cc33-1".into();
        report["verdict"] = "Failed".into();
        report["summary"] = "2 findings".into();
        report["dagsterVersion"] = "1.14.0".into();
        report["thresholds"][0] =
            json!({ "threshold": "runLatency p95 < 1m30s", "value": "1m40s", "samples": 180, "holds": false });
        report["findings"] = json!([{ "kind": "duplicated", "level": "run", "message": "k/3 has 2 runs | `x`" }]);
        report["faults"][0]["recoveryTime"] = "40s".into();
        report["manifest"]["spec"]["load"][0]["for"] = "6m".into();
    });
    after.measured.target = Some(json!({ "name": "local" }));
    let mut before = as_it_was();
    before.report.gaps.push(recorded::RecordedGap { reason: "NoSamples".to_owned(), message: "none".to_owned() });
    before.measured.target = Some(json!({ "name": "staging" }));
    let comparison = compare(&before, &after, tolerance());
    insta::assert_snapshot!("table", table(&comparison));
    insta::assert_snapshot!("markdown", markdown(&comparison));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&comparison).expect("string keys"));
}
