//! Who is chosen, and when it is over.

use super::*;
use crate::model::{Seen, ServiceView, Timed};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn target(guard: &str) -> Target {
    serde_json::from_str(&format!(
        r#"{{"name":"local","dagster":{{"url":"http://x/graphql","location":"demo","repository":"r","requestTimeout":"5s","settle":"15s"}},
            "ecs":{{"cluster":"demo","services":{{"workers":"taskiq-worker"}}}},"guard":{guard}}}"#
    ))
    .expect("a target")
}

fn kill(pick: Pick) -> StopTasks {
    StopTasks {
        tasks: Selector::Service("workers".to_owned()),
        pick,
        follow: Follow::default(),
        include_protected: false,
    }
}

fn task(id: &str, ready: bool) -> TaskView {
    let arn = TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id}").into());
    let tags = [("ready".to_owned(), ready.to_string())].into_iter().collect();
    TaskView { arn, running: true, stopping: false, protected: false, own: false, created_at: None, tags }
}

fn seen(asked_at: Timestamp, desired: u32, tasks: Vec<TaskView>) -> Observation {
    let view = ServiceView { desired, running: tasks.len() as u32, tasks, ..ServiceView::default() };
    let timed = Timed { asked_at, answer: Seen::Fresh(view) };
    Observation { services: [("taskiq-worker".to_owned(), timed)].into(), ..Observation::default() }
}

fn aim(pick: &str, guard: &str, observation: &Observation) -> Aim {
    let fault = kill(pick.parse().expect("a pick"));
    let target = target(guard);
    either(fault.aim(&aiming(&target, observation, None)))
}

fn either(aim: Result<Aim, Aim>) -> Aim {
    aim.unwrap_or_else(|aim| aim)
}

fn aiming<'a>(target: &'a Target, observation: &'a Observation, first: Option<First<'a>>) -> Aiming<'a> {
    Aiming {
        target,
        observation,
        not_before: at(10),
        seed: 7,
        stream: 1,
        first,
        reason: "s/g/kill#1".to_owned(),
        fault: "s/g/kill#1".to_owned(),
        writer: None,
        heal_by: at(99),
    }
}

fn chosen(aim: Aim) -> Result<usize, String> {
    match aim {
        Aim::Ready { targets, objects, inject, undo } => {
            assert!(objects.is_empty());
            assert_eq!(targets.len(), inject.len());
            assert_eq!(undo.steady.as_deref(), Some("taskiq-worker"));
            Ok(targets.len())
        }
        Aim::Wait(reason) | Aim::Never(reason) => Err(reason),
    }
}

