//! The answers of Dagster's GraphQL API, as far as we read them. Unknown members, words and fields never break us.

use indexmap::IndexMap;
use serde::Deserialize;

use crate::model::{RunStatus, RunView, StepEvent, StepEventKind, TaskArn, Timestamp};

/// The form that every Dagster from 1.8.0 on takes. Where events are asked for, all of a run come at once.
pub const RUNS: &str = concat!(
    include_str!("graphql/runs.graphql"),
    include_str!("graphql/all_run_events.graphql"),
    include_str!("graphql/event_page.graphql")
);
/// The form in which at most 1,000 events of a run come at once, and the others are asked for by `EVENTS`.
pub const RUNS_IN_PAGES: &str = concat!(
    include_str!("graphql/runs.graphql"),
    include_str!("graphql/run_events.graphql"),
    include_str!("graphql/event_page.graphql")
);
pub const EVENTS: &str = concat!(include_str!("graphql/events.graphql"), include_str!("graphql/event_page.graphql"));
pub const LAUNCH: &str = include_str!("graphql/launch.graphql");
pub const TERMINATE: &str = include_str!("graphql/terminate.graphql");
pub const LOCATIONS: &str = include_str!("graphql/locations.graphql");
pub const CONFIG: &str = include_str!("graphql/config.graphql");
pub const PARTITIONS: &str = include_str!("graphql/partitions.graphql");
pub const PARTITION: &str = include_str!("graphql/partition.graphql");
pub const ASSETS: &str = include_str!("graphql/assets.graphql");
/// All documents, by name: tests hold them against Dagster's own schemas.
pub const DOCUMENTS: [(&str, &str); 10] = [
    ("runs", RUNS),
    ("runs in pages", RUNS_IN_PAGES),
    ("events", EVENTS),
    ("launch", LAUNCH),
    ("terminate", TERMINATE),
    ("locations", LOCATIONS),
    ("config", CONFIG),
    ("partitions", PARTITIONS),
    ("partition", PARTITION),
    ("assets", ASSETS),
];

/// The tags that every run of ours carries.
pub const KEY_TAG: &str = "dagstorm/key";
pub const SCENARIO_TAG: &str = "dagstorm/scenario";
pub const GENERATION_TAG: &str = "dagstorm/generation";
pub const STARTED_TAG: &str = "dagstorm/started";
/// The label under which an executor names the ECS task in `STEP_WORKER_STARTED`.
const TASK_LABEL: &str = "task_arn";

/// The envelope of every answer. `data` and `errors` may both be there, and with any HTTP status.
#[derive(Debug, Deserialize)]
pub struct Answer<T> {
    pub data: Option<T>,
    #[serde(default)]
    pub errors: Vec<Message>,
}

#[derive(Debug, Deserialize)]
pub struct Message {
    #[serde(default)]
    pub message: String,
}

/// What a Python error was caused by.
#[derive(Debug, Deserialize)]
pub struct Cause {
    #[serde(default)]
    pub message: String,
}

/// A member of a union: its type's name, and whatever fields it has.
#[derive(Debug, Deserialize)]
pub struct Member<T> {
    #[serde(rename = "__typename")]
    pub typename: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(flatten)]
    pub fields: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunsData {
    pub version: String,
    pub repository_or_error: Option<Member<Repository>>,
    pub runs_or_error: Member<Runs>,
}

