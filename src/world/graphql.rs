//! The answers of Dagster's GraphQL API, as far as we read them. Unknown members, words and fields never break us.

use indexmap::IndexMap;
use serde::Deserialize;

use crate::model::{
    Failure, Origin, RunStatus, RunView, ScenarioName, StepEvent, StepEventKind, TaskArn, Timestamp,
    run::{FAILURE_REASON_TAG, WILL_RETRY_TAG, is_at_least},
    tags,
};

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
pub const RUN_IDS: &str = include_str!("graphql/run_ids.graphql");
pub const EVENTS: &str = concat!(include_str!("graphql/events.graphql"), include_str!("graphql/event_page.graphql"));
pub const LAUNCH: &str = include_str!("graphql/launch.graphql");
pub const TERMINATE: &str = include_str!("graphql/terminate.graphql");
pub const LOCATION: &str = include_str!("graphql/location.graphql");
pub const LOCATIONS: &str = include_str!("graphql/locations.graphql");
pub const CONFIG: &str = include_str!("graphql/config.graphql");
pub const PARTITIONS: &str = include_str!("graphql/partitions.graphql");
pub const PARTITION: &str = include_str!("graphql/partition.graphql");
pub const ASSETS: &str = include_str!("graphql/assets.graphql");
/// All documents, by name: tests hold them against Dagster's own schemas.
pub const DOCUMENTS: [(&str, &str); 12] = [
    ("runs", RUNS),
    ("runs in pages", RUNS_IN_PAGES),
    ("events", EVENTS),
    ("launch", LAUNCH),
    ("terminate", TERMINATE),
    ("location", LOCATION),
    ("locations", LOCATIONS),
    ("config", CONFIG),
    ("partitions", PARTITIONS),
    ("partition", PARTITION),
    ("assets", ASSETS),
    ("run ids", RUN_IDS),
];

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
    pub location_statuses_or_error: Option<Member<LocationStatuses>>,
    pub runs_or_error: RunsOrError,
}

