//! Runs that only copied the tags of a launch: told, and not judged.

use dagstorm::{
    journal::Event,
    model::{Origin, RunStatus, StepEventKind},
};

use crate::{
    defects::Defect,
    story::{Story, at, step},
};

fn sensor() -> Origin {
    Origin::Sensor("follow_up".into())
}

fn by_a_person(of: &str) -> Origin {
    Origin::Reexecution { parent: of.to_owned(), root: of.to_owned() }
}

/// A copy of the run of key 3.
fn copied(story: &mut Story, origin: Origin) {
    story.follow("run-3", "copy", origin);
}

pub const ALL: &[Defect] = &[
    Defect {
        name: "no defect: a sensor copied the tags",
        plant: |s| copied(s, sensor()),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a schedule copied the tags",
        plant: |s| copied(s, Origin::Schedule("nightly".into())),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a backfill copied the tags",
        plant: |s| copied(s, Origin::Backfill("abcdefgh".into())),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: automation copied the tags",
        plant: |s| copied(s, Origin::Automation),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a person executed it again",
        plant: |s| copied(s, by_a_person("run-3")),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a launch of another job with these tags",
        plant: |s| s.follow("run-3", "copy", Origin::Launch).run.job = "other_job".into(),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a launch of another code location with these tags",
        plant: |s| s.follow("run-3", "copy", Origin::Launch).run.repository = Some("r@staging".into()),
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy that runs on",
        plant: |s| {
            copied(s, sensor());
            let copy = s.by_id("copy");
            (copy.run.status, copy.run.ended_at) = (RunStatus::Started, None);
            copy.events.pop();
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy that failed",
        plant: |s| {
            copied(s, sensor());
            s.raised("copy");
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy that failed and waits for its retry",
        plant: |s| {
            copied(s, Origin::Backfill("abcdefgh".into()));
            s.died("copy").run.will_retry = true;
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy that was never started",
        plant: |s| {
            copied(s, sensor());
            s.by_id("copy").run.status = RunStatus::NotStarted;
            s.by_id("copy").events.clear();
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a sensor's run, and Dagster's retry of it",
        plant: |s| {
            copied(s, sensor());
            s.died("copy");
            s.retry("copy", 1, "copy-b");
        },
        says: "Passed copy:Copied/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy that did its step twice",
        plant: |s| {
            copied(s, sensor());
            s.by_id("copy").events.push(step(StepEventKind::Succeeded, 36.9, None));
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy whose work the workers recorded",
        plant: |s| {
            copied(s, sensor());
            s.records();
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a copy of a key that was never planned",
        plant: |s| {
            copied(s, sensor());
            s.by_id("copy").run.key.as_mut().unwrap().index = 99;
        },
        says: "Passed copy:Copied/Run#99",
    },
    Defect {
        name: "no defect: a sensor's run with the tags of the generation and no key",
        plant: |s| {
            copied(s, sensor());
            s.by_id("copy").run.key = None;
        },
        says: "Passed copy:Copied/Run",
    },
    Defect {
        name: "no defect: three sensors follow one run",
        plant: |s| {
            copied(s, sensor());
            s.follow("run-3", "copy-2", sensor());
            s.follow("run-3", "copy-3", sensor());
        },
        says: "Passed copy:Copied/Run#3 copy:Copied/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "lost: the run is gone, and a sensor's copy of it is there",
        plant: |s| {
            copied(s, sensor());
            s.runs.retain(|record| record.run.run_id != "run-3");
        },
        says: "Failed Lost/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "lost: the run is gone, and a person's re-execution of it is there",
        plant: |s| {
            copied(s, by_a_person("run-3"));
            s.runs.retain(|record| record.run.run_id != "run-3");
        },
        says: "Failed Lost/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "lost: its worker died, and a backfill did the work later",
        plant: |s| {
            s.died("run-3");
            copied(s, Origin::Backfill("abcdefgh".into()));
        },
        says: "Failed Lost/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "failed: by its own error, and a person executed it again",
        plant: |s| {
            s.raised("run-3");
            copied(s, by_a_person("run-3"));
        },
        says: "Failed Failed/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "failed: a person executed it again, and Dagster retried that",
        plant: |s| {
            s.raised("run-3");
            copied(s, by_a_person("run-3"));
            s.died("copy");
            s.retry("copy", 2, "copy-b");
        },
        says: "Failed Failed/Run#3 copy:Copied/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "failed: a person executed the retry again, whose number older versions copy",
        plant: |s| {
            s.raised("run-3");
            s.retry("run-3", 1, "run-3b");
            s.raised("run-3b");
            let (parent, root) = ("run-3b".to_owned(), "run-3".to_owned());
            s.follow("run-3b", "copy", Origin::Retry { parent, root, number: 1 });
        },
        says: "Failed Failed/Run#3 recovery:Retried/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "duplicated: launched twice, beside a copy",
        plant: |s| {
            copied(s, sensor());
            s.complete(3, "again");
        },
        says: "Failed Duplicated/Run#3 copy:Copied/Run#3",
    },
    Defect {
        name: "duplicated: a step was completed twice, beside a copy",
        plant: |s| {
            copied(s, sensor());
            s.by_id("run-3").events.push(step(StepEventKind::Succeeded, 32.8, None));
        },
        says: "Failed Duplicated/Step#3 copy:Copied/Run#3",
    },
    Defect {
        name: "lost at effect level: the copy has a record, and the launch has none",
        plant: |s| {
            copied(s, sensor());
            s.records().retain(|record| record.run_id != "run-3");
        },
        says: "Failed Lost/Effect#3 copy:Copied/Run#3",
    },
    Defect {
        name: "not ended: the launch hangs, and a copy of it succeeded",
        plant: |s| {
            copied(s, sensor());
            let record = s.by_id("run-3");
            (record.run.status, record.run.ended_at) = (RunStatus::Started, None);
            record.events.pop();
        },
        says: "Unknown Unfinished open:Unfinished/Step#3 copy:Copied/Run#3",
    },
    Defect {
        name: "not proved: rejected, and a copy of the key is there",
        plant: |s| {
            copied(s, sensor());
            s.runs.retain(|record| record.run.run_id != "run-3");
            s.fate(3, Event::SubmitRefused { index: 3, reason: "invalid".to_owned(), retry: false });
        },
        says: "Unknown Rejected copy:Copied/Run#3",
    },
    Defect {
        name: "not proved: only a copy was in flight when the fault was injected",
        plant: |s| {
            s.run(0).run.started_at = Some(at(2.5));
            copied(s, sensor());
            s.by_id("copy").run.started_at = Some(at(1.0));
        },
        says: "Unknown FaultWithoutOverlap copy:Copied/Run#3",
    },
    Defect {
        name: "not proved: a copy is no sample of a threshold",
        plant: |s| {
            *s = Story::with(12, "  expect: { thresholds: { runLatency: [{ that: 'max < 1h', minSamples: 13 }] } }\n");
            copied(s, sensor());
        },
        says: "Unknown TooFewSamples copy:Copied/Run#3",
    },
];
