//! The defects, one each: how it is planted, and what must be said of it.

use dagstorm::{
    journal::{Event, Found},
    model::{Copies, Metric, RunStatus, StepEventKind},
};

use crate::story::{Story, at, kill, later, step};

pub struct Defect {
    pub name: &'static str,
    pub plant: fn(&mut Story),
    /// The verdict, then every finding, gap and recovery by its name.
    pub says: &'static str,
}

/// What must be said of a key, and how its defect is planted.
pub type OfAKey = (&'static str, fn(&mut Story, u32));

/// Defects of one key, each with the finding it must give: they can be planted side by side.
pub const OF_A_KEY: &[OfAKey] = &[
    ("Lost/Run", |story, index| story.drop_run(index)),
    ("Lost/Run", |story, index| ended(story, index, RunStatus::Failure, true)),
    ("FalselyFailed/Run", |story, index| ended(story, index, RunStatus::Failure, false)),
    ("Duplicated/Run", |story, index| story.complete(index, &format!("again-{index}"))),
    ("Duplicated/Step", completed_again),
    ("Unexpected/Run", |story, index| {
        let reason = "the configuration is invalid".to_owned();
        story.fate(index, Event::SubmitRefused { index, reason, retry: false });
    }),
];

/// The step did nothing that counts, or it did everything and the run is called a failure.
pub fn ended(story: &mut Story, index: u32, status: RunStatus, step_failed: bool) {
    let record = story.run(index);
    record.run.status = status;
    if step_failed {
        record.events.last_mut().unwrap().kind = StepEventKind::Failed;
    }
}

fn completed_again(story: &mut Story, index: u32) {
    let record = story.run(index);
    let last = record.events.last().unwrap().clone();
    for (kind, seconds) in [(StepEventKind::Started, 0.2), (StepEventKind::Succeeded, 0.4)] {
        let mut event = last.clone();
        (event.kind, event.at) = (kind, later(last.at, seconds));
        record.events.push(event);
    }
}

/// Its worker was stopped in the middle of the step, and another one did it.
fn executed_elsewhere(story: &mut Story, task: &str) {
    let record = story.run(0);
    record.events = vec![
        step(StepEventKind::Claimed, 1.0, Some(task)),
        step(StepEventKind::Started, 1.0, None),
        step(StepEventKind::Claimed, 8.0, Some("other")),
        step(StepEventKind::Started, 8.0, None),
        step(StepEventKind::Succeeded, 9.0, None),
    ];
    record.run.ended_at = Some(at(9.5));
}

fn fault_event(event: &Event) -> bool {
    matches!(
        event,
        Event::FaultIntended { .. }
            | Event::InjectTried { .. }
            | Event::FaultSeen { .. }
            | Event::FaultSteady { .. }
            | Event::Healed { .. }
    )
}

pub const ALL: &[Defect] = &[
    Defect { name: "lost: Dagster has no such run", plant: |s| s.drop_run(3), says: "Failed Lost/Run#3" },
    Defect {
        name: "lost: three of them",
        plant: |s| [2, 5, 7].iter().for_each(|index| s.drop_run(*index)),
        says: "Failed Lost/Run#2 Lost/Run#5 Lost/Run#7",
    },
    Defect {
        name: "lost: the run failed",
        plant: |s| ended(s, 3, RunStatus::Failure, true),
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the run was canceled before its step ended",
        plant: |s| {
            ended(s, 3, RunStatus::Canceled, false);
            s.run(3).events.pop();
        },
        says: "Failed Lost/Run#3",
    },
    Defect {
        name: "lost: the run failed before any step",
        plant: |s| {
            ended(s, 3, RunStatus::Failure, false);
            s.run(3).events.clear();
        },
        says: "Failed Lost/Run#3",
    },
    Defect { name: "duplicated: launched twice", plant: |s| s.complete(3, "again"), says: "Failed Duplicated/Run#3" },
    Defect {
        name: "duplicated: launched twice, the second failed",
        plant: |s| {
            s.complete(3, "again");
            s.runs.last_mut().unwrap().run.status = RunStatus::Failure;
        },
        says: "Failed Duplicated/Run#3",
    },
    Defect {
        name: "duplicated: a step completed twice",
        plant: |s| completed_again(s, 3),
        says: "Failed Duplicated/Step#3",
    },
    Defect {
        name: "duplicated: a step completed three times",
        plant: |s| {
            completed_again(s, 3);
            completed_again(s, 3);
        },
        says: "Failed Duplicated/Step#3",
    },
    Defect {
        name: "duplicated: late, long after its run had ended",
        plant: |s| {
            let record = s.run(3);
            record.events.push(step(StepEventKind::Started, 400.0, None));
            record.events.push(step(StepEventKind::Succeeded, 401.0, None));
        },
        says: "Failed Duplicated/Step#3",
    },
    Defect {
        name: "duplicated: both deliveries of a declared retry completed",
        plant: |s| {
            let record = s.run(3);
            record.events.push(step(StepEventKind::UpForRetry, 33.0, None));
            record.events.push(step(StepEventKind::Started, 34.0, None));
            record.events.push(step(StepEventKind::Succeeded, 35.0, None));
        },
        says: "Failed Duplicated/Step#3",
    },
    Defect {
        name: "re-executed within a declared retry: it began three times, and two would be right",
        plant: |s| {
            let record = s.run(3);
            record.events.insert(2, step(StepEventKind::UpForRetry, 31.5, None));
            record.events.insert(3, step(StepEventKind::Restarted, 31.6, None));
            record.events.insert(4, step(StepEventKind::Restarted, 31.8, None));
        },
        says: "Passed recovery:Reexecuted/Step#3",
    },
    Defect {
        name: "duplicated: run and step at once",
        plant: |s| {
            s.complete(3, "again");
            completed_again(s, 3);
        },
        says: "Failed Duplicated/Run#3 Duplicated/Step#3",
    },
    Defect {
        name: "unexpected: a key that was never attempted",
        plant: |s| {
            s.complete(3, "stranger");
            let mut key = s.plan.key(3);
            key.index = 99;
            s.runs.last_mut().unwrap().run.key = Some(key);
        },
        says: "Failed Unexpected/Run#99",
    },
    Defect {
        name: "unexpected: a run of ours without a key",
        plant: |s| {
            s.complete(3, "stranger");
            s.runs.last_mut().unwrap().run.key = None;
        },
        says: "Failed Unexpected/Run",
    },
    Defect {
        name: "unexpected: rejected, and there all the same",
        plant: |s| s.fate(3, Event::SubmitRefused { index: 3, reason: "invalid".to_owned(), retry: false }),
        says: "Failed Unexpected/Run#3 Rejected",
    },
    Defect {
        name: "unexpected: looked up as absent, and there all the same",
        plant: |s| s.fate(3, Event::SubmitAbsent { index: 3, reason: "absent".to_owned() }),
        says: "Failed Unexpected/Run#3 ResolvedAbsent",
    },
    Defect {
        name: "unexpected: acknowledged as another run",
        plant: |s| s.run(3).run.run_id = "other".to_owned(),
        says: "Failed Unexpected/Run#3",
    },
    Defect {
        name: "falsely failed: every step completed",
        plant: |s| ended(s, 3, RunStatus::Failure, false),
        says: "Failed FalselyFailed/Run#3",
    },
    Defect {
        name: "falsely failed: canceled after the work",
        plant: |s| ended(s, 3, RunStatus::Canceled, false),
        says: "Failed FalselyFailed/Run#3",
    },
    Defect { name: "no step event at all", plant: |s| s.run(3).events.clear(), says: "Unknown NoEvents" },
    Defect {
        name: "a step that was started and has no end",
        plant: |s| drop(s.run(3).events.pop()),
        says: "Unknown NoCompletion open:Unfinished/Step#3",
    },
    Defect {
        name: "arrivals that were never sent",
        plant: |s| {
            s.forget(|event| {
                matches!(event, Event::SubmitIntended { index: 10.., .. } | Event::Submitted { index: 10.., .. })
            });
            s.drop_run(10);
            s.drop_run(11);
        },
        says: "Unknown NotSent",
    },
    Defect {
        name: "a launch that was rejected",
        plant: |s| {
            s.fate(3, Event::SubmitRefused { index: 3, reason: "invalid".to_owned(), retry: false });
            s.drop_run(3);
        },
        says: "Unknown Rejected",
    },
    Defect {
        name: "a launch that never arrived",
        plant: |s| {
            s.fate(3, Event::SubmitAbsent { index: 3, reason: "absent".to_owned() });
            s.drop_run(3);
        },
        says: "Unknown ResolvedAbsent",
    },
    Defect {
        name: "a launch whose fate is not known",
        plant: |s| {
            s.fate(3, Event::SubmitInDoubt { index: 3, reason: "timed out".to_owned() });
            s.drop_run(3);
        },
        says: "Unknown Indeterminate",
    },
    Defect {
        name: "an arrival that was dropped",
        plant: |s| {
            s.forget(|event| matches!(event, Event::SubmitIntended { index: 3, .. }));
            s.fate(3, Event::SubmitDropped { index: 3, in_flight: 9 });
            s.drop_run(3);
        },
        says: "Unknown Dropped",
    },
    Defect {
        name: "an empty run: nothing was acknowledged",
        plant: |s| {
            s.forget(|event| matches!(event, Event::SubmitIntended { .. } | Event::Submitted { .. }));
            s.runs.clear();
        },
        says: "Unknown NothingAcknowledged NotSent FaultWithoutOverlap",
    },
    Defect {
        name: "everything was launched before, by somebody else",
        plant: |s| {
            s.forget(|event| matches!(event, Event::SubmitIntended { .. }));
            for (_, event) in &mut s.events {
                if let Event::Submitted { found, .. } = event {
                    *found = Found::Adopted;
                }
            }
        },
        says: "Unknown AllAdopted",
    },
    Defect { name: "a fault that was never injected", plant: |s| s.forget(fault_event), says: "Unknown FaultMissing" },
    Defect {
        name: "a fault that was skipped",
        plant: |s| {
            s.forget(fault_event);
            s.events.push((2, Event::FaultSkipped { fault: kill(), reason: "no task runs".to_owned() }));
        },
        says: "Unknown FaultSkipped",
    },
    Defect {
        name: "a fault that was refused",
        plant: |s| {
            for (_, event) in &mut s.events {
                if let Event::InjectTried { outcome, .. } = event {
                    let reason = "AccessDenied".to_owned();
                    *outcome = dagstorm::model::Outcome::Refused { reason, retry: false };
                }
            }
        },
        says: "Unknown FaultRefused",
    },
    Defect {
        name: "a redelivery of which one message is not proved",
        plant: |s| s.copied(&Copies { messages: 1, wanted: 2, received: 2, spent: 1, ..Copies::default() }),
        says: "Unknown FaultNotWhole",
    },
    Defect {
        name: "a redelivery that broke off",
        plant: |s| {
            let trouble = Some("ReceiveMessage: throttled".to_owned());
            s.copied(&Copies { messages: 2, wanted: 9, received: 2, trouble, ..Copies::default() });
        },
        says: "Unknown FaultNotWhole",
    },
    Defect {
        name: "a redelivery of which no message is proved",
        plant: |s| {
            s.copied(&Copies { messages: 0, wanted: 2, received: 2, spent: 2, ..Copies::default() });
            s.forget(|event| matches!(event, Event::FaultSeen { .. }));
        },
        says: "Unknown FaultUnseen",
    },
    Defect {
        name: "a fault that was never seen in place",
        plant: |s| s.forget(|event| matches!(event, Event::FaultSeen { .. })),
        says: "Unknown FaultUnseen",
    },
    Defect {
        name: "a fault that met no run",
        plant: |s| s.run(0).run.started_at = Some(at(2.5)),
        says: "Unknown FaultWithoutOverlap",
    },
    Defect {
        name: "a fault that is not healed",
        plant: |s| s.forget(|event| matches!(event, Event::Healed { .. })),
        says: "Unknown FaultOpen",
    },
    Defect {
        name: "a service that never came back",
        plant: |s| {
            s.forget(|event| matches!(event, Event::Healed { .. } | Event::FaultSteady { .. }));
            s.events.push((90, Event::FaultGivenUp { fault: kill(), reason: "it did not come back".to_owned() }));
        },
        says: "Unknown FaultNotRecovered",
    },
    Defect {
        name: "it was aborted",
        plant: |s| s.events.push((119, Event::Aborted { reason: "the alarm rings".to_owned() })),
        says: "Failed Aborted/Scenario",
    },
    Defect {
        name: "a threshold that does not hold",
        plant: |s| *s = Story::with(12, "  expect: { thresholds: { runLatency: ['max < 2s'] } }\n"),
        says: "Failed Threshold/Scenario",
    },
    Defect {
        name: "a threshold of a gauge that does not hold",
        plant: |s| {
            *s = Story::with(12, "  expect: { thresholds: { workers: ['min >= 3'] } }\n");
            for (second, value) in [(5, 3.0), (10, 2.0), (15, 3.0)] {
                let asked_at = at(f64::from(second));
                s.events.push((i64::from(second), Event::Sampled { metric: Metric::Workers, asked_at, value }));
            }
        },
        says: "Failed Threshold/Scenario",
    },
    Defect {
        name: "a threshold of a phase that does not hold",
        plant: |s| {
            *s = Story::with(12, "  expect: { thresholds: { runLatency: [{ that: 'max < 2s', during: base }] } }\n");
        },
        says: "Failed Threshold/Scenario",
    },
    Defect {
        name: "a threshold with too few samples",
        plant: |s| {
            *s = Story::with(12, "  expect: { thresholds: { runLatency: [{ that: 'max < 1h', minSamples: 13 }] } }\n");
        },
        says: "Unknown TooFewSamples",
    },
    Defect {
        name: "a threshold without samples",
        plant: |s| *s = Story::with(12, "  expect: { thresholds: { queueDepth: ['max < 5'] } }\n"),
        says: "Unknown NoSamples",
    },
    Defect {
        name: "no defect: executed again after its worker was stopped",
        plant: |s| executed_elsewhere(s, "victim"),
        says: "Passed recovery:Reexecuted/Step#0",
    },
    Defect {
        name: "no defect: a declared retry",
        plant: |s| {
            let record = s.run(3);
            record.events[2] = step(StepEventKind::UpForRetry, 31.5, None);
            record.events.push(step(StepEventKind::Started, 32.0, None));
            record.events.push(step(StepEventKind::Succeeded, 32.5, None));
        },
        says: "Passed",
    },
    Defect {
        name: "no defect: a launch in doubt that was found",
        plant: |s| {
            s.fate(3, Event::SubmitInDoubt { index: 3, reason: "timed out".to_owned() });
            let run_id = "run-3".to_owned();
            s.events.push((31, Event::Submitted { index: 3, run_id, found: Found::LookedUp }));
        },
        says: "Passed",
    },
    Defect {
        name: "no defect: a worker whose clock is ahead",
        plant: |s| s.run(3).events[1].at = later(at(30.0), 40.0),
        says: "Passed",
    },
];
