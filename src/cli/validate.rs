//! `dagstorm validate`: everything that is wrong with some manifests, without touching anything.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Exit, Output,
    check::{CheckedFile, Finding, Severity, check},
    files::Given,
    is_colored, plan, print_as,
};
use crate::model::ScenarioName;

/// Check manifests: syntax, fields, values, and how they fit together. Nothing is contacted without `--online`.
///
/// Every error of every file is shown with its place. What is good and may still surprise is a warning and does not
/// change the exit code, unless `--strict` is given: 0 when all are good, 2 when one is bad or none was found, 4 when
/// `--online` finds a Dagster that cannot be used as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm validate manifests/
  dagstorm validate scenario.yaml target.yaml
  dagstorm validate --strict manifests/
  dagstorm run burst-load --print | dagstorm validate -
  dagstorm validate --online manifests/
  dagstorm validate -o json manifests/ | jq '.files[].errors'")]
pub struct Arguments {
    /// Files, folders (searched as the operator does), or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// How the result is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// Ask the Dagster of each Target too: its code location, the jobs and their run configs, the right to launch them.
    #[arg(long)]
    online: bool,
}

pub async fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let given = Given::read(&arguments.paths);
    let checked = check(&given);
    let least = if arguments.strict { Severity::Warning } else { Severity::Error };
    let tally = Tally::of(&checked, least);
    let asked = if arguments.online { plan::ask_dagster(&given).await } else { vec![] };
    let mut value = value(&checked, &tally, least);
    if arguments.online {
        value["targets"] = asked.iter().map(Asked::value).collect();
    }
    print_as(arguments.output, &value, || {
        let findings = findings(&checked, least, is_colored(&std::io::stdout()));
        let asked: String = asked.iter().map(ToString::to_string).collect();
        format!("{findings}{asked}{tally}\n")
    })?;
    Ok(match (tally.is_good(), asked.iter().all(Asked::is_good)) {
        (false, _) => Exit::Usage,
        (true, false) => Exit::Environment,
        (true, true) => Exit::Passed,
    })
}

/// What the Dagster of a Target says of what is launched there.
pub struct Asked {
    pub target: ScenarioName,
    /// Why launches would be refused, or why Dagster could not be asked.
    pub problems: Vec<String>,
    /// What may surprise.
    pub notes: Vec<String>,
}

impl Asked {
    fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn value(&self) -> Value {
        json!({ "name": self.target, "problems": self.problems, "notes": self.notes })
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let marked = self.problems.iter().map(|one| ('✗', one)).chain(self.notes.iter().map(|one| ('!', one)));
        marked.into_iter().try_for_each(|(mark, text)| writeln!(f, "{mark} target {}: {text}", self.target))
    }
}

/// So many findings are shown to people.
const MOST_SHOWN: usize = 200;

/// The findings with their lines, the first of them. Those of `as_errors` and worse are shown as errors, the others as warnings.
pub fn findings(checked: &[CheckedFile<'_>], as_errors: Severity, color: bool) -> String {
    let mut out = String::new();
    for (file, finding) in each(checked).take(MOST_SHOWN) {
        let text = if finding.severity >= as_errors {
            finding.error.render(file.file.text(), color)
        } else {
            finding.error.render_warning(file.file.text(), color)
        };
        let _ = writeln!(out, "{text}\n");
    }
    let more = each(checked).count().saturating_sub(MOST_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "… and {more} more; `dagstorm validate -o json` lists all\n");
    }
    out
}

fn each<'a>(checked: &'a [CheckedFile<'a>]) -> impl Iterator<Item = (&'a CheckedFile<'a>, &'a Finding)> {
    checked.iter().flat_map(|file| {
        let findings = file.documents.iter().flat_map(|document| &document.findings);
        findings.map(move |finding| (file, finding))
    })
}

/// How many were good.
struct Tally {
    files: usize,
    good: usize,
    bad: usize,
    warnings: usize,
}

impl Tally {
    /// Findings of `least` and worse make a manifest bad.
    fn of(checked: &[CheckedFile<'_>], least: Severity) -> Self {
        let documents = || checked.iter().flat_map(|file| &file.documents);
        let good = documents().filter(|document| document.is_good(least)).count();
        let warnings = each(checked).filter(|(_, finding)| finding.severity < least).count();
        Self { files: checked.len(), good, bad: documents().count() - good, warnings }
    }

    fn is_good(&self) -> bool {
        self.bad == 0 && self.good > 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let (files, manifests) = (counted(self.files, "file"), counted(self.good + self.bad, "manifest"));
        match (self.good + self.bad, self.warnings) {
            (0, _) => write!(f, "{files}: no manifest in there"),
            (_, 0) => write!(f, "{files}, {manifests}: {} good, {} bad", self.good, self.bad),
            (_, warnings) => {
                let warnings = counted(warnings, "warning");
                write!(f, "{files}, {manifests}: {} good, {} bad, {warnings}", self.good, self.bad)
            }
        }
    }
}

fn value(checked: &[CheckedFile<'_>], tally: &Tally, least: Severity) -> Value {
    let files: Vec<Value> = checked.iter().map(|file| file_value(file, least)).collect();
    json!({ "files": files, "good": tally.good, "bad": tally.bad })
}

fn file_value(checked: &CheckedFile<'_>, least: Severity) -> Value {
    let select = |is_error: bool| -> Vec<Value> {
        let findings = checked.documents.iter().flat_map(|document| &document.findings);
        findings.filter(|finding| (finding.severity >= least) == is_error).map(finding_value).collect()
    };
    // What could not be read at all is no manifest of the file.
    let documents = checked.documents.iter().filter(|_| checked.file.content.is_ok());
    let manifests: Vec<Value> =
        documents.map(|each| json!({ "kind": each.document.kind, "name": each.document.name })).collect();
    json!({ "file": checked.file.name, "manifests": manifests, "errors": select(true), "warnings": select(false) })
}

fn finding_value(finding: &Finding) -> Value {
    let error = &finding.error;
    json!({
        "line": error.place.line,
        "column": error.place.column,
        "length": error.place.length,
        "path": error.path,
        "message": error.message,
        "help": error.help,
    })
}
