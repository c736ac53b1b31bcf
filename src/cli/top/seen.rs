//! What the published files say, by whatever version they were written: nothing that is missing is an error.

use serde::Deserialize;
use serde_json::Value;

use crate::model::Timestamp;

/// Everything that is shown.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was read.
    pub now: Timestamp,
    /// By name.
    pub scenarios: Vec<Scenario>,
    /// The last ones, the oldest first; launches of a scenario without anything else between them are one.
    pub events: Vec<EventLine>,
    /// Why everything is halted, if it is.
    pub halted: Option<String>,
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
        Self { now, scenarios: vec![], events: vec![], halted: None, operator: None, waiting: None, troubles: vec![] }
    }
}

impl Seen {
    /// Leaves out the scenarios that are not wanted, with their events.
    pub fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let had_some = !self.scenarios.is_empty();
        self.scenarios.retain(|scenario| is_wanted(scenario.name()));
        self.events.retain(|event| event.scenario.is_empty() || is_wanted(&event.scenario));
        if had_some && self.scenarios.is_empty() {
            self.waiting = Some("no scenario has a name with that in it".to_owned());
        }
    }
}

/// Who holds the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    pub who: String,
    /// For so long it has not shown itself.
    pub silent_s: u64,
    /// It let the folder go by itself.
    pub ended: bool,
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
    /// No manifest names it any more.
    pub deleted: bool,
    pub next: Next,
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

/// What the next turn waits for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Next {
    pub at: Option<Timestamp>,
    pub after: Vec<String>,
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
    /// Whether the baseline is back.
    pub fn is_healed(&self) -> bool {
        matches!(self.state.as_str(), "Healed" | "Recovered")
    }

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

    /// Whether something keeps it from going on that a person did not ask for.
    pub fn is_kept(&self) -> bool {
        const WISHED: [&str; 5] = ["Suspended", "Halted", "Scheduled", "WaitingForScenarios", "Due"];
        self.trouble().is_some_and(|condition| !WISHED.contains(&condition.reason.as_str()))
    }

    /// The condition that a person has to read first.
    pub fn trouble(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| match condition.kind.as_str() {
            "Accepted" => condition.status == "False" && !self.status.deleted,
            "Ready" => condition.status == "False",
            "Stalled" => condition.status == "True",
            _ => false,
        })
    }
}

/// What a scenario does all the time: of many in a row the last one tells.
fn is_routine(event: &EventLine) -> bool {
    matches!(event.reason.as_str(), "Launched" | "Recovered" | "Adopted")
}

/// Adds events to those that were folded before.
pub fn fold(folded: &mut Vec<EventLine>, events: impl IntoIterator<Item = EventLine>) {
    for mut event in events {
        event.count = event.count.max(1);
        let last = folded.iter().rposition(|known| known.scenario == event.scenario);
        let same = last.filter(|at| is_routine(&event) && folded[*at].reason == event.reason);
        if let Some(at) = same {
            event.count += folded.remove(at).count;
        }
        folded.push(event);
    }
}
