//! Runs that ended as FAILURE: by an error of the job's own code (failed), or by anything else (lost); and those that Dagster
//! never started.

use dagstorm::model::{RunStatus, StepEventKind};

use crate::{
    defects::Defect,
    story::{Story, failure, step},
};

/// A scenario with this threshold, in which the runs of these keys fail by their own code.
fn permitted(story: &mut Story, threshold: &str, failed: &[u32]) {
    *story = Story::with(12, &format!("  expect: {{ thresholds: {{ {threshold} }} }}\n"));
    for index in failed {
        story.raised(&format!("run-{index}"));
    }
}

fn contract(story: &mut Story, name: &str) {
    *story = Story::with(12, &format!("  expect: {{ contract: {name} }}\n"));
}

/// The step of the run failed, with this class and source of Dagster's error.
fn step_failed(story: &mut Story, class: Option<&str>, source: Option<&str>) {
    story.raised("run-3").events[2].failure = Some(Box::new(failure(("it went wrong", class, source))));
}

fn standing(story: &mut Story, status: RunStatus) {
    let record = story.run(3);
    (record.run.status, record.run.started_at, record.run.ended_at) = (status, None, None);
    record.events.clear();
}

pub const ALL: &[Defect] = &[
    Defect {
        name: "failed: the code of a step raised an error",
        plant: |s| drop(s.raised("run-3").clone()),
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: while the fault was in place",
        plant: |s| drop(s.raised("run-0").clone()),
        says: "Failed Failed/Run#0",
    },
    Defect {
        name: "failed: a type check of Dagster's",
        plant: |s| step_failed(s, Some("DagsterTypeCheckDidNotPass"), Some("FRAMEWORK_ERROR")),
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: an older Dagster, which names no source",
        plant: |s| step_failed(s, Some("DagsterExecutionStepExecutionError"), None),
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: after a declared retry",
        plant: |s| {
            s.raised("run-3");
            let record = s.run(3);
            record.events.insert(2, step(StepEventKind::UpForRetry, 31.5, None));
            record.events.insert(3, step(StepEventKind::Restarted, 31.8, None));
        },
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: one step completed, the next one raised",
        plant: |s| {
            let mut failed = s.raised("run-3").events[2].clone();
            failed.step = "next".into();
            s.run(3).events[2] = step(StepEventKind::Succeeded, 32.5, None);
            s.run(3).events.push(failed);
        },
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: one step raised while the worker of another one died",
        plant: |s| {
            s.raised("run-3");
            let mut died = s.run(3).events[2].clone();
            died.step = "also".into();
            died.failure =
                Some(Box::new(failure(("crashed", Some("ChildProcessCrashException"), Some("FRAMEWORK_ERROR")))));
            s.run(3).events.push(died);
        },
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: the code could not be loaded in the run's process",
        plant: |s| s.failed_whole("run-3", Some("JOB_INITIALIZATION_FAILURE"), Some("ImportError")),
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: a resource could not be made",
        plant: |s| s.failed_whole("run-3", Some("RUN_EXCEPTION"), Some("DagsterResourceFunctionError")),
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: a resource could not be made, and Dagster gives no reason",
        plant: |s| s.failed_whole("run-3", None, Some("DagsterResourceFunctionError")),
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "failed: three of them",
        plant: |s| ["run-3", "run-5", "run-7"].into_iter().for_each(|run| drop(s.raised(run).clone())),
        says: "Failed Failed/Run#3 Failed/Run#5 Failed/Run#7",
    },
    Defect {
        name: "lost: the process of the step was killed",
        plant: |s| drop(s.died("run-3").clone()),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the step was interrupted",
        plant: |s| step_failed(s, Some("DagsterExecutionInterruptedError"), Some("INTERRUPT")),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the step failed its health check",
        plant: |s| step_failed(s, None, Some("FRAMEWORK_ERROR")),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: an error of which Dagster knows no origin",
        plant: |s| step_failed(s, Some("RuntimeError"), Some("UNEXPECTED_ERROR")),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the run's worker vanished",
        plant: |s| s.failed_whole("run-3", Some("UNEXPECTED_TERMINATION"), None),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the run's start took too long",
        plant: |s| s.failed_whole("run-3", Some("START_TIMEOUT"), Some("RuntimeError")),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the run only repeats that a step's process was killed",
        plant: |s| s.died("run-3").failure = Some(Box::new(failure(("DagsterError", Some("DagsterError"), None)))),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: canceled after its step had raised",
        plant: |s| s.raised("run-3").run.status = RunStatus::Canceled,
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "falsely failed: the step raised, and its worker recorded the work as done",
        plant: |s| {
            s.records();
            s.raised("run-3");
        },
        says: "Failed FalselyFailed/Run#3",
    },
    Defect {
        name: "no defect: one of twelve failed, and the threshold permits it",
        plant: |s| permitted(s, "failures: ['rate < 10%']", &[3]),
        says: "Passed permitted:Failed/Run#3",
    },
    Defect {
        name: "no defect: one failed, and one is permitted by number",
        plant: |s| permitted(s, "failures: ['count <= 1']", &[3]),
        says: "Passed permitted:Failed/Run#3",
    },
    Defect {
        name: "no defect: one of twelve failed, and the success rate permits it",
        plant: |s| permitted(s, "successRate: ['rate > 90%']", &[3]),
        says: "Passed permitted:Failed/Run#3",
    },
    Defect {
        name: "no defect: none failed, and none would be permitted",
        plant: |s| permitted(s, "failures: ['rate <= 0%'], successRate: ['rate >= 100%']", &[]),
        says: "Passed",
    },
    Defect {
        name: "no defect: a failure that a retry made good is none",
        plant: |s| {
            permitted(s, "failures: ['count <= 0'], successRate: ['rate >= 100%']", &[3]);
            s.retry("run-3", 1, "run-3b");
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "no defect: a failed copy is no failure",
        plant: |s| {
            permitted(s, "failures: ['count <= 0'], successRate: ['rate >= 100%']", &[]);
            s.follow("run-3", "copy", dagstorm::model::Origin::Automation);
            s.raised("copy");
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "beyond the threshold: two of twelve failed",
        plant: |s| permitted(s, "failures: ['rate < 10%']", &[3, 5]),
        says: "Failed Threshold/Scenario permitted:Failed/Run#3 permitted:Failed/Run#5",
    },
    Defect {
        name: "beyond the threshold: two failed, and one is permitted by number",
        plant: |s| permitted(s, "failures: ['count <= 1']", &[3, 5]),
        says: "Failed Threshold/Scenario permitted:Failed/Run#3 permitted:Failed/Run#5",
    },
    Defect {
        name: "beyond the threshold: the success rate is too low by failures",
        plant: |s| permitted(s, "successRate: ['rate > 90%']", &[3, 5]),
        says: "Failed Threshold/Scenario permitted:Failed/Run#3 permitted:Failed/Run#5",
    },
    Defect {
        name: "beyond the threshold: the success rate counts a run that is gone",
        plant: |s| {
            permitted(s, "successRate: ['rate >= 100%']", &[]);
            s.drop_run(3);
        },
        says: "Failed Lost/Run#3 Threshold/Scenario",
    },
    Defect {
        name: "lost: a threshold for failures permits no loss",
        plant: |s| {
            permitted(s, "failures: ['rate < 50%']", &[5]);
            s.died("run-3");
        },
        says: "Failed Lost/Run#3 permitted:Failed/Run#5",
    },
    Defect {
        name: "falsely failed: a threshold for failures permits none of it",
        plant: |s| {
            permitted(s, "failures: ['rate < 50%']", &[]);
            s.run(3).run.status = RunStatus::Failure;
        },
        says: "Failed FalselyFailed/Run#3",
    },
    Defect {
        name: "not proved: no run has ended, and failures have a threshold",
        plant: |s| {
            *s = Story::with(1, "  expect: { thresholds: { failures: ['rate < 1%'] } }\n");
            let record = s.run(0);
            (record.run.status, record.run.ended_at) = (RunStatus::Started, None);
        },
        says: "Unknown NoSamples Unfinished open:Unfinished/Run#0",
    },
    Defect {
        name: "no defect: atMostOnce permits a failure",
        plant: |s| {
            contract(s, "atMostOnce");
            s.raised("run-3");
        },
        says: "Passed permitted:Failed/Run#3",
    },
    Defect {
        name: "no defect: atMostOnce permits a run that was never started",
        plant: |s| {
            contract(s, "atMostOnce");
            standing(s, RunStatus::NotStarted);
        },
        says: "Passed permitted:NeverStarted/Run#3",
    },
    Defect {
        name: "failed: atLeastOnce permits none",
        plant: |s| {
            contract(s, "atLeastOnce");
            s.raised("run-3");
        },
        says: "Failed Failed/Run#3",
    },
    Defect {
        name: "never started: Dagster made the run and did not queue it",
        plant: |s| standing(s, RunStatus::NotStarted),
        says: "Failed NeverStarted/Run#3",
    },
    Defect {
        name: "never started: a burst of three",
        plant: |s| {
            for record in s.runs.iter_mut().skip(9) {
                record.run.status = RunStatus::NotStarted;
                record.events.clear();
            }
        },
        says: "Failed NeverStarted/Run#9 NeverStarted/Run#10 NeverStarted/Run#11",
    },
    Defect {
        name: "duplicated: launched twice, and one of them was never started",
        plant: |s| {
            standing(s, RunStatus::NotStarted);
            s.complete(3, "again");
        },
        says: "Failed Duplicated/Run#3",
    },
    Defect {
        name: "not ended: made a settle ago at most",
        plant: |s| {
            let record = s.run(11);
            (record.run.status, record.run.started_at, record.run.ended_at) = (RunStatus::NotStarted, None, None);
            record.events.clear();
            s.taken_at = 124;
        },
        says: "Unknown Unfinished open:Unfinished/Run#11",
    },
    Defect {
        name: "not ended: STARTING",
        plant: |s| standing(s, RunStatus::Starting),
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
    Defect {
        name: "not ended: CANCELING",
        plant: |s| standing(s, RunStatus::Canceling),
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
    Defect {
        name: "not ended: SUSPENDED",
        plant: |s| standing(s, RunStatus::Suspended),
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
    Defect {
        name: "not ended: a word that nobody knows yet",
        plant: |s| standing(s, RunStatus::Other("HIBERNATING".to_owned())),
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
];
