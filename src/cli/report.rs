//! `dagstorm report`: what was proved, on a terminal; and two runs side by side.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{Exit, print, say};
use crate::{
    model::{Timestamp, Verdict},
    publish::{
        compare::{self, Measured, Outcome, Side, Tolerance},
        comparison_page, history,
        recorded::{self, Recorded},
        summary, write_atomically, write_index,
    },
};

const REPORT: &str = "report.json";

/// Show the report of a run, or compare two of them.
///
/// Without a name it is the latest one of the data folder. With --compare it says what broke from A to B, what got slower
/// beyond the tolerance and by more than chance, what got better, and first of all what differs in the set-up.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 passed, 1 failed, 2 no report, 3 unknown. With --compare: 0 nothing is worse,
1 something broke or got slower, 2 no report, 3 one of the two has no proof (and nothing that is known got worse).

Examples:
  dagstorm report
  dagstorm report nightly --data data
  dagstorm report nightly/3f2a9c41d0b7-1 -o json | jq .counts
  dagstorm report --compare nightly/3f2a9c41d0b7-1 nightly/3f2a9c41d0b7-2
  dagstorm report --compare before/report.json after/ --tolerance 20% -o markdown > comment.md
  dagstorm report --compare before/ after/ --html comparison.html
  dagstorm report --index --data data")]
pub struct Arguments {
    /// A scenario (its latest generation), `scenario/generation`, a report's folder, or a report.json.
    #[arg(value_name = "RUN", conflicts_with = "compare")]
    run: Option<String>,
    /// Write the page over all reports again, `reports/index.html`. Each new report does so too; after you have removed
    /// reports, this brings the page up to date.
    #[arg(long, conflicts_with_all = ["run", "compare"])]
    index: bool,
    /// Compare A (before) with B (after); each is named as RUN is.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    compare: Option<Vec<String>>,
    /// How much slower is not yet slower, as a share of what was before.
    #[arg(long, value_name = "PERCENT", default_value = "10%", requires = "compare")]
    tolerance: Tolerance,
    /// Also write the comparison as a page: one file that needs nothing else.
    #[arg(long, value_name = "FILE", requires = "compare")]
    html: Option<PathBuf>,
    /// The data folder in which scenarios are looked for.
    #[arg(long, value_name = "DIR", env = "DAGSTORM_DATA", default_value = "dagstorm-data")]
    data: PathBuf,
    /// How the result is written.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// As everywhere, and for a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For programs.
    Json,
    /// The same fields as JSON.
    Yaml,
    /// For a pull request.
    Markdown,
}

pub fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let found = match &arguments.compare {
        Some(both) => compare_both(arguments, both),
        None if arguments.index => index(&arguments.data.join("reports")),
        None => show(arguments),
    };
    match found {
        Ok(exit) => Ok(exit),
        Err(Failure::NoReport(message)) => {
            say(&message);
            Ok(Exit::Usage)
        }
        Err(Failure::Unwritable(error)) => Err(error.context("the result cannot be written")),
    }
}

enum Failure {
    /// What was asked for is not there or no report.
    NoReport(String),
    Unwritable(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unwritable(error)
    }
}

/// A report where it lies.
struct Found {
    file: PathBuf,
    text: String,
    report: Recorded,
}

fn show(arguments: &Arguments) -> Result<Exit, Failure> {
    let Found { file, text, report } = find(arguments.run.as_deref(), &arguments.data)?;
    let folder = folder_of(&file);
    match arguments.output {
        Format::Table => print(&summary(&report, &folder.display().to_string(), &files(folder)?))?,
        Format::Markdown => {
            let path = folder.join("report.md");
            print(&fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?)?;
        }
        Format::Json => print(&format!("{}\n", text.trim_end()))?,
        Format::Yaml => {
            let value: serde_json::Value = serde_json::from_str(&text).context("a report is JSON")?;
            print(&serde_saphyr::to_string(&value).context("a report has string keys only")?)?;
        }
    }
    Ok(match report.verdict {
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::Failed,
        Verdict::Unknown | Verdict::Stopped => Exit::Unknown,
    })
}

fn index(reports: &Path) -> Result<Exit, Failure> {
    if !reports.is_dir() {
        return Err(Failure::NoReport(format!(
            "{}: there is no such folder: name the data folder with --data",
            reports.display()
        )));
    }
    let page = write_index(reports).with_context(|| format!("the index of {} cannot be written", reports.display()))?;
    print(&format!("{}\n", page.display()))?;
    Ok(Exit::Passed)
}

