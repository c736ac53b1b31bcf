//! How a record becomes a line: JSON with a CRC-32C over the record's own bytes.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::{record::Record, segment::SegmentId};

/// The version of the format. A reader refuses a higher one; 1 had no fences.
const VERSION: u32 = 2;
const RECORD: &str = "record";
const FENCE: &str = "fence";

/// One line of a segment.
#[derive(Debug, PartialEq)]
pub enum Line {
    Fence(Fence),
    Record(Box<Record>),
}

/// The first line of a segment: what counts of the segments before it, in their order. Of these nothing else counts,
/// whatever is written to them later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// The epoch of the holder who writes this segment.
    pub epoch: u64,
    pub accepted: Vec<Accepted>,
}

/// So many bytes of this segment count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    pub segment: SegmentId,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("line {line} is damaged: {reason}")]
    Damaged { line: usize, reason: String },
    #[error("line {line} is whole, yet this version cannot read it ({reason}): upgrade dagstorm")]
    Foreign { line: usize, reason: String },
    #[error(
        "line {line} was written by a newer version (format {version}, this one reads {VERSION}): upgrade dagstorm"
    )]
    Newer { line: usize, version: u32 },
}

/// Why lines cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Encodes a record as one line with its line feed.
pub fn encode(record: &Record) -> Vec<u8> {
    line(RECORD, record)
}

/// Encodes a fence as one line with its line feed.
pub fn encode_fence(fence: &Fence) -> Vec<u8> {
    line(FENCE, fence)
}

fn line(kind: &str, value: &impl Serialize) -> Vec<u8> {
    let head = format!("{{\"v\":{VERSION},\"crc\":\"00000000\",\"{kind}\":");
    let crc_at = head.len() - kind.len() - "\",\"\":".len() - 8;
    let mut line = head.into_bytes();
    let begin = line.len();
    serde_json::to_writer(&mut line, value).expect("all keys are strings, so it always serializes");
    let crc = format!("{:08x}", crc32c::crc32c(&line[begin..]));
    line[crc_at..crc_at + 8].copy_from_slice(crc.as_bytes());
    line.extend_from_slice(b"}\n");
    line
}

/// Lines as they come, and how many of the bytes were good.
///
/// A last line that is incomplete or damaged is a write that a crash tore: it was never durable, so it does not count.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: usize,
    /// So many bytes are whole lines.
    pub good: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R) -> Self {
        Self { input, buffer: vec![], number: 0, good: 0 }
    }

    /// The number of the last whole line, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next line; `None` at the end or at a torn tail.
    ///
    /// # Errors
    /// When any line but the last is damaged, or a line is of a newer version.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        self.buffer.clear();
        if self.input.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        match decode_line(self.number, &self.buffer) {
            Ok(line) => {
                self.good += self.buffer.len() as u64;
                Ok(Some(line))
            }
            Err(LogError::Damaged { .. }) if self.input.fill_buf()?.is_empty() => {
                self.number -= 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Decodes the bytes of a journal of one piece: its records, and how many of its bytes are good.
///
/// # Errors
/// When any line but the last is damaged, or a line is of a newer version.
pub fn decode(bytes: &[u8]) -> Result<(Vec<Record>, usize), LogError> {
    let mut lines = Lines::new(bytes);
    let mut records = vec![];
    loop {
        match lines.next_line() {
            Ok(Some(Line::Record(record))) => records.push(*record),
            Ok(Some(Line::Fence(_))) => {}
            Ok(None) => return Ok((records, usize::try_from(lines.good).expect("no more than was given"))),
            Err(ReadError::Log(error)) => return Err(error),
            Err(ReadError::Io(error)) => unreachable!("memory can be read: {error}"),
        }
    }
}

/// The parts of a line lie where [`line`] puts them, so that its JSON is parsed once.
fn decode_line(line: usize, bytes: &[u8]) -> Result<Line, LogError> {
    let damaged = |reason: &str| LogError::Damaged { line, reason: reason.to_owned() };
    let text = bytes.strip_suffix(b"\n").ok_or_else(|| damaged("it has no end"))?;
    let rest = text.strip_prefix(b"{\"v\":").ok_or_else(|| damaged("it does not begin as a line does"))?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let version = str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse::<u32>().ok());
    let version = version.ok_or_else(|| damaged("it has no version"))?;
    if version > VERSION {
        return Err(LogError::Newer { line, version });
    }
    let (head, body) = split(&rest[digits..]).ok_or_else(|| damaged("its parts are not where they belong"))?;
    let crc = format!("{:08x}", crc32c::crc32c(body));
    if crc.as_bytes() != head.crc {
        return Err(damaged(&format!("its checksum is {crc}, not {}", String::from_utf8_lossy(head.crc))));
    }
    // It was durable, so it counts: it must never be taken for a torn tail.
    let foreign = |error: serde_json::Error| LogError::Foreign { line, reason: error.to_string() };
    if head.is_fence {
        serde_json::from_slice(body).map(Line::Fence).map_err(foreign)
    } else {
        serde_json::from_slice(body).map(Line::Record).map_err(foreign)
    }
}

struct Head<'a> {
    crc: &'a [u8],
    is_fence: bool,
}

