//! `dagstorm audit`: computes a verdict again, from its history alone.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{Exit, Output, print_as, say};
use crate::{
    audit::{Audit, audit_generation},
    journal::State,
    model::{Census, CensusQuery, GenerationId, ScenarioName, Seen, Verdict, Why},
    publish::{
        fold,
        history::{self, History},
        html, report, write_atomically,
    },
    world::{LiveWorld, World},
};

/// A history is read in pieces of so many bytes.
const BUFFER: usize = 1 << 20;
/// How many lines of a list are printed.
const MOST_LINES: usize = 20;

/// Compute a verdict again from the history of a run, on any machine, years later.
///
/// `history.jsonl` stands beside each report. It holds what dagstorm wrote down and what Dagster told; nothing else is
/// read. What is computed is compared with what was found then.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 passed, 1 failed or not what was found then, 2 no history, 3 unknown.

Example:
  dagstorm audit data/reports/nightly/3f2a9c41d0b7-1/history.jsonl
  dagstorm audit data/reports/nightly/3f2a9c41d0b7-1 --ask-again
  dagstorm audit history.jsonl --html report.html")]
pub struct Arguments {
    /// The history, or the folder of a report.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Ask Dagster and the workers' records again, as they are now: what came after the verdict shows.
    #[arg(long)]
    ask_again: bool,
    /// Also write the report as a page, as `report.html` is: one file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Again {
    scenario: ScenarioName,
    generation: GenerationId,
    summary: String,
    /// Whether all of it is what was found then; `None`: the history has no end.
    same: Option<bool>,
    #[serde(flatten)]
    audit: Audit,
}

pub async fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let file = if arguments.file.is_dir() { arguments.file.join("history.jsonl") } else { arguments.file.clone() };
    let source = match File::open(&file) {
        Ok(source) => BufReader::with_capacity(BUFFER, source),
        Err(error) => return Ok(no_history(&file, &error)),
    };
    let mut history = match history::read(source) {
        Ok(history) => history,
        Err(error) => return Ok(no_history(&file, &error)),
    };
    if arguments.ask_again {
        history.census = match ask(&history).await {
            Ok(census) => census,
            Err(why) => {
                say(&format!("the records cannot be read again: {why}"));
                return Ok(Exit::Environment);
            }
        };
    }
    let audit = audit_generation(&history.plan, &history.generation, &history.census);
    let same = history.recorded.as_ref().map(|recorded| *recorded == history::found(&audit));
    if let Some(page) = &arguments.html {
        let text = page_of(&history, &audit);
        write_atomically(page, text.as_bytes()).with_context(|| format!("{} cannot be written", page.display()))?;
    }
    let again = Again {
        scenario: history.plan.scenario.clone(),
        generation: history.plan.generation,
        summary: fold::sentence(&audit),
        same,
        audit,
    };
    print_as(arguments.output, &again, || table(&again)).context("the result cannot be written")?;
    match same {
        Some(true) => {}
        Some(false) => say(&format!("{}: this is not what was found when it was written", file.display())),
        None => say(&format!("{}: it has no end, so nothing can be compared", file.display())),
    }
    Ok(match again.audit.verdict {
        _ if same == Some(false) => Exit::Failed,
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::Failed,
        Verdict::Unknown | Verdict::Stopped => Exit::Unknown,
    })
}

/// The page of a report, of which nothing is left but its history. What came before this generation is not in it.
fn page_of(history: &History, audit: &Audit) -> String {
    let History { plan, generation, census, recorded: _ } = history;
    html(&report(plan, &State::default(), generation, census, audit), plan, generation, census)
}

/// Takes a census of the same generation, where it was taken then.
async fn ask(history: &History) -> Result<Census, Why> {
    let query = CensusQuery {
        scenario: history.plan.scenario.clone(),
        generation: history.plan.generation.clone(),
        spool: None,
    };
    match LiveWorld::default().census(&history.generation.target, &query).await {
        Seen::Fresh(census) => Ok(census),
        Seen::Unavailable(why) => Err(why),
    }
}

fn no_history(file: &Path, error: &dyn std::error::Error) -> Exit {
    say(&format!("{}: {error}", file.display()));
    Exit::Usage
}

fn table(again: &Again) -> String {
    let mut text = format!("{}/{}: {:?} — {}\n", again.scenario, again.generation, again.audit.verdict, again.summary);
    list(&mut text, "- ", &fold::findings(&again.audit.findings));
    for result in &again.audit.thresholds {
        let value = result.value.as_deref().unwrap_or("nothing");
        let holds = match result.holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "not known",
        };
        text.push_str(&format!("  threshold {}: {value}, {holds}\n", result.threshold));
    }
    let gaps = &again.audit.gaps;
    let folded = fold::fold(gaps.iter().map(|gap| (gap.reason, gap.message.as_str())));
    let told = folded.into_iter().map(|folded| format!("{}: {}", gaps[folded.places[0]].reason, folded.message));
    list(&mut text, "not proved, ", &told.collect::<Vec<_>>());
    if again.same == Some(true) {
        text.push_str("  the same as was found then\n");
    }
    text
}

/// The first lines, and how many more there are.
fn list(text: &mut String, mark: &str, lines: &[String]) {
    for line in lines.iter().take(MOST_LINES) {
        text.push_str(&format!("  {mark}{line}\n"));
    }
    if let more @ 1.. = lines.len().saturating_sub(MOST_LINES) {
        text.push_str(&format!("  … and {more} more (-o json has all)\n"));
    }
}
