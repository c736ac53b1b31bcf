//! What is written down.

use std::{collections::BTreeMap, fmt};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        Counts, Effect, FaultId, GenerationId, Metric, Object, Outcome, RunCounts, Span, Target, TaskArn, TaskView,
        Timestamp, Undo, Verdict, Why, WriterId,
    },
    spec::Scenario,
};

/// One line of a journal. `epoch` is the writer's: it grows with every operator that takes the data folder over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub seq: u64,
    pub at: Timestamp,
    pub epoch: u64,
    pub event: Event,
}

/// What happened, or what is about to be done. An intent is durable before its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// Stands for all records before it, of which nothing lives: what is kept of the generations that concluded.
    Compacted { past: Vec<Summary> },
    /// A generation begins its life. Holds all that carrying out and healing need: the files are never needed again.
    Accepted { generation: GenerationId, scenario: Box<Scenario>, target: Box<Target> },
    /// The data folder that a generation's runs and faults name as their writer.
    WriterNamed { writer: WriterId },
    /// The target was edited before anything had been sent to the old one.
    Retargeted { target: Box<Target> },
    /// Something that the scenario needs cannot be used …
    Unready { dependency: Dependency, why: Why },
    /// … and now it can.
    Readied { dependency: Dependency },
    /// Dagster has so many runs of this very generation: they are adopted when a settle has passed and the dagstorm that launched
    /// them is proved gone. Written again when there are more.
    Adopting { runs: u32 },
    /// What Dagster says of the partitions that the launches are for. It holds for every launch, also for one that is sent
    /// again. Comes right before the start.
    PartitionsResolved { choices: Vec<ResolvedChoice> },
    /// Offsets count from `at`. Runs that Dagster had before (a lost disk) came with their own start.
    Started { at: Timestamp, dagster_version: String },
    /// About to launch, at `due` if that is later than this record. `attempt` counts from 1; the key stays the same.
    SubmitIntended {
        index: u32,
        attempt: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
    },
    /// A connection took the request of this attempt at `sent_at`. Written with what came of it.
    SubmitSent { index: u32, attempt: u32, sent_at: Timestamp },
    /// Dagster has the run.
    Submitted { index: u32, run_id: String, found: Found },
    /// Dagster certainly does not have the run.
    SubmitRefused { index: u32, reason: String, retry: bool },
    /// Nobody knows: look it up.
    SubmitInDoubt { index: u32, reason: String },
    /// It was looked up a settle after its last attempt, is absent, and will not be sent again.
    SubmitAbsent { index: u32, reason: String },
    /// The time for launches is over: what is not acknowledged by now is given up, and what was not sent stays unsent.
    LoadGivenUp { reason: String },
    /// It was due and was not sent: so many runs were under way, and `limits.maxInFlight` allows no more.
    SubmitDropped { index: u32, in_flight: u32 },
    /// What a gauge showed in a look asked at `asked_at`: written when it has changed, and now and then when it has not.
    Sampled { metric: Metric, asked_at: Timestamp, value: f64 },
    /// A look asked at `asked_at` showed tasks of a service that run now, and some that no longer do.
    TasksChanged {
        service: String,
        asked_at: Timestamp,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        came: Vec<TaskArn>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<TaskArn>,
    },
    /// A look asked at `asked_at` was the first to show what the fault waits for.
    FaultTriggered { fault: String, asked_at: Timestamp, value: f64 },
    /// About to inject. The way back is recorded first.
    FaultIntended {
        fault: FaultId,
        targets: Vec<TaskView>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        objects: Vec<Object>,
        inject: Vec<Effect>,
        undo: Undo,
    },
    /// About to send the injection's effect of this index: its turn has come, or what came of it is not known.
    InjectIntended { fault: FaultId, effect: u32 },
    /// What came of the injection's effect of this index.
    InjectTried { fault: FaultId, effect: u32, outcome: Outcome },
    /// The way back is taken, from its first effect on; not for the first time, if what was seen after it was not the
    /// baseline.
    HealBegan { fault: FaultId, reason: String },
    /// About to send the way back's effect of this index.
    HealIntended { fault: FaultId, effect: u32 },
    /// What came of it.
    HealTried { fault: FaultId, effect: u32, outcome: Outcome },
    /// It is not taken back: somebody else changed the object meanwhile, and nothing of theirs is overwritten.
    FaultStalled { fault: FaultId, reason: String },
    /// What stood in the way is gone.
    FaultUnstalled { fault: FaultId },
    /// A look asked at `asked_at` showed the fault in place.
    FaultSeen { fault: FaultId, asked_at: Timestamp },
    /// A look asked at `asked_at` was the first to show the baseline again.
    FaultSteady { fault: FaultId, asked_at: Timestamp },
    /// A look asked at least one settle after the last attempt showed the baseline.
    Healed { fault: FaultId, asked_at: Timestamp },
    /// The baseline did not come back in time. Only where nothing of ours is left to undo (AWS itself restores).
    FaultGivenUp { fault: FaultId, reason: String },
    /// The fault was never injected, and will not be.
    FaultSkipped { fault: FaultId, reason: String },
    /// The runs of the generation, counted by status; written when it changes.
    Counted { runs: RunCounts },
    /// A look at Dagster shows more than one run of a key, for the first time.
    DuplicateSeen { index: u32, runs: Vec<String> },
    /// The step events of these runs, which have ended, were read.
    StepsRead { run_ids: Vec<String> },
    /// They show that a step was completed more than once.
    StepDuplicateSeen { run_id: String, step: String, reason: String },
    /// A look at Dagster shows a run that nothing of ours explains.
    UnexpectedSeen { run_id: String, reason: String },
    /// A look shows a run that Dagster has made and will never start.
    NeverStartedSeen { run_id: String, reason: String },
    /// A look shows a run of this generation that another dagstorm launched meanwhile. `is_first`: that one began before this
    /// one did, or took over while this one was away, so this one gives way.
    OtherWriterSeen { run_id: String, reason: String, is_first: bool },
    /// What `limits.abortOn` or a threshold with `abortOnFail` names came true: no more arrivals, heal, and judge what
    /// there is. It cannot pass any more.
    Aborted { reason: String },
    /// It is not wanted any more: no more arrivals, heal, drain. `terminate`: end the runs that are under way.
    StopRequested {
        reason: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        terminate: bool,
    },
    /// About to end a run that is under way.
    TerminateIntended { run_id: String },
    /// What came of it.
    TerminateTried { run_id: String, outcome: Outcome },
    /// Everything is quiet: the records are read and judged.
    AuditBegan,
    /// Nothing more happens to this generation.
    Concluded { conclusion: Conclusion },
}

