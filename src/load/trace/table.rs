//! Traces as tables: CSV with commas, semicolons or tabs.

use super::{
    RawTrace, TraceError,
    columns::Columns,
    rows::{Collected, Row, config_value},
    wrong,
};

/// Reads a table; the separator is the first line's, unless it is given. A column that seems to name jobs, and is not
/// used, comes back.
pub fn read(
    raw: &RawTrace,
    separator: Option<u8>,
    bytes: &[u8],
    collected: &mut Collected<'_>,
) -> Result<Option<String>, TraceError> {
    // Spreadsheets may say their separator in a line of its own.
    let (said, skipped) = match bytes.strip_prefix(b"sep=") {
        Some([separator, rest @ ..]) if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") => {
            (Some(*separator), 5 + rest.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1))
        }
        Some(_) | None => (None, 0),
    };
    let table = &bytes[skipped..];
    let first_line = u64::from(skipped > 0);
    let separator = separator.or(said).unwrap_or_else(|| separator_of(table));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(table);
    let mut layout: Option<Columns<usize>> = None;
    let mut unused_job = None;
    let mut row = csv::StringRecord::new();
    let mut lines = Lines { bytes: table, at: 0, line: first_line };
    loop {
        let more = reader.read_record(&mut row).map_err(|error| {
            wrong(lines.of(error.position()), "the line cannot be read: it is not UTF-8".to_owned())
        })?;
        if !more {
            return Ok(unused_job);
        }
        let line = lines.of(row.position());
        if let Some(columns) = &layout {
            collected.add(line, cells_of(columns, &row))?;
            continue;
        }
        let cells: Vec<&str> = row.iter().collect();
        let (columns, is_header) = begin(raw, &cells).map_err(|message| wrong(line, message))?;
        if is_header {
            unused_job = raw.unused_job(&cells);
        } else {
            collected.add(line, cells_of(&columns, &row))?;
        }
        layout = Some(columns);
    }
}

/// Which columns hold what, and whether the first row is a header.
fn begin(raw: &RawTrace, cells: &[&str]) -> Result<(Columns<usize>, bool), String> {
    // A word, and not a number with a slip in it.
    let is_word =
        |cell: &&str| cell.starts_with(|c: char| c.is_alphabetic() || c == '_') && cell.parse::<f64>().is_err();
    let columns = cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let is_header = cells.iter().take(columns).filter(|cell| !cell.is_empty()).all(is_word);
    if raw.names_columns() {
        return Ok((raw.columns_of(cells, |index, _| index)?, true));
    }
    let only = Columns { time: 0, job: None, tags: vec![], run_config: vec![] };
    match (columns, is_header) {
        (0 | 1, _) => Ok((only, is_header && columns == 1)),
        (_, true) => Ok((raw.columns_of(&cells[..columns], |index, _| index)?, true)),
        (_, false) => Err(format!(
            "the file has {columns} columns and no header: give it a first line with their names, as in `time,job`"
        )),
    }
}

fn cells_of<'a>(columns: &'a Columns<usize>, row: &'a csv::StringRecord) -> Result<Row<'a>, String> {
    let cell = |index: usize| {
        row.get(index).ok_or_else(|| format!("the row has {} columns, and column {} is needed", row.len(), index + 1))
    };
    let mut read = Row { time: cell(columns.time)?.into(), job: None, tags: vec![], run_config: vec![] };
    if let Some(job) = columns.job {
        read.job = Some(cell(job)?.into());
    }
    for (tag, index) in &columns.tags {
        read.tags.push((tag, cell(*index)?.into()));
    }
    for (path, index) in &columns.run_config {
        read.run_config.push((path, config_value(cell(*index)?)));
    }
    Ok(read)
}

/// The separator of a table, by its first line: what stands in quotes is none.
fn separator_of(table: &[u8]) -> u8 {
    let mut is_quoted = false;
    let mut found = (false, false);
    for byte in table.iter().skip_while(|byte| byte.is_ascii_whitespace()) {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            b'\t' if !is_quoted => found.0 = true,
            b';' if !is_quoted => found.1 = true,
            _ => {}
        }
    }
    match found {
        (true, _) => b'\t',
        (false, true) => b';',
        (false, false) => b',',
    }
}

/// Counts lines up to rows that come in order. The reader's own count stands before the blank lines that it passed over.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    /// So many line ends lie before `at`.
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let start = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.bytes.len());
        let start = start.clamp(self.at, self.bytes.len());
        let blank = self.bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = &self.bytes[self.at..start + blank];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at = start + blank;
        self.line + 1
    }
}
