//! A comparison for people: on a terminal, and for a pull request.

use std::fmt::Write;

use serde::Serialize;

use super::{Broken, Comparison, Head, Judgement, Measure, Outcome, broken::BrokenKind};
use crate::{
    model::{Metric, Timestamp},
    publish::columns::{Side, columns},
};

/// What the kinds of judgements are called, in the order in which they are shown.
pub const SECTIONS: [(Judgement, &str); 6] = [
    (Judgement::Slower, "Slower, deeper or less"),
    (Judgement::Faster, "Faster, flatter or more"),
    (Judgement::WithinNoise, "Beyond the tolerance, yet no more than chance"),
    (Judgement::WithinTolerance, "No change beyond the tolerance"),
    (Judgement::TooFewSamples, "Too few samples to say"),
    (Judgement::OneSided, "Measured on one side alone"),
];

/// Renders it for a terminal.
pub fn table(comparison: &Comparison) -> String {
    let mut out = String::new();
    let heads = [("before", &comparison.before), ("after", &comparison.after)];
    let rows: Vec<Vec<String>> = heads.map(|(word, head)| head_row(word, head)).to_vec();
    out.push_str(&columns("", &[Side::Left; 5], &rows));
    if !comparison.setup.is_empty() {
        out.push_str("\nNot the same set-up: what differs here may be why the rest differs\n");
        let row = |(field, before, after): (String, String, String)| vec![field, before, "→".to_owned(), after];
        let rows: Vec<Vec<String>> = differences(comparison).map(row).collect();
        out.push_str(&columns("  ", &[Side::Left; 4], &rows));
    }
    let _ = writeln!(out, "\n{} (tolerance {})", capital(&comparison.summary), comparison.tolerance);
    for (title, mark, broken) in [("Broke", '✗', &comparison.broke), ("Mended", '✓', &comparison.mended)] {
        if !broken.is_empty() {
            let _ = writeln!(out, "\n{title}");
        }
        for broken in broken {
            let _ = writeln!(out, "  {mark} {}", sentence(broken));
        }
    }
    for (judgement, title) in SECTIONS {
        let rows: Vec<Vec<String>> = of(comparison, judgement).map(row).collect();
        if !rows.is_empty() {
            let sides = [Side::Left, Side::Left, Side::Right, Side::Left, Side::Right, Side::Right, Side::Right];
            let _ = write!(out, "\n{title}\n{}", columns("  ", &sides, &rows));
        }
    }
    out
}

/// Renders it as Markdown, for a pull request: what is worse stands open, the rest folded.
pub fn markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    let mark = match comparison.outcome {
        Outcome::NothingWorse => "✅",
        Outcome::Worse => "❌",
        Outcome::Unknown => "❓",
    };
    let _ = writeln!(out, "## {mark} {}\n", capital(&comparison.summary));
    out.push_str("| | run | verdict | started | Dagster |\n| --- | --- | --- | --- | --- |\n");
    for (word, head) in [("before", &comparison.before), ("after", &comparison.after)] {
        let started = head.started_at.map(to_the_second).unwrap_or_default();
        let (name, verdict) = (head.name(), head.verdict);
        let _ = writeln!(out, "| {word} | `{name}` | {verdict:?} | {started} | {} |", cell(&head.dagster_version));
    }
    if !comparison.setup.is_empty() {
        out.push_str("\n**Not the same set-up**: what differs here may be why the rest differs.\n\n");
        out.push_str("| field | before | after |\n| --- | --- | --- |\n");
        for (field, before, after) in differences(comparison) {
            let _ = writeln!(out, "| {} | {} | {} |", cell(&field), cell(&before), cell(&after));
        }
    }
    for (title, broken) in [("Broke", &comparison.broke), ("Mended", &comparison.mended)] {
        if !broken.is_empty() {
            let _ = writeln!(out, "\n### {title}\n");
        }
        for broken in broken {
            let _ = writeln!(out, "- {}", cell(&sentence(broken)));
        }
    }
    for (judgement, title) in SECTIONS {
        let rows: Vec<&Measure> = of(comparison, judgement).collect();
        if rows.is_empty() {
            continue;
        }
        match judgement {
            Judgement::Slower | Judgement::Faster => {
                let _ = writeln!(out, "\n### {title}\n");
                measure_rows(&mut out, &rows);
            }
            Judgement::WithinNoise | Judgement::WithinTolerance | Judgement::TooFewSamples | Judgement::OneSided => {
                let _ = writeln!(out, "\n<details><summary>{title}: {}</summary>\n", rows.len());
                measure_rows(&mut out, &rows);
                out.push_str("\n</details>\n");
            }
        }
    }
    let _ = writeln!(out, "\nTolerance {}; intervals are of 99 %.", comparison.tolerance);
    out
}

