//! Steps of runs that have ended, read while the scenario runs.

use super::{super::steps, *};
use crate::model::{CompletionOutcome, CompletionRecord, RunRecord, StepEvent, StepEventKind, StepsView};

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
            ..RunView::new("", None, "", RunStatus::Queued)
        };
        let event = |kind: StepEventKind, step: &str| StepEvent::new(step, kind, at(1.0));
        let started = completed.iter().map(|step| event(StepEventKind::Started, step));
        let events = started.chain(completed.iter().map(|step| event(StepEventKind::Succeeded, step))).collect();
        RunRecord::new(run, events)
    }

    fn tells(&self, run_ids: &[&str], runs: &[RunRecord]) -> Vec<Event> {
        self.tells_of_work(run_ids, runs, &[])
    }

    fn tells_of_work(&self, run_ids: &[&str], runs: &[RunRecord], work: &[CompletionRecord]) -> Vec<Event> {
        let run_ids: Vec<String> = run_ids.iter().map(|id| (*id).to_owned()).collect();
        let view = StepsView { runs: runs.to_vec(), work: work.to_vec() };
        steps::notice(self.state.current.as_ref().unwrap(), &run_ids, &view)
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
    case.observation.steps = Some(Timed { asked_at: at(21.1), answer: Seen::Fresh(StepsView::default()) });
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

#[test]
fn work_that_was_done_twice_is_told_once_whatever_dagster_shows() {
    let case = living();
    let work = |run_id: &str, step: &str, outcome: CompletionOutcome| CompletionRecord {
        run_id: run_id.to_owned(),
        step: step.into(),
        key: None,
        worker: None,
        task: None,
        started: Some(at(1.0)),
        finished: None,
        outcome,
    };
    let done = |run_id: &str, step: &str| work(run_id, step, CompletionOutcome::Completed);
    let records = [
        done("r0", "a"),
        work("r0", "a", CompletionOutcome::Open),
        done("r1", "a"),
        done("r1", "a"),
        done("r1", "b"),
        done("r1", "b"),
        done("r2", "a"),
        done("r2", "a"),
    ];
    // Of r2 nothing was asked; that b was completed twice, Dagster shows itself.
    let told = case.tells_of_work(&["r0", "r1"], &[case.read(0, &["a"]), case.read(1, &["a", "b", "b"])], &records);
    let key = case.plan.key(1);
    let double = |step: &str, reason: String| Event::StepDuplicateSeen {
        run_id: "r1".to_owned(),
        step: step.to_owned(),
        reason,
    };
    assert_eq!(
        told,
        [
            double("b", format!("{key}: step b was completed 2 times in run r1")),
            double("a", format!("{key}: the work of step a was done 2 times in run r1, by its workers' records")),
            Event::StepsRead { run_ids: ["r0", "r1"].map(str::to_owned).to_vec() },
        ]
    );
}
