//! `dagstorm run`: some files, to their end.

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::sync::watch;

use super::{
    Exit,
    check::{self, Severity, check},
    draft::Wrong,
    files::Given,
    is_colored, logging,
    patience::Patience,
    print, progress, say,
    scenarios::{self, Ready},
    shutdown,
    validate::findings,
};
use crate::{
    model::{Span, Timestamp, Verdict},
    operator::{Keep, Options, serve},
    publish::{Folder, Judgement, Status},
    world::{Clock, LiveWorld, SystemClock, check_certificates},
};

/// A person who interrupts waits for the healing, and can interrupt once more.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Run scenarios to their end, with their progress: a ready-made one from flags, or those of some files.
///
/// The exit code is the verdict: 0 passed, 1 failed, 3 unknown; 2 for a bad flag or manifest, 4 when the target cannot
/// be used. A scenario whose run was interrupted is continued; one that was concluded is run once more.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    subcommand_value_name = "SCENARIO",
    subcommand_help_heading = "Ready-made scenarios (--help after one shows its flags)",
    override_usage = "dagstorm run [OPTIONS] <FILE>...\n       dagstorm run <SCENARIO> [FLAGS]",
    after_help = "Examples:
  dagstorm run target.yaml scenario.yaml
  dagstorm run steady-load --target target.yaml --rate 6/min --for 5m --mix fast_job=70,slow_job=30
  dagstorm run burst-load --print > scenario.yaml"
)]
pub struct Arguments {
    #[command(subcommand)]
    ready: Option<Ready>,
    /// Manifests: at least one Scenario, and its Target in the same or in another file.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where status, reports and the journal are kept.
    #[arg(
        long,
        value_name = "DIR",
        env = "DAGSTORM_DATA",
        default_value = "dagstorm-data",
        global = true,
        display_order = 900
    )]
    data: PathBuf,
    /// Give up when no scenario could start for this long, or none can reach Dagster any more when its time is over.
    #[arg(long, value_name = "DURATION", default_value = "2m", global = true, display_order = 900)]
    start_timeout: Span,
}

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    let given = match &arguments.ready {
        Some(ready) => match ready.build() {
            Ok(built) if built.is_printed => {
                print(&built.text)?;
                return Ok(Exit::Passed);
            }
            Ok(built) => {
                built.notes.iter().for_each(|note| say(note));
                built.given
            }
            Err(wrong) => {
                wrong.iter().for_each(Wrong::say);
                return Ok(Exit::Usage);
            }
        },
        None => match read(&arguments.files) {
            Some(given) => given,
            None => return Ok(Exit::Usage),
        },
    };
    check_certificates()?;
    std::fs::create_dir_all(&arguments.data)
        .and_then(|()| logging::to_file(&arguments.data.join("run.log")))
        .with_context(|| format!("the data folder {} cannot be used", arguments.data.display()))?;
    let began = SystemClock.now();
    let (stop, stopped) = watch::channel(false);
    forward(shutdown()?, stop.clone());
    let options = Options {
        source: given.into_source(),
        data: arguments.data,
        standby: false,
        stop_within: STOP_WITHIN,
        keep: Keep::default(),
    };
    let mut started = None;
    let statuses = serve(LiveWorld::default, options, stopped, |folder| {
        give_up(folder.clone(), arguments.start_timeout.duration(), stop);
        started = Some((progress::start(folder.clone()), folder));
    })
    .await?;
    let (display, folder) = started.context("the operator did not start")?;
    display.finish().await;
    summarize(&folder, &statuses, began)
}

/// What to say of a command line that clap refuses.
pub struct Hint {
    pub message: String,
    /// It says all: what clap says of the flags would contradict it.
    pub is_instead: bool,
}

/// A ready-made scenario that is misspelt has no flags; one that is not takes no files.
pub fn hint(arguments: &[OsString]) -> Option<Hint> {
    let [_, command, word, ..] = arguments else { return None };
    if command != "run" || Path::new(word).exists() {
        return None;
    }
    let word = word.to_str().filter(|word| !word.starts_with('-'))?;
    Some(Hint { message: scenarios::unknown(word)?, is_instead: !scenarios::is_ready(word) })
}

