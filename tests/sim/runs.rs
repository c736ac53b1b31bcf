//! What becomes of a run: its message waits, is worked off, perhaps twice, and what Dagster's log shows of that.

use std::{collections::BTreeMap, time::Duration};

use dagstorm::model::{Failure, Key, Origin, RunStatus, StepEvent, StepEventKind, TaskArn, Timestamp};

use crate::{
    core::{Core, Happening},
    storm::Mishap,
};

/// So much later than its run's end an event may show in Dagster's log: less than the quiet period, also by a clock that
/// was set.
const LATEST_EVENT_MS: u64 = 6_500;
/// What a second worker writes late shows at least so much later: after a look at the end of the run, and a census.
const LEAST_LAG_MS: u64 = 4_000;

/// What Dagster's daemon writes on a run whose retry it cannot make.
const NO_RETRY: &str = "Could not find job in repository, unable to retry the run. It was likely renamed or deleted.";

#[derive(Debug, Clone)]
pub struct SimRun {
    pub key: Key,
    /// How it came to be: launched, or a retry.
    pub origin: Origin,
    pub created_at: Timestamp,
    /// When Dagster last changed its row.
    pub updated_at: Timestamp,
    /// It failed, and Dagster has announced a retry.
    pub will_retry: bool,
    /// Why the announced retry will never come, once Dagster's log says so.
    pub retry_refused: Option<String>,
    /// Its message was worked off twice.
    pub again: bool,
    pub job: String,
    pub tags: BTreeMap<String, String>,
    pub status: RunStatus,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Each with the instant from which on Dagster's log shows it.
    pub events: Vec<(Timestamp, StepEvent)>,
    /// There are two messages of it.
    pub copied: bool,
    /// The attempt that counts now, and the task that makes it.
    pub attempt: u32,
    pub task: Option<TaskArn>,
}

impl Core {
    /// Of so many messages that wait there is another one now.
    pub fn copy(&mut self, count: usize) {
        self.copies = 0;
        for run in self.runs.values_mut().filter(|run| run.status == RunStatus::Queued).take(count) {
            run.copied = true;
            self.copies += 1;
        }
    }

    pub fn launch(&mut self, key: Key, job: String, tags: BTreeMap<String, String>) {
        let id = format!("run-{}", self.id());
        self.tell(|| format!("Dagster: {id} of {key}"));
        self.note_again(&key, &tags);
        self.make(id, key, job, tags, Origin::Launch);
    }

    fn make(&mut self, id: String, key: Key, job: String, tags: BTreeMap<String, String>, origin: Origin) {
        let run = SimRun {
            key,
            origin,
            created_at: self.now,
            updated_at: self.now,
            will_retry: false,
            retry_refused: None,
            again: false,
            job,
            tags,
            status: RunStatus::Queued,
            started_at: None,
            ended_at: None,
            events: vec![],
            copied: false,
            attempt: 0,
            task: None,
        };
        self.runs.insert(id.clone(), run);
        let delay = self.millis(10, 2_000);
        self.later(delay, Happening::Begin(id));
    }

    /// Dagster's daemon makes a retry of a run that failed: all tags of it are copied.
    pub fn retry(&mut self, of: &str) {
        let id = format!("run-{}", self.id());
        let failed = self.runs[of].clone();
        let number = failed.origin.retry_number().unwrap_or_default() + 1;
        let root = match &failed.origin {
            Origin::Retry { root, .. } => root.clone(),
            _ => of.to_owned(),
        };
        self.tell(|| format!("Dagster: {id} is retry {number} of {of}"));
        let origin = Origin::Retry { parent: of.to_owned(), root, number };
        self.make(id, failed.key, failed.job, failed.tags, origin);
    }

    /// Dagster announces, some time after a run failed, that it will run it again.
    pub fn announce(&mut self, id: &str, is_made: bool) {
        let now = self.now;
        let run = self.runs.get_mut(id).expect("a run that failed");
        (run.will_retry, run.updated_at) = (true, now);
        if is_made {
            let delay = self.millis(0, 5_000);
            self.later(delay, Happening::Retry(id.to_owned()));
            if self.storm.strikes(Mishap::TwoRetries, 10).is_some() {
                self.later(delay + Duration::from_millis(200), Happening::Retry(id.to_owned()));
            }
        } else if self.dice.chance(50) {
            self.runs.get_mut(id).expect("a run that failed").retry_refused = Some(NO_RETRY.to_owned());
        }
    }

