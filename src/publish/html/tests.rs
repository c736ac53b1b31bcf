//! What may stand in a page.

use super::{columns::columns, data::Origin, lanes::lanes, series::series, *};
use crate::{
    audit::audit_generation,
    journal::{Event, Fact, Found, Record, State},
    model::{GenerationId, Key, Metric, RunRecord, RunStatus, RunView, StepEvent, StepEventKind, Timestamp},
    plan,
    spec::{Manifest, load, no_attachments},
};

#[test]
fn no_text_breaks_out_of_the_data() {
    for text in [
        "</script><script>alert(1)</script>",
        "<!--",
        "<![CDATA[",
        "]]>",
        "\u{2028}\u{2029}",
        "a & b \\\"",
        "{{script}}",
    ] {
        let json = serde_json::to_string(&[text]).expect("a string");
        let escaped = escaped_json(&json);
        assert!(!escaped.contains(['<', '>', '\u{2028}', '\u{2029}']), "{escaped}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).expect("still JSON"), [text]);
    }
    assert_eq!(escaped_text("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
}

#[test]
fn what_is_filled_in_is_not_looked_at_again() {
    let value = |name: &str| format!("[{name} {{{{title}}}}]");
    assert_eq!(fill("a {{title}} b {{data}}", value), "a [title {{title}}] b [data {{title}}]");
}

#[test]
fn our_own_parts_end_no_element_early() {
    for script in [PLOTS, REPORT, INDEX, COMPARISON] {
        assert!(!script.contains("</script") && !script.contains("<!--") && !script.contains('\r'));
    }
    assert!(!STYLE.contains("</style") && !STYLE.contains('\r'));
    for banned in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
        "XMLHttpRequest",
        "import(",
    ] {
        for script in [REPORT, INDEX, COMPARISON] {
            assert!(!script.contains(banned), "{banned}");
        }
    }
}

const SCENARIO: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: page }
spec:
  target: local
  load:
    - { name: base, for: 8s, arrivals: { constant: { rate: 1/s } }, jobs: { fast_job: 1 } }
";
const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"}}"#;

/// Eight keys, due a second after another; the run of each takes half a second, and what `change` makes of them.
fn seen(change: impl FnOnce(&Plan, &mut Vec<Event>, &mut Census)) -> (Plan, Generation, Census) {
    let loaded = load("a.yaml", SCENARIO.as_bytes(), &no_attachments).pop().map(|document| document.content);
    let Some(Ok(Manifest::Scenario(scenario))) = loaded else { panic!("not a scenario: {loaded:?}") };
    let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
    let plan = plan::compile(&scenario, &generation);
    let target = Box::new(serde_json::from_str(TARGET).expect("a target"));
    let mut events = vec![
        Event::Accepted { generation, scenario, target },
        Event::Started { at: at(0.0), dagster_version: "1.13.27".to_owned() },
    ];
    let mut census =
        Census { taken_at: at(100.0), dagster_version: "1.13.27".to_owned(), runs: vec![], completions: None };
    for index in 0..8 {
        events.push(Event::SubmitIntended { index, attempt: 1, due: Some(at(f64::from(index))) });
        events.push(Event::Submitted { index, run_id: format!("run-{index}"), found: Found::Acknowledged });
        census.runs.push(run(Some(plan.key(index)), &format!("run-{index}"), f64::from(index)));
    }
    change(&plan, &mut events, &mut census);
    let mut state = State::default();
    for (seq, event) in (0..).zip(events) {
        state.apply(&Record { seq, at: at(0.0), epoch: 1, event }).expect("it follows");
    }
    (plan, state.current.expect("it was accepted"), census)
}

fn at(second: f64) -> Timestamp {
    Timestamp::from_seconds(1_000_000.0 + second)
}

fn run(key: Option<Key>, run_id: &str, second: f64) -> RunRecord {
    let step = |kind, later: f64| StepEvent::new("work", kind, at(second + later));
    RunRecord::new(
        RunView {
            run_id: run_id.to_owned(),
            key,
            job: "fast_job".into(),
            status: RunStatus::Success,
            started_at: Some(at(second + 0.1)),
            ended_at: Some(at(second + 0.5)),
            generation_started: None,
            ..RunView::new("", None, "", RunStatus::Queued)
        },
        vec![step(StepEventKind::Started, 0.2), step(StepEventKind::Succeeded, 0.4)],
    )
}

const ORIGIN: Origin = Origin(Timestamp::from_micros(1_000_000_000_000));

#[test]
fn of_too_many_keys_those_with_something_to_say_stay() {
    let (plan, generation, census) = seen(|plan, _, census| {
        census.runs.retain(|record| record.run.key != Some(plan.key(6)));
        census.runs[3].run.status = RunStatus::Failure;
    });
    let audit = audit_generation(&plan, &generation, &census);
    let of = |most| columns(&plan, &generation, &census, &audit, ORIGIN, most).index;
    assert_eq!(of(8), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(of(4), [0, 1, 3, 6]);
    assert_eq!(of(2), [3, 6]);
    assert_eq!(of(1), [3]);
    let all = columns(&plan, &generation, &census, &audit, ORIGIN, 8);
    assert_eq!((all.due[6], all.started[6], all.status.of[6]), (Some(6_000), None, 2));
    assert_eq!(all.status.names, ["SUCCESS", "FAILURE", ""]);
    assert_eq!(all.ended[7], Some(7_500));
}

#[test]
fn a_lane_has_every_run_and_comes_by_gravity() {
    let (plan, generation, census) = seen(|plan, _, census| {
        census.runs.push(run(Some(plan.key(2)), "again", 4.0));
        census.runs.push(run(None, "stray", 5.0));
        let again = census.runs[1].events.clone();
        census.runs[1].events.insert(0, again[0].clone());
    });
    let audit = audit_generation(&plan, &generation, &census);
    let lanes = lanes(&plan, &generation, &census, &audit, ORIGIN);
    assert_eq!(lanes.total, lanes.shown.len());
    let told: Vec<(Option<u32>, &str, Vec<&str>)> = lanes
        .shown
        .iter()
        .map(|lane| (lane.index, lane.notes[0].sort, lane.runs.iter().map(|run| run.id.as_str()).collect()))
        .collect();
    let wanted: [(Option<u32>, &str, Vec<&str>); 3] = [
        (None, "finding", vec!["stray"]),
        (Some(2), "finding", vec!["run-2", "again"]),
        (Some(1), "recovery", vec!["run-1"]),
    ];
    assert_eq!(told, wanted);
    let events: Vec<i64> = lanes.shown[1].runs[1].events.iter().map(|event| event.at).collect();
    assert_eq!(events, [4_200, 4_400]);
    assert_eq!((lanes.shown[1].due, lanes.shown[0].due), (Some(2_000), None));
}

#[test]
fn a_run_that_dagster_does_not_have_is_named_in_its_lane() {
    let (plan, generation, census) = seen(|_, _, census| drop(census.runs.remove(4)));
    let audit = audit_generation(&plan, &generation, &census);
    let lanes = lanes(&plan, &generation, &census, &audit, ORIGIN);
    let [lane] = &lanes.shown[..] else { panic!("{lanes:?}") };
    assert_eq!((lane.index, lane.runs[0].id.as_str(), lane.runs[0].status.as_ref()), (Some(4), "run-4", None));
}

#[test]
fn the_story_counts_what_came_about() {
    let (plan, generation, census) = seen(|_, events, census| {
        for (second, value) in [(1.0, 3.0), (2.0, 1.0)] {
            events.push(Event::Sampled { metric: Metric::QueueDepth, asked_at: at(second), value });
        }
        census.runs[5].run.ended_at = None;
        census.runs[5].run.status = RunStatus::Started;
    });
    let series = series(&plan, &generation, &census, &[], ORIGIN);
    assert_eq!((series.width, series.fine_width, series.end, series.left), (1_000, 100, 8_000, 1));
    assert_eq!(series.due, [1, 1, 1, 1, 1, 1, 1, 1, 0], "one a second is a line, not a comb");
    assert_eq!(series.due.iter().sum::<u32>(), 8);
    assert_eq!(series.completed.iter().sum::<u32>(), 7);
    assert_eq!((series.under_way[45], series.under_way[79], series.executing[50], series.executing[51]), (1, 1, 0, 1));
    assert_eq!(series.queue_depth.map(|gauge| (gauge.at, gauge.value)), Some((vec![1_000, 2_000], vec![3.0, 1.0])));
    assert_eq!(series.workers, None, "absence is not zero");
}

#[test]
fn what_was_aborted_had_no_more_arrivals() {
    let (plan, mut generation, census) =
        seen(|_, events, _| events.push(Event::Aborted { reason: "alarm".to_owned() }));
    generation.aborted = Some(Fact { at: at(2.5), value: "alarm".to_owned() });
    assert_eq!(series(&plan, &generation, &census, &[], ORIGIN).due.iter().sum::<u32>(), 3);
}
