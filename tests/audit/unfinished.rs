//! What had not ended: it hangs, or was looked at too early.

use dagstorm::model::{CompletionOutcome, RunStatus, StepEventKind};

use crate::{
    defects::{Defect, ended},
    story::{Story, arn, at, step},
};

/// Its step began, and nothing came after that.
fn hung(story: &mut Story, index: u32) {
    ended(story, index, RunStatus::Started, false);
    story.run(index).events.pop();
    story.run(index).run.ended_at = None;
}

/// And its worker recorded no more than that it began.
fn begun(story: &mut Story, index: u32) {
    let open = &mut story.records()[index as usize];
    (open.outcome, open.finished) = (CompletionOutcome::Open, None);
    hung(story, index);
}

pub const ALL: &[Defect] = &[
    Defect {
        name: "hung: a step that began and never ended",
        plant: |s| hung(s, 3),
        says: "Unknown Unfinished open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: its worker was stopped, and nobody took the step up",
        plant: |s| {
            hung(s, 0);
            s.run(0).events[0].task = Some(arn("victim"));
        },
        says: "Unknown Unfinished open:Unfinished/Step#0",
    },
    Defect {
        name: "hung: a worker did the work, and Dagster never heard of it",
        plant: |s| {
            s.records();
            hung(s, 3);
        },
        says: "Unknown Unfinished open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: a worker recorded the begin of it, and no end",
        plant: |s| begun(s, 3),
        says: "Unknown Unfinished open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: its worker was cut off before Dagster heard that it began",
        plant: |s| {
            begun(s, 3);
            s.run(3).events.clear();
        },
        says: "Unknown Unfinished open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: begun again after its worker was stopped",
        plant: |s| {
            hung(s, 0);
            s.run(0).events[0].task = Some(arn("victim"));
            s.run(0).events.push(step(StepEventKind::Started, 40.0, Some("w1")));
        },
        says: "Unknown Unfinished recovery:Reexecuted/Step#0 open:Unfinished/Step#0",
    },
    Defect {
        name: "hung: a declared retry that never began",
        plant: |s| {
            hung(s, 3);
            s.run(3).events.push(step(StepEventKind::UpForRetry, 32.0, None));
        },
        says: "Unknown Unfinished open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: a declared retry that began and never ended",
        plant: |s| {
            hung(s, 3);
            s.run(3).events.push(step(StepEventKind::UpForRetry, 32.0, None));
            s.run(3).events.push(step(StepEventKind::Restarted, 33.0, None));
        },
        says: "Unknown Unfinished open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: two steps of one run",
        plant: |s| {
            hung(s, 3);
            let mut other = s.run(3).events[1].clone();
            other.step = "also".into();
            s.run(3).events.push(other);
        },
        says: "Unknown Unfinished open:Unfinished/Step#3 open:Unfinished/Step#3",
    },
    Defect {
        name: "hung: between two steps",
        plant: |s| ended(s, 3, RunStatus::Started, false),
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
    Defect {
        name: "hung: a run that is still queued",
        plant: |s| {
            ended(s, 3, RunStatus::Queued, false);
            s.run(3).events.clear();
        },
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
    Defect {
        name: "hung: a status that nobody knows",
        plant: |s| ended(s, 3, RunStatus::Other("SUSPENDED".to_owned()), false),
        says: "Unknown Unfinished open:Unfinished/Run#3",
    },
    Defect {
        name: "too early: an attempt may still complete",
        plant: |s| {
            s.run(11).events.push(step(StepEventKind::Started, 130.0, None));
            s.taken_at = 140;
        },
        says: "Unknown TooEarly recovery:Reexecuted/Step#11",
    },
    Defect {
        name: "too early: a declared retry of a canceled run may still complete",
        plant: |s| {
            ended(s, 11, RunStatus::Canceled, false);
            s.run(11).events.pop();
            s.run(11).events.push(step(StepEventKind::UpForRetry, 112.0, None));
            s.run(11).events.push(step(StepEventKind::Restarted, 130.0, None));
            s.taken_at = 140;
        },
        says: "Failed Lost/Run#11 TooEarly",
    },
];

/// The gap of the one run of this history that hangs.
fn gap(plant: impl Fn(&mut Story)) -> String {
    let mut story = Story::new(12);
    story.taken_at = 600;
    plant(&mut story);
    let audit = story.audit();
    let gaps: Vec<_> = audit.gaps.iter().filter(|gap| gap.reason == "Unfinished").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let (_, says) = gaps[0].message.split_once(" is still ").unwrap();
    says.to_owned()
}

#[test]
fn it_is_said_what_a_run_hangs_on() {
    let named = |name: &str| ALL.iter().find(|defect| defect.name == name).unwrap().plant;
    for (name, says) in [
        (
            "hung: a step that began and never ended",
            "STARTED: its step work, started at 1970-01-12T13:47:11.000000Z by task w0, had not ended 9m29s later",
        ),
        (
            "hung: its worker was stopped, and nobody took the step up",
            "STARTED: its step work, started at 1970-01-12T13:46:41.000000Z by task victim, had not ended 9m59s later: \
             kill#1 stopped its worker victim at 1970-01-12T13:46:42.000000Z",
        ),
        (
            "hung: a worker did the work, and Dagster never heard of it",
            "STARTED: its step work, started at 1970-01-12T13:47:11.000000Z by worker, had not ended 9m29s later, though \
             worker recorded its end at 1970-01-12T13:47:12.500000Z",
        ),
        (
            "hung: its worker was cut off before Dagster heard that it began",
            "STARTED: its step work, started at 1970-01-12T13:47:11.000000Z by worker as its record says and Dagster's log \
             does not, had not ended 9m29s later",
        ),
        (
            "hung: begun again after its worker was stopped",
            "STARTED: its step work, started at 1970-01-12T13:47:20.000000Z by task w1, had not ended 9m20s later",
        ),
        (
            "hung: a declared retry that never began",
            "STARTED: its step work waits for its retry since 1970-01-12T13:47:12.000000Z, 9m28s",
        ),
        (
            "hung: a declared retry that began and never ended",
            "STARTED: its step work, started at 1970-01-12T13:47:13.000000Z by task w0, had not ended 9m27s later",
        ),
        (
            "hung: two steps of one run",
            "STARTED: its step also, started at 1970-01-12T13:47:11.000000Z, had not ended 9m29s later; further \
             steps of it that are open: 1",
        ),
        (
            "hung: between two steps",
            "STARTED: no step of it is open, the last one, work, ended at 1970-01-12T13:47:12.500000Z",
        ),
        ("hung: a run that is still queued", "QUEUED: no step of it has begun"),
    ] {
        assert_eq!(gap(named(name)), says, "{name}");
    }
}

#[test]
fn what_hangs_has_its_attempts_and_what_happened_until_the_last_look() {
    let mut story = Story::new(12);
    story.records();
    hung(&mut story, 0);
    let audit = story.audit();
    let [entry] = &audit.unfinished[..] else { panic!("{:?}", audit.unfinished) };
    let attempts: Vec<_> = entry.attempts.iter().map(|one| (one.what.as_ref(), one.worker.as_deref())).collect();
    let worker = Some("worker");
    assert_eq!(attempts, [("started", None), ("started", worker), ("completed", worker), ("still open", None)]);
    assert_eq!(entry.attempts[3].at, at(100_000.0));
    assert_eq!(entry.overlapping_faults, ["kill#1"], "it came after the start, and before the last look");
}
