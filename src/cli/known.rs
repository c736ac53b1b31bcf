//! The scenarios that a data folder knows of, so that a name with a slip in it is refused and not obeyed.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{model::ScenarioName, operator::read_memory, spec::meant};

/// So many names a refusal lists.
const LISTED: usize = 12;

/// `--data`, of commands that speak to an operator.
#[derive(Debug, Args)]
pub struct Data {
    /// The operator's data folder.
    #[arg(long, value_name = "DIR", env = "DAGSTORM_DATA")]
    pub data: PathBuf,
}

impl Data {
    /// The folder, if it is one.
    pub fn folder(&self) -> anyhow::Result<&Path> {
        if !self.data.is_dir() {
            bail!("{} is no data folder", self.data.display());
        }
        Ok(&self.data)
    }

    pub fn failed(&self) -> String {
        format!("the data folder {} cannot be written", self.data.display())
    }

    /// The scenarios of the statuses, the journals, the reports, and the folder of manifests as it was last read.
    pub fn scenarios(&self) -> anyhow::Result<BTreeSet<ScenarioName>> {
        let data = self.folder()?;
        let mut known: BTreeSet<ScenarioName> = read_memory(data).homes.into_keys().collect();
        for folder in ["status", "journal", "reports"] {
            let path = data.join(folder);
            known.extend(names(&path).with_context(|| format!("{} cannot be read", path.display()))?);
        }
        Ok(known)
    }

    /// What to say of a scenario that this folder does not know; `None`: it does.
    pub fn unknown(&self, scenario: &ScenarioName) -> anyhow::Result<Option<String>> {
        let known = self.scenarios()?;
        if known.contains(scenario) {
            return Ok(None);
        }
        let names: Vec<&str> = known.iter().map(ScenarioName::as_str).collect();
        let meant = meant(scenario.as_str(), names.iter().copied());
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        let listed = match names.len() {
            0 => "there is none yet".to_owned(),
            count if count <= LISTED => format!("there are: {}", names.join(", ")),
            count => format!("there are {count}, the first: {}", names[..LISTED].join(", ")),
        };
        Ok(Some(format!("the data folder {} has no scenario `{scenario}`{meant} ({listed})", self.data.display())))
    }
}

fn names(folder: &Path) -> io::Result<Vec<ScenarioName>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut found = vec![];
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_str().map(|name| name.strip_suffix(".yaml").unwrap_or(name));
        found.extend(name.and_then(|name| name.parse().ok()));
    }
    Ok(found)
}

/// Who asks: `user@host`.
pub fn who() -> String {
    let user =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}
