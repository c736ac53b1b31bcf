//! `dagstorm operator`: follows a folder until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgAction, Args, ValueEnum, builder::FalseyValueParser};

use super::{Exit, logging, progress, shutdown};
use crate::{
    model::Span,
    operator::{Following, Keep, Options, Source, Watch, serve},
    world::{LiveWorld, check_certificates},
};

/// Watch a folder of manifests and make them come true, until SIGTERM.
///
/// Every change of a file is followed; status, reports and the journal are written to the data folder. Log lines are
/// JSON on stderr (DAGSTORM_LOG chooses the level, as in `DAGSTORM_LOG=debug`).
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder of Target and Scenario manifests (*.yaml, *.yml, *.json).
    #[arg(long, value_name = "DIR", env = "DAGSTORM_MANIFESTS")]
    manifests: PathBuf,
    /// Where status, reports and the journal are kept; never inside the folder of manifests.
    #[arg(long, value_name = "DIR", env = "DAGSTORM_DATA")]
    data: PathBuf,
    /// How changes are noticed: by the system's notifications and by polling, or by polling alone.
    #[arg(long, value_name = "HOW", env = "DAGSTORM_WATCH", default_value = "auto")]
    watch: Watching,
    /// Read the folder this often in any case (EFS and NFS give no notifications); 100ms to 10m.
    #[arg(long, value_name = "DURATION", env = "DAGSTORM_POLL_INTERVAL", default_value = "2s", value_parser = interval)]
    poll_interval: Span,
    /// Delete all scenarios when the folder is there but holds no manifest any more; without, that changes nothing.
    #[arg(long, env = "DAGSTORM_PRUNE_EMPTY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    prune_empty: bool,
    /// End with 4 when another dagstorm holds the data folder; without, stand by and take over when that one is gone.
    #[arg(long, env = "DAGSTORM_NO_STANDBY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    no_standby: bool,
    /// How long a shutdown may take to heal all faults and to wait for answers; less than the container's `stopTimeout`
    /// (30 s by default in ECS, 120 s at most).
    #[arg(long, value_name = "DURATION", env = "DAGSTORM_STOP_TIMEOUT", default_value = "25s")]
    stop_timeout: Span,
    /// Keep this many reports of each scenario; older ones are removed. The last verdict of a scenario always stays.
    #[arg(long, value_name = "NUMBER", env = "DAGSTORM_KEEP_REPORTS")]
    keep_reports: Option<usize>,
    /// Keep reports for so long, as in 30d. The last verdict of a scenario always stays.
    #[arg(long, value_name = "AGE", env = "DAGSTORM_KEEP_REPORTS_FOR")]
    keep_reports_for: Option<Span>,
    /// Show the scenarios' progress on stdout; log lines go to `operator.log` in the data folder then.
    #[arg(long)]
    progress: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Watching {
    Auto,
    Poll,
}

fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    let (least, most) = (Span::from_millis(100), Span::from_secs(600));
    if (least..=most).contains(&span) { Ok(span) } else { Err(format!("it must be from {least} to {most}")) }
}

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    if arguments.progress {
        std::fs::create_dir_all(&arguments.data)
            .and_then(|()| logging::to_file(&arguments.data.join("operator.log")))
            .with_context(|| format!("the data folder {} cannot be used", arguments.data.display()))?;
    } else {
        logging::to_stderr();
    }
    check_certificates()?;
    let shutdown = shutdown()?;
    let following = Following {
        root: arguments.manifests,
        watch: match arguments.watch {
            Watching::Auto => Watch::Auto,
            Watching::Poll => Watch::Poll,
        },
        poll_interval: arguments.poll_interval.duration(),
        prune_empty: arguments.prune_empty,
    };
    let options = Options {
        source: Source::Folder(following),
        data: arguments.data,
        standby: !arguments.no_standby,
        stop_within: arguments.stop_timeout.duration(),
        keep: Keep { number: arguments.keep_reports, age: arguments.keep_reports_for.map(Span::duration) },
    };
    let mut display = None;
    let served = serve(LiveWorld::default, options, shutdown, |folder| {
        display = arguments.progress.then(|| progress::start(folder));
    })
    .await;
    if let Some(display) = display {
        display.finish().await;
    }
    served?;
    Ok(Exit::Passed)
}
