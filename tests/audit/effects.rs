//! Defects that only the workers' own records show, or that they explain.

use dagstorm::model::{CompletionOutcome, CompletionRecord, RunStatus, StepEventKind};

use crate::{
    defects::{Defect, OfAKey},
    story::{Story, arn, at, later, step},
};

/// Defects of one key, with the finding each must give, where the workers' records are read.
pub const OF_A_KEY: &[OfAKey] = &[
    ("Lost/Effect", drop_record),
    ("Duplicated/Effect", |story, index| {
        done_again(story, index);
    }),
    ("FalselyFailed/Run", falsely_failed),
    ("Unexpected/Effect", unknown_step),
];

/// The worker dropped its completion.
fn drop_record(story: &mut Story, index: u32) {
    let run_id = story.run(index).run.run_id.clone();
    story.records().retain(|record| record.run_id != run_id);
}

/// Another worker did the same work, and Dagster took one of the two completions only.
fn done_again(story: &mut Story, index: u32) -> &mut CompletionRecord {
    let mut again = record(story, index).clone();
    again.worker = Some("other".into());
    again.task = Some(arn("other"));
    again.started = again.started.map(|at| later(at, 0.5));
    again.finished = again.finished.map(|at| later(at, 0.5));
    story.records().push(again);
    story.records().last_mut().unwrap()
}

/// Dagster's log has no success of the step, and calls the run a failure; its worker did the work.
fn falsely_failed(story: &mut Story, index: u32) {
    let run = story.run(index);
    run.run.status = RunStatus::Failure;
    run.events.pop();
}

fn unknown_step(story: &mut Story, index: u32) {
    let mut other = record(story, index).clone();
    other.step = "elsewhere".into();
    story.records().push(other);
}

fn record(story: &mut Story, index: u32) -> &mut CompletionRecord {
    let run_id = story.run(index).run.run_id.clone();
    story.records().iter_mut().find(|record| record.run_id == run_id).unwrap()
}