/// Not a [`Member`], which holds all of an answer a second time while it is read: this one may be large.
#[derive(Debug, Deserialize)]
pub struct RunsOrError {
    #[serde(rename = "__typename")]
    pub typename: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub results: Vec<Run>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunIdsData {
    pub run_ids_or_error: Member<RunIds>,
}

#[derive(Debug, Deserialize)]
pub struct RunIds {
    #[serde(default)]
    pub results: Vec<String>,
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

/// All code locations of the workspace, without what they hold.
#[derive(Debug, Deserialize)]
pub struct LocationStatuses {
    #[serde(default)]
    pub entries: Vec<LocationStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocationStatus {
    pub name: String,
    #[serde(default)]
    pub load_status: String,
    /// What these credentials may do in this location.
    #[serde(default)]
    pub permissions: Vec<Permission>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    pub permission: String,
    pub value: bool,
    pub disabled_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocationData {
    /// `None`: the workspace has no such location.
    pub workspace_location_entry_or_error: Option<Member<LocationEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocationEntry {
    #[serde(default)]
    pub load_status: String,
    pub location_or_load_error: Option<Member<LoadedLocation>>,
}

#[derive(Debug, Deserialize)]
pub struct LoadedLocation {
    #[serde(default)]
    pub repositories: Vec<NamedRepository>,
    /// Of a load error, the outermost first.
    #[serde(default)]
    pub causes: Vec<Message>,
}

#[derive(Debug, Deserialize)]
pub struct NamedRepository {
    pub name: String,
    pub jobs: Vec<Job>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub run_id: String,
    pub job_name: String,
    pub status: String,
    pub creation_time: Option<f64>,
    pub update_time: Option<f64>,
    pub start_time: Option<f64>,
    pub end_time: Option<f64>,
    pub parent_run_id: Option<String>,
    pub root_run_id: Option<String>,
    pub repository_origin: Option<RepositoryOrigin>,
    #[serde(default)]
    pub tags: Vec<Tag>,
    pub event_connection: Option<EventPage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryOrigin {
    pub repository_name: String,
    pub repository_location_name: String,
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
    pub error_source: Option<String>,
    pub message: Option<String>,
    pub error: Option<ErrorWithCauses>,
}

/// An exception as Dagster keeps it, the errors that it came from behind it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorWithCauses {
    pub message: String,
    pub class_name: Option<String>,
    pub causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cause {
    pub message: String,
    pub class_name: Option<String>,
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
    /// Whether it carries the tag of this scenario.
    pub fn is_of(&self, scenario: &ScenarioName) -> bool {
        self.tags.iter().any(|tag| tag.key == tags::SCENARIO && tag.value == scenario.as_str())
    }

    /// The run as the core sees it, without its events.
    pub fn view(&self) -> RunView {
        let tags: IndexMap<&str, &str> = self.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        let instant = |seconds: Option<f64>| seconds.map(Timestamp::from_seconds);
        let code = |origin: &RepositoryOrigin| {
            format!("{}@{}", origin.repository_name, origin.repository_location_name).into()
        };
        RunView {
            key: tags.get(tags::KEY).and_then(|key| key.parse().ok()),
            created_at: instant(self.creation_time),
            updated_at: instant(self.update_time),
            started_at: instant(self.start_time),
            ended_at: instant(self.end_time),
            generation_started: tags.get(tags::STARTED).and_then(|instant| instant.parse().ok()),
            writer: tags.get(tags::WRITER).and_then(|writer| writer.parse().ok()),
            origin: Origin::of(self.parent_run_id.as_deref(), self.root_run_id.as_deref(), |name| {
                tags.get(name).copied()
            }),
            repository: self.repository_origin.as_ref().map(code),
            will_retry: tags.get(WILL_RETRY_TAG) == Some(&"true"),
            failure_reason: tags.get(FAILURE_REASON_TAG).map(|reason| (*reason).into()),
            ..RunView::new(self.run_id.as_str(), None, &self.job_name, RunStatus::of(&self.status))
        }
    }
}

/// Whether this version surely takes `RUNS_IN_PAGES`: the argument came in the course of 1.8.
pub fn has_event_pages(version: &str) -> bool {
    is_at_least(version, (1, 9))
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

/// The events that say that a whole run failed: GraphQL's word, and the one that the event log's table keeps.
pub const RUN_FAILURES: [&str; 2] = ["RUN_FAILURE", "PIPELINE_FAILURE"];

/// What the daemon's own event on a failed run says where it has announced a retry and cannot make it.
pub const RETRY_REFUSALS: [&str; 2] = ["unable to retry the run", "Could not find run group"];
pub const ENGINE_EVENT: &str = "ENGINE_EVENT";

impl Event {
    /// Why Dagster will not make the retry that it has announced, where the event says so.
    pub fn retry_refusal(&self) -> Option<String> {
        let text = self.message.as_deref().filter(|_| self.event_type.as_deref() == Some(ENGINE_EVENT))?;
        RETRY_REFUSALS.iter().any(|words| text.contains(words)).then(|| first_line(text))
    }

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
            failure: if kind == StepEventKind::Failed { self.failure() } else { None },
        })
    }

    /// Why the whole run failed, where the event says that it did.
    pub fn run_failure(&self) -> Option<Box<Failure>> {
        RUN_FAILURES.contains(&self.event_type.as_deref()?).then(|| self.failure()).flatten()
    }

    fn failure(&self) -> Option<Box<Failure>> {
        let error = self.error.as_ref();
        let innermost = error.map(|error| error.causes.last().map_or(&error.message, |cause| &cause.message));
        // Dagster wraps an error that has a cause; a bare class without a message is its own first line.
        let text = innermost.or(self.message.as_ref())?;
        Some(Box::new(Failure {
            error: first_line(text),
            class: error.and_then(|error| error.class_name.clone()),
            source: self.error_source.clone(),
        }))
    }
}

fn first_line(text: &str) -> String {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.chars().take(LONGEST_ERROR).collect()
}

/// How much of an error is kept, in characters.
const LONGEST_ERROR: usize = 300;

#[cfg(test)]
mod tests {
    use super::{Event, has_event_pages};

    #[test]
    fn a_retry_that_cannot_be_made_is_told_from_other_news() {
        for (kind, message, expected) in [
            (
                "ENGINE_EVENT",
                "Could not find job report in repository warehouse, unable to retry the run. It was likely renamed or deleted.",
                true,
            ),
            (
                "ENGINE_EVENT",
                "Could not find run group for a. This is most likely because the root run was deleted",
                true,
            ),
            ("ENGINE_EVENT", "Retrying the run. New run id: b", false),
            ("STEP_START", "unable to retry the run", false),
        ] {
            let event = Event {
                event_type: Some(kind.to_owned()),
                message: Some(format!("{message}\nand more")),
                ..Event::default()
            };
            assert_eq!(event.retry_refusal(), expected.then(|| message.to_owned()), "{message}");
        }
    }

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
