//! `report.html`, `index.html` and the page of a comparison: files that need nothing else, neither a network nor a build. Pure.
//!
//! A page is `page.html` with its style, its scripts and the data in it. All text that is not ours (names, messages, ids) is
//! in the data, a block of JSON that runs nothing; the scripts make it text, never markup. The policy in the page lets run
//! just the scripts whose digests it names, and lets nothing be fetched.

mod columns;
mod compared;
mod data;
mod delays;
mod index;
mod lanes;
mod series;
#[cfg(test)]
mod tests;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    compare::Comparison,
    report::Report,
    shelf::{Entry, Unreadable},
};
use crate::{journal::Generation, model::Census, plan::Plan};

const TEMPLATE: &str = include_str!("page.html");
const PLOTS: &str = include_str!("vendor/uPlot.iife.min.js");
const STYLE: &str = concat!(include_str!("vendor/uPlot.min.css"), include_str!("style.css"));
/// Each in the order in which its parts run.
const REPORT: &str = concat!(
    include_str!("base.js"),
    include_str!("table.js"),
    include_str!("headline.js"),
    include_str!("verdict.js"),
    include_str!("plots.js"),
    include_str!("story.js"),
    include_str!("lanes.js"),
    include_str!("keys.js"),
    include_str!("main.js"),
);
const INDEX: &str =
    concat!(include_str!("base.js"), include_str!("table.js"), include_str!("headline.js"), include_str!("index.js"),);
const COMPARISON: &str = concat!(include_str!("base.js"), include_str!("table.js"), include_str!("compare.js"));

/// Renders a report as a page of its own.
pub fn html(report: &Report, plan: &Plan, generation: &Generation, census: &Census) -> String {
    let data = data::page(report, plan, generation, census);
    let title = format!("{}: {:?}", report.scenario, report.audit.verdict);
    page(&title, &report.summary, &data, &[PLOTS, REPORT])
}

/// Renders the index over all reports of a data folder.
pub fn index_page(entries: &[&Entry], unreadable: Vec<Unreadable>) -> String {
    let shelf = index::shelf(entries, unreadable);
    let summary = format!("{} reports of {} scenarios", entries.len(), shelf.scenarios.len());
    page("dagstorm reports", &summary, &shelf, &[INDEX])
}

/// Renders two runs side by side.
pub fn comparison_page(comparison: &Comparison) -> String {
    let title = format!("{} compared with {}", comparison.after.name(), comparison.before.name());
    page(&title, &comparison.summary, &compared::compared(comparison), &[COMPARISON])
}

/// A page with its data in it. Its policy lets run just these scripts.
fn page(title: &str, summary: &str, data: &impl Serialize, scripts: &[&str]) -> String {
    let data = escaped_json(&serde_json::to_string(data).expect("a page's data has string keys only"));
    let digests: Vec<String> = scripts.iter().map(|script| digest(script)).collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digests.join(" "),
        digest(STYLE)
    );
    let scripts: Vec<String> = scripts.iter().map(|script| format!("<script>{script}</script>")).collect();
    fill(TEMPLATE, |name| match name {
        "title" => escaped_text(title),
        "policy" => policy.clone(),
        "style" => STYLE.to_owned(),
        "summary" => escaped_text(summary),
        "data" => data.clone(),
        "scripts" => scripts.join("\n"),
        other => unreachable!("page.html asks for {other}"),
    })
}

/// Replaces each `{{name}}` once; what is filled in is not looked at again.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("each name in page.html has its end");
        text.push_str(&value(name));
        text.push_str(rest);
    }
    text
}

/// JSON that no HTML parser reads as markup, whatever stands in its texts. Such characters stand in its texts only.
fn escaped_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            other => text.push(other),
        }
    }
    text
}

fn escaped_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How a policy names a script or a style.
fn digest(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}
