//! What was seen of a target, and of what could not be seen why.

use std::{future::Future, time::Duration};

use serde::Serialize;

use crate::model::{KeyRange, ScenarioName, Span, Target, Why, WhyKind};

/// What was seen of one target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetLooks {
    pub name: ScenarioName,
    pub took: Span,
    pub dagster: Option<DagsterLook>,
    /// The partitions and assets that are launched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionLook>,
    pub identity: Option<IdentityLook>,
    pub services: Vec<ServiceLook>,
    pub queue: Option<QueueLook>,
    pub faults: Vec<FaultLook>,
    /// Why it cannot be used as it is.
    pub problems: Vec<String>,
    /// What may surprise.
    pub notes: Vec<String>,
    pub unreached: Vec<Unreached>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DagsterLook {
    pub version: String,
    pub location: String,
    /// Those that the scenarios launch and that are there.
    pub jobs: Vec<String>,
}

/// What Dagster has of the partitions and assets of one launch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionLook {
    pub scenario: ScenarioName,
    pub job: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    /// How the partition is chosen, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// All keys that there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyRange>,
    /// The keys of the first arrivals, if the scenario started now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
}

impl PartitionLook {
    /// What Dagster has of it.
    pub fn describe(&self) -> String {
        let Self { scenario, job, assets, partition, keys, first } = self;
        let assets = if assets.is_empty() { String::new() } else { format!(" has assets {}", assets.join(" ")) };
        let partition = match (partition, keys) {
            (Some(partition), Some(keys)) => {
                let and = if assets.is_empty() { " has" } else { ", with" };
                let first = if first.is_empty() { String::new() } else { format!(", first: {}", first.join(", ")) };
                format!("{and} {keys}; launched for partition {partition}{first}")
            }
            (_, _) => String::new(),
        };
        format!("{scenario}: job {job}{assets}{partition}")
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityLook {
    pub account: String,
    pub arn: String,
    pub region: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLook {
    pub role: String,
    pub service: String,
    pub desired: u32,
    pub running: u32,
    /// Where a fault stops tasks of this role: all that there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskLook>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLook {
    pub id: String,
    /// Whether the guard lets a fault stop it.
    pub permitted: bool,
    /// It is under scale-in protection now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    pub tags: indexmap::IndexMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueLook {
    pub name: String,
    /// Approximate, as SQS is.
    pub visible: u64,
    pub in_flight: u64,
    /// How old the oldest message was in the last minute that CloudWatch knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
}

/// What one declared fault would do now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultLook {
    pub scenario: ScenarioName,
    pub fault: String,
    /// In words.
    pub would: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesLook>,
}

/// The rules that a partition would change.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RulesLook {
    pub revoke: Vec<String>,
    pub authorize: Vec<String>,
    pub dry_runs: Vec<DryRun>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    pub call: &'static str,
    /// Nothing, if it could not be found out.
    pub permitted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What could not be reached, and why. One for each dependency.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreached {
    pub what: &'static str,
    pub why: String,
}

impl TargetLooks {
    pub fn of(target: &Target) -> Self {
        Self {
            name: target.name.clone(),
            took: Span::ZERO,
            dagster: None,
            partitions: vec![],
            identity: None,
            services: vec![],
            queue: None,
            faults: vec![],
            problems: vec![],
            notes: vec![],
            unreached: vec![],
        }
    }

    /// Notes a look that failed: nobody was there, or what is there cannot be used.
    pub fn fail(&mut self, what: &'static str, why: Why) {
        match why.kind {
            WhyKind::NotFound | WhyKind::Unauthorized | WhyKind::Protocol | WhyKind::Mismatch | WhyKind::NotLoaded => {
                self.problems.push(why.message);
            }
            WhyKind::Unreachable | WhyKind::TimedOut | WhyKind::Throttled | WhyKind::ServerError | WhyKind::Awaited => {
                self.cannot_reach(what, &why.message);
            }
        }
    }

    pub fn cannot_reach(&mut self, what: &'static str, why: &str) {
        if !self.unreached.iter().any(|known| known.what == what) {
            self.unreached.push(Unreached { what, why: first_words(why) });
        }
    }
}

/// An SDK's error says everything twice, in words and after them as a Rust value, and where nothing answers its last
/// words say it all.
pub fn first_words(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = line.find(" (DispatchFailure(").or_else(|| line.find(" (TimeoutError(")).unwrap_or(line.len());
    match line[..end].split_once(": dispatch failure: ") {
        Some((what, causes)) => format!("{what} cannot be reached: {}", causes.rsplit(": ").next().unwrap_or(causes)),
        None => line[..end].to_owned(),
    }
}

/// Waits for a look no longer than this.
pub async fn within<T>(time: Duration, what: &str, look: impl Future<Output = Result<T, Why>>) -> Result<T, Why> {
    let late = || Why { kind: WhyKind::TimedOut, message: format!("{what} did not answer within {}", Span::new(time)) };
    tokio::time::timeout(time, look).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sdk_is_quoted_shortly() {
        for (message, short) in [
            (
                "STS GetCallerIdentity: dispatch failure: io error: client error (Connect): tcp connect error: Connection refused (os error 111) (DispatchFailure(DispatchFailure { source: x }))",
                "STS GetCallerIdentity cannot be reached: Connection refused (os error 111)",
            ),
            (
                "SQS queue a: request has timed out (TimeoutError(TimeoutError { }))",
                "SQS queue a: request has timed out",
            ),
            ("http://x/graphql did not answer within 5s", "http://x/graphql did not answer within 5s"),
            ("two\nlines", "two"),
            ("", ""),
        ] {
            assert_eq!(first_words(message), short);
        }
    }

    #[test]
    fn what_nobody_answers_is_no_problem_and_what_is_refused_is() {
        let target: Target = serde_json::from_str(
            r#"{"name":"t","dagster":{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}}"#,
        )
        .expect("a target");
        for (kind, is_problem) in [
            (WhyKind::Unreachable, false),
            (WhyKind::TimedOut, false),
            (WhyKind::Throttled, false),
            (WhyKind::ServerError, false),
            (WhyKind::NotFound, true),
            (WhyKind::Unauthorized, true),
            (WhyKind::Protocol, true),
        ] {
            let mut looks = TargetLooks::of(&target);
            for message in ["first", "second"] {
                looks.fail("ECS", Why { kind, message: message.to_owned() });
            }
            let unreached = looks.unreached.iter().map(|one| one.why.as_str()).collect::<Vec<_>>();
            if is_problem {
                assert_eq!((looks.problems, unreached), (vec!["first".to_owned(), "second".to_owned()], vec![]));
            } else {
                assert_eq!((looks.problems, unreached), (vec![], vec!["first"]), "a line for each dependency");
            }
        }
    }
}
