//! A census under way, on disk: whoever is interrupted goes on where it stood, page by page.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::model::{Names, RunRecord, Timestamp};

/// An older one is begun anew: what it read first may no longer be so.
const KEPT: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Line {
    /// The census began.
    Began {
        at: Timestamp,
    },
    Run(Box<RunRecord>),
    /// A page is over.
    Page,
}

/// The runs that were read so far.
#[derive(Debug)]
pub struct Spool {
    path: Option<PathBuf>,
    writer: Option<BufWriter<File>>,
    pub began_at: Timestamp,
    pub runs: Vec<RunRecord>,
    names: Names,
}

impl Spool {
    /// Goes on with the one at `path`, or begins one there; without a path it is in memory alone.
    pub fn open(path: Option<&Path>, now: Timestamp) -> Self {
        let mut spool =
            Self { path: path.map(Path::to_owned), writer: None, began_at: now, runs: vec![], names: Names::default() };
        let Some(path) = path else { return spool };
        // What cannot be kept is read again: no census fails for it.
        if let Err(error) = spool.resume(path, now).and_then(|()| spool.write_anew(path)) {
            tracing::warn!(path = %path.display(), %error, "a census is not kept on disk: interrupted, it begins anew");
            spool.writer = None;
        }
        spool
    }

    /// Takes in the whole pages of an earlier one. What it cannot be read of is as if it were not there.
    fn resume(&mut self, path: &Path, now: Timestamp) -> io::Result<()> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file).lines().map_while(Result::ok);
        let first = lines.next().and_then(|line| serde_json::from_str(&line).ok());
        let Some(Line::Began { at }) = first.filter(|line| matches!(line, Line::Began { at } if now.since(*at) < KEPT))
        else {
            return Ok(());
        };
        let mut page = vec![];
        for line in lines {
            match serde_json::from_str(&line) {
                Ok(Line::Run(run)) => page.push(*run),
                Ok(Line::Page) => {
                    self.began_at = at;
                    self.take(std::mem::take(&mut page));
                }
                Ok(Line::Began { .. }) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// Writes what there is, without a torn end, and keeps the file open.
    fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let aside = path.with_extension("tmp");
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&aside)?;
        let mut writer = BufWriter::new(file);
        write(&mut writer, &Line::Began { at: self.began_at })?;
        for run in &self.runs {
            write(&mut writer, &Line::Run(Box::new(run.clone())))?;
        }
        write(&mut writer, &Line::Page)?;
        writer.flush()?;
        fs::rename(&aside, path)?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Takes a page in.
    pub fn add(&mut self, page: Vec<RunRecord>) {
        if let Some(writer) = &mut self.writer {
            let mut write_page = || {
                page.iter().try_for_each(|run| write(writer, &Line::Run(Box::new(run.clone()))))?;
                write(writer, &Line::Page)?;
                writer.flush()
            };
            if let Err(error) = write_page() {
                tracing::warn!(%error, "a census is not kept on disk any more: interrupted, it begins anew");
                self.writer = None;
            }
        }
        self.take(page);
    }

    fn take(&mut self, page: Vec<RunRecord>) {
        let names = &mut self.names;
        self.runs.extend(page.into_iter().map(|mut run| {
            run.share(names);
            run
        }));
    }

    /// All was read: nothing is left on disk.
    pub fn end(self) -> Vec<RunRecord> {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "what is left of a census cannot be removed");
        }
        self.runs
    }
}

fn write(writer: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> RunRecord {
        let run = serde_json::json!({ "runId": id, "key": null, "job": "j", "status": "Success", "startedAt": null,
            "endedAt": null, "generationStarted": null, "events": [] });
        serde_json::from_value(run).expect("a run")
    }

    fn ids(spool: &Spool) -> String {
        spool.runs.iter().map(|record| record.run.run_id.as_str()).collect::<Vec<_>>().join("")
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(second))
    }

    #[test]
    fn an_interrupted_census_goes_on_after_its_last_whole_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/.census.jsonl");
        let mut spool = Spool::open(Some(&path), at(100));
        spool.add(vec![run("a"), run("b")]);
        spool.add(vec![run("c")]);
        drop(spool);
        // It was killed in the middle of a page, and of a line.
        let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
        write(&mut file, &Line::Run(Box::new(run("d")))).expect("written");
        file.write_all(b"{\"run\":{\"runId").expect("written");
        let mut spool = Spool::open(Some(&path), at(160));
        assert_eq!((ids(&spool).as_str(), spool.began_at), ("abc", at(100)));
        spool.add(vec![run("d")]);
        let again = Spool::open(Some(&path), at(170));
        assert_eq!(ids(&again), "abcd", "a torn end is not written after");
        assert_eq!(again.end().len(), 4);
        assert!(!path.exists());
    }

    #[test]
    fn an_old_one_and_one_that_cannot_be_read_begin_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".census.jsonl");
        let mut spool = Spool::open(Some(&path), at(100));
        spool.add(vec![run("a")]);
        let old = Spool::open(Some(&path), at(100 + KEPT.as_secs()));
        assert_eq!((ids(&old).as_str(), old.began_at), ("", at(700)));
        fs::write(&path, "something else").expect("written");
        let odd = Spool::open(Some(&path), at(800));
        assert_eq!((ids(&odd).as_str(), odd.began_at), ("", at(800)));
        // A folder stands in its place: the census goes on without it.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        let mut without = Spool::open(Some(&path), at(900));
        without.add(vec![run("a")]);
        assert_eq!(ids(&without), "a");
    }
}
