//! A `report.json` as it lies there, written by this version or by another one: what is read of it, and no more.

use indexmap::IndexMap;
use serde::Deserialize;

use super::{headline::Headline, latency::Quantiles, report::API_VERSION};
use crate::{
    audit::FaultEffect,
    journal::ThresholdResult,
    model::{GenerationId, ScenarioName, Span, Timestamp, Verdict},
};

/// What a report says. What a newer version adds is passed over; what an older one does not have is empty.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    pub verdict: Verdict,
    pub summary: String,
    /// Absent in reports of older versions; `Headline::of_recorded` has what they know of it.
    #[serde(default)]
    pub headline: Option<Headline>,
    #[serde(default)]
    pub last_run: Option<RecordedLastRun>,
    /// By word, in the order of the file.
    pub counts: IndexMap<String, u64>,
    pub findings: Vec<RecordedFinding>,
    #[serde(default)]
    pub tolerated: Vec<RecordedFinding>,
    #[serde(default)]
    pub recoveries: Vec<RecordedFinding>,
    #[serde(default)]
    pub unfinished: Vec<RecordedFinding>,
    #[serde(default)]
    pub copies: Vec<RecordedFinding>,
    #[serde(default)]
    pub thresholds: Vec<ThresholdResult>,
    pub gaps: Vec<RecordedGap>,
    #[serde(default)]
    pub effects: Vec<FaultEffect>,
    #[serde(default)]
    pub assumptions: Vec<String>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    pub census_at: Timestamp,
    pub dagster_version: String,
    #[serde(default)]
    pub run_latency: Option<Quantiles>,
    #[serde(default)]
    pub load: RecordedLoad,
    #[serde(default)]
    pub jobs: Vec<RecordedJob>,
    #[serde(default)]
    pub faults: Vec<RecordedFault>,
    /// The scenario as it was accepted, whatever its form was then.
    #[serde(default)]
    pub manifest: serde_json::Value,
}

/// The run before it, as a report names it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedLastRun {
    pub generation: GenerationId,
    pub verdict: Verdict,
    pub headline: Headline,
}

/// A finding, told apart from others by its words alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedFinding {
    pub kind: String,
    pub level: String,
    pub message: String,
    #[serde(default)]
    pub overlapping_faults: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedGap {
    pub reason: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordedLoad {
    pub late: u64,
    pub lateness: Option<Quantiles>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedJob {
    pub job: String,
    pub planned: u64,
    pub succeeded: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedFault {
    pub name: String,
    pub what: String,
    pub state: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub intended_at: Option<Timestamp>,
    #[serde(default)]
    pub healed_at: Option<Timestamp>,
    #[serde(default)]
    pub recovery_time: Option<Span>,
}

/// Why a file is no report that can be read.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    #[error("it is no report.json: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("it is no report, but `{kind}` of `{version}`: a report is `Report` of `{API_VERSION}`")]
    Other { kind: String, version: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
}

/// Reads a `report.json`.
///
/// # Errors
/// When it is no JSON, of another kind or version, or lacks what every report has.
pub fn read(text: &str) -> Result<Recorded, NoReport> {
    let head: Head = serde_json::from_str(text)?;
    if head.kind != "Report" || head.api_version != API_VERSION {
        return Err(NoReport::Other { kind: head.kind, version: head.api_version });
    }
    Ok(serde_json::from_str(text)?)
}

impl Recorded {
    /// `scenario/generation`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.scenario, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that a report has.
    const LEAST: &str = r#"{"apiVersion":"dagstorm.dev/v1alpha1","kind":"Report","scenario":"a","generation":"ab-1",
        "verdict":"Passed","summary":"s","counts":{"planned":3},"findings":[],"gaps":[],
        "censusAt":"2026-11-24T12:00:00Z","dagsterVersion":"1"}"#;

    #[test]
    fn what_other_versions_add_or_lack_is_no_obstacle() {
        let least = read(LEAST).expect("a report");
        assert_eq!((least.name().as_str(), least.counts["planned"], least.faults.len()), ("a/ab-1", 3, 0));
        let more = LEAST.replace("\"summary\"", "\"weather\":{\"sun\":true},\"summary\"");
        assert_eq!(read(&more).expect("a report"), least);
    }

    #[test]
    fn what_is_no_report_says_why() {
        for (text, gist) in [
            ("", "no report.json: EOF"),
            ("{}", "missing field `apiVersion`"),
            (&LEAST.replace("Report", "Scenario"), "no report, but `Scenario`"),
            (&LEAST.replace("v1alpha1", "v9"), "of `dagstorm.dev/v9`: a report is `Report` of `dagstorm.dev/v1alpha1`"),
            (&LEAST.replace("\"verdict\":\"Passed\",", ""), "missing field `verdict`"),
            (&LEAST.replace("\"Passed\"", "\"Maybe\""), "unknown variant `Maybe`"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(gist), "{error} instead of {gist}");
        }
    }
}