fn measure_rows(out: &mut String, measures: &[&Measure]) {
    out.push_str("| measure | before | after | change | | change lies between | samples |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | --- | --- |\n");
    for measure in measures {
        let parts = Row::of(measure);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&parts.name),
            parts.before,
            parts.after,
            parts.change,
            parts.relative,
            parts.interval,
            parts.samples
        );
    }
}

fn row(measure: &Measure) -> Vec<String> {
    let Row { name, before, after, change, relative, interval, samples } = Row::of(measure);
    let within = if interval.is_empty() { String::new() } else { format!(", between {interval}") };
    let noun = if samples == "1" { "sample" } else { "samples" };
    vec![name, before, "→".to_owned(), after, change, relative, format!("{samples} {noun}{within}")]
}

fn of(comparison: &Comparison, judgement: Judgement) -> impl Iterator<Item = &Measure> {
    comparison.measures.iter().filter(move |measure| measure.judgement == judgement)
}

/// The measures with this judgement, in words.
pub fn rows(comparison: &Comparison, judgement: Judgement) -> Vec<Row> {
    of(comparison, judgement).map(Row::of).collect()
}

/// A measure in words.
#[derive(Debug, Serialize)]
pub struct Row {
    name: String,
    before: String,
    after: String,
    change: String,
    relative: String,
    interval: String,
    samples: String,
}

impl Row {
    fn of(measure: &Measure) -> Self {
        let metric = measure.metric;
        let value = |value: Option<f64>| value.map_or("–".to_owned(), |value| metric.show_rounded(value));
        let of = measure.of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
        let quantile = if measure.quantile == "value" { String::new() } else { format!(" {}", measure.quantile) };
        let [before, after] = measure.samples;
        Self {
            name: format!("{metric}{of}{quantile}"),
            before: value(measure.before),
            after: value(measure.after),
            change: measure.change.map(|change| signed(metric, change)).unwrap_or_default(),
            relative: measure.relative.map(percent).unwrap_or_default(),
            interval: measure
                .interval
                .map(|[low, high]| format!("{} and {}", signed(metric, low), signed(metric, high)))
                .unwrap_or_default(),
            samples: if before == after { before.to_string() } else { format!("{before} → {after}") },
        }
    }
}

fn percent(share: f64) -> String {
    let percent = (share * 100.0).round();
    if percent == 0.0 { "0%".to_owned() } else { format!("{percent:+}%") }
}

fn signed(metric: Metric, change: f64) -> String {
    let sign = if change < 0.0 { '-' } else { '+' };
    format!("{sign}{}", metric.show_rounded(change.abs()))
}

/// What broke or is mended, in a sentence.
pub fn sentence(broken: &Broken) -> String {
    let Broken { kind, what, before, after, message } = broken;
    let what = match kind {
        BrokenKind::Verdict | BrokenKind::Proof => what.clone(),
        BrokenKind::Finding => format!("finding {what}"),
        BrokenKind::Threshold => format!("threshold {what}"),
        BrokenKind::Gap => format!("not proved, {what}"),
    };
    let first = match (kind, message) {
        (_, None) => String::new(),
        (BrokenKind::Verdict | BrokenKind::Proof, Some(message)) => format!(": {message}"),
        (BrokenKind::Finding | BrokenKind::Threshold | BrokenKind::Gap, Some(message)) => {
            format!("; the first: {message}")
        }
    };
    format!("{what}: {before} → {after}{first}")
}

fn head_row(word: &str, head: &Head) -> Vec<String> {
    vec![
        word.to_owned(),
        head.name(),
        format!("{:?}", head.verdict),
        head.started_at.map_or("never started".to_owned(), |at| format!("started {}", to_the_second(at))),
        format!("Dagster {}", head.dagster_version),
    ]
}

/// RFC 3339 without its fraction.
fn to_the_second(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

fn differences(comparison: &Comparison) -> impl Iterator<Item = (String, String, String)> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not there)".to_owned());
    comparison.setup.iter().map(move |found| (found.field.clone(), value(&found.before), value(&found.after)))
}

/// What would end a cell or a line of a table is kept from it; markup in a name stays text.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' => {
                safe.push('\\');
                safe.push(letter);
            }
            '\n' | '\r' => safe.push(' '),
            _ => safe.push(letter),
        }
    }
    safe
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
