//! Files that are whole or absent: written aside, fsynced, renamed.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde::Serialize;

use super::{events::PersonEvent, markdown::markdown, report::Report, status::Status};
use crate::model::{GenerationId, ScenarioName};

/// The data folder, as far as users read it, and what was last published, for a live display.
///
/// Cheap to clone; clones share what was published.
#[derive(Debug, Clone)]
pub struct Folder {
    /// `None`: nothing is written, for simulations.
    root: Option<PathBuf>,
    latest: Arc<Mutex<BTreeMap<ScenarioName, Status>>>,
}

impl Folder {
    /// Opens or makes the folder with its parts.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("status"))?;
        fs::create_dir_all(root.join("reports"))?;
        Ok(Self { root: Some(root.to_owned()), latest: Arc::default() })
    }

    /// Keeps the latest statuses in memory and writes nothing.
    pub fn nowhere() -> Self {
        Self { root: None, latest: Arc::default() }
    }

    /// The latest status of every scenario.
    pub fn latest(&self) -> BTreeMap<ScenarioName, Status> {
        self.latest.lock().expect("no holder of this lock panics").clone()
    }

    /// Where the reports of a generation lie.
    pub fn report_folder(&self, scenario: &ScenarioName, generation: &GenerationId) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join("reports").join(scenario.as_str()).join(generation.to_string()))
    }

    fn status_path(&self, scenario: &ScenarioName) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join("status").join(format!("{scenario}.yaml")))
    }

    /// Writes `status/<scenario>.yaml`.
    ///
    /// # Errors
    /// When it cannot be rendered or written.
    pub fn write_status(&self, status: &Status) -> io::Result<()> {
        let name = &status.metadata.name;
        self.latest.lock().expect("no holder of this lock panics").insert(name.clone(), status.clone());
        match self.status_path(name) {
            Some(path) => write_atomically(&path, yaml(status)?.as_bytes()),
            None => Ok(()),
        }
    }

    /// Removes the status of a scenario that never was accepted and whose manifest is gone.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_status(&self, scenario: &ScenarioName) -> io::Result<()> {
        self.latest.lock().expect("no holder of this lock panics").remove(scenario);
        let Some(path) = self.status_path(scenario) else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the report's files; `report.json` comes last, so that it is there only when all are.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn write_report(&self, report: &Report) -> io::Result<()> {
        let Some(folder) = self.report_folder(&report.scenario, &report.generation) else { return Ok(()) };
        fs::create_dir_all(&folder)?;
        write_atomically(&folder.join("report.md"), markdown(report).as_bytes())?;
        let json = serde_json::to_vec_pretty(report)?;
        write_atomically(&folder.join("report.json"), &json)
    }

    /// Writes `intake.yaml`: every file of the watched folder and what is wrong with it.
    ///
    /// # Errors
    /// When it cannot be rendered or written.
    pub fn write_intake(&self, intake: &impl Serialize) -> io::Result<()> {
        match &self.root {
            Some(root) => write_atomically(&root.join("intake.yaml"), yaml(intake)?.as_bytes()),
            None => Ok(()),
        }
    }

    /// Appends to `events.jsonl`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_events(&self, events: &[PersonEvent]) -> io::Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let mut lines = vec![];
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        OpenOptions::new().create(true).append(true).open(root.join("events.jsonl"))?.write_all(&lines)
    }
}

fn yaml(value: &impl Serialize) -> io::Result<String> {
    serde_saphyr::to_string(value).map_err(io::Error::other)
}

/// Replaces a file in one step: a reader sees the old one or the new one, also after a crash.
///
/// # Errors
/// When a step fails; the old file is untouched then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let aside = folder.join(format!(".{name}.tmp"));
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder)?.sync_all()
}
