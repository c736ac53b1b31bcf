//! What serde reads of a Target.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Part, text_map_schema, texts};
use crate::{
    fault::Pick,
    model::{Cron, Span, target::most_launches},
};

/// Where scenarios act: one Dagster, one ECS cluster, its queues and its network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Target")]
pub struct RawTarget {
    /// The Dagster that launches the runs.
    #[schemars(with = "RawDagster")]
    pub dagster: Part<RawDagster>,
    /// The ECS cluster, for faults and worker counts.
    pub ecs: Option<RawEcs>,
    /// The SQS queues, for their depth.
    pub queues: Option<RawQueues>,
    /// What a partition can lie between.
    pub network: Option<RawNetwork>,
    /// Where metrics are published; without it they are logged.
    pub metrics: Option<RawMetrics>,
    /// Where the workers write down what they did: with it, the audit has an effect level.
    pub completions: Option<RawCompletions>,
    /// What a fault may never exceed.
    #[serde(default)]
    pub guard: RawGuard,
}

/// A Dagster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Dagster")]
pub struct RawDagster {
    /// Its GraphQL endpoint, as in `http://127.0.0.1:3000/graphql`.
    #[schemars(with = "String")]
    pub url: Part<String>,
    /// The code location that holds the jobs.
    #[schemars(with = "String")]
    pub location: Part<String>,
    /// The repository in it; `__repository__` unless the location names its own.
    #[serde(default = "default_repository")]
    pub repository: String,
    /// How long one call may take; `30s` by default, at least `100ms`.
    #[serde(default = "default_request_timeout")]
    pub request_timeout: Span,
    /// How long after its last attempt a launch can still appear; `requestTimeout` and 35s by default, which fits a stock
    /// Dagster. Too short a settle can launch twice.
    pub settle: Option<Span>,
    /// Most launches of a scenario that wait for their answers at once; `16` by default. What is due beyond it is late.
    #[serde(default = "most_launches")]
    #[schemars(range(min = 1))]
    pub max_concurrent_launches: u32,
    /// HTTP header to the name of the environment variable that holds its value. Values are never recorded.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    pub headers_from_env: IndexMap<String, String>,
    /// Dagster's own PostgreSQL: a large audit reads its event log there instead of page by page over GraphQL.
    pub event_log: Option<RawEventLog>,
}

/// A PostgreSQL in which Dagster keeps its runs and its event log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "EventLog")]
pub struct RawEventLog {
    /// The name of the environment variable that holds its address, as in `postgresql://user:password@host/dagster`. The
    /// address is never recorded.
    pub url_from_env: String,
}

/// The name that Dagster gives to the repository of a `Definitions` object.
fn default_repository() -> String {
    "__repository__".to_owned()
}

fn default_request_timeout() -> Span {
    Span::from_secs(30)
}

/// An ECS cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Ecs")]
pub struct RawEcs {
    /// Its name or ARN.
    #[schemars(with = "String")]
    pub cluster: Part<String>,
    /// Role (`workers`, `autoscaler` …) to the name of the ECS service. Faults name roles.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    pub services: IndexMap<String, String>,
}

/// The queues.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Queues")]
pub struct RawQueues {
    /// The queue that feeds the workers.
    pub tasks: RawQueue,
}

/// An SQS queue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Queue")]
pub struct RawQueue {
    /// Its name.
    pub name: String,
    /// The name of its dead-letter queue.
    pub dead_letters: Option<String>,
}

/// The parts of the network that a partition can lie between.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Network")]
pub struct RawNetwork {
    /// Whose rules are changed.
    #[schemars(with = "RawWorkers")]
    pub workers: Part<RawWorkers>,
    /// What the workers can be cut off from, by name.
    #[serde(default)]
    #[schemars(schema_with = "crate::spec::schema::peers")]
    pub peers: IndexMap<String, RawPeer>,
    /// Where dagstorm itself stands: a partition that would cut it off is refused.
    #[serde(rename = "self")]
    pub own: Option<RawPlace>,
}

/// The workers' place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Workers")]
pub struct RawWorkers {
    /// The id of their security group.
    pub security_group: String,
}