/// What follows the version: `,"crc":"…","record":` or `"fence":`, the value itself, and the brace.
fn split(rest: &[u8]) -> Option<(Head<'_>, &[u8])> {
    let (crc, rest) = rest.strip_prefix(b",\"crc\":\"")?.split_at_checked(8)?;
    let rest = rest.strip_prefix(b"\",\"")?.strip_suffix(b"}")?;
    let named = |kind: &str| rest.strip_prefix(kind.as_bytes())?.strip_prefix(b"\":");
    match (named(RECORD), named(FENCE)) {
        (Some(body), _) => Some((Head { crc, is_fence: false }, body)),
        (None, Some(body)) => Some((Head { crc, is_fence: true }, body)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::Event,
        model::{RunCounts, Timestamp},
    };

    fn journal(count: u64) -> Vec<u8> {
        (0..count).flat_map(|seq| encode(&record(seq))).collect()
    }

    fn record(seq: u64) -> Record {
        Record {
            seq,
            at: Timestamp::from_micros(1_000_000),
            epoch: 1,
            event: Event::Counted { runs: RunCounts::default() },
        }
    }

    #[test]
    fn records_survive_their_lines() {
        let bytes = journal(3);
        let (records, good) = decode(&bytes).expect("whole");
        assert_eq!(records, [record(0), record(1), record(2)]);
        assert_eq!(good, bytes.len());
    }

    #[test]
    fn every_torn_tail_loses_the_last_record_only() {
        let (bytes, kept) = (journal(3), journal(2).len());
        for cut in kept..bytes.len() {
            let (records, good) = decode(&bytes[..cut]).expect("a torn tail is no damage");
            assert_eq!((records.len(), good), (2, kept), "cut at {cut}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error() {
        let mut bytes = journal(3);
        let middle = journal(1).len() + 40;
        bytes[middle] ^= 1;
        assert!(matches!(decode(&bytes), Err(LogError::Damaged { line: 2, .. })));
    }

    #[test]
    fn a_whole_record_that_cannot_be_read_is_no_torn_tail() {
        let json = r#"{"seq":0,"at":"2026-01-01T00:00:00Z","epoch":1,"event":{"invented":{}}}"#;
        let line = format!("{{\"v\":1,\"crc\":\"{:08x}\",\"record\":{json}}}\n", crc32c::crc32c(json.as_bytes()));
        assert!(matches!(decode(line.as_bytes()), Err(LogError::Foreign { line: 1, .. })));
    }

    #[test]
    fn a_newer_format_is_refused_even_at_the_end() {
        let text = String::from_utf8(journal(1)).expect("text").replace("\"v\":2", "\"v\":3");
        assert!(matches!(decode(text.as_bytes()), Err(LogError::Newer { version: 3, .. })));
    }

    #[test]
    fn the_first_format_is_read_for_ever() {
        let line = concat!(
            r#"{"v":1,"crc":"be541e69","record":{"seq":0,"at":"1970-01-01T00:00:01.000000Z","epoch":1,"#,
            r#""event":{"counted":{"runs":{"queued":0,"running":0,"succeeded":0,"failed":0,"canceled":0}}}}}"#,
            "\n"
        );
        assert_eq!(decode(line.as_bytes()).expect("whole"), (vec![record(0)], line.len()));
    }

    #[test]
    fn fences_are_lines_and_no_records() {
        let accepted = vec![
            Accepted { segment: SegmentId { epoch: 0, number: 1 }, bytes: 17 },
            Accepted { segment: SegmentId { epoch: 3, number: 2 }, bytes: 4_000_000_000 },
        ];
        let fence = Fence { epoch: 4, accepted };
        let bytes = [encode_fence(&fence), journal(1)].concat();
        let mut lines = Lines::new(bytes.as_slice());
        assert_eq!(lines.next_line().expect("whole"), Some(Line::Fence(fence)));
        assert_eq!(lines.next_line().expect("whole"), Some(Line::Record(Box::new(record(0)))));
        assert_eq!(lines.next_line().expect("the end"), None);
        assert_eq!(lines.good, bytes.len() as u64);
    }
}
