//! Files of JSON lines: one, or all of a folder, however deep.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::model::{Gathering, Why, WhyKind};

/// A line beyond this is no record.
const LONGEST_LINE: usize = 1 << 20;

pub async fn check(path: &str) -> Result<(), Why> {
    let path = path.to_owned();
    let checked = tokio::task::spawn_blocking(move || files(&path).map(|_| ()));
    checked.await.expect("listing files does not panic")
}

/// Reads every line. A folder that is there and has no file has no records; one that is not there cannot be read.
pub fn read(path: &str, runs: &BTreeSet<String>, gathering: &mut Gathering<'_>) -> Result<(), Why> {
    for file in files(path)? {
        let cannot = |error: io::Error| failed(&file, &error);
        let mut reader = BufReader::new(File::open(&file).map_err(cannot)?);
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(cannot)? == 0 {
                break;
            }
            let at = || format!("{}, line {number}", file.display());
            let text = if line.len() > LONGEST_LINE { "" } else { str::from_utf8(&line).unwrap_or_default().trim() };
            if !line.trim_ascii().is_empty() {
                gathering.take(text, None, &at, &|run| runs.contains(run));
            }
        }
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> Why {
    #[allow(clippy::wildcard_enum_match_arm, reason = "ErrorKind is open")]
    let kind = match error.kind() {
        io::ErrorKind::NotFound => WhyKind::NotFound,
        io::ErrorKind::PermissionDenied => WhyKind::Unauthorized,
        _ => WhyKind::ServerError,
    };
    Why { kind, message: format!("the workers' records in {} cannot be read: {error}", path.display()) }
}

/// The files, in the order of their names.
fn files(path: &str) -> Result<Vec<PathBuf>, Why> {
    let root = PathBuf::from(path);
    let kind = fs::metadata(&root).map_err(|error| failed(&root, &error))?;
    if !kind.is_dir() {
        return Ok(vec![root]);
    }
    let (mut folders, mut files) = (vec![root], vec![]);
    while let Some(folder) = folders.pop() {
        let cannot = |error: io::Error| failed(&folder, &error);
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let path = entry.path();
            // A link to a folder is not followed: it could lead in a circle.
            if entry.file_type().map_err(cannot)?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CompletionsTarget,
        completion::{CompletionFields, CompletionSource},
    };

    #[test]
    fn all_files_of_a_folder_are_read_and_a_missing_one_is_no_empty_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = |run: &str| format!("{{\"run_id\":\"{run}\",\"step_key\":\"work\",\"finished\":1}}\n");
        fs::create_dir_all(folder.path().join("2026/11")).expect("made");
        fs::write(folder.path().join("2026/11/a.jsonl"), record("r1") + "\n" + &record("theirs")).expect("written");
        fs::write(folder.path().join("b.jsonl"), record("r2") + "{\"run_id\":").expect("written");
        fs::write(folder.path().join("c.txt"), "something else").expect("written");
        let target = CompletionsTarget {
            source: CompletionSource::Jsonl { path: folder.path().display().to_string() },
            fields: CompletionFields::default(),
            completed: vec![],
        };
        let runs = BTreeSet::from(["r1".to_owned(), "r2".to_owned()]);
        let gathered = |path: &Path| {
            let mut gathering = Gathering::new(&target, "a/b/".to_owned());
            read(&path.display().to_string(), &runs, &mut gathering).map(|()| gathering.end())
        };
        let all = gathered(folder.path()).expect("read");
        let found: Vec<&str> = all.records.iter().map(|record| record.run_id.as_str()).collect();
        assert_eq!(found, ["r1", "r2"]);
        assert_eq!(all.unreadable, 1, "a torn line is no record");
        assert!(all.reasons[0].contains("b.jsonl, line 2: it is no JSON object"), "{:?}", all.reasons);
        let one = gathered(&folder.path().join("b.jsonl")).expect("read");
        assert_eq!(one.records.len(), 1);
        let missing = gathered(&folder.path().join("nowhere")).expect_err("nothing is there");
        assert_eq!(missing.kind, WhyKind::NotFound);
        assert!(missing.message.contains("nowhere cannot be read"), "{missing}");
    }
}
