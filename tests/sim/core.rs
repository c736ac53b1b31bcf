//! The simulated truth: time, Dagster's runs, the service's tasks, and what is still on its way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    task::Waker,
    time::Duration,
};

use dagstorm::model::{
    Effect, GenerationId, Key, Object, Origin, RunStatus, ScenarioName, SecurityGroupRule, StepEventKind, TaskArn,
    Timestamp, WriterId, mark::FAULT_TAG, tags,
};

use crate::{
    hands::Orphan,
    objects::Objects,
    rivals::Rivals,
    runs::SimRun,
    storm::{Dice, Keep, Mishap, Storm},
};

/// How many workers the service wants.
pub const DESIRED: u32 = 3;
/// A message whose worker died comes back after this.
const VISIBILITY: Duration = Duration::from_secs(3);
/// When every simulation begins.
pub const BEGAN: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
/// So many of the last things that happened are told.
const TOLD: usize = 90;

pub struct Core {
    /// The true time. Dagster's clock shows it; an operator's may be ahead of it or behind.
    pub now: Timestamp,
    /// For what is no mishap: how long things take.
    pub dice: Dice,
    pub storm: Storm,
    pub storm_ends: Timestamp,
    /// Until when an append to a journal stands still, for longer than a call may be late.
    pub stands_still_until: Timestamp,
    /// Dagster refuses everything until then.
    pub outage_ends: Timestamp,
    /// The code location is not loaded until then.
    pub reload_ends: Timestamp,
    /// So many launches were refused for that.
    pub not_loaded: u64,
    /// When the first launch of each scenario by each dagstorm was refused in the last outage, how many were later on, and in all.
    pub refused: BTreeMap<(WriterId, ScenarioName), (Timestamp, u64, u64)>,
    /// How many were refused before those.
    pub refused_before: u64,
    /// By so much all steps of clocks cut the windows short.
    pub stepped: Duration,
    /// The workers' idempotency is on: but for an echo, no step completes twice.
    pub idempotent: bool,
    pub timers: BTreeMap<(Timestamp, u64), Waker>,
    pub next_id: u64,
    events: BTreeMap<(Timestamp, u64), Happening>,
    pub runs: BTreeMap<String, SimRun>,
    /// The last arrival of each scenario, as the digest of its spec has it.
    pub last_arrivals: BTreeMap<(ScenarioName, String), u32>,
    pub tasks: BTreeMap<TaskArn, ()>,
    pub objects: Objects,
    /// What open faults of data folders that are gone have left behind.
    pub orphans: Vec<Orphan>,
    /// So many objects were taken back by their marks alone.
    pub rescued: u64,
    /// How many messages were copied last.
    pub copies: u32,
    /// The data folder is never lost: who knows of a fault does not depend on its marks.
    pub keeps_disk: bool,
    /// So often a fault could not be taken back because of what somebody else did.
    pub stalled: u64,
    /// How many tasks ran from when on.
    pub strength: Vec<(Timestamp, u32)>,
    /// When each look was truly asked, by the instant that its operator took it for.
    pub asked: BTreeMap<Timestamp, Timestamp>,
    /// The rules that the last look at the group showed to each operator, and when; a look that failed showed none.
    pub shown: BTreeMap<u64, (Timestamp, Vec<SecurityGroupRule>)>,
    /// The reasons of the faults that are healed: none of their effects may come about any more.
    pub healed: BTreeSet<String>,
    /// What each key was last launched with, since the data folder was last lost.
    pub sent: BTreeMap<(Option<String>, Key), String>,
    /// Of two dagstorms, what each has done and seen.
    pub rivals: Rivals,
    /// Operators that were superseded while they stood still: they do nothing any more.
    pub silent: BTreeSet<u64>,
    /// Operators whose store told them that they were superseded.
    pub fenced: BTreeSet<u64>,
    /// What happened last, if someone wants to know.
    pub told: Option<VecDeque<String>>,
    pub violations: Vec<String>,
}

/// What comes about by itself, later.
pub enum Happening {
    Effect(Effect),
    Replace,
    Begin(String),
    /// `lag`: so much later it shows, where that is settled.
    Finish {
        run: String,
        attempt: u32,
        lag: Option<Duration>,
    },
    Redeliver(String),
    /// Dagster says that it will run a failed run again; `is_made`: and does so.
    Announce {
        run: String,
        is_made: bool,
    },
    Retry(String),
    /// The service that may be drained runs what it wants.
    Scale,
    /// Somebody else changes an object by hand …
    Meddle(Object, Dice),
    /// … and changes it back.
    Mend,
}

