//! A history to be spoilt: so many arrivals, all launched and completed, and a kill that was seen and healed.

use std::time::Duration;

use dagstorm::{
    audit::{self, Audit},
    journal::{Event, Found, Record, State},
    model::{
        Census, CompletionOutcome, CompletionRecord, Completions, Copies, Effect, Failure, FaultId, GenerationId,
        Origin, Outcome, Receipt, RunRecord, RunStatus, RunView, StepEvent, StepEventKind, TaskArn, TaskView,
        Timestamp, Undo,
    },
    plan::{self, Plan},
    publish::{self, Report},
    spec::{Manifest, Scenario, load, no_attachments},
};

const TARGET: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"workers":"taskiq-worker"}}}"#;

/// Seconds between arrivals; a run takes two, and begins one after its arrival.
const PACE: u32 = 10;

pub struct Story {
    pub plan: Plan,
    pub scenario: Scenario,
    /// In their order, by second.
    pub events: Vec<(i64, Event)>,
    pub runs: Vec<RunRecord>,
    /// What the workers wrote down; `None`: nobody says where.
    pub completions: Option<Completions>,
    pub taken_at: i64,
}

pub fn at(second: f64) -> Timestamp {
    Timestamp::from_seconds(1_000_000.0 + second)
}

pub fn kill() -> FaultId {
    "kill#1".parse().unwrap()
}

pub fn arn(id: &str) -> TaskArn {
    TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id}").into())
}

impl Story {
    pub fn new(arrivals: u32) -> Self {
        Self::with(arrivals, "")
    }

    /// The same, with more in the spec.
    pub fn with(arrivals: u32, more: &str) -> Self {
        let text = format!(
            "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: story }}
spec:
  target: local
  load:
    - {{ name: base, for: {}s, arrivals: {{ constant: {{ rate: 6/min }} }}, jobs: {{ fast_job: 1 }} }}
  faults:
    - {{ name: kill, after: 2s, stopTasks: {{ service: workers }} }}
{more}",
            arrivals * PACE
        );
        let scenario = match load("a.yaml", text.as_bytes(), &no_attachments).pop().map(|document| document.content) {
            Some(Ok(Manifest::Scenario(scenario))) => *scenario,
            other => panic!("{other:?}"),
        };
        let id = GenerationId { digest: scenario.digest(), repeat: 1 };
        let plan = plan::compile(&scenario, &id);
        assert_eq!(plan.arrivals.len(), arrivals);
        let mut story = Self { plan, scenario, events: vec![], runs: vec![], completions: None, taken_at: 100_000 };
        story.begin(id);
        for index in 0..arrivals {
            let second = i64::from(index * PACE);
            story.events.push((second, Event::SubmitIntended { index, attempt: 1, due: None }));
            let run_id = format!("run-{index}");
            story.events.push((second, Event::Submitted { index, run_id, found: Found::Acknowledged }));
            story.complete(index, &format!("run-{index}"));
        }
        story.fault();
        story
    }

    fn begin(&mut self, generation: GenerationId) {
        let target = Box::new(serde_json::from_str(TARGET).unwrap());
        let scenario = Box::new(self.scenario.clone());
        self.events.push((0, Event::Accepted { generation, scenario, target }));
        self.events.push((0, Event::Started { at: at(0.0), dagster_version: "1.13.27".to_owned() }));
    }

    /// Two seconds after the start, while the first run executes, its worker is stopped when the step is over.
    fn fault(&mut self) {
        let task = TaskView {
            arn: arn("victim"),
            running: true,
            stopping: false,
            protected: false,
            own: false,
            created_at: None,
            tags: indexmap::IndexMap::new(),
        };
        let inject = vec![Effect::StopTask { task: task.arn.clone(), reason: "kill".to_owned() }];
        let undo = Undo { effects: vec![], steady: Some("taskiq-worker".to_owned()) };
        let fault = kill();
        let outcome = Outcome::Done(Receipt::Stopping);
        for (second, event) in [
            (2, Event::FaultIntended { fault: kill(), targets: vec![task], objects: vec![], inject, undo }),
            (2, Event::InjectTried { fault: kill(), effect: 0, outcome }),
            (3, Event::FaultSeen { fault: kill(), asked_at: at(3.0) }),
            (6, Event::FaultSteady { fault: kill(), asked_at: at(6.0) }),
            (18, Event::Healed { fault, asked_at: at(18.0) }),
        ] {
            self.events.push((second, event));
        }
    }