pub const ALL: &[Defect] = &[
    Defect {
        name: "no defect: the workers' records agree",
        plant: |s| {
            s.records();
        },
        says: "Passed",
    },
    Defect {
        name: "lost at effect level: a worker dropped its completion",
        plant: |s| drop_record(s, 3),
        says: "Failed Lost/Effect#3",
    },
    Defect {
        name: "lost at effect level: the record says that it failed",
        plant: |s| record(s, 3).outcome = CompletionOutcome::Other("failed".to_owned()),
        says: "Failed Lost/Effect#3",
    },
    Defect {
        name: "lost at effect level: the record was never finished",
        plant: |s| {
            let record = record(s, 3);
            (record.outcome, record.finished) = (CompletionOutcome::Open, None);
        },
        says: "Failed Lost/Effect#3",
    },
    Defect {
        name: "duplicated at effect level: Dagster saw one of two",
        plant: |s| {
            done_again(s, 3);
        },
        says: "Failed Duplicated/Effect#3",
    },
    Defect {
        name: "duplicated at every level",
        plant: |s| {
            done_again(s, 3);
            let run = s.run(3);
            run.events.push(step(StepEventKind::Started, 33.0, None));
            run.events.push(step(StepEventKind::Succeeded, 34.0, None));
            s.complete(3, "again");
            let mut second = record(s, 3).clone();
            "again".clone_into(&mut second.run_id);
            s.records().push(second);
        },
        says: "Failed Duplicated/Run#3 Duplicated/Step#3 Duplicated/Effect#3",
    },
    Defect {
        name: "duplicated at effect level: late, after its run had ended",
        plant: |s| {
            let again = done_again(s, 3);
            (again.started, again.finished) = (Some(at(700.0)), Some(at(701.0)));
        },
        says: "Failed Duplicated/Effect#3",
    },
    Defect {
        name: "duplicated: a re-execution after a retry was done twice",
        plant: |s| {
            done_again(s, 3).outcome = CompletionOutcome::Other("up for retry".to_owned());
            done_again(s, 3);
            let run = s.run(3);
            run.events.insert(2, step(StepEventKind::UpForRetry, 31.5, None));
            run.events.insert(3, step(StepEventKind::Started, 31.8, None));
        },
        says: "Failed Duplicated/Effect#3",
    },
    Defect {
        name: "no defect: a declared retry left two records, one of them completed",
        plant: |s| {
            done_again(s, 3).outcome = CompletionOutcome::Other("up for retry".to_owned());
            let run = s.run(3);
            run.events.insert(2, step(StepEventKind::UpForRetry, 31.5, None));
            run.events.insert(3, step(StepEventKind::Started, 31.8, None));
        },
        says: "Passed",
    },
    Defect {
        name: "recovery: taken up twice, and begun once by Dagster's log",
        plant: |s| {
            let again = done_again(s, 3);
            (again.outcome, again.finished) = (CompletionOutcome::Open, None);
        },
        says: "Passed recovery:Reexecuted/Effect#3",
    },
    Defect {
        name: "falsely failed: Dagster lost the success, the worker has it",
        plant: |s| {
            s.records();
            falsely_failed(s, 3);
        },
        says: "Failed FalselyFailed/Run#3",
    },
    Defect {
        name: "falsely failed: Dagster says that the step failed, the worker did it",
        plant: |s| {
            s.records();
            let run = s.run(3);
            run.run.status = RunStatus::Failure;
            run.events.last_mut().unwrap().kind = StepEventKind::Failed;
        },
        says: "Failed FalselyFailed/Run#3",
    },
    Defect {
        name: "lost: one step was done, another one failed",
        plant: |s| {
            s.records();
            let run = s.run(3);
            run.run.status = RunStatus::Failure;
            run.events.pop();
            let mut failed = step(StepEventKind::Failed, 32.0, None);
            failed.step = "second".into();
            run.events.push(failed);
        },
        says: "Failed Lost/Run#3 FalselyFailed/Effect#3",
    },
    Defect {
        name: "unexpected at effect level: a run that Dagster does not have",
        plant: |s| {
            let mut stranger = record(s, 3).clone();
            "stranger".clone_into(&mut stranger.run_id);
            s.records().push(stranger);
        },
        says: "Failed Unexpected/Effect#3",
    },
    Defect {
        name: "unexpected at effect level: a step that Dagster's log does not know",
        plant: |s| unknown_step(s, 3),
        says: "Failed Unexpected/Effect#3",
    },
    Defect {
        name: "lost: Dagster forgot a run whose work was done",
        plant: |s| {
            s.records();
            s.drop_run(3);
        },
        says: "Failed Lost/Run#3 Unexpected/Effect#3",
    },
    Defect {
        name: "not proved: not one record of this generation",
        plant: |s| s.records().clear(),
        says: "Unknown NoRecordsOfWork",
    },
    Defect {
        name: "not proved: a record that cannot be read",
        plant: |s| {
            s.records();
            s.completions.as_mut().unwrap().unreadable = 1;
        },
        says: "Unknown UnreadableRecords",
    },
    Defect {
        name: "too early: a worker has an attempt that it has not ended",
        plant: |s| {
            let again = done_again(s, 11);
            (again.outcome, again.finished, again.started) = (CompletionOutcome::Open, None, Some(at(135.0)));
            s.taken_at = 140;
        },
        says: "Unknown TooEarly recovery:Reexecuted/Effect#11",
    },
    Defect {
        name: "no defect: a worker's clock is an hour behind",
        plant: |s| {
            for record in s.records().iter_mut().step_by(3) {
                record.started = record.started.map(|at| at.minus(std::time::Duration::from_secs(3600)));
                record.finished = record.finished.map(|at| at.minus(std::time::Duration::from_secs(3600)));
            }
        },
        says: "Passed",
    },
    Defect {
        name: "duplicated, by a worker whose clock is an hour behind",
        plant: |s| {
            let again = done_again(s, 3);
            again.started = again.started.map(|at| at.minus(std::time::Duration::from_secs(3600)));
            again.finished = again.finished.map(|at| at.minus(std::time::Duration::from_secs(3600)));
        },
        says: "Failed Duplicated/Effect#3",
    },
    Defect {
        name: "no defect: records without any time",
        plant: |s| {
            for record in s.records() {
                (record.started, record.finished) = (None, None);
            }
        },
        says: "Passed",
    },
];
