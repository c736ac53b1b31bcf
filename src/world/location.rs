//! The code location of a target: whether it is loaded, has the jobs, and lets these credentials launch them.

use serde_json::json;

use super::{
    dagster::{Dagster, Partial, server_error},
    graphql::{LOCATION, LocationData, LocationEntry, LocationStatus, Member, Message, NamedRepository, RunsData},
};
use crate::model::{LocationState, LocationView, Why, suggest};

/// Dagster's word for the right to launch runs.
const LAUNCH: &str = "launch_pipeline_execution";
const LOADED: &str = "LOADED";
const HIDDEN: &str = "__";
/// What `repositoryOrError` can be: of another member nothing is known.
const KNOWN: [&str; 3] = ["Repository", "RepositoryNotFoundError", "PythonError"];

impl Dagster {
    /// What a page of runs that was asked for with jobs says of the location. Where a job is missing, the location itself
    /// is asked why.
    pub(super) async fn location_view(&self, data: &RunsData, jobs: &[String]) -> Result<LocationView, Why> {
        let statuses = data.location_statuses_or_error.as_ref().map_or(&[][..], |member| &member.fields.entries);
        let own = statuses.iter().find(|status| status.name == self.target.location);
        let forbidden = own.and_then(forbidden);
        let is_loaded = own.is_none_or(|own| own.load_status == LOADED);
        let repository = data.repository_or_error.as_ref().filter(|member| member.typename == "Repository");
        let has = |job: &String| {
            repository.is_some_and(|repository| repository.fields.jobs.iter().any(|known| known.name == *job))
        };
        if let Some(member) =
            data.repository_or_error.as_ref().filter(|member| !KNOWN.contains(&member.typename.as_str()))
        {
            return Err(server_error(&member.typename, member.message.as_deref()));
        }
        if is_loaded && jobs.iter().all(has) {
            return Ok(LocationView { state: LocationState::Ready, forbidden });
        }
        let variables = json!({ "location": self.target.location });
        let asked: LocationData =
            self.call(LOCATION, &variables, Partial::Refused).await.map_err(|failure| failure.why)?;
        let names: Vec<&str> = statuses.iter().map(|status| status.name.as_str()).collect();
        let state = state(
            (&self.target.location, &self.target.repository),
            asked.workspace_location_entry_or_error,
            &names,
            jobs,
        );
        Ok(LocationView { state, forbidden })
    }
}

/// Why launches are refused in a location; `None`: they are permitted, or a Dagster does not say.
fn forbidden(location: &LocationStatus) -> Option<String> {
    let launch = location.permissions.iter().find(|one| one.permission == LAUNCH && !one.value)?;
    let reason = launch.disabled_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(format!(
        "Dagster permits no launches in code location `{}` (its permission {LAUNCH} is false{reason}): use a server that is \
         not read-only, or a token that may launch runs",
        location.name
    ))
}

/// Reads a location's own entry. `at`: the target's location and repository; `names`: all locations of the workspace.
fn state(
    (location, repository): (&str, &str),
    entry: Option<Member<LocationEntry>>,
    names: &[&str],
    jobs: &[String],
) -> LocationState {
    let Some(entry) = entry else {
        let known = suggest(location, names.iter().copied(), "the server has");
        return LocationState::Absent(format!("Dagster has no code location `{location}`: {known}"));
    };
    let failed = |message: Option<&String>, typename: &str| {
        let why = first_line(message.map_or(typename, String::as_str));
        LocationState::NotLoaded(format!("code location `{location}` could not be loaded: {why}"))
    };
    if entry.typename != "WorkspaceLocationEntry" {
        return failed(entry.message.as_ref(), &entry.typename);
    }
    let loading = || LocationState::NotLoaded(format!("code location `{location}` is being loaded"));
    match entry.fields.location_or_load_error {
        None => loading(),
        Some(loaded) if loaded.typename != "RepositoryLocation" => {
            failed(root_cause(loaded.message.as_ref(), &loaded.fields.causes), &loaded.typename)
        }
        // What it has now is what it had before.
        Some(_) if entry.fields.load_status != LOADED => loading(),
        Some(loaded) => lacks((location, repository), &loaded.fields.repositories, jobs),
    }
}

/// What a location that is loaded does not have of some jobs.
fn lacks((location, repository): (&str, &str), there: &[NamedRepository], jobs: &[String]) -> LocationState {
    let Some(own) = there.iter().find(|one| one.name == repository) else {
        let known = suggest(repository, there.iter().map(|one| one.name.as_str()), "it has");
        let message = format!("code location `{location}` has no repository `{repository}`");
        return LocationState::Lacks { jobs: jobs.to_vec(), message, known };
    };
    let known = || own.jobs.iter().map(|job| job.name.as_str());
    let missing: Vec<String> = jobs.iter().filter(|job| known().all(|known| known != **job)).cloned().collect();
    if missing.is_empty() {
        return LocationState::Ready;
    }
    let shown = known().filter(|name| !name.starts_with(HIDDEN));
    let each = missing.iter().map(|job| format!("`{job}`")).collect::<Vec<_>>().join(", ");
    let (words, wanted) = match &missing[..] {
        [only] => ("no job", only.as_str()),
        _ => ("none of the jobs", ""),
    };
    let (message, known) = (format!("code location `{location}` has {words} {each}"), suggest(wanted, shown, "it has"));
    LocationState::Lacks { jobs: missing, message, known }
}

/// What a load error comes down to: Dagster wraps the user's own error, and names the module only.
pub(super) fn root_cause<'a>(message: Option<&'a String>, causes: &'a [Message]) -> Option<&'a String> {
    causes.last().map(|cause| &cause.message).filter(|cause| !cause.trim().is_empty()).or(message)
}

/// Dagster's error as a line: its class and what it says. The stack below it is for the code location's own log.
pub(super) fn first_line(message: &str) -> &str {
    message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}
