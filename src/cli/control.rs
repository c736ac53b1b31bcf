//! `dagstorm halt`, `suspend` and `resume`: what is asked of whoever uses a data folder, now or later.

use anyhow::Context;
use clap::Args;

use super::{
    Exit,
    known::{Data, who},
    print, say,
};
use crate::{model::ScenarioName, operator::Controls};

/// Stop all arrivals, heal everything, and let nothing begin until it is lifted.
///
/// It holds for the operator that uses the data folder, also after a restart. A file named HALT in the folder of
/// manifests does the same. What was stopped starts anew when the halt is lifted, if it is still wanted. Who asked, why and
/// since when stands in every status, in `events.jsonl` and in `dagstorm top`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm halt --data data --reason 'incident 42'
  dagstorm halt --data data --lift")]
pub struct HaltArguments {
    #[command(flatten)]
    data: Data,
    /// Why, for those who read the status.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, conflicts_with = "lift")]
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
    /// Also a scenario that is not there yet: it will not start when it comes.
    #[arg(long)]
    allow_unknown: bool,
}

/// Let a scenario go on that `dagstorm suspend` stopped: it starts anew.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    #[command(flatten)]
    data: Data,
    /// The scenario's name.
    scenario: ScenarioName,
}

fn controls(data: &Data) -> anyhow::Result<Controls> {
    Ok(Controls::new(data.folder()?, None))
}

pub fn halt(arguments: &HaltArguments) -> anyhow::Result<Exit> {
    let controls = controls(&arguments.data)?;
    if !arguments.lift {
        let path = controls.halt(&arguments.reason, &who()).with_context(|| arguments.data.failed())?;
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
    let controls = controls(&arguments.data)?;
    if !arguments.allow_unknown
        && let Some(message) = arguments.data.unknown(&arguments.scenario)?
    {
        say(&format!("{message}; --allow-unknown suspends one that comes later"));
        return Ok(Exit::Usage);
    }
    controls.suspend(&arguments.scenario, &who()).with_context(|| arguments.data.failed())?;
    print(&format!("{} is suspended until `dagstorm resume {}`\n", arguments.scenario, arguments.scenario))?;
    Ok(Exit::Passed)
}

pub fn resume(arguments: &ResumeArguments) -> anyhow::Result<Exit> {
    let controls = controls(&arguments.data)?;
    let was_suspended = controls.resume(&arguments.scenario).with_context(|| arguments.data.failed())?;
    if !was_suspended && let Some(message) = arguments.data.unknown(&arguments.scenario)? {
        say(&message);
        return Ok(Exit::Usage);
    }
    print(&if was_suspended {
        format!("{} goes on, unless its manifest says `suspend: true`\n", arguments.scenario)
    } else {
        format!("{} was not suspended by `dagstorm suspend`\n", arguments.scenario)
    })?;
    Ok(Exit::Passed)
}
