//! `report.html`: one file that needs nothing else, neither a network nor a build. Pure.
//!
//! The page is `page.html` with its style, its scripts and the data in it. All text that is not ours (names, messages, ids) is
//! in the data, a block of JSON that runs nothing; the scripts make it text, never markup. The policy in the page lets run
//! just the scripts whose digests it names, and lets nothing be fetched.

mod columns;
mod data;
mod delays;
mod lanes;
mod series;
#[cfg(test)]
mod tests;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::report::Report;
use crate::{journal::Generation, model::Census, plan::Plan};

const TEMPLATE: &str = include_str!("page.html");
const PLOTS: &str = include_str!("vendor/uPlot.iife.min.js");
const STYLE: &str = concat!(include_str!("vendor/uPlot.min.css"), include_str!("style.css"));
/// In the order in which they run.
const SCRIPT: &str = concat!(
    include_str!("base.js"),
    include_str!("table.js"),
    include_str!("verdict.js"),
    include_str!("plots.js"),
    include_str!("story.js"),
    include_str!("lanes.js"),
    include_str!("keys.js"),
    include_str!("main.js"),
);

/// Renders a report as a page of its own.
pub fn html(report: &Report, plan: &Plan, generation: &Generation, census: &Census) -> String {
    let data = data::page(report, plan, generation, census);
    let data = escaped_json(&serde_json::to_string(&data).expect("a page's data has string keys only"));
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(PLOTS),
        digest(SCRIPT),
        digest(STYLE)
    );
    let title = format!("{}: {:?}", report.scenario, report.audit.verdict);
    fill(TEMPLATE, |name| match name {
        "title" => escaped_text(&title),
        "policy" => policy.clone(),
        "style" => STYLE.to_owned(),
        "summary" => escaped_text(&report.summary),
        "data" => data.clone(),
        "plots" => PLOTS.to_owned(),
        "script" => SCRIPT.to_owned(),
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
