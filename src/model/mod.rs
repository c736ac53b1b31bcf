//! L0: the words that every other module speaks. No I/O, no clock, no randomness.

pub mod completion;
pub mod condition;
pub mod copies;
pub mod criterion;
pub mod cron;
pub mod effect;
pub mod ids;
pub mod lane;
pub mod location;
pub mod mark;
pub mod metric;
pub mod network;
pub mod observation;
pub mod partition;
pub mod request;
pub mod run;
pub mod runs;
pub(crate) mod schema;
pub mod tags;
pub mod target;
pub mod threshold;
pub mod time;
pub mod verdict;
pub mod words;

pub use completion::{CompletionOutcome, CompletionRecord, Completions, CompletionsTarget, Gathering};
pub use condition::{Condition, ConditionStatus, ConditionType, Phase};
pub use copies::Copies;
pub use criterion::{Criterion, Faults, Scope};
pub use cron::Cron;
pub use effect::{AclName, Acted, Effect, Outcome, Receipt, Undo};
pub use ids::{FaultId, GenerationId, Key, Names, ScenarioName, TaskArn, WriterId};
pub use location::{LocationState, LocationView};
pub use mark::{Mark, Object};
pub use metric::{Metric, Unit};
pub use network::{
    NetworkAcl, NetworkAclEntry, NetworkInterface, NetworkView, Protocol, RulePeer, SecurityGroup, SecurityGroupRule,
    Subnet,
};
pub use observation::{
    AgeView, AlarmView, Census, CensusQuery, DagsterView, Datum, DatumUnit, InstanceView, ObjectsView, Observation,
    PolicyView, Query, QueueView, Seen, ServiceView, StepsView, TaskSet, TaskView, Timed, Why, WhyKind,
};
pub use partition::{
    ASSET_JOB, KeyRange, KeyStream, Keys, PARTITION_SET_TAG, PARTITION_TAG, PartitionAsk, PartitionView, Partitioning,
    PartitionsView,
};
pub use request::Request;
pub use run::{Failure, Origin, RunRecord, RunStatus, RunView, Standing, StepEvent, StepEventKind};
pub use runs::{Chain, RunCounts, Runs};
pub use target::{Guard, Target};
pub use threshold::{Aggregate, Comparison, Threshold, Weighed, When};
pub use time::{Span, Timestamp};
pub use verdict::{Counts, Verdict};
pub use words::{meant, suggest};
