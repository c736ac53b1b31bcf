//! Tasks of services that come and go.

use super::*;
use crate::journal::TaskLife;

fn arn(id: &str) -> TaskArn {
    TaskArn(format!("arn:aws:ecs:us-east-1:0:task/demo/{id}").into())
}

/// What is noted of the tasks, and becomes true.
fn notes(case: &mut Case, second: f64) -> Vec<String> {
    let current = case.state.current.as_ref().unwrap();
    let mut decision = Decision::default();
    tasks::decide(current, &case.observation, &mut decision);
    let mut lines = vec![];
    for event in decision.notes {
        let Event::TasksChanged { service, asked_at, came, left } = &event else { panic!("{event:?}") };
        let ids = |arns: &[TaskArn]| arns.iter().map(TaskArn::id).collect::<Vec<_>>().join("");
        let asked = asked_at.since(at(0.0)).as_secs();
        lines.push(format!("{service} at {asked}: +{} -{}", ids(came), ids(left)));
        case.event(second, event);
    }
    lines
}

#[test]
fn tasks_that_come_and_go_are_noted_once_and_a_failed_look_says_nothing() {
    let mut case = Case::started(false);
    case.tasks(1.0, 2, &["a", "b"]);
    assert_eq!(notes(&mut case, 1.0), ["taskiq-worker at 1: +ab -"]);
    assert_eq!(notes(&mut case, 1.5), [""; 0]);
    case.tasks(2.0, 2, &["b", "c"]);
    assert_eq!(notes(&mut case, 2.0), ["taskiq-worker at 2: +c -a"]);
    let why = Why { kind: WhyKind::TimedOut, message: "gone".to_owned() };
    let unseen = Timed { asked_at: at(3.0), answer: Seen::Unavailable(why) };
    case.observation.services.insert("taskiq-worker".to_owned(), unseen);
    assert_eq!(notes(&mut case, 3.0), [""; 0]);
    case.tasks(4.0, 2, &[]);
    assert_eq!(notes(&mut case, 4.0), ["taskiq-worker at 4: + -bc"]);
    let life =
        |from: f64, to: f64| TaskLife { service: "taskiq-worker".to_owned(), seen_at: at(from), left_at: Some(at(to)) };
    let lives = case.state.current.as_ref().unwrap().tasks.clone();
    let expected = [(arn("a"), life(1.0, 2.0)), (arn("b"), life(1.0, 4.0)), (arn("c"), life(2.0, 4.0))];
    assert_eq!(lives.into_iter().collect::<Vec<_>>(), expected);
    case.event(5.0, Event::AuditBegan);
    case.tasks(6.0, 2, &["d"]);
    assert_eq!(notes(&mut case, 6.0), [""; 0], "what comes after the end is nobody's matter");
}
