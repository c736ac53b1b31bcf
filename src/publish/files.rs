//! Files that are whole or absent: written aside, fsynced, renamed.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    panic,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use serde::Serialize;

use super::{
    events::PersonEvent, history::history, html::html, junit::junit, keys::keys, markdown::markdown, report::Report,
    shelf, status::Status, writer::Writer,
};
use crate::{
    journal::{Generation, Record},
    model::{Census, GenerationId, ScenarioName},
    plan::Plan,
};

/// What a report rests on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub plan: &'a Plan,
    pub generation: &'a Generation,
    /// The scenario's whole journal.
    pub records: &'a [Record],
    pub census: &'a Census,
}

/// The data folder, as far as users read it, and what was last published, for a live display.
///
/// Cheap to clone; clones share what was published.
#[derive(Debug, Clone)]
pub struct Folder {
    /// `None`: nothing is written, for simulations.
    root: Option<PathBuf>,
    latest: Arc<Mutex<BTreeMap<ScenarioName, Status>>>,
    /// Writes statuses in a thread of its own: a slow disk holds nobody up, and of many changes the last is written.
    writer: Option<Arc<Writer>>,
}

impl Folder {
    /// Opens or makes the folder with its parts.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("status"))?;
        fs::create_dir_all(root.join("reports"))?;
        let latest: Arc<Mutex<BTreeMap<ScenarioName, Status>>> = Arc::default();
        let writer = Writer::start(root.join("status"), Arc::clone(&latest))?;
        Ok(Self { root: Some(root.to_owned()), latest, writer: Some(Arc::new(writer)) })
    }

    /// Keeps the latest statuses in memory and writes nothing.
    pub fn nowhere() -> Self {
        Self { root: None, latest: Arc::default(), writer: None }
    }

    /// The latest status of every scenario.
    pub fn latest(&self) -> BTreeMap<ScenarioName, Status> {
        self.latest.lock().expect("no holder of this lock panics").clone()
    }

    /// Where the reports of a generation lie.
    pub fn report_folder(&self, scenario: &ScenarioName, generation: &GenerationId) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join("reports").join(scenario.as_str()).join(generation.to_string()))
    }

    /// Where the reports of all scenarios lie.
    pub fn reports(&self) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join("reports"))
    }

    /// Publishes a status: at once to a live display, soon as `status/<scenario>.yaml`. See [`Folder::flush`].
    pub fn write_status(&self, status: Status) {
        let name = status.metadata.name.clone();
        self.latest.lock().expect("no holder of this lock panics").insert(name.clone(), status);
        if let Some(writer) = &self.writer {
            writer.tell(name);
        }
    }

    /// Removes the status of a scenario that never was accepted and whose manifest is gone.
    pub fn remove_status(&self, scenario: &ScenarioName) {
        self.latest.lock().expect("no holder of this lock panics").remove(scenario);
        if let Some(writer) = &self.writer {
            writer.tell(scenario.clone());
        }
    }

    /// Removes all reports of a scenario.
    ///
    /// # Errors
    /// When they are there and cannot be removed.
    pub fn remove_reports(&self, scenario: &ScenarioName) -> io::Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        match fs::remove_dir_all(root.join("reports").join(scenario.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Forgets the latest status of a scenario; its file stays.
    pub fn forget(&self, scenario: &ScenarioName) {
        self.latest.lock().expect("no holder of this lock panics").remove(scenario);
    }

    /// Waits until every status that was published is a file, or could not be written.
    pub fn flush(&self) {
        if let Some(writer) = &self.writer {
            writer.flush();
        }
    }

    /// Writes the report's files; `report.json` comes last, so that it is there only when all are. Then the index of all
    /// reports, which is for people and holds nothing of its own.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn write_report(&self, report: &Report, evidence: &Evidence<'_>) -> io::Result<()> {
        let Some(folder) = self.report_folder(&report.scenario, &report.generation) else { return Ok(()) };
        let Evidence { plan, generation, records, census } = evidence;
        fs::create_dir_all(&folder)?;
        let reports = folder.parent().and_then(Path::parent).expect("a report's folder lies two below the reports'");
        let last_run = shelf::last_run(reports, report);
        let report = &Report { last_run, ..report.clone() };
        let write = |name: &str, bytes: &[u8]| write_atomically(&folder.join(name), bytes);
        // Those that have a part for each run are made side by side.
        thread::scope(|scope| {
            let history = scope.spawn(|| write("history.jsonl", history(report, records, census).as_bytes()));
            let keys = scope.spawn(|| write("keys.csv", &keys(plan, generation, census, &report.audit)));
            let html = write("report.html", html(report, plan, generation, census).as_bytes());
            let joined = |thread: thread::ScopedJoinHandle<'_, io::Result<()>>| {
                thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
            };
            joined(history).and(joined(keys)).and(html)
        })?;
        write("junit.xml", junit(report).as_bytes())?;
        write("report.md", markdown(report).as_bytes())?;
        let json = serde_json::to_vec_pretty(report)?;
        write("report.json", &json)?;
        // It is made of reports that are complete by themselves: without it nothing is lost, and the next one writes it.
        if let Err(error) = shelf::write_index(reports) {
            tracing::warn!(%error, "reports/index.html cannot be written; the next report tries again");
        }
        Ok(())
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

pub(super) fn yaml(value: &impl Serialize) -> io::Result<String> {
    serde_saphyr::to_string(value).map_err(io::Error::other)
}

/// Replaces a file in one step: a reader sees the old one or the new one. After a crash it may be neither.
///
/// # Errors
/// When a step fails; the old file is untouched then.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    fs::write(&aside, bytes)?;
    fs::rename(&aside, path)
}

/// Replaces a file in one step: a reader sees the old one or the new one, also after a crash.
///
/// # Errors
/// When a step fails; the old file is untouched then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder_of(path))?.sync_all()
}

/// Where a file is written before it takes its place.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    folder_of(path).join(format!(".{name}.tmp"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