    /// What the fault did was to copy messages.
    pub fn copied(&mut self, copies: &Copies) {
        for (_, event) in &mut self.events {
            if let Event::InjectTried { outcome, .. } = event {
                *outcome = Outcome::Done(Receipt::Copied(copies.clone()));
            }
        }
    }

    /// A run of a key that did what it should.
    pub fn complete(&mut self, index: u32, run_id: &str) {
        let second = f64::from(index * PACE);
        let run = RunView {
            started_at: Some(at(second + 1.0)),
            ended_at: Some(at(second + 3.0)),
            generation_started: Some(at(0.0)),
            ..RunView::new(run_id, Some(self.plan.key(index)), "fast_job", RunStatus::Success)
        };
        let events = vec![
            step(StepEventKind::Claimed, second + 1.0, Some(&format!("w{}", index % 3))),
            step(StepEventKind::Started, second + 1.0, None),
            step(StepEventKind::Succeeded, second + 2.5, None),
        ];
        self.runs.push(RunRecord::new(run, events));
    }

    /// The first run of a key.
    pub fn run(&mut self, index: u32) -> &mut RunRecord {
        let key = self.plan.key(index);
        self.runs.iter_mut().find(|record| record.run.key.as_ref() == Some(&key)).unwrap()
    }

    /// The run with this id.
    pub fn by_id(&mut self, run_id: &str) -> &mut RunRecord {
        self.runs.iter_mut().find(|record| record.run.run_id == run_id).unwrap()
    }

    /// A run with the tags of another one, four seconds after it: it did what it should.
    pub fn follow(&mut self, of: &str, run_id: &str, origin: Origin) -> &mut RunRecord {
        let mut record = self.by_id(of).clone();
        let second = |at: Timestamp| at.since(self::at(0.0)).as_secs_f64() + 4.0;
        let begin = record.run.started_at.map_or(0.0, second);
        run_id.clone_into(&mut record.run.run_id);
        let run = RunView {
            status: RunStatus::Success,
            origin,
            will_retry: false,
            failure_reason: None,
            created_at: Some(at(begin)),
            started_at: Some(at(begin)),
            ended_at: Some(at(begin + 2.0)),
            ..record.run
        };
        let events = vec![
            step(StepEventKind::Claimed, begin, Some("retrier")),
            step(StepEventKind::Started, begin, None),
            step(StepEventKind::Succeeded, begin + 1.5, None),
        ];
        self.runs.push(RunRecord::new(run, events));
        self.runs.last_mut().unwrap()
    }

    /// Dagster's own retry of a failed run, announced on that one.
    pub fn retry(&mut self, parent: &str, number: u32, run_id: &str) -> &mut RunRecord {
        let failed = self.by_id(parent);
        failed.run.will_retry = true;
        let (parent, root) = (parent.to_owned(), failed.run.root().to_owned());
        self.follow(&parent.clone(), run_id, Origin::Retry { parent, root, number })
    }

    /// The job's own code raised an error in the step of this run.
    pub fn raised(&mut self, run_id: &str) -> &mut RunRecord {
        let why = ("ValueError: no such customer", Some("DagsterExecutionStepExecutionError"), Some("USER_CODE_ERROR"));
        self.failed(run_id, why)
    }

    /// The process of the step of this run was killed.
    pub fn died(&mut self, run_id: &str) -> &mut RunRecord {
        let why = ("the child process crashed", Some("ChildProcessCrashException"), Some("FRAMEWORK_ERROR"));
        self.failed(run_id, why)
    }

    fn failed(&mut self, run_id: &str, why: (&str, Option<&str>, Option<&str>)) -> &mut RunRecord {
        let record = self.by_id(run_id);
        record.run.status = RunStatus::Failure;
        record.run.failure_reason = Some("STEP_FAILURE".into());
        let last = record.events.last_mut().unwrap();
        last.kind = StepEventKind::Failed;
        last.failure = Some(Box::new(failure(why)));
        record
    }

