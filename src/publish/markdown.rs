//! `report.md`: verdict first, then the story.

use std::fmt::Write;

use super::{
    fold::{fold, some},
    latency::Quantiles,
    report::Report,
};
use crate::{audit::Finding, model::Counts};

/// How many findings of a section are written out, and how many of those that are alike; `report.json` has all.
const MOST_FINDINGS: usize = 50;
const MOST_ALIKE: usize = 3;
/// How many targets of a fault are named.
const MOST_TARGETS: usize = 5;

/// Renders a report for people.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    render(report, &mut text).expect("writing to a string cannot fail");
    text
}

fn render(report: &Report, out: &mut String) -> std::fmt::Result {
    let counts = &report.audit.counts;
    writeln!(out, "# {}: {:?}\n", report.scenario, report.audit.verdict)?;
    writeln!(out, "{}.\n", report.summary.trim_end_matches('.'))?;
    headline(out, report)?;
    writeln!(out, "| | |\n| --- | --- |")?;
    writeln!(out, "| generation | `{}` |", report.generation)?;
    if let Some(started) = report.started_at {
        writeln!(out, "| started | {started} |")?;
    }
    writeln!(out, "| audited | {} |", report.census_at)?;
    writeln!(out, "| Dagster | {} |\n", report.dagster_version)?;

    section(out, "Findings", &report.audit.findings)?;
    thresholds(out, report)?;
    if !report.audit.gaps.is_empty() {
        writeln!(out, "## Not proved\n")?;
        let gaps = &report.audit.gaps;
        for folded in fold(gaps.iter().map(|gap| (gap.reason, gap.message.as_str()))) {
            writeln!(out, "- **{}**: {}", gaps[folded.places[0]].reason, folded.message)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "## Keys\n\n| word | keys |\n| --- | ---: |")?;
    for (word, number) in [
        ("planned", counts.planned),
        ("attempted", counts.attempted),
        ("acknowledged", counts.acknowledged),
        ("rejected", counts.rejected),
        ("indeterminate", counts.indeterminate),
        ("recovered", counts.recovered),
        ("adopted", counts.adopted),
        ("resolved absent", counts.resolved_absent),
        ("dropped", counts.dropped),
        ("completed", counts.completed),
        ("failed by their own code", counts.failed),
        ("of those, while a fault was in place", counts.failed_under_faults),
        ("lost", counts.lost),
        ("never started", counts.never_started),
        ("duplicated", counts.duplicated),
        ("launched by another dagstorm", counts.other_writers),
        ("unexpected", counts.unexpected),
        ("unfinished", counts.unfinished),
        ("falsely failed", counts.falsely_failed),
        ("run again by Dagster", counts.retried),
        ("copies (runs)", counts.copied),
    ] {
        writeln!(out, "| {word} | {number} |")?;
    }
    writeln!(out, "\n| steps | |\n| --- | ---: |")?;
    writeln!(out, "| completed | {} |", counts.steps_completed)?;
    writeln!(out, "| completed more than once | {} |", counts.steps_duplicated)?;
    writeln!(out, "| re-executed after an attempt that never completed | {} |\n", counts.steps_reexecuted)?;
    if let Some(effects) = effects(counts) {
        writeln!(out, "| by the workers' own records | |\n| --- | ---: |\n{effects}")?;
    }

    writeln!(out, "## Latency\n\n| | samples | p50 | p95 | p99 | max |\n| --- | ---: | ---: | ---: | ---: | ---: |")?;
    quantiles(out, "run, from its intended instant to its end", report.run_latency.as_ref())?;
    quantiles(out, "launch, behind its intended instant", report.load.lateness.as_ref())?;
    writeln!(out, "\n| job | planned | succeeded |\n| --- | ---: | ---: |")?;
    for job in &report.jobs {
        writeln!(out, "| {} | {} | {} |", job.job, job.planned, job.succeeded)?;
    }
    writeln!(out)?;
    faults(out, report)?;
    section(out, "Not ended", &report.audit.unfinished)?;
    section(out, "Permitted by the contract", &report.audit.tolerated)?;
    section(out, "Retried and re-executed (no violation)", &report.audit.recoveries)?;
    section(out, "Runs that only copied the tags (told, not judged)", &report.audit.copies)?;
    writeln!(out, "## What this rests on\n")?;
    for assumption in &report.audit.assumptions {
        writeln!(out, "- {assumption}")?;
    }
    Ok(())
}

/// The four numbers, with those of the last run of the scenario beside them.
fn headline(out: &mut String, report: &Report) -> std::fmt::Result {
    let last = report.last_run.as_ref();
    let figures = report.headline.figures(last.map(|last| &last.headline));
    match last {
        Some(last) => {
            let edited = if last.edited_since { ", the scenario was edited since" } else { "" };
            let (generation, verdict) = (&last.generation, last.verdict);
            writeln!(out, "| | | beside the last run, `{generation}` ({verdict:?}{edited}) |\n| --- | ---: | --- |")?;
        }
        None => writeln!(out, "| | |\n| --- | ---: |")?,
    }
    for figure in figures {
        let change = figure.change.map(|change| format!(" {} |", change.words)).unwrap_or_default();
        writeln!(out, "| {} | {} |{change}", figure.name, figure.value)?;
    }
    writeln!(out)
}

/// The effect level; `None` where nothing was recorded.
fn effects(counts: &Counts) -> Option<String> {
    let rows = [
        ("done", counts.effects_completed),
        ("done more than once", counts.effects_duplicated),
        ("completed by Dagster's log, and by no record", counts.effects_lost),
        ("of runs or steps that Dagster does not know", counts.effects_unexpected),
    ];
    let is_known = rows.iter().any(|(_, number)| *number > 0);
    is_known.then(|| rows.map(|(word, number)| format!("| {word} | {number} |\n")).concat())
}

fn thresholds(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.audit.thresholds.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Thresholds\n\n| threshold | measured | samples | holds |\n| --- | ---: | ---: | --- |")?;
    for result in &report.audit.thresholds {
        let holds = match result.holds {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not known",
        };
        let value = result.value.as_deref().unwrap_or("–");
        writeln!(out, "| {} | {value} | {} | {holds} |", result.threshold, result.samples)?;
    }
    writeln!(out)
}

fn quantiles(out: &mut String, what: &str, quantiles: Option<&Quantiles>) -> std::fmt::Result {
    match quantiles {
        Some(of) => writeln!(out, "| {what} | {} | {} | {} | {} | {} |", of.samples, of.p50, of.p95, of.p99, of.max),
        None => writeln!(out, "| {what} | 0 | – | – | – | – |"),
    }
}

fn faults(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.faults.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## Faults\n\n| fault | what | state | injected | recovery | targets |\n| --- | --- | --- | --- | ---: | --- |"
    )?;
    for fault in &report.faults {
        let status = &fault.status;
        let objects = status.objects.iter().map(|object| format!("`{object}`"));
        let targets: Vec<String> =
            status.targets.iter().map(|task| format!("`{}`", task.arn.id())).chain(objects).collect();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            status.name,
            status.what,
            status.state,
            status.intended_at.map(|at| at.to_string()).unwrap_or_default(),
            fault.recovery_time.map(|span| span.to_string()).unwrap_or_default(),
            some(&targets, MOST_TARGETS)
        )?;
    }
    if !report.audit.effects.is_empty() {
        writeln!(out, "\nWhat those that lasted did, by the steps that started:\n")?;
        for effect in &report.audit.effects {
            writeln!(out, "- {}", effect.sentence())?;
        }
    }
    writeln!(out)
}