fn compare_both(arguments: &Arguments, both: &[String]) -> Result<Exit, Failure> {
    let side = |run: &String| -> Result<Side, Failure> {
        let found = find(Some(run), &arguments.data)?;
        Ok(Side { measured: measured(&found)?, report: found.report })
    };
    let [before, after] = both else {
        return Err(Failure::NoReport("--compare takes two runs".to_owned()));
    };
    let comparison = compare::compare(&side(before)?, &side(after)?, arguments.tolerance);
    if let Some(page) = &arguments.html {
        let written = write_atomically(page, comparison_page(&comparison).as_bytes());
        written.with_context(|| format!("{} cannot be written", page.display()))?;
    }
    match arguments.output {
        Format::Table => print(&compare::table(&comparison))?,
        Format::Markdown => print(&compare::markdown(&comparison))?,
        Format::Json => {
            print(&format!("{}\n", serde_json::to_string_pretty(&comparison).context("it has string keys only")?))?;
        }
        Format::Yaml => print(&serde_saphyr::to_string(&comparison).context("it has string keys only")?)?,
    }
    Ok(match comparison.outcome {
        Outcome::NothingWorse => Exit::Passed,
        Outcome::Worse => Exit::Failed,
        Outcome::Unknown => Exit::Unknown,
    })
}

/// What was measured, from the best of the files beside a report. One that is there and cannot be used is said.
fn measured(found: &Found) -> Result<Measured, Failure> {
    let folder = folder_of(&found.file);
    let (history, keys) = (folder.join("history.jsonl"), folder.join("keys.csv"));
    match File::open(&history).map(|file| history::read(BufReader::new(file))) {
        Ok(Ok(read)) if read.generation.id == found.report.generation => return Ok(compare::of_history(&read)),
        Ok(Ok(_)) => say(&format!("{}: it is of another generation, and is passed over", history.display())),
        Ok(Err(error)) => say(&format!("{}: {error}; it is passed over", history.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&history, &error)),
    }
    match fs::read_to_string(&keys).map(|text| compare::of_keys(&text)) {
        Ok(Ok(measured)) => Ok(measured),
        Ok(Err(error)) => Err(Failure::NoReport(format!("{}: {error}", keys.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Measured::nothing()),
        Err(error) => Err(unreadable(&keys, &error)),
    }
}

/// Finds a report: by its scenario in the data folder, or by its path.
fn find(run: Option<&str>, data: &Path) -> Result<Found, Failure> {
    let reports = data.join("reports");
    let Some(run) = run else {
        let mut generations = vec![];
        for scenario in folders(&reports)? {
            generations.extend(folders(&scenario)?);
        }
        let message = || format!("no report is in {}: name one, or the data folder with --data", reports.display());
        return latest(generations)?.ok_or_else(|| Failure::NoReport(message()));
    };
    // A scenario of the data folder comes first; `./name` is a path in any case.
    let named = reports.join(run);
    let is_name = run.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let path = if is_name && named.is_dir() { named } else { PathBuf::from(run) };
    if path.is_file() {
        return read(path);
    }
    if path.join(REPORT).is_file() {
        return read(path.join(REPORT));
    }
    if let Some(found) = latest(folders(&path)?)? {
        return Ok(found);
    }
    Err(Failure::NoReport(nothing(run, &reports)?))
}

/// What to say of a name behind which no report is.
fn nothing(run: &str, reports: &Path) -> Result<String, Failure> {
    let names = |folder: &Path| -> Result<Vec<String>, Failure> {
        Ok(folders(folder)?.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    };
    let scenario = run.split('/').next().unwrap_or(run);
    let (scenarios, generations) = (names(reports)?, names(&reports.join(scenario))?);
    let known = match (scenarios.contains(&scenario.to_owned()), generations.is_empty(), scenarios.is_empty()) {
        (true, false, _) => format!("; generations of {scenario}: {}", generations.join(", ")),
        (_, _, false) => format!("; scenarios in {}: {}", reports.display(), scenarios.join(", ")),
        (_, _, true) => format!(", and no report is in {}", reports.display()),
    };
    Ok(format!("`{run}` is neither a scenario nor a report{known}"))
}

/// The report that was audited last; folders without one are passed over: it is written when all else is.
fn latest(folders: Vec<PathBuf>) -> Result<Option<Found>, Failure> {
    let mut latest: Option<Found> = None;
    for folder in folders {
        let file = folder.join(REPORT);
        if !file.is_file() {
            continue;
        }
        let found = read(file)?;
        let order = |found: &Found| -> (Timestamp, PathBuf) { (found.report.census_at, found.file.clone()) };
        if latest.as_ref().is_none_or(|latest| order(&found) > order(latest)) {
            latest = Some(found);
        }
    }
    Ok(latest)
}

fn read(file: PathBuf) -> Result<Found, Failure> {
    let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
    match recorded::read(&text) {
        Ok(report) => Ok(Found { file, text, report }),
        Err(error) => Err(Failure::NoReport(format!("{}: {error}", file.display()))),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::NoReport(format!("{}: {error}", path.display()))
}

/// The folders in a folder, by name; none where there is no such folder.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(listed(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The names of the files in a folder; hidden ones are being written.
fn files(folder: &Path) -> Result<Vec<String>, Failure> {
    let files = listed(folder)?.into_iter().filter(|path| path.is_file());
    let names = files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => vec![],
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
