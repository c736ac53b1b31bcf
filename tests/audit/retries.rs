//! Runs that Dagster ran again: the runs of one root are one launch.

use dagstorm::{
    journal::{Event, Found},
    model::{CompletionOutcome, RunStatus, StepEventKind},
};

use crate::{
    defects::Defect,
    story::{Story, at, step},
};

/// The run of a key died, and Dagster ran it again.
fn retried(story: &mut Story) {
    story.died("run-3");
    story.retry("run-3", 1, "run-3b");
}

/// Dagster ran the failed run again twice.
fn doubled(story: &mut Story) {
    retried(story);
    story.retry("run-3", 1, "run-3c");
}

/// The run of a key has another step, which completed before the step failed.
fn two_steps(story: &mut Story) {
    story.died("run-3");
    let record = story.run(3);
    for (kind, second) in [(StepEventKind::Started, 31.1), (StepEventKind::Succeeded, 31.3)] {
        let mut event = step(kind, second, None);
        event.step = "before".into();
        record.events.insert(0, event);
    }
}

/// The retry executes the step before as well.
fn all_steps_again(story: &mut Story) {
    two_steps(story);
    let retry = story.retry("run-3", 1, "run-3b");
    for (kind, second) in [(StepEventKind::Started, 35.1), (StepEventKind::Succeeded, 35.3)] {
        let mut event = step(kind, second, None);
        event.step = "before".into();
        retry.events.push(event);
    }
}