#[test]
fn picks_are_rounded_up_then_capped() {
    let five = seen(at(10), 5, ["a", "b", "c", "d", "e"].map(|id| task(id, true)).to_vec());
    for (pick, guard, count) in [
        ("one", "{}", Ok(1)),
        ("all", "{}", Ok(5)),
        ("30%", "{}", Ok(2)),
        ("10%", "{}", Ok(1)),
        ("9", "{}", Ok(5)),
        ("all", r#"{"minHealthy":1}"#, Ok(4)),
        ("all", r#"{"maxAffected":{"percent":50}}"#, Ok(3)),
        ("all", r#"{"maxAffected":{"count":2},"minHealthy":4}"#, Ok(1)),
        ("one", r#"{"minHealthy":5}"#, Err("minHealthy 5")),
        ("one", r#"{"requireTag":{"ready":"true"}}"#, Ok(1)),
        ("one", r#"{"requireTag":{"ready":"false"}}"#, Err("none of the 5 running tasks may be stopped")),
        ("one", r#"{"account":"111111111111"}"#, Err("none of the 5 running tasks may be stopped")),
        ("one", r#"{"region":"eu-west-1"}"#, Err("none of the 5 running tasks may be stopped")),
        ("one", r#"{"region":"us-east-1","account":"000000000000"}"#, Ok(1)),
    ] {
        match (chosen(aim(pick, guard, &five)), count) {
            (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{pick} {guard}"),
            (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{pick} {guard}: {found}"),
            (found, wanted) => panic!("{pick} {guard}: {found:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn no_look_no_aim() {
    let old = seen(at(9), 1, vec![task("a", true)]);
    let none = seen(at(10), 1, vec![]);
    for observation in [Observation::default(), old, none] {
        assert!(matches!(aim("one", "{}", &observation), Aim::Wait(_)));
    }
}

#[test]
fn steady_needs_replacements() {
    let fault = kill(Pick::One);
    let (target, gone) = (target("{}"), [task("a", true)]);
    let stopping = TaskView { stopping: true, ..task("a", true) };
    for (observation, expected) in [
        (seen(at(9), 2, vec![task("b", true), task("c", true)]), Progress::Unseen),
        (seen(at(10), 2, vec![task("a", true), task("b", true)]), Progress::Intact),
        (seen(at(10), 2, vec![task("a", true)]), Progress::NotYet),
        (seen(at(10), 2, vec![stopping, task("b", true)]), Progress::Broken),
        (seen(at(10), 2, vec![task("b", true)]), Progress::Broken),
        (seen(at(10), 2, vec![task("b", true), task("c", true)]), Progress::Steady),
    ] {
        let injected =
            Injected { fault: String::new(), targets: &gone, objects: &[], undo: &Undo::default(), outcomes: &[] };
        assert_eq!(fault.progress(&target, &injected, &observation, at(10)), expected);
    }
}

#[test]
fn what_is_protected_or_our_own_is_left_alone() {
    let spared = [TaskView { protected: true, ..task("p", true) }, TaskView { own: true, ..task("o", true) }];
    let all = [&spared[..], &[task("a", true), task("b", true)]].concat();
    let Aim::Ready { targets, .. } = aim("all", "{}", &seen(at(10), 4, all)) else { panic!("no targets") };
    let mut names: Vec<&str> = targets.iter().map(|task| task.arn.id()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
    let reason = chosen(aim("all", "{}", &seen(at(10), 2, spared.to_vec()))).expect_err("nobody");
    assert!(reason.contains("none of the 2 running tasks") && reason.contains("dagstorm's own"), "{reason}");
    let (target, seen) = (target("{}"), seen(at(10), 2, spared.to_vec()));
    let busy = StopTasks { include_protected: true, ..kill(Pick::All) };
    let Aim::Ready { targets, .. } = either(busy.aim(&aiming(&target, &seen, None))) else { panic!("no targets") };
    assert_eq!(targets, spared[..1], "never our own");
}

#[test]
fn repeats_follow_what_they_are_told_to() {
    let created = |id: &str, second: i64| TaskView { created_at: Some(at(second)), ..task(id, true) };
    // `a` and `b` were chosen at 5; `c` was there as well; `d`, `e` and `f` came later.
    let first = [created("a", 1), created("b", 2)];
    let all = [created("a", 1), created("c", 3), created("f", 9), created("d", 7), created("e", 8)];
    let later = [created("c", 3), created("e", 8)];
    let other = [created("c", 3)];
    for (follow, tasks, wanted) in [
        (Follow::Once, &all[..], Ok(vec!["a"])),
        (Follow::Once, &later, Err("are gone")),
        (Follow::Sticky, &all, Ok(vec!["a", "d"])),
        (Follow::Sticky, &later, Ok(vec!["e"])),
        (Follow::Sticky, &other, Err("nothing runs yet")),
        (Follow::Replacements, &other, Ok(vec!["c"])),
    ] {
        let (target, seen) = (target("{}"), seen(at(10), 3, tasks.to_vec()));
        let fault = StopTasks { follow, ..kill(Pick::One) };
        let first = First { targets: &first, at: at(5) };
        let found = match either(fault.aim(&aiming(&target, &seen, Some(first)))) {
            Aim::Ready { targets, .. } => Ok(targets),
            Aim::Wait(reason) | Aim::Never(reason) => Err(reason),
        };
        match (found, wanted) {
            (Ok(found), Ok(wanted)) => {
                let mut found: Vec<&str> = found.iter().map(|task| task.arn.id()).collect();
                found.sort_unstable();
                assert_eq!(found, wanted, "{follow:?}");
            }
            (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{follow:?}: {found}"),
            (found, wanted) => panic!("{follow:?}: {found:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn tasks_of_no_service_are_healed_when_they_are_gone() {
    let of = TaskSet::Family("run".to_owned());
    let fault = StopTasks { tasks: Selector::Family("run".to_owned()), ..kill(Pick::All) };
    let (target, gone) = (target("{}"), [task("a", true), task("b", true)]);
    assert_eq!(fault.query(&target), Some(Query::Tasks { of: of.clone() }));
    let seen = |tasks: Vec<TaskView>| {
        let timed = Timed { asked_at: at(10), answer: Seen::Fresh(tasks) };
        Observation { tasks: [(of.clone(), timed)].into(), ..Observation::default() }
    };
    let Aim::Ready { targets, undo, .. } = either(fault.aim(&aiming(&target, &seen(gone.to_vec()), None))) else {
        panic!("no targets")
    };
    assert_eq!((targets.len(), undo), (2, Undo::default()), "nothing is waited for but their end");
    for (tasks, expected) in [
        (vec![task("a", true), task("b", true)], Progress::Intact),
        (vec![task("b", true), task("c", true)], Progress::NotYet),
        (vec![task("c", true)], Progress::Steady),
        (vec![], Progress::Steady),
    ] {
        let injected =
            Injected { fault: String::new(), targets: &gone, objects: &[], undo: &Undo::default(), outcomes: &[] };
        assert_eq!(fault.progress(&target, &injected, &seen(tasks), at(10)), expected);
    }
}

#[test]
fn tasks_of_a_service_that_is_being_deleted_are_let_alone() {
    let mut observation = seen(at(20), 2, vec![task("a", true), task("b", true)]);
    assert!(matches!(aim("one", "{}", &observation), Aim::Ready { .. }));
    let Some(Timed { answer: Seen::Fresh(view), .. }) = observation.services.get_mut("taskiq-worker") else {
        panic!("it was just put in")
    };
    view.draining = true;
    let Aim::Wait(reason) = aim("one", "{}", &observation) else { panic!("it waits") };
    assert!(reason.contains("taskiq-worker is DRAINING") && reason.contains("nothing would replace"), "{reason}");
    let target = target(r#"{"minHealthy":0}"#);
    let drain = crate::fault::Fault::DrainService(crate::fault::DrainService { service: "workers".to_owned() });
    let Aim::Wait(reason) = drain.aim(&aiming(&target, &observation, None)) else { panic!("it waits") };
    assert!(reason.contains("is DRAINING"), "{reason}");
}
