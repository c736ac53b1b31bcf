//! What holds no more: verdict, findings, thresholds, proofs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{model::Verdict, publish::recorded::Recorded};

/// One thing that was well on one side and is not on the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    pub kind: BrokenKind,
    /// As `duplicated (run)`, `runLatency p95 < 1m30s` or `FaultSkipped`.
    pub what: String,
    pub before: String,
    pub after: String,
    /// The first of it, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BrokenKind {
    /// Now Failed.
    Verdict,
    /// Now without a proof.
    Proof,
    Finding,
    Threshold,
    Gap,
}

impl Broken {
    /// Whether it only says that something is not known any more.
    pub fn is_doubt(&self) -> bool {
        match self.kind {
            BrokenKind::Proof | BrokenKind::Gap => true,
            BrokenKind::Verdict | BrokenKind::Finding | BrokenKind::Threshold => false,
        }
    }
}

/// What the first has and the second has not, or less of. A threshold that is not asked for any more is not mended.
pub fn better(before: &Recorded, after: &Recorded) -> Vec<Broken> {
    let holds = |threshold: &str| {
        after.thresholds.iter().any(|result| result.threshold == threshold && result.holds == Some(true))
    };
    let mut found = worse(after, before);
    found.retain(|broken| broken.kind != BrokenKind::Threshold || holds(&broken.what));
    let told_from_here =
        |broken: Broken| Broken { before: broken.after, after: broken.before, message: None, ..broken };
    found.into_iter().map(told_from_here).collect()
}

/// What the second has and the first has not, or less of.
pub fn worse(before: &Recorded, after: &Recorded) -> Vec<Broken> {
    let mut found = vec![];
    if rank(after.verdict) > rank(before.verdict) {
        let kind = if after.verdict == Verdict::Failed { BrokenKind::Verdict } else { BrokenKind::Proof };
        found.push(Broken {
            kind,
            what: "verdict".to_owned(),
            before: format!("{:?}", before.verdict),
            after: format!("{:?}", after.verdict),
            message: Some(after.summary.clone()),
        });
    }
    found.extend(more(BrokenKind::Finding, &findings(before), &findings(after)));
    found.extend(thresholds(before, after));
    found.extend(more(BrokenKind::Gap, &gaps(before), &gaps(after)));
    found
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Passed => 0,
        Verdict::Unknown | Verdict::Stopped => 1,
        Verdict::Failed => 2,
    }
}

/// By what it is, how often, and the first message.
type Counted<'a> = BTreeMap<String, (usize, &'a str)>;

/// Keys and runs have other names in every generation: findings are compared by their kind. Thresholds have a list of
/// their own.
fn findings(report: &Recorded) -> Counted<'_> {
    let own = report.findings.iter().filter(|finding| finding.kind != "threshold");
    counted(own.map(|finding| (format!("{} ({})", finding.kind, finding.level), finding.message.as_str())))
}

fn gaps(report: &Recorded) -> Counted<'_> {
    counted(report.gaps.iter().map(|gap| (gap.reason.clone(), gap.message.as_str())))
}

fn counted<'a>(items: impl Iterator<Item = (String, &'a str)>) -> Counted<'a> {
    let mut counted = Counted::new();
    for (what, message) in items {
        counted.entry(what).or_insert((0, message)).0 += 1;
    }
    counted
}

fn more(kind: BrokenKind, before: &Counted<'_>, after: &Counted<'_>) -> Vec<Broken> {
    let news = after.iter().filter_map(|(what, (count, message))| {
        let earlier = before.get(what).map_or(0, |(count, _)| *count);
        (*count > earlier).then(|| Broken {
            kind,
            what: what.clone(),
            before: earlier.to_string(),
            after: count.to_string(),
            message: Some((*message).to_owned()),
        })
    });
    news.collect()
}

/// Those that do not hold, and held before or were not asked for. What has no samples any more is a gap.
fn thresholds(before: &Recorded, after: &Recorded) -> Vec<Broken> {
    let failed = after.thresholds.iter().filter(|result| result.holds == Some(false));
    let broken = failed.filter_map(|result| {
        let earlier = before.thresholds.iter().find(|earlier| earlier.threshold == result.threshold);
        let measured = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing measured".to_owned());
        let told = match earlier.map(|earlier| (earlier.holds, measured(&earlier.value))) {
            Some((Some(false), _)) => return None,
            Some((Some(true), value)) => format!("held at {value}"),
            Some((None, value)) => value,
            None => "not asked for".to_owned(),
        };
        Some(Broken {
            kind: BrokenKind::Threshold,
            what: result.threshold.clone(),
            before: told,
            after: format!("does not hold at {}", measured(&result.value)),
            message: None,
        })
    });
    broken.collect()
}
