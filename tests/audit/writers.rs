//! Two dagstorms at one scenario: each run names the data folder that launched it.

use dagstorm::{
    journal::{Event, Found},
    model::{Origin, RunStatus, WriterId},
};

use crate::{defects::Defect, story::Story};

fn writer(name: &str) -> Option<WriterId> {
    name.parse().ok()
}

/// The data folder has a name, and all runs carry it.
fn named(story: &mut Story) {
    story.events.push((0, Event::WriterNamed { writer: "ours".parse().unwrap() }));
    story.runs.iter_mut().for_each(|record| record.run.writer = writer("ours"));
}

/// A run of a key that the dagstorm of another data folder launched.
fn theirs(story: &mut Story, index: u32) {
    let run_id = format!("theirs-{index}");
    story.complete(index, &run_id);
    story.by_id(&run_id).run.writer = writer("theirs");
}

/// A key that this dagstorm never sent: it was stopped before it.
fn unsent(story: &mut Story, index: u32) {
    story.forget(|event| match event {
        Event::SubmitIntended { index: other, .. } | Event::Submitted { index: other, .. } => *other == index,
        _ => false,
    });
    story.drop_run(index);
}

pub const ALL: &[Defect] = &[
    Defect { name: "no defect: every run names its writer", plant: named, says: "Passed" },
    Defect {
        name: "no defect: a run that was adopted from an operator on another disk",
        plant: |s| {
            named(s);
            s.run(3).run.writer = writer("theirs");
            s.forget(|event| matches!(event, Event::SubmitIntended { index: 3, .. }));
            s.fate(3, Event::Submitted { index: 3, run_id: "run-3".to_owned(), found: Found::Adopted });
        },
        says: "Passed",
    },
    Defect {
        name: "no defect: a journal from before writers had names",
        plant: |s| s.runs.iter_mut().for_each(|record| record.run.writer = writer("ours")),
        says: "Passed",
    },
    Defect {
        name: "no defect: a sensor copied the tags of another writer's run",
        plant: |s| {
            named(s);
            s.follow("run-3", "copy", Origin::Sensor("follow_up".into())).run.writer = writer("theirs");
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: another writer's key in another job is a copy",
        plant: |s| {
            named(s);
            theirs(s, 3);
            s.by_id("theirs-3").run.job = "other_job".into();
        },
        says: "Passed copy:Copied/Run#3",
    },
    Defect {
        name: "no defect: a retry carries the writer of its launch",
        plant: |s| {
            named(s);
            s.died("run-3");
            s.retry("run-3", 1, "run-3b");
        },
        says: "Passed recovery:Retried/Run#3",
    },
    Defect {
        name: "two writers: another one's run beside ours",
        plant: |s| {
            named(s);
            theirs(s, 3);
        },
        says: "Failed OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: an older dagstorm without a writer's tag",
        plant: |s| {
            named(s);
            s.complete(3, "theirs-3");
        },
        says: "Failed OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: another one's run instead of ours",
        plant: |s| {
            named(s);
            s.drop_run(3);
            theirs(s, 3);
        },
        says: "Failed Lost/Run#3 OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: every key was launched by both",
        plant: |s| {
            *s = Story::new(3);
            named(s);
            (0..3).for_each(|index| theirs(s, index));
        },
        says: "Failed OtherWriter/Run#0 OtherWriter/Run#1 OtherWriter/Run#2",
    },
    Defect {
        name: "two writers: the other one's run failed",
        plant: |s| {
            named(s);
            theirs(s, 3);
            s.raised("theirs-3");
        },
        says: "Failed OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: the other one's run was retried",
        plant: |s| {
            named(s);
            theirs(s, 3);
            s.died("theirs-3");
            s.retry("theirs-3", 1, "theirs-3b");
        },
        says: "Failed OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: the other one's run is under way",
        plant: |s| {
            named(s);
            theirs(s, 3);
            s.by_id("theirs-3").run.status = RunStatus::Started;
        },
        says: "Failed OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: ours failed by its own error, the other one's succeeded",
        plant: |s| {
            named(s);
            s.raised("run-3");
            theirs(s, 3);
        },
        says: "Failed Failed/Run#3 OtherWriter/Run#3",
    },
    Defect {
        name: "two writers: the other one launched the same key twice",
        plant: |s| {
            named(s);
            theirs(s, 3);
            s.complete(3, "theirs-too");
            s.by_id("theirs-too").run.writer = writer("theirs");
        },
        says: "Failed OtherWriter/Run#3 OtherWriter/Run#3",
    },
    Defect {
        name: "two writers, and a launch of ours that came twice",
        plant: |s| {
            named(s);
            theirs(s, 3);
            s.complete(3, "again");
            s.by_id("again").run.writer = writer("ours");
        },
        says: "Failed OtherWriter/Run#3 Duplicated/Run#3",
    },
    Defect {
        name: "two writers: the other one launched a key that we never sent",
        plant: |s| {
            named(s);
            unsent(s, 10);
            theirs(s, 10);
        },
        says: "Failed OtherWriter/Run#10 NotSent",
    },
    Defect {
        name: "two writers: rejected for us, launched by the other one",
        plant: |s| {
            named(s);
            s.drop_run(3);
            s.fate(3, Event::SubmitRefused { index: 3, reason: "invalid".to_owned(), retry: false });
            theirs(s, 3);
        },
        says: "Failed OtherWriter/Run#3 Rejected",
    },
    Defect {
        name: "two writers: absent for us, launched by the other one",
        plant: |s| {
            named(s);
            s.drop_run(3);
            s.fate(3, Event::SubmitAbsent { index: 3, reason: "absent".to_owned() });
            theirs(s, 3);
        },
        says: "Failed OtherWriter/Run#3 ResolvedAbsent",
    },
    Defect {
        name: "two writers: in doubt for us, launched by the other one",
        plant: |s| {
            named(s);
            s.drop_run(3);
            s.fate(3, Event::SubmitInDoubt { index: 3, reason: "timed out".to_owned() });
            theirs(s, 3);
        },
        says: "Failed OtherWriter/Run#3 Indeterminate",
    },
    Defect {
        name: "duplicated: a journal from before writers had names cannot tell them apart",
        plant: |s| theirs(s, 3),
        says: "Failed Duplicated/Run#3",
    },
    Defect {
        name: "unexpected: absent for us, and there with our own name",
        plant: |s| {
            named(s);
            s.fate(3, Event::SubmitAbsent { index: 3, reason: "absent".to_owned() });
        },
        says: "Failed Unexpected/Run#3 ResolvedAbsent",
    },
    Defect {
        name: "in doubt to the end, and there with our own name: nobody knows what was answered",
        plant: |s| {
            named(s);
            s.fate(3, Event::SubmitInDoubt { index: 3, reason: "timed out".to_owned() });
        },
        says: "Unknown Indeterminate",
    },
    Defect {
        name: "duplicated: in doubt to the end, and there twice",
        plant: |s| {
            s.fate(3, Event::SubmitInDoubt { index: 3, reason: "timed out".to_owned() });
            s.complete(3, "again");
        },
        says: "Failed Duplicated/Run#3 Indeterminate",
    },
];
