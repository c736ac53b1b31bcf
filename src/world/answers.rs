//! Dagster's answers to `launchRun`: which are final, which may pass, and which leave the launch in doubt.

use super::{dagster::quote, graphql::LaunchData};
use crate::model::{Outcome, Receipt};

/// What an answer means for its launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The run is there.
    Launched,
    /// The run is not there, and the same launch would be refused again.
    Final,
    /// The run is not there, and the same launch may succeed later: it is deferred, and this look tells why.
    Passing(Look),
    /// The run may be there: it is looked up by its tags, and sent again once a settle has passed without it.
    InDoubt,
}

/// The look that tells a passing refusal from a final one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Whether the code location is loaded, and has the job.
    Location,
    /// Whether these credentials may launch runs.
    Permissions,
}

/// Every member of the union `LaunchRunResult` from Dagster 1.8.0 on. A member that is not here leaves the launch in doubt.
///
/// - `PipelineNotFoundError` is what Dagster says of a job that never was, of a location that does not exist, and of one
///   that reloads or whose load failed: only a look at the location tells.
/// - `UnauthorizedError` lasts as long as the rights do: a read-only server, or a token that was exchanged.
/// - `PythonError` may come after the run was made: the run launcher runs in the same call.
pub const LAUNCH_ANSWERS: [(&str, Meaning); 12] = [
    ("LaunchRunSuccess", Meaning::Launched),
    ("InvalidStepError", Meaning::Final),
    ("InvalidOutputError", Meaning::Final),
    ("RunConfigValidationInvalid", Meaning::Final),
    ("PipelineNotFoundError", Meaning::Passing(Look::Location)),
    ("RunConflict", Meaning::InDoubt),
    ("UnauthorizedError", Meaning::Passing(Look::Permissions)),
    ("PythonError", Meaning::InDoubt),
    ("InvalidSubsetError", Meaning::Final),
    ("PresetNotFoundError", Meaning::Final),
    ("ConflictingExecutionParamsError", Meaning::Final),
    ("NoModeProvidedError", Meaning::Final),
];

/// A selection of steps or assets is resolved by the code server. Where that does not answer, Dagster says that the
/// selection is invalid, and names this class in the message. No run was made then.
const UNREACHABLE: &str = "DagsterUserCodeUnreachableError";

/// What a member of this name and message means.
pub fn meaning(typename: &str, message: &str) -> Meaning {
    let known = LAUNCH_ANSWERS.iter().find(|(known, _)| *known == typename);
    let meaning = known.map_or(Meaning::InDoubt, |(_, meaning)| *meaning);
    if meaning == Meaning::Final && message.contains(UNREACHABLE) { Meaning::Passing(Look::Location) } else { meaning }
}

/// What an answer came to.
pub fn launched(data: LaunchData) -> Outcome {
    let member = data.launch_run;
    let mut parts: Vec<&str> = member.message.iter().map(String::as_str).collect();
    parts.extend(member.fields.errors.iter().map(|error| error.message.as_str()));
    let message = parts.join("; ");
    let meaning = meaning(&member.typename, &message);
    let reason = format!("{}: {}", member.typename, quote(&message));
    match (meaning, member.fields.run) {
        (Meaning::Launched, Some(run)) => Outcome::Done(Receipt::Launched { run_id: run.run_id }),
        (Meaning::Launched, None) => Outcome::Unknown { reason: "LaunchRunSuccess without a run".to_owned() },
        (Meaning::Final, _) => Outcome::Refused { reason, retry: false },
        (Meaning::Passing(_), _) => Outcome::Refused { reason, retry: true },
        (Meaning::InDoubt, _) => Outcome::Unknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_answer_means_one_thing() {
        let run = json!({ "runId": "r" });
        let said = |typename: &str, message: &str| json!({ "__typename": typename, "message": message });
        let unreachable = "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server";
        for (member, expected) in [
            (json!({ "__typename": "LaunchRunSuccess", "run": run }), "done"),
            (json!({ "__typename": "LaunchRunSuccess", "run": null }), "in doubt"),
            (said("PipelineNotFoundError", "Could not find Pipeline"), "passing"),
            (said("UnauthorizedError", "Authorization failed"), "passing"),
            (said("RunConflict", "so"), "in doubt"),
            (said("PythonError", unreachable), "in doubt"),
            (said("InvalidSubsetError", "no such op"), "final"),
            (said("InvalidSubsetError", unreachable), "passing"),
            (
                json!({ "__typename": "RunConfigValidationInvalid", "errors": [{ "message": "a" }, { "message": "b" }] }),
                "final",
            ),
            (said("NewerError", "so"), "in doubt"),
        ] {
            let data = serde_json::from_value(json!({ "launchRun": member })).expect("an answer");
            let word = match launched(data) {
                Outcome::Done(_) => "done",
                Outcome::Refused { retry: true, .. } => "passing",
                Outcome::Refused { retry: false, .. } => "final",
                Outcome::Unknown { .. } => "in doubt",
            };
            assert_eq!(word, expected, "{member}");
        }
    }
}