pub const ALL: &[Defect] = &[
    Defect {
        name: "no defect: the worker died, and Dagster's retry succeeded",
        plant: retried,
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: the code raised, and Dagster's retry succeeded",
        plant: |s| {
            s.raised("run-3");
            s.retry("run-3", 1, "run-3b");
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: retried twice, and the second retry succeeded",
        plant: |s| {
            retried(s);
            s.died("run-3b");
            s.retry("run-3b", 2, "run-3c");
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: a launch that was in doubt, found, and retried",
        plant: |s| {
            s.fate(3, Event::SubmitInDoubt { index: 3, reason: "timed out".to_owned() });
            s.events.push((31, Event::Submitted { index: 3, run_id: "run-3".to_owned(), found: Found::LookedUp }));
            retried(s);
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: the launched run was deleted, its retry succeeded",
        plant: |s| {
            retried(s);
            s.runs.retain(|record| record.run.run_id != "run-3");
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: retried from the failed step on",
        plant: |s| {
            two_steps(s);
            s.retry("run-3", 1, "run-3b");
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: a retry of all steps did one of them again",
        plant: all_steps_again,
        says: "Passed recovery:Retried/Run#3 recovery:Reexecuted/Run#3",
    },
    Defect {
        name: "no defect: a retry of all steps, by the workers' records too",
        plant: |s| {
            all_steps_again(s);
            let mut records = s.records().clone();
            let died = records.iter_mut().find(|record| record.run_id == "run-3").unwrap();
            died.step = "before".into();
            let mut again = died.clone();
            "run-3b".clone_into(&mut again.run_id);
            let mut work = again.clone();
            work.step = "work".into();
            records.retain(|record| record.run_id != "run-3b");
            records.extend([again, work]);
            *s.records() = records;
        },
        says: "Passed recovery:Retried/Run#3 recovery:Reexecuted/Run#3",
    },
    Defect {
        name: "failed: by its own error, also in the retry",
        plant: |s| {
            s.raised("run-3");
            s.retry("run-3", 1, "run-3b");
            s.raised("run-3b");
        },
        says: "Failed Failed/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "failed: its worker died, and the retry failed by its own error",
        plant: |s| {
            retried(s);
            s.raised("run-3b");
        },
        says: "Failed Failed/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "lost: its worker died, and that of the retry too",
        plant: |s| {
            retried(s);
            s.died("run-3b");
        },
        says: "Failed Lost/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "lost: by its own error first, and its retry's worker died",
        plant: |s| {
            s.raised("run-3");
            s.retry("run-3", 1, "run-3b");
            s.died("run-3b");
        },
        says: "Failed Lost/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "lost: both retries died",
        plant: |s| {
            retried(s);
            s.died("run-3b");
            s.retry("run-3b", 2, "run-3c");
            s.died("run-3c");
        },
        says: "Failed Lost/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "lost: somebody canceled the retry",
        plant: |s| {
            retried(s);
            let retry = s.by_id("run-3b");
            retry.run.status = RunStatus::Canceled;
            retry.events.pop();
        },
        says: "Failed Lost/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "lost: will_retry is on a run that somebody canceled",
        plant: |s| {
            let record = s.died("run-3");
            (record.run.status, record.run.will_retry) = (RunStatus::Canceled, true);
        },
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "not ended: a retry is announced and not there yet",
        plant: |s| s.died("run-3").run.will_retry = true,
        says: "Unknown RetryAwaited open:Unfinished/Run#3",
    },
    Defect {
        name: "not ended: the error is the code's own, and a retry is announced",
        plant: |s| s.raised("run-3").run.will_retry = true,
        says: "Unknown RetryAwaited open:Unfinished/Run#3",
    },
    Defect {
        name: "not ended: retried once, and the second retry never came",
        plant: |s| {
            retried(s);
            s.died("run-3b").run.will_retry = true;
        },
        says: "Unknown RetryAwaited open:Unfinished/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "not ended: two keys wait for their retries",
        plant: |s| {
            s.died("run-3").run.will_retry = true;
            s.died("run-5").run.will_retry = true;
        },
        says: "Unknown RetryAwaited RetryAwaited open:Unfinished/Run#3 open:Unfinished/Run#5",
    },
    Defect {
        name: "not ended: the retry is still queued",
        plant: |s| {
            retried(s);
            let retry = s.by_id("run-3b");
            (retry.run.status, retry.run.started_at, retry.run.ended_at) = (RunStatus::Queued, None, None);
            retry.events.clear();
        },
        says: "Unknown Unfinished open:Unfinished/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "not ended: the retry hangs in its step",
        plant: |s| {
            retried(s);
            let retry = s.by_id("run-3b");
            (retry.run.status, retry.run.ended_at) = (RunStatus::Started, None);
            retry.events.pop();
        },
        says: "Unknown Unfinished open:Unfinished/Step#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "not ended: the retry was made within the settle",
        plant: |s| {
            s.died("run-11");
            let retry = s.retry("run-11", 1, "run-11b");
            (retry.run.status, retry.run.started_at, retry.run.ended_at) = (RunStatus::NotStarted, None, None);
            retry.events.clear();
            s.taken_at = 126;
        },
        says: "Unknown Unfinished open:Unfinished/Run#11 recovery:Retried/Run#11",
    },
    Defect {
        name: "never started: Dagster made the retry and did not queue it",
        plant: |s| {
            retried(s);
            let retry = s.by_id("run-3b");
            (retry.run.status, retry.run.started_at, retry.run.ended_at) = (RunStatus::NotStarted, None, None);
            retry.events.clear();
        },
        says: "Failed NeverStarted/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated: a step was done by two retries at once",
        plant: doubled,
        says: "Failed Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated: of two retries at once the first died",
        plant: |s| {
            doubled(s);
            s.died("run-3b");
        },
        says: "Failed Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated: of two retries at once the second died",
        plant: |s| {
            doubled(s);
            s.died("run-3c");
        },
        says: "Failed Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated and lost: both of two retries at once died",
        plant: |s| {
            doubled(s);
            s.died("run-3b");
            s.died("run-3c");
        },
        says: "Failed Lost/Run#3 Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated, and not ended: one of two retries died, one runs",
        plant: |s| {
            doubled(s);
            s.died("run-3b");
            let other = s.by_id("run-3c");
            (other.run.status, other.run.ended_at) = (RunStatus::Started, None);
            other.events.pop();
        },
        says: "Failed Duplicated/Run#3 Unfinished open:Unfinished/Step#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated: the second of two retries was retried",
        plant: |s| {
            doubled(s);
            s.died("run-3b");
            s.died("run-3c");
            s.retry("run-3c", 2, "run-3d");
        },
        says: "Failed Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: two retries at once, one of which died, and atLeastOnce",
        plant: |s| {
            *s = Story::with(12, "  expect: { contract: atLeastOnce }\n");
            doubled(s);
            s.died("run-3b");
        },
        says: "Passed permitted:Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated: launched twice, and one of the launches was retried",
        plant: |s| {
            s.complete(3, "again");
            retried(s);
        },
        says: "Failed Duplicated/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated: a step completed twice within the retry",
        plant: |s| {
            retried(s);
            let retry = s.by_id("run-3b");
            retry.events.push(step(StepEventKind::Started, 36.6, None));
            retry.events.push(step(StepEventKind::Succeeded, 36.8, None));
        },
        says: "Failed Duplicated/Step#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: the step was begun twice within the retry",
        plant: |s| {
            retried(s);
            s.by_id("run-3b").events.insert(2, step(StepEventKind::Started, 35.4, None));
        },
        says: "Passed recovery:Retried/Run#3 recovery:Reexecuted/Step#3",
    },
    Defect {
        name: "falsely failed: the retry did the work and is called a failure",
        plant: |s| {
            retried(s);
            s.by_id("run-3b").run.status = RunStatus::Failure;
        },
        says: "Failed FalselyFailed/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "falsely failed: the retry did the work, by its worker's record",
        plant: |s| {
            retried(s);
            s.records().retain(|record| record.run_id != "run-3");
            s.died("run-3b");
        },
        says: "Failed FalselyFailed/Run#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated at effect level: done before its worker died, and by the retry",
        plant: |s| {
            retried(s);
            s.records();
        },
        says: "Failed FalselyFailed/Effect#3 Duplicated/Effect#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated at effect level, under atLeastOnce",
        plant: |s| {
            *s = Story::with(12, "  expect: { contract: atLeastOnce }\n");
            retried(s);
            s.records();
        },
        says: "Failed FalselyFailed/Effect#3 permitted:Duplicated/Effect#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "lost at effect level: the retry completed, and no worker has recorded it",
        plant: |s| {
            retried(s);
            s.records().retain(|record| !record.run_id.starts_with("run-3"));
        },
        says: "Failed Lost/Effect#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: the worker that died had recorded its begin alone",
        plant: |s| {
            retried(s);
            let died = s.records().iter_mut().find(|record| record.run_id == "run-3").unwrap();
            (died.outcome, died.finished) = (CompletionOutcome::Open, None);
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "duplicated at effect level: by two workers within the retry",
        plant: |s| {
            retried(s);
            s.records().retain(|record| record.run_id != "run-3");
            let mut other = s.records().iter().find(|record| record.run_id == "run-3b").unwrap().clone();
            (other.worker, other.finished) = (Some("other".into()), Some(at(36.9)));
            s.records().push(other);
        },
        says: "Failed Duplicated/Effect#3 recovery:Retried/Run#3",
    },
    Defect {
        name: "unexpected: never sent, and there with a retry",
        plant: |s| {
            retried(s);
            s.forget(|event| matches!(event, Event::SubmitIntended { index: 3, .. }));
            s.fate(3, Event::SubmitDropped { index: 3, in_flight: 9 });
        },
        says: "Failed Unexpected/Run#3 Dropped",
    },
];
