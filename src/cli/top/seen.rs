//! What the published files say, by whatever version they were written: nothing that is missing is an error.

use serde::Deserialize;
use serde_json::Value;

use crate::model::Timestamp;

/// Everything that is shown.
#[derive(Debug)]
pub struct Seen {
    /// When it was read.
    pub now: Timestamp,
    /// By name.
    pub scenarios: Vec<Scenario>,
    /// The last ones, the oldest first.
    pub events: Vec<EventLine>,
    /// Who writes in this folder, if somebody does.
    pub operator: Option<Operator>,
    /// What is waited for, while there is nothing to show.
    pub waiting: Option<String>,
    /// What cannot be read.
    pub troubles: Vec<String>,
}

impl Seen {
    /// Nothing yet.
    pub fn at(now: Timestamp) -> Self {
        Self { now, scenarios: vec![], events: vec![], operator: None, waiting: None, troubles: vec![] }
    }
}

/// Who holds the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    pub who: String,
    /// For so long it has not shown itself.
    pub silent_s: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scenario {
    metadata: Metadata,
    pub status: Body,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body {
    pub observed_generation: Option<String>,
    pub phase: String,
    pub started_at: Option<Timestamp>,
    pub dagster_version: Option<String>,
    pub conditions: Vec<Condition>,
    pub load: Option<Load>,
    pub runs: Option<Runs>,
    pub gauges: Gauges,
    pub faults: Vec<Fault>,
    /// Its form differs while it runs and after its end.
    pub audit: Value,
    pub history: Vec<Past>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Load {
    pub planned: u64,
    pub due: u64,
    pub attempted: u64,
    pub acknowledged: u64,
    pub rejected: u64,
    pub indeterminate: u64,
    pub late: u64,
    pub dropped: u64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Runs {
    pub queued: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub canceled: u64,
    pub other: u64,
}

impl Runs {
    pub fn in_flight(&self) -> u64 {
        self.queued + self.running + self.other
    }

    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.canceled
    }
}

/// What the gauges showed last.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gauges {
    pub queue_depth: Option<f64>,
    pub workers: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fault {
    pub name: String,
    pub what: String,
    pub state: String,
    pub reason: Option<String>,
    pub intended_at: Option<Timestamp>,
    pub recovered_at: Option<Timestamp>,
}

impl Fault {
    /// Whether something may be broken by it now.
    pub fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "Injecting" | "InPlace" | "Healing" | "Stalled" | "Recovered")
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Past {
    pub generation: String,
    pub verdict: String,
    pub message: String,
    pub concluded_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EventLine {
    pub time: String,
    pub scenario: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: String,
    pub message: String,
    pub count: u64,
}

impl Scenario {
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The same, of a file of that name, whatever the text says.
    pub fn named(mut self, name: &str) -> Self {
        self.metadata.name = name.to_owned();
        self
    }

    /// `Passed`, `Failed so far` and the like; empty before anything can be said.
    pub fn verdict(&self) -> String {
        let word = self.status.audit.get("verdict").and_then(Value::as_str).unwrap_or_default();
        let word = match word.strip_suffix("SoFar") {
            Some("NothingWrong") => "nothing wrong",
            Some(word) => word,
            None => word,
        };
        let so_far = self.status.audit.get("soFar").and_then(Value::as_bool).unwrap_or(false);
        if so_far && !word.is_empty() { format!("{word} so far") } else { word.to_owned() }
    }

    /// Keys, steps and effects that are there more than once; `None`: nobody has counted yet.
    pub fn duplicated(&self) -> Option<u64> {
        let counts = self.status.audit.get("counts")?.as_object()?;
        let words = ["duplicated", "stepsDuplicated", "effectsDuplicated"];
        let found: Vec<u64> = words.iter().filter_map(|word| counts.get(*word)?.as_u64()).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The sentences of the audit under this word: findings, gaps, recoveries.
    pub fn told(&self, word: &str) -> Vec<String> {
        let items = self.status.audit.get(word).and_then(Value::as_array);
        let sentence = |item: &Value| {
            let own = item.as_str().or_else(|| item.get("message").and_then(Value::as_str));
            own.map_or_else(|| item.to_string(), str::to_owned)
        };
        items.into_iter().flatten().map(sentence).collect()
    }

    /// The audit in one sentence, at its end.
    pub fn message(&self) -> &str {
        self.status.audit.get("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// The condition that a person has to read first.
    pub fn trouble(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| match condition.kind.as_str() {
            "Accepted" | "Ready" => condition.status == "False",
            "Stalled" => condition.status == "True",
            _ => false,
        })
    }
}
