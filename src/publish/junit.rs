//! `junit.xml`: the verdict as a CI shows it. What is not proved is an error, so that nothing unproved is green.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::report::Report;
use crate::{audit::FindingKind, spec::Contract};

/// How many findings are written out; `report.json` has all.
const MOST_FINDINGS: usize = 100;

/// Renders a report: a case for the contract, one for each threshold and fault, one for what is not proved.
///
/// # Panics
/// Never: writing to memory cannot fail.
pub fn junit(report: &Report) -> String {
    let mut suite = TestSuite::new(format!("{}/{}", report.scenario, report.generation));
    if let Some(started) = report.started_at {
        suite.set_time(report.census_at.since(started));
    }
    suite.add_property(("dagster", report.dagster_version.as_str()));
    suite.add_property(("planned", report.audit.counts.planned.to_string().as_str()));
    suite.add_property(("completed", report.audit.counts.completed.to_string().as_str()));
    suite.add_test_case(contract(report));
    for result in &report.audit.thresholds {
        let measured = result.value.as_deref().unwrap_or("nothing");
        let message = format!("{measured} was measured over {} samples", result.samples);
        suite.add_test_case(case(report, &format!("threshold {}", result.threshold), result.holds, &message, ""));
    }
    for fault in &report.faults {
        let is_done = (fault.status.state == "Healed").then_some(true);
        let reason = fault.status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = format!("{}{reason}", fault.status.state);
        let mut case =
            case(report, &format!("fault {} ({})", fault.status.name, fault.status.what), is_done, &message, "");
        if let Some(time) = fault.recovery_time {
            case.set_time(time.duration());
        }
        suite.add_test_case(case);
    }
    let gaps: Vec<String> = report.audit.gaps.iter().map(|gap| format!("{}: {}", gap.reason, gap.message)).collect();
    let is_proved = gaps.is_empty().then_some(true);
    suite.add_test_case(case(report, "everything is proved", is_proved, &report.summary, &gaps.join("\n")));
    let mut document = Document::new("dagstorm");
    document.set_time(suite.time.unwrap_or(Duration::ZERO));
    document.add_test_suite(suite);
    document.to_string().expect("writing to memory cannot fail")
}

fn contract(report: &Report) -> TestCase {
    let name = match report.manifest.spec.expect.contract {
        Contract::ExactlyOnce => "contract exactlyOnce",
        Contract::AtLeastOnce => "contract atLeastOnce",
        Contract::AtMostOnce => "contract atMostOnce",
    };
    let findings = report.audit.findings.iter().filter(|finding| finding.kind != FindingKind::Threshold);
    let texts: Vec<&str> = findings.map(|finding| finding.message.as_str()).collect();
    let holds = if texts.is_empty() { Some(true) } else { Some(false) };
    let shown: Vec<&str> = texts.iter().take(MOST_FINDINGS).copied().collect();
    case(report, name, holds, &format!("{} findings", texts.len()), &shown.join("\n"))
}

/// `None`: nobody knows.
fn case(report: &Report, name: &str, holds: Option<bool>, message: &str, text: &str) -> TestCase {
    let status = match holds {
        Some(true) => TestCaseStatus::success(),
        Some(false) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        None => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(report.scenario.as_str());
    if holds != Some(true) {
        case.status.set_message(message);
        case.status.set_description(if text.is_empty() { message } else { text });
    }
    case
}
