//! Dagster's runs and their events, in Dagster's own words, and how each run came to be.

mod status;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
pub use status::{RunStatus, Standing};

use super::{Key, Names, TaskArn, Timestamp, WriterId};

/// A run as a look shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    pub run_id: String,
    /// `None`: the tag is there, but it is no key of ours.
    pub key: Option<Key>,
    pub job: Arc<str>,
    pub status: RunStatus,
    /// When Dagster made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When Dagster last changed its row; not every event does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The tag `dagstorm/started`: when the generation began.
    pub generation_started: Option<Timestamp>,
    /// The tag `dagstorm/writer`: the data folder that launched it. Versions before the tag wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterId>,
    /// Who made it, by what Dagster itself records.
    #[serde(default, skip_serializing_if = "Origin::is_launch")]
    pub origin: Origin,
    /// `repository@location`, as Dagster knows the run's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Arc<str>>,
    /// It failed, and Dagster has announced that it will run it again (`dagster/will_retry`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub will_retry: bool,
    /// Dagster's word for why it failed (`dagster/failure_reason`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<Arc<str>>,
}

impl RunView {
    /// A run that was launched through the API and of which nothing else is known.
    pub fn new(run_id: impl Into<String>, key: Option<Key>, job: &str, status: RunStatus) -> Self {
        Self {
            run_id: run_id.into(),
            key,
            job: job.into(),
            status,
            created_at: None,
            updated_at: None,
            started_at: None,
            ended_at: None,
            generation_started: None,
            writer: None,
            origin: Origin::Launch,
            repository: None,
            will_retry: false,
            failure_reason: None,
        }
    }

    /// What to say of a run that Dagster has made and will not start.
    pub fn says_never_started(&self) -> String {
        let made = self.created_at.map(|at| format!(" at {at}")).unwrap_or_default();
        format!(
            "Dagster made run {}{made} and never queued it: it stays {}, because the process that made it ended in between. \
             Dagster will never start it and cannot terminate it; delete it in Dagster's UI",
            self.run_id, self.status
        )
    }

    /// The first run of the chain that this run belongs to: its own id, unless Dagster names another root.
    pub fn root(&self) -> &str {
        match &self.origin {
            Origin::Retry { root, .. } | Origin::Reexecution { root, .. } => root,
            Origin::Launch | Origin::Schedule(_) | Origin::Sensor(_) | Origin::Backfill(_) | Origin::Automation => {
                &self.run_id
            }
        }
    }
}

/// Who made a run. Dagster copies tags freely, so the tags of a launch alone prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Origin {
    /// `launchRun` through the API or the launchpad, without a parent.
    #[default]
    Launch,
    /// Dagster's own retry of a failed run (`run_retries`, `dagster/max_retries`): it has `dagster/retry_number`.
    Retry { parent: String, root: String, number: u32 },
    /// A person or a program executed a run again.
    Reexecution { parent: String, root: String },
    /// A sensor requested it.
    Sensor(Arc<str>),
    /// A schedule requested it.
    Schedule(Arc<str>),
    /// A backfill requested it.
    Backfill(Arc<str>),
    /// Declarative automation requested it.
    Automation,
}

const SENSOR: &str = "dagster/sensor_name";
const SCHEDULE: &str = "dagster/schedule_name";
const BACKFILL: &str = "dagster/backfill";
const AUTOMATION: [&str; 2] = ["dagster/auto_materialize", "dagster/from_automation_condition"];
const RETRY_NUMBER: &str = "dagster/retry_number";
const PARENT: &str = "dagster/parent_run_id";
const ROOT: &str = "dagster/root_run_id";

impl Origin {
    /// The tags by which Dagster says who made a run. A manifest must not set them: it would disguise its own launches.
    pub const TAGS: [&str; 10] = [
        SENSOR,
        SCHEDULE,
        BACKFILL,
        AUTOMATION[0],
        AUTOMATION[1],
        RETRY_NUMBER,
        PARENT,
        ROOT,
        WILL_RETRY_TAG,
        "dagster/auto_retry_run_id",
    ];