/// The given files, if they are good and there is something to run; says what is wrong otherwise.
fn read(files: &[PathBuf]) -> Option<Given> {
    let is_absent = |file: &&PathBuf| !file.exists();
    let unknown = files.iter().filter(is_absent).find_map(|file| scenarios::unknown(&file.to_string_lossy()));
    if let Some(message) = unknown {
        say(&message);
        return None;
    }
    let given = Given::read(files);
    (!refuse(&given)).then_some(given)
}

/// Checks everything before anything is sent; says what is wrong.
fn refuse(given: &Given) -> bool {
    let checked = check(given);
    let wrong = findings(&checked, Severity::Blocker, is_colored(&std::io::stderr()));
    let _ = write!(anstream::stderr(), "{wrong}");
    let is_good = checked.iter().flat_map(|file| &file.documents).all(|document| document.is_good(Severity::Blocker));
    if is_good && check::scenarios(given).is_empty() {
        say("no Scenario is in these files: there is nothing to run");
        return true;
    }
    let scenarios = check::scenarios(given);
    let suspended = scenarios.iter().find(|(scenario, _)| is_good && scenario.suspend);
    if let Some((scenario, _)) = suspended {
        say(&format!("Scenario `{}` says `suspend: true`: set it to false to run it", scenario.name));
        return true;
    }
    !is_good
}

fn forward(mut from: watch::Receiver<bool>, to: watch::Sender<bool>) {
    tokio::spawn(async move {
        if from.changed().await.is_ok() {
            to.send_replace(true);
        }
    });
}

/// Stops everything when no scenario gets anywhere any more.
fn give_up(folder: Folder, timeout: Duration, stop: watch::Sender<bool>) {
    tokio::spawn(async move {
        let mut patience = Patience::new(timeout);
        while !patience.is_over(&folder.latest(), SystemClock.now()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stop.send_replace(true);
    });
}

fn summarize(folder: &Folder, statuses: &[Status], began: Timestamp) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout();
    let mut worst = Exit::Passed;
    for status in statuses {
        let (name, body) = (&status.metadata.name, &status.status);
        // A verdict of an earlier run is none of this one.
        let is_own = body.history.first().is_some_and(|last| last.concluded_at >= began) && !status.is_stalled();
        let audit = body.audit.as_ref().and_then(Judgement::conclusion).filter(|_| is_own);
        let (exit, message) = match audit {
            Some(audit) => (exit(audit.verdict), audit.message.clone()),
            None => unfinished(status),
        };
        let _ = writeln!(out, "\n{name}: {} — {message}", body.phase);
        if let Some(audit) = audit {
            for line in audit.findings.iter().chain(&audit.gaps).chain(&audit.recoveries) {
                let _ = writeln!(out, "  - {line}");
            }
        }
        if let (Some(_), Some(generation)) = (audit.and_then(|audit| audit.counts.as_ref()), &body.observed_generation)
            && let Some(report) = folder.report_folder(name, generation)
        {
            let _ = writeln!(out, "  report: {}", report.join("report.html").display());
        }
        worst = worse(worst, exit);
    }
    Ok(worst)
}

fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::Failed,
        Verdict::Unknown | Verdict::Stopped => Exit::Unknown,
    }
}

/// Without a verdict: because the target could not be used, or because it was interrupted.
fn unfinished(status: &Status) -> (Exit, String) {
    match status.trouble() {
        Some(condition) => (Exit::Environment, format!("{}: {}", condition.reason, condition.message)),
        None => (Exit::Unknown, "interrupted before its end; run it again to continue".to_owned()),
    }
}

/// Failed is worse than an unusable environment, that worse than unknown.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Passed => 0,
        Exit::Unknown => 1,
        Exit::Environment => 2,
        Exit::Usage => 3,
        Exit::Failed => 4,
    };
    if rank(b) > rank(a) { b } else { a }
}
