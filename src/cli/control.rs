//! `dagstorm halt`, `suspend` and `resume`: what is asked of whoever uses a data folder, now or later.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::{Exit, print};
use crate::{model::ScenarioName, operator::Controls};

/// Stop all arrivals, heal everything, and let nothing begin until it is lifted.
///
/// It holds for the operator that uses the data folder, also after a restart. A file named HALT in the folder of
/// manifests does the same. What was stopped starts anew when the halt is lifted, if it is still wanted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm halt --data data --reason 'incident 42'
  dagstorm halt --data data --lift")]
pub struct HaltArguments {
    #[command(flatten)]
    data: Data,
    /// Why, for those who read the status.
    #[arg(long, value_name = "TEXT", default_value = "asked for by `dagstorm halt`", conflicts_with = "lift")]
    reason: String,
    /// Take the halt back.
    #[arg(long)]
    lift: bool,
}

/// Stop one scenario and keep it from starting, without touching its manifest.
///
/// Its arrivals stop, its faults heal, its runs go on to their end. `dagstorm resume` lets it start anew.
#[derive(Debug, Args)]
pub struct SuspendArguments {
    #[command(flatten)]
    data: Data,
    /// The scenario's name.
    scenario: ScenarioName,
}

/// Let a scenario go on that `dagstorm suspend` stopped: it starts anew.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    #[command(flatten)]
    data: Data,
    /// The scenario's name.
    scenario: ScenarioName,
}

#[derive(Debug, Args)]
struct Data {
    /// The operator's data folder.
    #[arg(long, value_name = "DIR", env = "DAGSTORM_DATA")]
    data: PathBuf,
}

impl Data {
    fn controls(&self) -> anyhow::Result<Controls> {
        if !self.data.is_dir() {
            bail!("{} is no data folder", self.data.display());
        }
        Ok(Controls::new(&self.data, None))
    }

    fn failed(&self) -> String {
        format!("the data folder {} cannot be written", self.data.display())
    }
}

pub fn halt(arguments: &HaltArguments) -> anyhow::Result<Exit> {
    let controls = arguments.data.controls()?;
    if !arguments.lift {
        let path = controls.halt(&arguments.reason).with_context(|| arguments.data.failed())?;
        print(&format!("halted: {} is there until `dagstorm halt --lift`\n", path.display()))?;
        return Ok(Exit::Passed);
    }
    let was_halted = controls.lift().with_context(|| arguments.data.failed())?;
    print(if was_halted {
        "the halt is lifted (a HALT file in the folder of manifests would still count)\n"
    } else {
        "this data folder was not halted (a HALT file in the folder of manifests counts by itself)\n"
    })?;
    Ok(Exit::Passed)
}

pub fn suspend(arguments: &SuspendArguments) -> anyhow::Result<Exit> {
    let controls = arguments.data.controls()?;
    controls.suspend(&arguments.scenario).with_context(|| arguments.data.failed())?;
    print(&format!("{} is suspended until `dagstorm resume {}`\n", arguments.scenario, arguments.scenario))?;
    Ok(Exit::Passed)
}

pub fn resume(arguments: &ResumeArguments) -> anyhow::Result<Exit> {
    let controls = arguments.data.controls()?;
    let was_suspended = controls.resume(&arguments.scenario).with_context(|| arguments.data.failed())?;
    print(&if was_suspended {
        format!("{} goes on, unless its manifest says `suspend: true`\n", arguments.scenario)
    } else {
        format!("{} was not suspended by `dagstorm suspend`\n", arguments.scenario)
    })?;
    Ok(Exit::Passed)
}