    /// Whether the run of this message fails instead of being done. What fails completes nothing.
    fn fails(&mut self, id: &str) -> bool {
        let is_alone = self.runs.get(id).is_some_and(|run| !run.again);
        let Some(mut dice) = self.strikes(Mishap::RunFails, if is_alone { 7 } else { 0 }) else { return false };
        self.tell(|| format!("Dagster: {id} fails"));
        let by_its_code = dice.chance(50);
        let now = self.now;
        let run = self.runs.get_mut(id).expect("a run that was launched");
        (run.status, run.ended_at, run.task) = (RunStatus::Failure, Some(now), None);
        run.updated_at = now;
        if by_its_code {
            let failure = Failure {
                error: "ValueError: no".to_owned(),
                class: Some("ValueError".to_owned()),
                source: Some("USER_CODE_ERROR".to_owned()),
            };
            let failed =
                StepEvent { failure: Some(Box::new(failure)), ..StepEvent::new("work", StepEventKind::Failed, now) };
            run.events.push((now, failed));
        }
        if dice.chance(75) {
            let is_made = self.storm.strikes(Mishap::NoRetry, 25).is_none();
            self.later(dice.millis(0, 400), Happening::Announce { run: id.to_owned(), is_made });
        }
        true
    }

    pub fn terminate(&mut self, id: &str) {
        let now = self.now;
        let run = self.runs.get_mut(id).expect("only what was seen is terminated");
        if !run.status.is_terminal() {
            run.status = RunStatus::Canceled;
            run.updated_at = now;
            run.ended_at = Some(now);
            run.attempt += 1;
        }
    }

    fn event(&mut self, run: &str, kind: StepEventKind, task: Option<TaskArn>, lag: Duration) {
        let at = self.now;
        let shows_at = at.plus(lag);
        let run = self.runs.get_mut(run).expect("a run that was launched");
        run.events.push((shows_at, StepEvent { task, ..StepEvent::new("work", kind, at) }));
    }

    pub fn begin(&mut self, id: &str) {
        let tasks: Vec<TaskArn> = self.tasks.keys().cloned().collect();
        if tasks.is_empty() || self.objects.now().denied {
            self.later(Duration::from_millis(500), Happening::Begin(id.to_owned()));
            return;
        }
        let task = tasks[self.dice.below(tasks.len())].clone();
        let now = self.now;
        let run = self.runs.get_mut(id).expect("a run that was launched");
        if run.status == RunStatus::Canceled {
            return;
        }
        (run.status, run.updated_at) = (RunStatus::Started, now);
        run.started_at.get_or_insert(now);
        run.task = Some(task.clone());
        let (attempt, key) = (run.attempt, run.key.clone());
        let is_copied = std::mem::take(&mut run.copied);
        self.event(id, StepEventKind::Claimed, Some(task), Duration::ZERO);
        self.event(id, StepEventKind::Started, None, Duration::ZERO);
        let length = self.millis(200, 8_000);
        self.later(length, Happening::Finish { run: id.to_owned(), attempt, lag: None });
        let is_last = self.last_arrivals.get(&(key.scenario, key.generation.digest)) == Some(&key.index);
        let echo = if is_last { self.storm.strikes(Mishap::Echo, 15) } else { None };
        if let Some(mut dice) = echo {
            let lag = dice.millis(LEAST_LAG_MS, LATEST_EVENT_MS);
            self.deliver_again(id, attempt, length, Some(lag));
        } else if !self.idempotent && (is_copied || self.storm.strikes(Mishap::Duplicate, 30).is_some()) {
            // Without idempotency a message that is delivered again is worked off again.
            let lag = self.strikes(Mishap::EventLate, 50).map(|mut dice| dice.millis(LEAST_LAG_MS, LATEST_EVENT_MS));
            self.deliver_again(id, attempt, length, lag);
        }
    }

    /// A second worker works the message off, done a moment later than the first. `lag`: it writes so much later, so that
    /// nothing of it shows until the run has long ended.
    fn deliver_again(&mut self, id: &str, attempt: u32, length: Duration, lag: Option<Duration>) {
        self.runs.get_mut(id).expect("a run that was launched").again = true;
        self.event(id, StepEventKind::Started, None, lag.map_or(Duration::ZERO, |lag| length + lag));
        let again = Happening::Finish { run: id.to_owned(), attempt, lag };
        self.later(length + Duration::from_millis(300), again);
    }

    pub fn finish(&mut self, id: &str, attempt: u32, lag: Option<Duration>) {
        let now = self.now;
        let run = self.runs.get_mut(id).expect("a run that was launched");
        // The worker died in between: this attempt never completes.
        if run.attempt != attempt || self.fails(id) {
            return;
        }
        let run = self.runs.get_mut(id).expect("a run that was launched");
        (run.status, run.updated_at) = (RunStatus::Success, now);
        run.ended_at.get_or_insert(now);
        run.task = None;
        let lag = lag.or_else(|| Some(self.strikes(Mishap::EventLate, 10)?.millis(1, LATEST_EVENT_MS)));
        self.event(id, StepEventKind::Succeeded, None, lag.unwrap_or_default());
    }

    pub fn redeliver(&mut self, id: &str) {
        self.begin(id);
    }
}
