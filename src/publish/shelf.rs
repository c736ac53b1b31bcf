//! All reports of a data folder side by side: `index.html` over them, and which one came before another.
//!
//! It is for people. No decision reads a report: what is unreadable is named on the page and stands in nobody's way.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    files::{replace, write_atomically},
    headline::{Headline, LastRun},
    html,
    recorded::{self, Recorded},
    report::Report,
};
use crate::model::{GenerationId, ScenarioName, Timestamp, Verdict};

const REPORT: &str = "report.json";
/// What was read of each report: a large one is not read again for every new one.
const KEPT: &str = ".index.json";

/// What the index shows of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub scenario: ScenarioName,
    pub generation: GenerationId,
    pub verdict: Verdict,
    pub summary: String,
    pub started_at: Option<Timestamp>,
    pub census_at: Timestamp,
    pub dagster_version: String,
    pub acknowledged: u64,
    pub completed: u64,
    pub headline: Headline,
}

/// A report that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// `scenario/generation`.
    pub name: String,
    pub reason: String,
}

/// What was found in a file as it was then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// Length and time of change: the file is the one that was read.
    stamp: (u64, u128),
    found: Result<Entry, String>,
}

impl Entry {
    fn of(report: &Recorded) -> Self {
        let count = |word: &str| report.counts.get(word).copied().unwrap_or(0);
        Self {
            scenario: report.scenario.clone(),
            generation: report.generation.clone(),
            verdict: report.verdict,
            summary: report.summary.clone(),
            started_at: report.started_at,
            census_at: report.census_at,
            dagster_version: report.dagster_version.clone(),
            acknowledged: count("acknowledged"),
            completed: count("completed"),
            headline: Headline::of_recorded(report),
        }
    }
}

/// The newest report of the same scenario that was audited before this one; without one that can be read, none.
pub fn last_run(reports: &Path, report: &Report) -> Option<LastRun> {
    let all = read_all(reports, &kept(reports)).unwrap_or_default();
    let others = all.values().filter_map(|kept| kept.found.as_ref().ok());
    let others = others.filter(|other| other.scenario == report.scenario && other.generation != report.generation);
    let last = others.filter(|other| other.census_at < report.census_at).max_by_key(|other| other.census_at)?;
    Some(LastRun {
        generation: last.generation.clone(),
        verdict: last.verdict,
        started_at: last.started_at,
        edited_since: last.generation.digest != report.generation.digest,
        headline: last.headline.clone(),
    })
}

/// Writes `index.html` over all reports and says where it is.
///
/// # Errors
/// When the folder cannot be read or the page not be written.
pub fn write_index(reports: &Path) -> io::Result<PathBuf> {
    let all = read_all(reports, &kept(reports))?;
    let entries: Vec<&Entry> = all.values().filter_map(|kept| kept.found.as_ref().ok()).collect();
    let unreadable = all.iter().filter_map(|(name, kept)| {
        let reason = kept.found.as_ref().err()?.clone();
        Some(Unreadable { name: name.clone(), reason })
    });
    let page = html::index_page(&entries, unreadable.collect());
    let path = reports.join("index.html");
    write_atomically(&path, page.as_bytes())?;
    replace(&reports.join(KEPT), &serde_json::to_vec(&all)?)?;
    Ok(path)
}

/// What was read before; nothing, where that cannot be used.
fn kept(reports: &Path) -> BTreeMap<String, Kept> {
    let text = fs::read_to_string(reports.join(KEPT)).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// By `scenario/generation`. A folder without a report is being written, or was left by a crash.
fn read_all(reports: &Path, kept: &BTreeMap<String, Kept>) -> io::Result<BTreeMap<String, Kept>> {
    let mut all = BTreeMap::new();
    for scenario in folders(reports)? {
        for folder in folders(&scenario)? {
            let file = folder.join(REPORT);
            let Ok(about) = fs::metadata(&file) else { continue };
            let changed = about.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
            let stamp = (about.len(), changed);
            let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{}", part(&scenario), part(&folder));
            let known = kept.get(&name).filter(|kept| kept.stamp == stamp).map(|kept| kept.found.clone());
            let found = known.unwrap_or_else(|| read(&file));
            all.insert(name, Kept { stamp, found });
        }
    }
    Ok(all)
}

fn read(file: &Path) -> Result<Entry, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    recorded::read(&text).map(|report| Entry::of(&report)).map_err(|error| error.to_string())
}

/// The folders in a folder; none where there is no such folder.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        Err(error) => return Err(error),
    };
    let mut folders: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn write(reports: &Path, scenario: &str, generation: &str, minute: u32, change: impl FnOnce(&mut Value)) {
        let mut report = json!({
            "apiVersion": "dagstorm.dev/v1alpha1", "kind": "Report", "scenario": scenario, "generation": generation,
            "verdict": "Passed", "summary": "all of it </script> completed", "dagsterVersion": "1.13.27",
            "counts": { "planned": 9, "acknowledged": 8, "completed": 6 }, "findings": [], "gaps": [],
            "startedAt": "2026-11-24T12:00:00Z", "censusAt": format!("2026-11-24T12:{minute:02}:00Z"),
            "headline": { "runLatencyP95": "18.3s", "throughputPerSecond": 0.95, "successRate": 0.75 },
        });
        change(&mut report);
        let folder = reports.join(scenario).join(generation);
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join(REPORT), report.to_string()).expect("written");
    }

    #[test]
    fn the_index_has_every_report_and_names_what_cannot_be_read() {
        let data = tempfile::tempdir().expect("a folder");
        let reports = data.path();
        write(reports, "night", "ab-1", 10, |_| {});
        write(reports, "night", "ab-2", 20, |report| report["verdict"] = "Failed".into());
        write(reports, "day", "cd-1", 15, |report| {
            report.as_object_mut().expect("an object").remove("headline");
        });
        fs::create_dir_all(reports.join("day/cd-2")).expect("one that is being written");
        write_index(reports).expect("an index");
        let page = fs::read_to_string(reports.join("index.html")).expect("a page");
        for part in ["night", "ab-1", "ab-2", "cd-1", "\"Failed\"", "18.3s", "75%"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("it </script>") && !page.contains("cd-2"));

        // A report that came, one that went, one that cannot be read: the index is as the folder is.
        write(reports, "night", "ab-3", 30, |report| report["verdict"] = "Maybe".into());
        fs::remove_dir_all(reports.join("night/ab-1")).expect("removed");
        write_index(reports).expect("an index");
        let page = fs::read_to_string(reports.join("index.html")).expect("a page");
        assert!(!page.contains("ab-1") && page.contains("unknown variant"), "ab-3 is named with its reason");
        // What was kept is of no use when it is damaged, and does no harm.
        fs::write(reports.join(KEPT), "{").expect("written");
        write_index(reports).expect("an index");
        assert_eq!(fs::read_to_string(reports.join("index.html")).expect("a page"), page);
    }
}
