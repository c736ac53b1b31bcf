//! Stops that are sent again because their fate is not known, or because AWS was too busy to judge them.

use super::*;

const GUARDED: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"victims":"taskiq-worker"}},
    "guard":{"minHealthy":2}}"#;

/// Five tasks ran when the first three of them were told to stop, at 5 s; so they answered.
fn stopped(outcomes: [Option<Outcome>; 3]) -> Case {
    let mut case = Case::at(scenario(true), GUARDED);
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    let fault = FaultId { name: "kill".to_owned(), occurrence: 1 };
    case.tasks(5.0, 5, &["a", "b", "c", "d", "e"]);
    let targets = case.observation.services["taskiq-worker"].answer.fresh().unwrap().tasks[..3].to_vec();
    let stop = |task: &TaskView| Effect::StopTask { task: task.arn.clone(), reason: "test".to_owned() };
    let inject = targets.iter().map(stop).collect();
    let undo = Undo { effects: vec![], steady: Some("taskiq-worker".to_owned()) };
    case.event(5.0, Event::FaultIntended { fault: fault.clone(), targets, objects: vec![], inject, undo });
    for (effect, outcome) in outcomes.into_iter().enumerate() {
        if let Some(outcome) = outcome {
            case.event(5.0, Event::InjectTried { fault: fault.clone(), effect: effect as u32, outcome });
        }
    }
    case
}

/// How many stops are sent at that second.
fn sent(case: &Case, second: f64) -> usize {
    case.decides(second).matches("inject kill#1").count()
}

fn throttled() -> Option<Outcome> {
    Some(Outcome::Refused { reason: "throttled".to_owned(), retry: true })
}

fn lost() -> Option<Outcome> {
    Some(Outcome::Unknown { reason: "no answer".to_owned() })
}

fn done() -> Option<Outcome> {
    Some(Outcome::Done(Receipt::Stopping))
}

#[test]
fn stops_are_sent_again_within_the_guard() {
    let all = ["a", "b", "c", "d", "e"];
    for (outcomes, alive, expected, why) in [
        ([throttled(), throttled(), throttled()], &all[..], 3, "nothing has changed"),
        ([lost(), lost(), lost()], &all, 3, "each may have been stopped, and is a target all the same"),
        ([done(), throttled(), throttled()], &all, 2, "the look was asked before the first one went"),
        ([throttled(), throttled(), throttled()], &all[..4], 2, "one that is no target died: one target has to stay"),
        ([done(), throttled(), throttled()], &all[..4], 1, "as before, and the first one goes"),
        ([throttled(), throttled(), throttled()], &all[..3], 1, "none but targets are left: two of them have to stay"),
        ([None, throttled(), throttled()], &all[..4], 1, "the first is under way"),
        (
            [lost(), throttled(), lost()],
            &all[..4],
            2,
            "those that may have been stopped do not count as ones that stay",
        ),
    ] {
        let mut case = stopped(outcomes.clone());
        case.tasks(7.0, 5, alive);
        assert_eq!(sent(&case, 7.1), expected, "{why}: {outcomes:?}, {alive:?}");
    }
}

#[test]
fn who_stood_still_looks_again_before_a_stop_is_sent_again() {
    let mut case = stopped([throttled(), throttled(), throttled()]);
    case.tasks(7.0, 5, &["a", "b", "c", "d", "e"]);
    assert_eq!(sent(&case, 9.0), 3);
    assert_eq!(sent(&case, 9.1), 0, "much may have changed since");
    assert!(case.decides(9.1).contains("look service"), "{}", case.decides(9.1));
    case.tasks(9.2, 5, &["a", "b", "c", "d", "e"]);
    assert_eq!(sent(&case, 9.3), 3);
}