    /// Reads it off a run. `parent` and `root` are the run's own fields, which older databases keep in tags alone.
    pub fn of<'a>(parent: Option<&str>, root: Option<&str>, tag: impl Fn(&str) -> Option<&'a str>) -> Self {
        // What has a parent copied the parent's tags: the parent says more than they do.
        if let Some(parent) = parent.or_else(|| tag(PARENT)) {
            let parent = parent.to_owned();
            let root = root.or_else(|| tag(ROOT)).map_or_else(|| parent.clone(), str::to_owned);
            return match tag(RETRY_NUMBER).and_then(|number| number.parse().ok()) {
                Some(number) => Self::Retry { parent, root, number },
                None => Self::Reexecution { parent, root },
            };
        }
        let named = |name: &str| tag(name).map(Arc::from);
        let by_sensor = named(SENSOR).map(Self::Sensor);
        let by_schedule = || named(SCHEDULE).map(Self::Schedule);
        let by_backfill = || named(BACKFILL).map(Self::Backfill);
        let by_automation = || {
            AUTOMATION.iter().any(|name| tag(name).is_some_and(|value| value != "false")).then_some(Self::Automation)
        };
        by_sensor.or_else(by_schedule).or_else(by_backfill).or_else(by_automation).unwrap_or_default()
    }

    pub fn is_launch(&self) -> bool {
        *self == Self::Launch
    }

    /// Which retry of its root it is, from 1.
    pub fn retry_number(&self) -> Option<u32> {
        match self {
            Self::Retry { number, .. } => Some(*number),
            Self::Launch
            | Self::Reexecution { .. }
            | Self::Sensor(_)
            | Self::Schedule(_)
            | Self::Backfill(_)
            | Self::Automation => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch => f.write_str("a launch"),
            Self::Retry { parent, number, .. } => write!(f, "retry {number} of run {parent}"),
            Self::Reexecution { parent, .. } => write!(f, "a re-execution of run {parent}"),
            Self::Sensor(name) => write!(f, "a run of the sensor `{name}`"),
            Self::Schedule(name) => write!(f, "a run of the schedule `{name}`"),
            Self::Backfill(id) => write!(f, "a run of the backfill {id}"),
            Self::Automation => f.write_str("a run of declarative automation"),
        }
    }
}

/// A failed run with this tag set to `true` will be run again by Dagster.
pub const WILL_RETRY_TAG: &str = "dagster/will_retry";
/// Dagster's word for why a run failed.
pub const FAILURE_REASON_TAG: &str = "dagster/failure_reason";

/// Whether a Dagster of this version is of this major and minor version or newer. One that is written otherwise than `1.8.0`
/// is one to come.
pub fn is_at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
        _ => true,
    }
}

/// Whether Dagster of this version announces a retry on the failed run. The tag came in the course of 1.8.
pub fn announces_retries(version: &str) -> bool {
    is_at_least(version, (1, 9))
}

/// A run with its raw step events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    #[serde(flatten)]
    pub run: RunView,
    pub events: Vec<StepEvent>,
    /// What Dagster's log says of the failure of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
    /// Why Dagster will not make the retry that it has announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_refused: Option<String>,
}

impl RunRecord {
    /// A run that did not fail as a whole.
    pub fn new(run: RunView, events: Vec<StepEvent>) -> Self {
        Self { run, events, failure: None, retry_refused: None }
    }

    /// For people: its key, or its id where it has none.
    pub fn name(&self) -> String {
        self.run.key.as_ref().map_or_else(|| self.run.run_id.clone(), ToString::to_string)
    }

    /// Has it share its texts with others, and take no more room than it needs.
    pub fn share(&mut self, names: &mut Names) {
        let run = &mut self.run;
        run.key.iter_mut().for_each(|key| names.share_key(key));
        names.share(&mut run.job);
        run.writer.iter_mut().for_each(|writer| names.share_writer(writer));
        run.repository.iter_mut().for_each(|repository| names.share(repository));
        run.failure_reason.iter_mut().for_each(|reason| names.share(reason));
        for event in &mut self.events {
            names.share(&mut event.step);
            event.task.iter_mut().for_each(|task| names.share(&mut task.0));
        }
        self.events.shrink_to_fit();
    }