fn section(out: &mut String, title: &str, findings: &[Finding]) -> std::fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {title}\n")?;
    let kinds: Vec<String> =
        findings.iter().map(|finding| format!("**{:?}** ({:?})", finding.kind, finding.level)).collect();
    let messages = kinds.iter().zip(findings).map(|(kind, finding)| (kind.as_str(), finding.message.as_str()));
    let mut written = 0;
    for folded in fold(messages) {
        let kind = &kinds[folded.places[0]];
        let shown = folded.places.len().min(MOST_ALIKE).min(MOST_FINDINGS - written);
        if folded.places.len() > 1 {
            writeln!(out, "- {kind}: {}{}", folded.message, if shown > 0 { ", the first of them:" } else { "" })?;
        }
        for place in &folded.places[..shown] {
            finding_of(out, kind, &findings[*place])?;
        }
        written += shown;
        if written == MOST_FINDINGS {
            break;
        }
    }
    if findings.len() > written {
        writeln!(out, "- {} of {} are written out; all stand in `report.json`", written, findings.len())?;
    }
    writeln!(out)
}

fn finding_of(out: &mut String, kind: &str, finding: &Finding) -> std::fmt::Result {
    writeln!(out, "- {kind}: {}", finding.message)?;
    for attempt in &finding.attempts {
        let task = attempt.task.as_ref().map(|task| format!(" by task `{}`", task.id())).unwrap_or_default();
        let worker = attempt.worker.as_ref().map(|worker| format!(" by worker `{worker}`")).unwrap_or_default();
        writeln!(out, "  - {} at {}{worker}{task}", attempt.what, attempt.at)?;
    }
    for death in &finding.task_deaths {
        let by = if death.stopped_by.is_empty() {
            String::new()
        } else {
            format!(", stopped by {}", death.stopped_by.join(", "))
        };
        writeln!(out, "  - task `{}` of {} had ended at {}{by}", death.task.id(), death.service, death.seen_at)?;
    }
    if !finding.overlapping_faults.is_empty() {
        writeln!(out, "  - faults in place meanwhile: {}", finding.overlapping_faults.join(", "))?;
    }
    Ok(())
}