impl Core {
    pub fn new(seed: u64, keep: Keep) -> Self {
        let mut core = Self {
            now: BEGAN,
            dice: Dice::new(seed, 1 << 20),
            storm: Storm::new(seed, keep),
            storm_ends: BEGAN,
            stands_still_until: BEGAN,
            outage_ends: BEGAN,
            reload_ends: BEGAN,
            not_loaded: 0,
            refused: BTreeMap::new(),
            refused_before: 0,
            stepped: Duration::ZERO,
            idempotent: true,
            timers: BTreeMap::new(),
            next_id: 0,
            events: BTreeMap::new(),
            runs: BTreeMap::new(),
            last_arrivals: BTreeMap::new(),
            tasks: BTreeMap::new(),
            objects: Objects::new(BEGAN),
            orphans: vec![],
            rescued: 0,
            copies: 0,
            keeps_disk: true,
            stalled: 0,
            strength: vec![],
            asked: BTreeMap::new(),
            shown: BTreeMap::new(),
            healed: BTreeSet::new(),
            sent: BTreeMap::new(),
            rivals: Rivals::default(),
            silent: BTreeSet::new(),
            fenced: BTreeSet::new(),
            told: None,
            violations: vec![],
        };
        for _ in 0..DESIRED {
            core.start_task();
        }
        core
    }