    /// The error of the job's own code that failed the run, with its step; `None`: it did not fail by one.
    ///
    /// A worker that was killed, a start that took too long, a step that failed its health check are no errors of the
    /// job: the work is lost then.
    pub fn own_error(&self) -> Option<String> {
        if self.run.status != RunStatus::Failure {
            return None;
        }
        let failed = self.events.iter().rev().filter(|event| event.kind == StepEventKind::Failed);
        let mut of_steps = failed.filter_map(|event| Some((event, event.failure.as_deref()?)));
        if let Some((event, failure)) = of_steps.find(|(_, failure)| failure.is_own()) {
            return Some(format!("step {}: {}", event.step, failure.error));
        }
        // A step failed and no error of the code did it: the run's own failure only repeats that.
        let any_step = self.events.iter().any(|event| event.kind == StepEventKind::Failed);
        let whole = self.failure.as_deref().filter(|failure| !any_step && failure.is_own())?;
        match self.run.failure_reason.as_deref() {
            Some("RUN_EXCEPTION" | "JOB_INITIALIZATION_FAILURE" | "STEP_FAILURE") | None => Some(whole.error.clone()),
            Some(_) => None,
        }
    }

    /// Why it failed, in Dagster's words, whoever is to blame: an error of the code, else what Dagster says of its step or of
    /// the whole run, else its word for it. `None`: it did not fail, or Dagster says nothing.
    pub fn cause(&self) -> Option<String> {
        if self.run.status != RunStatus::Failure {
            return None;
        }
        let of_step = || {
            let mut failed = self.events.iter().rev().filter(|event| event.kind == StepEventKind::Failed);
            failed.find_map(|event| Some(format!("step {}: {}", event.step, event.failure.as_deref()?.error)))
        };
        let of_run = || Some(self.failure.as_deref()?.error.clone());
        let word = || self.run.failure_reason.as_deref().map(str::to_owned);
        self.own_error().or_else(of_step).or_else(of_run).or_else(word)
    }
}

/// Why a step or a run failed, in Dagster's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The first line of the innermost error, as `ValueError: no such customer`; or what the event says.
    pub error: String,
    /// The class of Dagster's own error around it; `None`: the event carries no exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Dagster's `errorSource`: `USER_CODE_ERROR`, `FRAMEWORK_ERROR`, `INTERRUPT`, `UNEXPECTED_ERROR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Dagster's errors for a process that died or was interrupted.
const DEATHS: [&str; 4] =
    ["ChildProcessCrashException", "DagsterExecutionInterruptedError", "DagsterSubprocessError", "KeyboardInterrupt"];

impl Failure {
    /// The job's own code failed, or broke a rule of Dagster's (a type check, a missing output).
    fn is_own(&self) -> bool {
        let by_exception = self.class.as_deref().is_some_and(|class| !DEATHS.contains(&class));
        match self.source.as_deref() {
            Some("USER_CODE_ERROR") => true,
            Some("FRAMEWORK_ERROR") | None => by_exception,
            Some(_) => false,
        }
    }
}

/// One raw event of Dagster's log. `stepStats` would hide a second start; raw events do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEvent {
    pub step: Arc<str>,
    pub kind: StepEventKind,
    pub at: Timestamp,
    /// The ECS task that wrote it, where the executor says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskArn>,
    /// Of a failure: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
}

impl StepEvent {
    pub fn new(step: &str, kind: StepEventKind, at: Timestamp) -> Self {
        Self { step: step.into(), kind, at, task: None, failure: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StepEventKind {
    /// A worker took the step up (`STEP_WORKER_STARTED`): names the task.
    Claimed,
    Started,
    Succeeded,
    Failed,
    /// A declared retry follows (`STEP_UP_FOR_RETRY`).
    UpForRetry,
    /// The begin of a declared retry, in place of `STEP_START`.
    Restarted,
    Skipped,
}

impl StepEventKind {
    /// The work of the step begins with it.
    pub fn is_begin(self) -> bool {
        match self {
            Self::Started | Self::Restarted => true,
            Self::Claimed | Self::Succeeded | Self::Failed | Self::UpForRetry | Self::Skipped => false,
        }
    }

    /// Nothing comes after it, unless a message is delivered once more.
    pub fn is_end(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Skipped => true,
            Self::Claimed | Self::Started | Self::UpForRetry | Self::Restarted => false,
        }
    }
}

#[cfg(test)]
mod tests;
