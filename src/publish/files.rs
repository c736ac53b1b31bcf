//! Files that are whole or absent: written aside, fsynced, renamed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{events::PersonEvent, markdown, report::Report, status::Status};
use crate::model::{GenerationId, ScenarioName};

/// The data folder, as far as users read it.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens or makes the folder with its parts.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("status"))?;
        fs::create_dir_all(root.join("reports"))?;
        Ok(Self { root: root.to_owned() })
    }

    pub fn status_path(&self, scenario: &ScenarioName) -> PathBuf {
        self.root.join("status").join(format!("{scenario}.yaml"))
    }

    pub fn report_folder(&self, scenario: &ScenarioName, generation: &GenerationId) -> PathBuf {
        self.root.join("reports").join(scenario.as_str()).join(generation.to_string())
    }

    /// Writes `status/<scenario>.yaml`.
    ///
    /// # Errors
    /// When it cannot be rendered or written.
    pub fn write_status(&self, status: &Status) -> io::Result<()> {
        write_atomically(&self.status_path(&status.metadata.name), yaml(status)?.as_bytes())
    }

    /// Removes the status of a scenario that never was accepted and whose manifest is gone.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_status(&self, scenario: &ScenarioName) -> io::Result<()> {
        match fs::remove_file(self.status_path(scenario)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the report's files; `report.json` comes last, so that it is there only when all are.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn write_report(&self, report: &Report) -> io::Result<PathBuf> {
        let folder = self.report_folder(&report.scenario, &report.generation);
        fs::create_dir_all(&folder)?;
        write_atomically(&folder.join("report.md"), markdown::markdown(report).as_bytes())?;
        let json = serde_json::to_vec_pretty(report)?;
        write_atomically(&folder.join("report.json"), &json)?;
        Ok(folder)
    }

    /// Writes `intake.yaml`: every file of the watched folder and what is wrong with it.
    ///
    /// # Errors
    /// When it cannot be rendered or written.
    pub fn write_intake(&self, intake: &impl Serialize) -> io::Result<()> {
        write_atomically(&self.root.join("intake.yaml"), yaml(intake)?.as_bytes())
    }

    /// Appends to `events.jsonl`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_events(&self, events: &[PersonEvent]) -> io::Result<()> {
        let mut lines = vec![];
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        OpenOptions::new().create(true).append(true).open(self.root.join("events.jsonl"))?.write_all(&lines)
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
