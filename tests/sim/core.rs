//! The simulated truth: time, Dagster's runs, the service's tasks, and what is still on its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    task::Waker,
    time::Duration,
};

use dagstorm::model::{Effect, Key, RunStatus, StepEvent, StepEventKind, TaskArn, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many workers the service wants.
pub const DESIRED: u32 = 3;
/// A message whose worker died comes back after this.
const VISIBILITY: Duration = Duration::from_secs(3);

pub struct Core {
    pub now: Timestamp,
    pub rng: ChaCha8Rng,
    pub storm_ends: Timestamp,
    /// The workers' idempotency is on: no step completes twice.
    pub idempotent: bool,
    pub timers: BTreeMap<(Timestamp, u64), Waker>,
    pub next_id: u64,
    events: BTreeMap<(Timestamp, u64), Happening>,
    pub runs: BTreeMap<String, SimRun>,
    pub tasks: BTreeMap<TaskArn, ()>,
    /// How many tasks ran from when on.
    pub strength: Vec<(Timestamp, u32)>,
    pub violations: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct SimRun {
    pub key: Key,
    pub job: String,
    pub tags: BTreeMap<String, String>,
    pub status: RunStatus,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub events: Vec<StepEvent>,
    /// The attempt that counts now, and the task that makes it.
    attempt: u32,
    task: Option<TaskArn>,
}

/// What comes about by itself, later.
enum Happening {
    Effect(Effect),
    Replace,
    Begin(String),
    Finish { run: String, attempt: u32 },
    Redeliver(String),
}

impl Core {
    pub fn new(seed: u64) -> Self {
        let mut core = Self {
            now: Timestamp::from_micros(1_790_000_000_000_000),
            rng: ChaCha8Rng::seed_from_u64(seed),
            storm_ends: Timestamp::from_micros(0),
            idempotent: true,
            timers: BTreeMap::new(),
            next_id: 0,
            events: BTreeMap::new(),
            runs: BTreeMap::new(),
            tasks: BTreeMap::new(),
            strength: vec![],
            violations: vec![],
        };
        for _ in 0..DESIRED {
            core.start_task();
        }
        core
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(least..=most))
    }

    pub fn is_storm(&self) -> bool {
        self.now < self.storm_ends
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn later(&mut self, delay: Duration, happening: Happening) {
        let (at, id) = (self.now.plus(delay), self.id());
        self.events.insert((at, id), happening);
    }

    /// Puts an effect on its way: it happens `delay` from now, whoever is still there to hear of it.
    pub fn send(&mut self, delay: Duration, effect: Effect) {
        self.later(delay, Happening::Effect(effect));
    }

    /// Moves time to the next thing that happens and returns the wakers that are due; false when nothing will happen.
    pub fn advance(&mut self) -> Option<Vec<Waker>> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let next = match (timer, event) {
            (Some(timer), Some(event)) => timer.min(event),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return None,
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let happening = entry.remove();
            self.happen(happening);
        }
        let mut due = vec![];
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= self.now) {
            due.push(entry.remove());
        }
        Some(due)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Effect(Effect::LaunchRun { key, job, tags, .. }) => {
                self.launch(key, job, tags.into_iter().collect());
            }
            Happening::Effect(Effect::TerminateRun { run_id }) => self.terminate(&run_id),
            Happening::Effect(Effect::StopTask { task, .. }) => self.stop(&task),
            Happening::Replace => {
                if (self.tasks.len() as u32) < DESIRED {
                    self.start_task();
                }
            }
            Happening::Begin(run) => self.begin(&run),
            Happening::Finish { run, attempt } => self.finish(&run, attempt),
            Happening::Redeliver(run) => self.redeliver(&run),
        }
    }

    pub fn launch(&mut self, key: Key, job: String, tags: BTreeMap<String, String>) {
        if self.runs.values().any(|run| run.key == key) {
            self.violations.push(format!("{key} was launched twice"));
        }
        let id = format!("run-{}", self.id());
        let run = SimRun {
            key,
            job,
            tags,
            status: RunStatus::Queued,
            started_at: None,
            ended_at: None,
            events: vec![],
            attempt: 0,
            task: None,
        };
        self.runs.insert(id.clone(), run);
        let delay = self.millis(10, 2_000);
        self.later(delay, Happening::Begin(id));
    }

    fn terminate(&mut self, id: &str) {
        let now = self.now;
        let run = self.runs.get_mut(id).expect("only what was seen is terminated");
        if !run.status.is_terminal() {
            run.status = RunStatus::Canceled;
            run.ended_at = Some(now);
            run.attempt += 1;
        }
    }

    fn start_task(&mut self) {
        let id = self.id();
        self.tasks.insert(TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id:08}")), ());
        self.strength.push((self.now, self.tasks.len() as u32));
    }

    fn stop(&mut self, task: &TaskArn) {
        if self.tasks.remove(task).is_none() {
            return;
        }
        self.strength.push((self.now, self.tasks.len() as u32));
        let delay = self.millis(100, 6_000);
        self.later(delay, Happening::Replace);
        let orphans: Vec<String> =
            self.runs.iter().filter(|(_, run)| run.task.as_ref() == Some(task)).map(|(id, _)| id.clone()).collect();
        for id in orphans {
            let run = self.runs.get_mut(&id).expect("just seen");
            run.task = None;
            run.attempt += 1;
            self.later(VISIBILITY, Happening::Redeliver(id));
        }
    }

    fn event(&mut self, run: &str, kind: StepEventKind, task: Option<TaskArn>) {
        let at = self.now;
        let run = self.runs.get_mut(run).expect("a run that was launched");
        run.events.push(StepEvent { step: "work".to_owned(), kind, at, task });
    }

    fn begin(&mut self, id: &str) {
        let tasks: Vec<TaskArn> = self.tasks.keys().cloned().collect();
        if tasks.is_empty() {
            self.later(Duration::from_millis(500), Happening::Begin(id.to_owned()));
            return;
        }
        let task = tasks[self.rng.random_range(0..tasks.len())].clone();
        let now = self.now;
        let run = self.runs.get_mut(id).expect("a run that was launched");
        if run.status == RunStatus::Canceled {
            return;
        }
        run.status = RunStatus::Started;
        run.started_at.get_or_insert(now);
        run.task = Some(task.clone());
        let attempt = run.attempt;
        self.event(id, StepEventKind::Claimed, Some(task));
        self.event(id, StepEventKind::Started, None);
        let length = self.millis(200, 8_000);
        self.later(length, Happening::Finish { run: id.to_owned(), attempt });
        // Without idempotency a message that is delivered again is worked off again.
        if !self.idempotent && self.rng.random_range(0..100) < 30 {
            self.event(id, StepEventKind::Started, None);
            self.later(length + Duration::from_millis(300), Happening::Finish { run: id.to_owned(), attempt });
        }
    }

    fn finish(&mut self, id: &str, attempt: u32) {
        let now = self.now;
        let run = self.runs.get_mut(id).expect("a run that was launched");
        // The worker died in between: this attempt never completes.
        if run.attempt != attempt {
            return;
        }
        run.status = RunStatus::Success;
        run.ended_at.get_or_insert(now);
        run.task = None;
        self.event(id, StepEventKind::Succeeded, None);
    }

    fn redeliver(&mut self, id: &str) {
        self.begin(id);
    }

    /// Whether the service was whole at any time from `since` until now.
    pub fn was_whole_since(&self, since: Timestamp) -> bool {
        let before = self.strength.iter().rev().find(|(at, _)| *at <= since);
        let later = self.strength.iter().filter(|(at, _)| *at > since);
        before.into_iter().chain(later).any(|(_, running)| *running >= DESIRED)
    }

    /// Whether every one of these keys, and no other of their generation, ran and completed exactly once.
    pub fn truth_holds(&self, wanted: &BTreeSet<Key>, of: impl Fn(&Key) -> bool) -> bool {
        let mut seen = BTreeSet::new();
        let once = self.runs.values().filter(|run| of(&run.key)).all(|run| {
            let completions = run.events.iter().filter(|event| event.kind == StepEventKind::Succeeded).count();
            seen.insert(run.key.clone()) && completions == 1 && run.status == RunStatus::Success
        });
        once && seen == *wanted
    }
}
