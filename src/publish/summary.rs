//! A report for a terminal: the verdict first, then what it rests on.

use std::fmt::Write;

use super::{
    columns::{Side, columns},
    fold::fold,
    headline::Headline,
    latency::Quantiles,
    recorded::{Recorded, RecordedFinding},
};

/// How many findings are written out; `report.md` has more, `report.json` all.
const MOST_FINDINGS: usize = 10;

/// What each of the files of a report is for.
const FILES: [(&str, &str); 6] = [
    ("report.html", "the report to look at, offline"),
    ("report.md", "the report to read"),
    ("report.json", "the report for programs (`dagstorm schema report`)"),
    ("keys.csv", "a line a key"),
    ("junit.xml", "for a CI"),
    ("history.jsonl", "everything the verdict rests on (`dagstorm audit`)"),
];

/// Renders a report, and the files that stand beside it.
pub fn summary(report: &Recorded, folder: &str, files: &[String]) -> String {
    let mut out = String::new();
    render(report, &mut out).expect("writing to a string cannot fail");
    let known = |name: &String| FILES.iter().position(|(file, _)| file == name).unwrap_or(FILES.len());
    let mut files: Vec<&String> = files.iter().collect();
    files.sort_by_key(|name| (known(name), *name));
    if !files.is_empty() {
        let meaning = |name: &String| FILES.iter().find(|(file, _)| file == name).map_or("", |(_, meaning)| meaning);
        let rows: Vec<Vec<String>> = files.iter().map(|name| vec![(*name).clone(), meaning(name).to_owned()]).collect();
        let _ = write!(out, "\nFiles in {folder}\n{}", columns("  ", &[Side::Left; 2], &rows));
    }
    out
}

fn render(report: &Recorded, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}: {:?} — {}", report.name(), report.verdict, report.summary)?;
    let started = report.started_at.map_or("never started".to_owned(), |at| format!("started {at}"));
    writeln!(out, "{started}, audited {}, Dagster {}", report.census_at, report.dagster_version)?;
    headline(out, report)?;
    findings(out, "Findings", '✗', &report.findings)?;
    gaps(out, report)?;
    thresholds(out, report)?;
    counts(out, report)?;
    latencies(out, report)?;
    faults(out, report)?;
    findings(out, "Not ended", '?', &report.unfinished)?;
    findings(out, "Permitted by the contract", '·', &report.tolerated)?;
    findings(out, "Retried and re-executed (no violation)", '·', &report.recoveries)?;
    findings(out, "Runs that only copied the tags (told, not judged)", '·', &report.copies)?;
    if !report.assumptions.is_empty() {
        writeln!(out, "\nIt rests on")?;
        for assumption in &report.assumptions {
            writeln!(out, "  · {assumption}")?;
        }
    }
    Ok(())
}

fn findings(out: &mut String, title: &str, mark: char, findings: &[RecordedFinding]) -> std::fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    let kinds: Vec<String> = findings.iter().map(|finding| format!("{} ({})", finding.kind, finding.level)).collect();
    let messages = kinds.iter().zip(findings).map(|(kind, finding)| (kind.as_str(), finding.message.as_str()));
    let folded = fold(messages);
    for folded in folded.iter().take(MOST_FINDINGS) {
        let first = &findings[folded.places[0]];
        writeln!(out, "  {mark} {}: {}", kinds[folded.places[0]], folded.message)?;
        if folded.places.len() == 1 && !first.overlapping_faults.is_empty() {
            writeln!(out, "    faults in place meanwhile: {}", first.overlapping_faults.join(", "))?;
        }
    }
    let more: usize = folded.iter().skip(MOST_FINDINGS).map(|folded| folded.places.len()).sum();
    match more {
        0 => Ok(()),
        more => writeln!(out, "  … and {more} more in report.json"),
    }
}

fn gaps(out: &mut String, report: &Recorded) -> std::fmt::Result {
    if report.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nNot proved")?;
    let folded = fold(report.gaps.iter().map(|gap| (gap.reason.as_str(), gap.message.as_str())));
    for folded in folded.iter().take(MOST_FINDINGS) {
        writeln!(out, "  ? {}: {}", report.gaps[folded.places[0]].reason, folded.message)?;
    }
    match folded.iter().skip(MOST_FINDINGS).map(|folded| folded.places.len()).sum::<usize>() {
        0 => Ok(()),
        more => writeln!(out, "  … and {more} more in report.json"),
    }
}