/// The partitions of one of the plan's choices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedChoice {
    /// Its number in the plan.
    pub choice: u32,
    /// The keys that its arrivals choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// By key, what a run of it is launched with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<String, ResolvedPartition>,
}

/// What Dagster launches a partition with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedPartition {
    pub run_config: serde_json::Value,
    pub tags: IndexMap<String, String>,
}

/// What stays of a generation that concluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub generation: GenerationId,
    pub accepted_at: Timestamp,
    pub concluded_at: Timestamp,
    /// The epoch of the process that concluded it.
    pub epoch: u64,
    pub conclusion: Conclusion,
}

/// What a scenario rests on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dependency {
    Dagster,
    /// The code location that holds the jobs.
    Location,
    Jobs,
    /// That no other dagstorm launches the same generation.
    Writer,
    /// Dagster's permission to launch runs.
    Launches,
    Service(String),
    Queue,
    /// CloudWatch's metric of the age of the oldest message.
    QueueAge,
    /// The path to a peer.
    Network(String),
    Instances,
    /// What an open fault has changed.
    Objects,
    /// Tasks that need not be of a service.
    Tasks,
    /// A CloudWatch alarm, by its name.
    Alarm(String),
    /// The account of the credentials.
    Account,
    /// The workers' own records.
    Completions,
    /// The partitions and assets that are launched.
    Partitions,
    /// A gauge that is drawn, and that nothing of the scenario depends on.
    Gauge(Metric),
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dagster => f.write_str("Dagster"),
            Self::Location => f.write_str("Location"),
            Self::Jobs => f.write_str("Jobs"),
            Self::Writer => f.write_str("Writer"),
            Self::Launches => f.write_str("Launches"),
            Self::Service(_) => f.write_str("Service"),
            Self::Queue => f.write_str("Queue"),
            Self::QueueAge => f.write_str("QueueAge"),
            Self::Network(_) => f.write_str("Network"),
            Self::Instances => f.write_str("Instances"),
            Self::Objects => f.write_str("Objects"),
            Self::Tasks => f.write_str("Tasks"),
            Self::Alarm(_) => f.write_str("Alarm"),
            Self::Account => f.write_str("Account"),
            Self::Completions => f.write_str("Completions"),
            Self::Partitions => f.write_str("Partitions"),
            Self::Gauge(metric) => write!(f, "Gauge {metric}"),
        }
    }
}

/// How a run became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Found {
    /// Dagster acknowledged the launch.
    Acknowledged,
    /// The answer was lost; a look-up by tag found it.
    LookedUp,
    /// It was there before this data folder knew of it.
    Adopted,
}

/// The end of a generation. The report's files were complete before this was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conclusion {
    pub verdict: Verdict,
    /// One sentence for people.
    pub message: String,
    /// What the audit counted; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// What each threshold was compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdResult>,
    /// The first findings, gaps and recoveries, a sentence each; the report has all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<String>,
    /// What the faults that lasted did to the workers, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
}

/// A threshold and what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", into = "WrittenResult")]
pub struct ThresholdResult {
    /// As `runLatency p95 < 1m30s`.
    pub threshold: String,
    /// The measured value, for people; absent without samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How many were measured.
    pub samples: u64,
    /// Absent: nothing was measured, so it neither holds nor fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
}

/// As it is written: a length of time also as a number.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ThresholdResult", description = "A threshold and what was measured.")]
struct WrittenResult {
    /// As `runLatency p95 < 1m30s`.
    threshold: String,
    /// The measured value, for people; absent without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The same in seconds, where it is a length of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_seconds: Option<f64>,
    /// How many were measured.
    samples: u64,
    /// Absent: nothing was measured, so it neither holds nor fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
}

impl From<ThresholdResult> for WrittenResult {
    fn from(ThresholdResult { threshold, value, samples, holds }: ThresholdResult) -> Self {
        let value_seconds = value.as_ref().and_then(|text| text.parse::<Span>().ok()).map(Span::seconds);
        Self { threshold, value, value_seconds, samples, holds }
    }
}

impl Conclusion {
    /// The end of a generation that was stopped before there was anything to judge.
    pub fn stopped(reason: &str) -> Self {
        Self {
            verdict: Verdict::Stopped,
            message: reason.to_owned(),
            counts: None,
            thresholds: vec![],
            findings: vec![],
            gaps: vec![],
            recoveries: vec![],
            effects: vec![],
            assumptions: vec![],
        }
    }
}