    /// The run failed as a whole before any step, with Dagster's reason and error.
    pub fn failed_whole(&mut self, run_id: &str, reason: Option<&str>, class: Option<&str>) {
        let record = self.by_id(run_id);
        record.events.clear();
        record.run.status = RunStatus::Failure;
        record.run.failure_reason = reason.map(Into::into);
        record.failure = Some(Box::new(failure(("ImportError: no module named pandas", class, None))));
    }

    /// What the workers wrote down; from the first call on, of each run that is there a record.
    pub fn records(&mut self) -> &mut Vec<CompletionRecord> {
        let of = |record: &RunRecord| CompletionRecord {
            run_id: record.run.run_id.clone(),
            step: "work".into(),
            key: record.run.key.clone(),
            worker: Some("worker".into()),
            task: record.events[0].task.clone(),
            started: Some(record.events[1].at),
            finished: Some(record.events[2].at),
            outcome: CompletionOutcome::Completed,
        };
        let runs = &self.runs;
        let all = self.completions.get_or_insert_with(|| Completions {
            source: "table exec_attempts".to_owned(),
            records: runs.iter().map(of).collect(),
            ..Completions::default()
        });
        &mut all.records
    }

    pub fn drop_run(&mut self, index: u32) {
        let key = self.plan.key(index);
        self.runs.retain(|record| record.run.key.as_ref() != Some(&key));
    }

    /// What became of a launch, instead of its acknowledgement.
    pub fn fate(&mut self, index: u32, event: Event) {
        let is_its = |known: &Event| matches!(known, Event::Submitted { index: other, .. } if *other == index);
        self.events.iter_mut().find(|(_, known)| is_its(known)).unwrap().1 = event;
    }

    pub fn forget(&mut self, is_it: impl Fn(&Event) -> bool) {
        self.events.retain(|(_, event)| !is_it(event));
    }

    pub fn audit(&self) -> Audit {
        let (records, census) = self.evidence();
        audit::audit(&self.plan, &records, &census).unwrap()
    }

    /// What stands in `report.json`; `None`: the records say nothing of this generation.
    pub fn report(&self) -> Option<Report> {
        let (records, census) = self.evidence();
        let mut state = State::default();
        records.iter().for_each(|record| state.apply(record).unwrap());
        let generation = state.current.as_ref().filter(|generation| generation.id == self.plan.generation)?;
        Some(publish::report(&self.plan, &state, generation, &census, &self.audit()))
    }

    /// `report.md`, `keys.csv`, `report.html` and `junit.xml`.
    pub fn rendered(&self) -> [String; 4] {
        let (records, census) = self.evidence();
        let mut state = State::default();
        records.iter().for_each(|record| state.apply(record).unwrap());
        let (generation, audit) = (state.current.as_ref().unwrap(), self.audit());
        let report = publish::report(&self.plan, &state, generation, &census, &audit);
        let keys = publish::keys(&self.plan, generation, &census, &audit);
        let page = publish::html(&report, &self.plan, generation, &census);
        [publish::markdown(&report), String::from_utf8(keys).unwrap(), page, publish::junit(&report)]
    }

    fn evidence(&self) -> (Vec<Record>, Census) {
        let mut events = self.events.clone();
        events.sort_by_key(|(second, _)| *second);
        let record = |(seq, (second, event)): (usize, (i64, Event))| Record {
            seq: seq as u64,
            at: at(second as f64),
            epoch: 1,
            event,
        };
        let records = events.into_iter().enumerate().map(record).collect();
        let census = Census {
            taken_at: at(self.taken_at as f64),
            dagster_version: "1.13.27".to_owned(),
            runs: self.runs.clone(),
            completions: self.completions.clone(),
        };
        (records, census)
    }
}

pub fn step(kind: StepEventKind, second: f64, task: Option<&str>) -> StepEvent {
    StepEvent { task: task.map(arn), ..StepEvent::new("work", kind, at(second)) }
}

/// Dagster's error: its text, its class, its source.
pub fn failure((error, class, source): (&str, Option<&str>, Option<&str>)) -> Failure {
    Failure { error: error.to_owned(), class: class.map(str::to_owned), source: source.map(str::to_owned) }
}

/// Later, in the time of an event.
pub fn later(instant: Timestamp, seconds: f64) -> Timestamp {
    instant.plus(Duration::from_secs_f64(seconds))
}
