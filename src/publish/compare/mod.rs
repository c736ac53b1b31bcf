//! Two runs side by side: what broke, what got slower, what got better, and what differs in the set-up.

mod broken;
mod measured;
mod measures;
mod render;
mod setup;
mod shift;

use std::{fmt, str::FromStr};

pub use broken::Broken;
pub use measured::{Measured, Source, of_history, of_keys};
pub use measures::{Judgement, Measure};
pub use render::{Row, SECTIONS, markdown, rows, sentence, table};
use serde::Serialize;
pub use setup::Difference;

use super::recorded::Recorded;
use crate::model::{GenerationId, ScenarioName, Timestamp, Verdict};

/// A change up to this share of what was before is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance(f64);

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').parse::<f64>().ok();
        let percent = number.filter(|percent| (0.0..=1000.0).contains(percent));
        percent
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| format!("`{text}` is not a share: write percents from `0%` to `1000%`, as in `10%`"))
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (self.0 * 1e5).round() / 1e3)
    }
}

/// One of the two: its report, and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    pub report: Recorded,
    pub measured: Measured,
}

/// What comes of it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    NothingWorse,
    /// Something broke, or got slower beyond the tolerance.
    Worse,
    /// One of them has no verdict, and nothing that is known got worse.
    Unknown,
}

/// Which run it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    pub verdict: Verdict,
    pub summary: String,
    pub started_at: Option<Timestamp>,
    pub dagster_version: String,
    /// Where its samples are from.
    pub samples_from: Source,
}

/// Everything that two runs have told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub outcome: Outcome,
    /// In one sentence.
    pub summary: String,
    pub before: Head,
    pub after: Head,
    pub tolerance: String,
    /// What differs in the set-up: it may be the cause of all else.
    pub setup: Vec<Difference>,
    pub broke: Vec<Broken>,
    pub mended: Vec<Broken>,
    /// All that was measured on both sides or on one, each with its judgement.
    pub measures: Vec<Measure>,
}

/// Compares. The same two runs always give the same.
pub fn compare(before: &Side, after: &Side, tolerance: Tolerance) -> Comparison {
    let setup = set_up(before, after);
    let broke = broken::worse(&before.report, &after.report);
    let mended = broken::better(&before.report, &after.report);
    let measures = measures::measures(before, after, tolerance.0);
    let count = |judgement| measures.iter().filter(|measure| measure.judgement == judgement).count();
    let (slower, faster) = (count(Judgement::Slower), count(Judgement::Faster));
    let verdicts = [before.report.verdict, after.report.verdict];
    let outcome = outcome(&broke, slower, verdicts);
    Comparison {
        outcome,
        summary: summary(outcome, broke.len(), slower, mended.len(), faster),
        before: Head::of(before),
        after: Head::of(after),
        tolerance: tolerance.to_string(),
        setup,
        broke,
        mended,
        measures,
    }
}

/// What is not proved makes nothing worse by itself: that is Unknown.
fn outcome(broke: &[Broken], slower: usize, verdicts: [Verdict; 2]) -> Outcome {
    let is_certain = broke.iter().any(|broken| !broken.is_doubt());
    let is_unknown = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Unknown | Verdict::Stopped));
    match (is_certain || slower > 0, is_unknown, broke.is_empty()) {
        (true, _, _) | (false, false, false) => Outcome::Worse,
        (false, true, _) => Outcome::Unknown,
        (false, false, true) => Outcome::NothingWorse,
    }
}

fn summary(outcome: Outcome, broke: usize, slower: usize, mended: usize, faster: usize) -> String {
    let word = match outcome {
        Outcome::Worse => "worse",
        Outcome::NothingWorse => "nothing is worse",
        Outcome::Unknown => "not known, since one of the two has no proof",
    };
    let parts: Vec<String> =
        [(broke, "broke"), (slower, "got slower or less"), (mended, "mended"), (faster, "got faster or more")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
    if parts.is_empty() { word.to_owned() } else { format!("{word}: {}", parts.join(", ")) }
}

impl Head {
    /// `scenario/generation`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.scenario, self.generation)
    }

    fn of(side: &Side) -> Self {
        let report = &side.report;
        Self {
            scenario: report.scenario.clone(),
            generation: report.generation.clone(),
            verdict: report.verdict,
            summary: report.summary.clone(),
            started_at: report.started_at,
            dagster_version: report.dagster_version.clone(),
            samples_from: side.measured.source,
        }
    }
}

/// Targets are compared where both are known.
fn set_up(before: &Side, after: &Side) -> Vec<Difference> {
    let (old, new) = (&before.report, &after.report);
    let mut found = setup::differences("", &old.manifest, &new.manifest);
    if let (Some(old), Some(new)) = (&before.measured.target, &after.measured.target) {
        found.extend(setup::differences("target", old, new));
    }
    found.extend(setup::difference("Dagster", Some(&old.dagster_version), Some(&new.dagster_version)));
    found
}

#[cfg(test)]
mod tests;