#[derive(Debug, Deserialize)]
pub struct Repository {
    #[serde(default)]
    pub jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
pub struct Job {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Runs {
    #[serde(default)]
    pub results: Vec<Run>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub run_id: String,
    pub job_name: String,
    pub status: String,
    pub start_time: Option<f64>,
    pub end_time: Option<f64>,
    #[serde(default)]
    pub tags: Vec<Tag>,
    pub event_connection: Option<EventPage>,
}

#[derive(Debug, Deserialize)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventPage {
    pub cursor: String,
    pub has_more: bool,
    pub events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    pub event_type: Option<String>,
    pub step_key: Option<String>,
    pub timestamp: Option<String>,
    pub metadata_entries: Vec<MetadataEntry>,
}

#[derive(Debug, Deserialize)]
pub struct MetadataEntry {
    #[serde(default)]
    pub label: String,
    pub text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsData {
    pub logs_for_run: Member<EventPage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchData {
    pub launch_run: Member<Launched>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launched {
    pub run: Option<LaunchedRun>,
    #[serde(default)]
    pub errors: Vec<Message>,
    #[serde(default)]
    pub class_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminateData {
    pub terminate_run: Member<Nothing>,
}

/// A member of which the type's name and the message are enough.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchedRun {
    pub run_id: String,
}

impl Run {
    /// The run as the core sees it, without its events.
    pub fn view(&self) -> RunView {
        let tags: IndexMap<&str, &str> = self.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        RunView {
            run_id: self.run_id.clone(),
            key: tags.get(KEY_TAG).and_then(|key| key.parse().ok()),
            job: self.job_name.as_str().into(),
            status: status(&self.status),
            started_at: self.start_time.map(Timestamp::from_seconds),
            ended_at: self.end_time.map(Timestamp::from_seconds),
            generation_started: tags.get(STARTED_TAG).and_then(|instant| instant.parse().ok()),
        }
    }
}

/// Whether this version surely takes `RUNS_IN_PAGES`: the argument came in the course of 1.8. A version that is written
/// otherwise than `1.8.0` is one to come.
pub fn has_event_pages(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (1, 9),
        _ => true,
    }
}

fn status(word: &str) -> RunStatus {
    match word {
        "QUEUED" | "NOT_STARTED" | "STARTING" | "MANAGED" => RunStatus::Queued,
        "STARTED" | "CANCELING" => RunStatus::Started,
        "SUCCESS" => RunStatus::Success,
        "FAILURE" => RunStatus::Failure,
        "CANCELED" => RunStatus::Canceled,
        other => RunStatus::Other(other.to_owned()),
    }
}

/// Dagster's words for the events that an audit counts.
pub const STEP_EVENTS: [(&str, StepEventKind); 7] = [
    ("STEP_WORKER_STARTED", StepEventKind::Claimed),
    ("STEP_START", StepEventKind::Started),
    ("STEP_SUCCESS", StepEventKind::Succeeded),
    ("STEP_FAILURE", StepEventKind::Failed),
    ("STEP_UP_FOR_RETRY", StepEventKind::UpForRetry),
    ("STEP_RESTARTED", StepEventKind::Restarted),
    ("STEP_SKIPPED", StepEventKind::Skipped),
];

impl Event {
    /// The event as the audit reads it; `None` for what it does not count.
    pub fn step_event(&self) -> Option<StepEvent> {
        let word = self.event_type.as_deref()?;
        let (_, kind) = STEP_EVENTS.into_iter().find(|(known, _)| *known == word)?;
        let millis: f64 = self.timestamp.as_deref()?.parse().ok()?;
        let task = self.metadata_entries.iter().find(|entry| entry.label == TASK_LABEL);
        Some(StepEvent {
            step: self.step_key.as_deref()?.into(),
            kind,
            at: Timestamp::from_seconds(millis / 1_000.0),
            task: task.and_then(|entry| entry.text.clone()).map(|arn| TaskArn(arn.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::has_event_pages;

    #[test]
    fn events_come_in_pages_from_1_9_on() {
        for (version, has) in [
            ("1.8.0", false),
            ("1.8.13", false),
            ("0.15.9", false),
            ("1.9.0", true),
            ("1.13.27", true),
            ("2.0.0", true),
        ] {
            assert_eq!(has_event_pages(version), has, "{version}");
        }
        for odd in ["1!0+dev", "", "2", "one.two"] {
            assert!(has_event_pages(odd), "{odd}");
        }
    }
}
