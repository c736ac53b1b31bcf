//! Segments: their names, and their lines from beginning to end.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    log::{Accepted, Line, Lines, LogError, ReadError},
    record::Record,
    store::Damage,
};

const ENDING: &str = ".jsonl";
const BUFFER: usize = 256 * 1024;

/// A segment: `<epoch>-<number>.jsonl`. Each holder writes segments of its own epoch only.
///
/// Epoch 0 is the single segment of a journal from before there were fences, `00000001.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SegmentId {
    pub epoch: u64,
    pub number: u64,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{:08}{ENDING}", self.number),
            epoch => write!(f, "{epoch:010}-{:08}{ENDING}", self.number),
        }
    }
}

impl FromStr for SegmentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no segment of a journal");
        let stem = text.strip_suffix(ENDING).ok_or_else(wrong)?;
        let (epoch, number) = stem.split_once('-').unwrap_or(("0", stem));
        let parse = |digits: &str| digits.parse().map_err(|_| wrong());
        let id = Self { epoch: parse(epoch)?, number: parse(number)? };
        // One name a segment: `+1`, say, is a number as well.
        if id.to_string() == text { Ok(id) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for SegmentId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SegmentId> for String {
    fn from(id: SegmentId) -> Self {
        id.to_string()
    }
}

/// The segments of a folder, the oldest first.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<SegmentId>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(at(folder, &error)),
    };
    let mut ids = vec![];
    for entry in entries {
        ids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<SegmentId>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Takes in what counts of a journal as it lies on the disk: the newest segment, and of those before it what its fence
/// accepted. Returns how much of which segment that was.
///
/// # Errors
/// When it cannot be read, or `take` fails.
pub fn read_newest(folder: &Path, take: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<Vec<Accepted>> {
    let Some(newest) = list(folder)?.pop() else { return Ok(vec![]) };
    let path = folder.join(newest.to_string());
    let mut lines = Lines::new(BufReader::with_capacity(BUFFER, File::open(&path).map_err(|error| at(&path, &error))?));
    let mut accepted = vec![];
    match lines.next_line().map_err(|error| unreadable(&path, error))? {
        Some(Line::Fence(fence)) => {
            accepted = fence.accepted;
            read_accepted(folder, &accepted, take)?;
        }
        Some(Line::Record(record)) if newest.epoch == 0 => take(&record)?,
        None if newest.epoch == 0 => {}
        // It came into its place whole.
        Some(Line::Record(_)) | None => return Err(damaged(&path, 1, "it is no fence".to_owned())),
    }
    take_all(&path, &mut lines, take)?;
    accepted.push(Accepted { segment: newest, bytes: lines.good });
    Ok(accepted)
}

/// Takes in just so many bytes of these segments, all of which must be whole lines.
///
/// # Errors
/// When they are not, or `take` fails.
pub fn read_accepted(
    folder: &Path,
    accepted: &[Accepted],
    take: &mut dyn FnMut(&Record) -> io::Result<()>,
) -> io::Result<()> {
    for Accepted { segment, bytes } in accepted {
        let path = folder.join(segment.to_string());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(&path, 1, "the file is missing, and later segments count on it".to_owned()));
            }
            Err(error) => return Err(at(&path, &error)),
        };
        let mut lines = Lines::new(BufReader::with_capacity(BUFFER, file.take(*bytes)));
        take_all(&path, &mut lines, take)?;
        if lines.good != *bytes {
            let reason = format!("only {} bytes are whole, and later segments count on {bytes}", lines.good);
            return Err(damaged(&path, lines.number() + 1, reason));
        }
    }
    Ok(())
}

fn take_all(
    path: &Path,
    lines: &mut Lines<impl io::BufRead>,
    take: &mut dyn FnMut(&Record) -> io::Result<()>,
) -> io::Result<()> {
    while let Some(line) = lines.next_line().map_err(|error| unreadable(path, error))? {
        match line {
            Line::Record(record) => take(&record)?,
            Line::Fence(_) if lines.number() == 1 => {}
            Line::Fence(_) => return Err(damaged(path, lines.number(), "a fence is a first line".to_owned())),
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: ReadError) -> io::Error {
    match error {
        ReadError::Io(error) => at(path, &error),
        ReadError::Log(source) => {
            io::Error::new(io::ErrorKind::InvalidData, Damage { file: path.display().to_string(), source })
        }
    }
}

fn damaged(path: &Path, line: usize, reason: String) -> io::Error {
    unreadable(path, LogError::Damaged { line, reason }.into())
}

/// The same error, with its place.
pub fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_segments_do() {
        let ids = [(0, 1), (1, 1), (1, 2), (2, 1), (10, 3)].map(|(epoch, number)| SegmentId { epoch, number });
        let names = ids.map(|id| id.to_string());
        assert_eq!(names[0], "00000001.jsonl");
        assert_eq!(names[3], "0000000002-00000001.jsonl");
        assert!(names[1..].is_sorted());
        assert_eq!(names.map(|name| name.parse::<SegmentId>().expect("a segment")), ids);
        for other in ["", ".jsonl", "1.jsonl", "+0000001.jsonl", ".0000000001-00000001.jsonl.tmp", "00000001.jsonl~"] {
            assert!(other.parse::<SegmentId>().is_err(), "{other}");
        }
    }
}