    /// How long something takes, in milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        self.dice.millis(least, most)
    }

    /// Whether a mishap of the storm happens now; then, the dice for its details.
    pub fn strikes(&mut self, mishap: Mishap, percent: u32) -> Option<Dice> {
        if self.is_storm() { self.storm.strikes(mishap, percent) } else { None }
    }

    /// Notes what happened, until the first violation.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = self.told.as_mut().filter(|_| self.violations.is_empty()) {
            let second = self.now.since(BEGAN).as_secs_f64();
            told.push_back(format!("{second:9.3} s  {}", what()));
            if told.len() > TOLD {
                told.pop_front();
            }
        }
    }

    pub fn violates(&mut self, what: String) {
        self.tell(|| format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    pub fn is_storm(&self) -> bool {
        self.now < self.storm_ends
    }

    pub fn is_outage(&self) -> bool {
        self.now < self.outage_ends
    }

    pub fn is_reloading(&self) -> bool {
        self.now < self.reload_ends
    }

    /// Lets time stop at an instant, whoever else waits for what.
    pub fn alarm(&mut self, at: Timestamp) {
        let id = self.id();
        self.timers.insert((at, id), Waker::noop().clone());
    }

    /// Whether a launch is on its way whose generation has no run yet: whoever looks finds no trace of it.
    pub fn hides_a_launch(&self) -> bool {
        self.events.values().any(|happening| match happening {
            Happening::Effect(Effect::LaunchRun { key, .. }) => {
                !self.runs.values().any(|run| run.key.scenario == key.scenario && run.key.generation == key.generation)
            }
            Happening::Effect(_)
            | Happening::Replace
            | Happening::Begin(_)
            | Happening::Finish { .. }
            | Happening::Redeliver(_)
            | Happening::Announce { .. }
            | Happening::Retry(_)
            | Happening::Scale
            | Happening::Meddle(..)
            | Happening::Mend => false,
        })
    }

    /// Whatever the world is like meanwhile, a key is always launched with the same.
    pub fn note_sent(&mut self, effect: &Effect) {
        let Effect::LaunchRun { key, job, assets, tags, run_config } = effect else { return };
        let sent = format!("{job} {assets:?} {tags:?} {run_config}");
        let before = self.sent.insert((tags.get(tags::WRITER).cloned(), key.clone()), sent.clone());
        if let Some(before) = before.filter(|before| *before != sent) {
            self.violates(format!("{key} was launched with {before}, and then with {sent}"));
        }
    }

    /// Counts refusals anew.
    pub fn forget_refusals(&mut self) {
        self.refused_before += self.refused.values().map(|(_, _, all)| all).sum::<u64>();
        self.refused.clear();
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn later(&mut self, delay: Duration, happening: Happening) {
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
            Happening::Effect(Effect::StopTask { task, reason }) => self.stop_for(&task, &reason),
            Happening::Effect(Effect::CopyMessages { url: _, count }) => self.copy(count as usize),
            Happening::Effect(effect) => {
                self.tell(|| format!("AWS: {}", brief(&effect)));
                self.change(&effect);
            }
            Happening::Replace => {
                if (self.tasks.len() as u32) < DESIRED {
                    self.start_task();
                }
            }
            Happening::Begin(run) => self.begin(&run),
            Happening::Finish { run, attempt, lag } => self.finish(&run, attempt, lag),
            Happening::Redeliver(run) => self.redeliver(&run),
            Happening::Announce { run, is_made } => self.announce(&run, is_made),
            Happening::Retry(run) => self.retry(&run),
            Happening::Scale => self.scale(),
            Happening::Meddle(object, dice) => self.meddle(&object, dice),
            Happening::Mend => self.mend(),
        }
    }

    fn start_task(&mut self) {
        let id = self.id();
        self.tasks.insert(TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{id:08}").into()), ());
        self.strength.push((self.now, self.tasks.len() as u32));
    }

    fn stop_for(&mut self, task: &TaskArn, reason: &str) {
        if !self.tasks.contains_key(task) {
            return;
        }
        self.tell(|| format!("ECS: task {} is stopped: {reason}", task.id()));
        if self.healed.contains(reason) {
            self.violates(format!("{reason} counts as healed, and stops {} after that", task.id()));
        }
        self.stop(task);
    }

    fn stop(&mut self, task: &TaskArn) {
        self.tasks.remove(task);
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

    /// Whether a run of this generation is under way.
    pub fn is_working_on(&self, scenario: &ScenarioName, generation: &GenerationId) -> bool {
        let own = |run: &&SimRun| run.key.scenario == *scenario && run.key.generation == *generation;
        self.runs.values().filter(own).any(|run| !run.status.is_terminal())
    }

    /// Whether the service was whole at any time from `since` until now.
    pub fn was_whole_since(&self, since: Timestamp) -> bool {
        let before = self.strength.iter().rev().find(|(at, _)| *at <= since);
        let later = self.strength.iter().filter(|(at, _)| *at > since);
        before.into_iter().chain(later).any(|(_, running)| *running >= DESIRED)
    }

    /// Whether every one of these keys, and no other of their generation, was launched once and completed exactly once: by
    /// its run, or by the last of the retries that followed each other.
    pub fn truth_holds(&self, wanted: &BTreeSet<Key>, of: impl Fn(&Key) -> bool) -> bool {
        let mut by_key: BTreeMap<&Key, Vec<(&String, &SimRun)>> = BTreeMap::new();
        for (id, run) in self.runs.iter().filter(|(_, run)| of(&run.key)) {
            by_key.entry(&run.key).or_default().push((id, run));
        }
        let once = by_key.values().all(|runs| {
            let events = runs.iter().flat_map(|(_, run)| &run.events);
            let completions = events.filter(|(_, event)| event.kind == StepEventKind::Succeeded).count();
            let succeeded = runs.iter().filter(|(_, run)| run.status == RunStatus::Success).count();
            completions == 1 && succeeded == 1 && self.most_siblings(runs) == 1
        });
        once && by_key.into_keys().eq(wanted)
    }

    /// How many runs are launches of one key, or retries of one run: more than one is once too often.
    pub fn most_siblings(&self, runs: &[(&String, &SimRun)]) -> usize {
        let parent = |run: &SimRun| match &run.origin {
            Origin::Retry { parent, .. } => parent.clone(),
            _ => String::new(),
        };
        let parents: Vec<String> = runs.iter().map(|(_, run)| parent(run)).collect();
        parents.iter().map(|one| parents.iter().filter(|other| *other == one).count()).max().unwrap_or_default()
    }
}

/// An effect in a few words.
pub fn brief(effect: &Effect) -> String {
    match effect {
        Effect::LaunchRun { key, .. } => format!("launch {key}"),
        Effect::TerminateRun { run_id } => format!("end {run_id}"),
        Effect::StopTask { task, .. } => format!("stop task {}", task.id()),
        Effect::RehearseRules { .. } => "rehearse".to_owned(),
        Effect::Mark { object, tags } => {
            format!("mark {object} for {}", tags.get(FAULT_TAG).map_or("nobody", String::as_str))
        }
        Effect::Unmark { object } => format!("unmark {object}"),
        other => other.describe().unwrap_or_default(),
    }
}
