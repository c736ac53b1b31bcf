//! Which reports are kept, by number and by age.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::publish::Folder;

/// How often reports are looked through.
pub const EVERY: Duration = Duration::from_secs(60);
/// It comes last: a report without it is being written.
const LAST: &str = "report.json";

/// How many reports of each scenario are kept, and for how long. Both may be unset: then all are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    pub number: Option<usize>,
    pub age: Option<Duration>,
}

impl Keep {
    /// Whether nothing is ever removed.
    pub fn is_all(self) -> bool {
        self.number.is_none() && self.age.is_none()
    }
}

/// The reports of a scenario that go: beyond the number, or older than the age. The newest one always stays: it is the last
/// verdict.
fn superfluous<T: Clone + Ord>(reports: &[(SystemTime, T)], keep: Keep, now: SystemTime) -> Vec<T> {
    let mut newest_first = reports.to_vec();
    newest_first.sort_by(|a, b| b.cmp(a));
    let is_old = |at: &SystemTime| keep.age.is_some_and(|age| now.duration_since(*at).is_ok_and(|old| old > age));
    let is_beyond = |index: usize| keep.number.is_some_and(|number| index >= number);
    let goes = |(index, (at, _)): &(usize, (SystemTime, T))| *index > 0 && (is_beyond(*index) || is_old(at));
    newest_first.into_iter().enumerate().filter(goes).map(|(_, (_, report))| report).collect()
}

/// Removes what is not kept. What cannot be looked at or removed stays, and is said; the next round tries again.
pub fn tidy(folder: &Folder, keep: Keep, now: SystemTime) {
    let Some(root) = folder.reports().filter(|_| !keep.is_all()) else { return };
    let open: BTreeSet<PathBuf> = folder
        .latest()
        .values()
        .filter(|status| !status.status.phase.is_final())
        .filter_map(|status| folder.report_folder(&status.metadata.name, status.status.observed_generation.as_ref()?))
        .collect();
    let scenarios = match folders(&root) {
        Ok(scenarios) => scenarios,
        Err(error) => return tracing::warn!(%error, "the reports cannot be looked through"),
    };
    for scenario in scenarios {
        if let Err(error) = tidy_one(&scenario, keep, now, &open) {
            tracing::warn!(reports = %scenario.display(), %error, "old reports cannot be removed");
        }
    }
}

fn tidy_one(scenario: &Path, keep: Keep, now: SystemTime, open: &BTreeSet<PathBuf>) -> io::Result<()> {
    let mut reports = vec![];
    for report in folders(scenario)? {
        match fs::metadata(report.join(LAST)).and_then(|found| found.modified()) {
            Ok(at) => reports.push((at, report)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for report in superfluous(&reports, keep, now).into_iter().filter(|report| !open.contains(report)) {
        fs::remove_dir_all(&report)?;
        tracing::info!(report = %report.display(), "an old report is removed");
    }
    Ok(())
}

fn folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_always_stays() {
        let day = Duration::from_secs(86_400);
        let now = SystemTime::UNIX_EPOCH + 100 * day;
        let reports: Vec<(SystemTime, &str)> =
            [("d", 1), ("c", 2), ("b", 40), ("a", 60)].map(|(name, days)| (now - days * day, name)).to_vec();
        for (number, days, expected) in [
            (None, None, ""),
            (Some(3), None, "a"),
            (Some(1), None, "c b a"),
            (Some(0), None, "c b a"),
            (None, Some(30), "b a"),
            (None, Some(0), "c b a"),
            (Some(3), Some(50), "a"),
            (Some(2), Some(50), "b a"),
        ] {
            let keep = Keep { number, age: days.map(|days| days * day) };
            assert_eq!(superfluous(&reports, keep, now).join(" "), expected, "{keep:?}");
        }
    }

    #[test]
    fn what_is_being_written_or_still_runs_stays() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(data.path()).expect("opened");
        let now = SystemTime::now();
        for (scenario, report, hours) in [("x", "1", 9), ("x", "2", 5), ("x", "3", 1), ("y", "1", 9)] {
            let path = data.path().join("reports").join(scenario).join(report);
            fs::create_dir_all(&path).expect("made");
            let file = fs::File::create(path.join(LAST)).expect("made");
            file.set_modified(now - Duration::from_secs(hours * 3_600)).expect("set");
        }
        fs::create_dir_all(data.path().join("reports/x/0")).expect("made");
        tidy(&folder, Keep::default(), now);
        let left = || {
            let of = |name: &str| folders(&data.path().join("reports").join(name)).expect("listed").len();
            (of("x"), of("y"))
        };
        assert_eq!(left(), (4, 1));
        tidy(&folder, Keep { number: Some(2), age: None }, now);
        assert_eq!(left(), (3, 1));
        tidy(&folder, Keep { number: None, age: Some(Duration::from_secs(60)) }, now);
        assert_eq!(left(), (2, 1), "the last verdict of each, and what is being written");
    }
}
