//! Steps of runs that have ended, read while the scenario runs.

use super::{super::steps, *};
use crate::model::{RunRecord, StepEvent, StepEventKind};

fn living() -> Case {
    let mut case = Case::started(false);
    for index in 0..3 {
        case.acknowledged(index);
    }
    case
}

impl Case {
    fn asks(&self, second: f64) -> Vec<String> {
        match steps::look(&self.plan, self.state.current.as_ref().unwrap(), &self.observation, at(second)) {
            Some(Query::Steps { run_ids, .. }) => run_ids,
            None => vec![],
            Some(other) => panic!("{other:?}"),
        }
    }

    /// A run with the steps that it completed.
    fn read(&self, index: u32, completed: &[&str]) -> RunRecord {
        let run = RunView {
            run_id: format!("r{index}"),
            key: Some(self.plan.key(index)),
            job: "fast_job".into(),
            status: RunStatus::Success,
            started_at: None,
            ended_at: None,
            generation_started: None,
        };
        let event = |kind: StepEventKind, step: &str| StepEvent { step: step.into(), kind, at: at(1.0), task: None };
        let started = completed.iter().map(|step| event(StepEventKind::Started, step));
        let events = started.chain(completed.iter().map(|step| event(StepEventKind::Succeeded, step))).collect();
        RunRecord { run, events }
    }

    fn tells(&self, run_ids: &[&str], records: &[RunRecord]) -> Vec<Event> {
        let run_ids: Vec<String> = run_ids.iter().map(|id| (*id).to_owned()).collect();
        steps::notice(self.state.current.as_ref().unwrap(), &run_ids, records)
    }
}

#[test]
fn each_run_is_read_once_when_it_has_ended() {
    let mut case = living();
    case.dagster(20.0, &[(0, RunStatus::Started), (1, RunStatus::Started)]);
    assert_eq!(case.asks(20.1), [""; 0]);
    case.dagster(21.0, &[(0, RunStatus::Success), (1, RunStatus::Failure), (2, RunStatus::Started)]);
    assert_eq!(case.asks(21.1), ["r0", "r1"]);
    assert!(case.decides(21.1).contains("look steps"));
    case.observation.steps = Some(Timed { asked_at: at(21.1), answer: Seen::Fresh(vec![]) });
    assert_eq!(case.asks(31.0), [""; 0], "not so soon again");
    assert_eq!(case.asks(31.1), ["r0", "r1"], "nothing is written down of them");
    case.event(31.1, Event::StepsRead { run_ids: vec!["r0".to_owned(), "r1".to_owned()] });
    assert_eq!(case.asks(31.1), [""; 0]);
    case.dagster(32.0, &[(0, RunStatus::Success), (1, RunStatus::Failure), (2, RunStatus::Success)]);
    assert_eq!(case.asks(32.1), ["r2"]);
    case.no_dagster(33.0);
    assert_eq!(case.asks(33.1), [""; 0], "a failed look names no run");
    case.dagster(34.0, &[(2, RunStatus::Success)]).event(34.0, Event::AuditBegan);
    assert_eq!(case.asks(34.1), [""; 0], "the census reads them all");
}

#[test]
fn a_step_that_was_completed_twice_is_told_once() {
    let mut case = living();
    let records = [case.read(0, &["a", "b"]), case.read(1, &["a", "b", "a", "a"]), case.read(2, &["a", "a"])];
    // Of r2 nothing was asked; r9 was asked for and is not there.
    let told = case.tells(&["r0", "r1", "r9"], &records);
    let reason = format!("{}: step a was completed 3 times in run r1", case.plan.key(1));
    let double = Event::StepDuplicateSeen { run_id: "r1".to_owned(), step: "a".to_owned(), reason };
    let read = Event::StepsRead { run_ids: ["r0", "r1", "r9"].map(str::to_owned).to_vec() };
    assert_eq!(told, [double.clone(), read.clone()]);
    // A crash may leave the first of the two alone: the run is read again, and told once all the same.
    case.event(40.0, double);
    assert_eq!(case.tells(&["r0", "r1", "r9"], &records), std::slice::from_ref(&read));
    case.event(41.0, read);
    assert_eq!(case.tells(&["r0", "r1"], &records), []);
    // A start again without a completion is a recovery.
    let mut again = case.read(2, &["a"]);
    let restart = again.events[0].clone();
    again.events.push(restart);
    assert_eq!(case.tells(&["r2"], &[again]), [Event::StepsRead { run_ids: vec!["r2".to_owned()] }]);
}