/// The four numbers that a person asks for first, with how they differ from the last run.
fn headline(out: &mut String, report: &Recorded) -> std::fmt::Result {
    let last = report.last_run.as_ref();
    let row = |figure: super::headline::Figure| {
        let change = figure.change.map(|change| change.words).unwrap_or_default();
        vec![figure.name.to_owned(), figure.value, change]
    };
    let figures = Headline::of_recorded(report).figures(last.map(|last| &last.headline));
    let rows: Vec<Vec<String>> = figures.into_iter().map(row).collect();
    write!(out, "\n{}", columns("  ", &[Side::Left, Side::Right, Side::Left], &rows))?;
    match last {
        Some(last) => writeln!(out, "  (the last run: {}, {:?})", last.generation, last.verdict),
        None => Ok(()),
    }
}

fn thresholds(out: &mut String, report: &Recorded) -> std::fmt::Result {
    if report.thresholds.is_empty() {
        return Ok(());
    }
    let row = |result: &crate::journal::ThresholdResult| {
        let (mark, holds) = match result.holds {
            Some(true) => ('✓', "holds"),
            Some(false) => ('✗', "does not hold"),
            None => ('?', "not known"),
        };
        let value = result.value.clone().unwrap_or_else(|| "nothing".to_owned());
        vec![format!("{mark} {}", result.threshold), value, format!("{holds}, {} samples", result.samples)]
    };
    let rows: Vec<Vec<String>> = report.thresholds.iter().map(row).collect();
    write!(out, "\nThresholds\n{}", columns("  ", &[Side::Left, Side::Right, Side::Left], &rows))
}

/// Those that are none are left out, save the ones that a person looks for.
fn counts(out: &mut String, report: &Recorded) -> std::fmt::Result {
    const ALWAYS: [&str; 6] = ["planned", "attempted", "acknowledged", "completed", "lost", "duplicated"];
    let shown = report.counts.iter().filter(|(word, count)| **count > 0 || ALWAYS.contains(&word.as_str()));
    let parts: Vec<String> = shown.map(|(word, count)| format!("{word} {count}")).collect();
    writeln!(out, "\nCounts\n  {}", parts.join(" · "))
}

fn latencies(out: &mut String, report: &Recorded) -> std::fmt::Result {
    let measured =
        [("runs, due to end", &report.run_latency), ("launches, behind their instant", &report.load.lateness)];
    let mut rows: Vec<Vec<String>> = vec![];
    for (what, quantiles) in measured {
        let Some(Quantiles { samples, p50, p95, p99, max }) = quantiles else { continue };
        let figures =
            [("p50", p50), ("p95", p95), ("p99", p99), ("max", max)].map(|(word, span)| format!("{word} {span}"));
        rows.push([what.to_owned()].into_iter().chain(figures).chain([format!("{samples} samples")]).collect());
    }
    if !rows.is_empty() {
        write!(out, "\nLatency\n{}", columns("  ", &[Side::Left; 6], &rows))?;
    }
    let job = |job: &super::recorded::RecordedJob| {
        vec![job.job.clone(), format!("{} of {}", job.succeeded, job.planned), "succeeded".to_owned()]
    };
    let rows: Vec<Vec<String>> = report.jobs.iter().map(job).collect();
    if rows.is_empty() {
        return Ok(());
    }
    write!(out, "\nJobs\n{}", columns("  ", &[Side::Left, Side::Right, Side::Left], &rows))
}

fn faults(out: &mut String, report: &Recorded) -> std::fmt::Result {
    if report.faults.is_empty() {
        return Ok(());
    }
    let row = |fault: &super::recorded::RecordedFault| {
        let recovery = fault.recovery_time.map(|span| format!("recovered after {span}"));
        let reason = fault.reason.clone();
        let rest: Vec<String> = recovery.into_iter().chain(reason).collect();
        vec![fault.name.clone(), fault.state.clone(), fault.what.clone(), rest.join("; ")]
    };
    let rows: Vec<Vec<String>> = report.faults.iter().map(row).collect();
    write!(out, "\nFaults\n{}", columns("  ", &[Side::Left; 4], &rows))?;
    for effect in &report.effects {
        writeln!(out, "  · {}", effect.sentence())?;
    }
    Ok(())
}
