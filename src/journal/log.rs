//! How a record becomes a line: JSON with a CRC-32C over the record's own bytes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::record::Record;

/// The version of the format. A reader refuses a higher one.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct LineOut<'a> {
    v: u32,
    crc: String,
    record: &'a RawValue,
}

#[derive(Deserialize)]
struct LineIn<'a> {
    v: u32,
    crc: &'a str,
    #[serde(borrow)]
    record: &'a RawValue,
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

/// Encodes a record as one line with its line feed.
pub fn encode(record: &Record) -> Vec<u8> {
    let json = serde_json::value::to_raw_value(record).expect("a record has string keys only, so it always serializes");
    let crc = format!("{:08x}", crc32c::crc32c(json.get().as_bytes()));
    let mut line = serde_json::to_vec(&LineOut { v: VERSION, crc, record: &json }).expect("a line always serializes");
    line.push(b'\n');
    line
}

/// Decodes a journal: its records, and how many of its bytes they are.
///
/// A last line that is incomplete or damaged is a write that a crash tore: it was never durable, so it does not count.
///
/// # Errors
/// When any other line is damaged, or a line is of a newer version.
pub fn decode(bytes: &[u8]) -> Result<(Vec<Record>, usize), LogError> {
    let mut records = vec![];
    let mut good = 0;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        match decode_line(number + 1, line) {
            Ok(record) => {
                records.push(record);
                good += line.len();
            }
            Err(LogError::Damaged { .. }) if lines.peek().is_none() => break,
            Err(error) => return Err(error),
        }
    }
    Ok((records, good))
}

fn decode_line(line: usize, bytes: &[u8]) -> Result<Record, LogError> {
    let damaged = |reason: String| LogError::Damaged { line, reason };
    let Some(text) = bytes.strip_suffix(b"\n") else { return Err(damaged("it has no end".to_owned())) };
    let parsed: LineIn<'_> = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    if parsed.v > VERSION {
        return Err(LogError::Newer { line, version: parsed.v });
    }
    let crc = format!("{:08x}", crc32c::crc32c(parsed.record.get().as_bytes()));
    if crc != parsed.crc {
        return Err(damaged(format!("its checksum is {crc}, not {}", parsed.crc)));
    }
    // It was durable, so it counts: it must never be cut off as a torn tail.
    serde_json::from_str(parsed.record.get()).map_err(|error| LogError::Foreign { line, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Event, RunCounts},
        model::Timestamp,
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
        let text = String::from_utf8(journal(1)).expect("text").replace("\"v\":1", "\"v\":2");
        assert!(matches!(decode(text.as_bytes()), Err(LogError::Newer { version: 2, .. })));
    }
}