/// A peer of the workers: a port, and exactly one of `securityGroup`, `cidr`, `prefixList`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Peer")]
pub struct RawPeer {
    /// The id of its security group.
    pub security_group: Option<String>,
    /// Its addresses, as in `10.0.3.0/24`.
    pub cidr: Option<String>,
    /// The id of a managed prefix list, as in `pl-63a5400a`.
    pub prefix_list: Option<String>,
    /// The TCP port that it listens on.
    #[schemars(range(min = 1))]
    pub port: u16,
}

/// A place in the network: exactly one of `securityGroup`, `cidr`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Place")]
pub struct RawPlace {
    /// The id of a security group.
    pub security_group: Option<String>,
    /// Addresses, as in `10.0.4.12/32`.
    pub cidr: Option<String>,
}

/// CloudWatch metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Metrics")]
pub struct RawMetrics {
    /// Their namespace; `dagstorm` by default.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Dimensions that every datum carries.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    pub dimensions: IndexMap<String, String>,
}

fn default_namespace() -> String {
    "dagstorm".to_owned()
}

/// The workers' own records, a record an attempt at a step: exactly one of `postgres`, `jsonl`, `queue`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Completions")]
pub struct RawCompletions {
    /// A table in PostgreSQL.
    pub postgres: Option<RawCompletionsTable>,
    /// Files of JSON lines.
    pub jsonl: Option<RawCompletionsFiles>,
    /// An SQS queue with a record (JSON) a message, of its own: nobody else reads it.
    pub queue: Option<RawCompletionsQueue>,
    /// What the columns or fields are called there.
    #[serde(default)]
    pub fields: RawCompletionFields,
    /// The outcomes that say that the work was done; `[completed]` by default. A record that was finished and has no outcome
    /// is one too.
    #[serde(default = "default_completed")]
    pub completed: Vec<String>,
}

fn default_completed() -> Vec<String> {
    vec!["completed".to_owned()]
}

/// A table of attempts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CompletionsTable")]
pub struct RawCompletionsTable {
    /// The name of the environment variable that holds the database's address, as in
    /// `postgresql://user:password@host/workers`. The address is never recorded.
    pub url_from_env: String,
    /// The table's name, with its schema if need be: `exec_attempts`, `audit.attempts`.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$"))]
    pub table: String,
}

/// Files of attempts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CompletionsFiles")]
pub struct RawCompletionsFiles {
    /// A file, or a folder with `*.jsonl` files at any depth (a mounted or synchronized bucket).
    pub path: String,
}

/// A queue of attempts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CompletionsQueue")]
pub struct RawCompletionsQueue {
    /// Its name.
    pub name: String,
}

/// What the parts of a record are called. `run` and `step` must be there; of the others, what is missing is not known.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CompletionFields")]
pub struct RawCompletionFields {
    /// Unique among all records; `id` by default. What has the same is one record, written in parts or twice.
    pub id: Option<String>,
    /// Dagster's run; `run_id` by default.
    pub run: Option<String>,
    /// The step; `step_key` by default.
    pub step: Option<String>,
    /// The run's tag `dagstorm/key`; `scenario_key` by default.
    pub key: Option<String>,
    /// Who worked; `worker` by default.
    pub worker: Option<String>,
    /// The ARN of its ECS task; `task_arn` by default.
    pub task: Option<String>,
    /// When it began; `started` by default. RFC 3339, or seconds or milliseconds since the epoch.
    pub started: Option<String>,
    /// When it ended; `finished` by default.
    pub finished: Option<String>,
    /// How it ended; `outcome` by default.
    pub outcome: Option<String>,
}

/// What a fault may never exceed. Checked when targets are chosen, at each act.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Guard")]
pub struct RawGuard {
    /// Only tasks of this account (12 digits, in quotes) …
    #[schemars(regex(pattern = "^[0-9]{12}$"))]
    pub account: Option<String>,
    /// … and of this region are ever a target.
    pub region: Option<String>,
    /// A task must carry all of these tags.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(schema_with = "text_map_schema")]
    pub require_tag: IndexMap<String, String>,
    /// At most this share or number of a service's tasks at once.
    pub max_affected: Option<Pick>,
    /// Fewest tasks of a service that stay running; 0 by default.
    #[serde(default)]
    pub min_healthy: u32,
    /// Times in which no fault begins.
    #[serde(default)]
    pub deny_windows: Vec<RawDenyWindow>,
}

/// A time in which no fault begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DenyWindow")]
pub struct RawDenyWindow {
    /// When it begins, in UTC.
    pub cron: Cron,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub length: Span,
}
