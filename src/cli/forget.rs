//! `dagstorm forget`: nothing stays of a scenario that was deleted.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use super::{
    Exit,
    known::{Data, who},
    print, say,
};
use crate::{
    journal::{FileStore, Store},
    model::{Phase, ScenarioName, lane},
    operator::{Controls, Lease, LeaseError, may_be_forgotten, read_memory, write_memory},
};

/// An operator is waited for so long.
const WITHIN: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(100);

/// Remove the status, the reports and the journal of a scenario that is deleted from the folder of manifests.
///
/// It is refused while a manifest names the scenario, while something of it is under way, and while a fault of it is open.
/// An operator that uses the data folder does it itself; it need not be stopped. What stands in Dagster stays.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it is forgotten, 2 it is refused, 4 the data folder cannot be used.

Examples:
  dagstorm forget nightly-2025 --data data")]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// The scenario's name.
    scenario: ScenarioName,
}

/// What matters here of a status.
#[derive(Deserialize)]
struct Seen {
    status: Body,
}

#[derive(Deserialize)]
struct Body {
    phase: Phase,
    #[serde(default)]
    deleted: bool,
}

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { data, scenario } = &arguments;
    let folder = data.folder()?;
    if let Some(message) = data.unknown(scenario)? {
        say(&message);
        return Ok(Exit::Usage);
    }
    if lane::is_further(scenario) {
        say(&format!("`{scenario}` is a lane of `{}`: forget that one", lane::scenario(scenario)));
        return Ok(Exit::Usage);
    }
    let refused = match Lease::acquire(folder) {
        Ok(lease) => alone(data, scenario, &lease).await?,
        Err(LeaseError::Held { .. }) => by_operator(data, scenario).await?,
        Err(error) => return Err(error.into()),
    };
    if let Some(reason) = refused {
        say(&format!("`{scenario}` is not forgotten: {reason}"));
        return Ok(Exit::Usage);
    }
    print(&format!("`{scenario}` is forgotten: its status, its reports and its journal are removed\n"))?;
    Ok(Exit::Passed)
}

/// Nobody uses the folder. Returns why it is refused, if it is.
async fn alone(data: &Data, scenario: &ScenarioName, lease: &Lease) -> anyhow::Result<Option<String>> {
    let folder = data.folder()?;
    let mut memory = read_memory(folder);
    if let Some(home) = memory.homes.get(scenario) {
        let files: Vec<&str> = home.files.iter().map(String::as_str).collect();
        return Ok(Some(format!(
            "when the folder of manifests was last read, {} held it: delete it there",
            files.join(", ")
        )));
    }
    let store = FileStore::open(&folder.join("journal"), lease.holding.clone()).with_context(|| data.failed())?;
    let lanes = own(store.names().await?.into_iter(), scenario);
    for lane in &lanes {
        let state = store.replay(lane).await.with_context(|| format!("what is open of `{lane}` cannot be known"))?;
        if !may_be_forgotten(&state) {
            return Ok(Some(format!("something of `{lane}` is under way, or a fault of it is open: let it end first")));
        }
    }
    for lane in &lanes {
        store.forget(lane).await.with_context(|| data.failed())?;
    }
    for lane in own(data.scenarios()?.into_iter(), scenario) {
        gone(fs::remove_dir_all(folder.join("reports").join(lane.as_str()))).with_context(|| data.failed())?;
        gone(fs::remove_file(folder.join("status").join(format!("{lane}.yaml")))).with_context(|| data.failed())?;
    }
    if memory.deleted.remove(scenario).is_some() {
        write_memory(folder, &memory).with_context(|| data.failed())?;
    }
    Ok(None)
}

/// An operator uses the folder: it is asked, and waited for. Returns why it is refused, if it is.
async fn by_operator(data: &Data, scenario: &ScenarioName) -> anyhow::Result<Option<String>> {
    let folder = data.folder()?;
    for lane in own(data.scenarios()?.into_iter(), scenario) {
        let Some(seen) = status(data, &lane)? else { continue };
        if !seen.deleted {
            return Ok(Some("it is not deleted: a manifest names it, or `dagstorm run` is at it".to_owned()));
        }
        if !seen.phase.is_final() {
            return Ok(Some(format!("`{lane}` is in phase {}: let it end first", seen.phase)));
        }
    }
    let controls = Controls::new(folder, None);
    controls.forget(scenario, &who()).with_context(|| data.failed())?;
    let began = Instant::now();
    let mut is_gone = false;
    while !is_gone && began.elapsed() < WITHIN {
        tokio::time::sleep(EVERY).await;
        let left = own(data.scenarios()?.into_iter(), scenario);
        is_gone = left.iter().all(|lane| !folder.join("status").join(format!("{lane}.yaml")).exists())
            && !left.iter().any(|lane| folder.join("journal").join(lane.as_str()).exists());
    }
    controls.forget_no_more(scenario).with_context(|| data.failed())?;
    let unanswered = "the operator did not do it within 20 s: its status says what stands against it".to_owned();
    Ok((!is_gone).then_some(unanswered))
}

fn status(data: &Data, lane: &ScenarioName) -> anyhow::Result<Option<Body>> {
    let path = data.data.join("status").join(format!("{lane}.yaml"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(anyhow::Error::new(error).context(format!("{} cannot be read", path.display()))),
    };
    let seen: Seen = serde_saphyr::from_str(&text).with_context(|| format!("{} is no status", path.display()))?;
    Ok(Some(seen.status))
}

fn own(names: impl Iterator<Item = ScenarioName>, scenario: &ScenarioName) -> Vec<ScenarioName> {
    names.filter(|name| lane::scenario(name) == *scenario).collect()
}

/// What is not there is gone.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
