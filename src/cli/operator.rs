//! `dagstorm operator`: follows a folder until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Exit, logging, progress, shutdown};
use crate::{
    operator::{Options, Source, serve},
    world::LiveWorld,
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
    /// Show the scenarios' progress on stdout; log lines go to `operator.log` in the data folder then.
    #[arg(long)]
    progress: bool,
}

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    if arguments.progress {
        std::fs::create_dir_all(&arguments.data)
            .and_then(|()| logging::to_file(&arguments.data.join("operator.log")))
            .with_context(|| format!("the data folder {} cannot be used", arguments.data.display()))?;
    } else {
        logging::to_stderr();
    }
    let shutdown = shutdown()?;
    let options = Options { source: Source::Folder(arguments.manifests), data: arguments.data };
    let mut display = None;
    let served = serve(LiveWorld::default(), options, shutdown, |folder| {
        display = arguments.progress.then(|| progress::start(folder));
    })
    .await;
    if let Some(display) = display {
        display.finish().await;
    }
    served?;
    Ok(Exit::Passed)
}
