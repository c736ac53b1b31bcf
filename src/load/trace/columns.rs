//! Which column or field of a trace holds what.

use super::{RawTrace, time::clip};

/// Names that a column of times has, where it is not said which one it is.
const TIMES: [&str; 16] = [
    "time",
    "timestamp",
    "datetime",
    "date_time",
    "at",
    "start",
    "start_time",
    "started_at",
    "started",
    "created_at",
    "create_timestamp",
    "created",
    "launched_at",
    "launch_time",
    "arrival",
    "arrival_time",
];
const JOBS: [&str; 5] = ["job", "job_name", "jobname", "pipeline", "pipeline_name"];

/// A value of a row, by what it is for.
pub struct Columns<I> {
    pub time: I,
    pub job: Option<I>,
    pub tags: Vec<(String, I)>,
    pub run_config: Vec<(String, I)>,
}

impl RawTrace {
    /// Whether any column is named.
    pub(super) fn names_columns(&self) -> bool {
        let more = |columns: &super::RawColumns| {
            columns.time.is_some() || columns.job.is_some() || columns.tags.len() + columns.run_config.len() > 0
        };
        self.column.is_some() || self.columns.as_ref().is_some_and(more)
    }

    /// Finds the columns of a header, each by `find`.
    ///
    /// # Errors
    /// A sentence that names what is not there, and what is.
    pub(super) fn columns_of<I>(&self, header: &[&str], find: impl Fn(usize, &str) -> I) -> Result<Columns<I>, String> {
        let place = |name: &str| {
            let index = header.iter().position(|cell| *cell == name);
            index
                .map(|index| find(index, name))
                .ok_or_else(|| format!("there is no column `{}`; the header has {}", clip(name), listed(header)))
        };
        let time = match self.time_column() {
            Some(name) => place(name)?,
            None => place(time_among(header)?)?,
        };
        let columns = self.columns.as_ref();
        let job = columns.and_then(|columns| columns.job.as_deref()).map(place).transpose()?;
        let list = |named: Option<&indexmap::IndexMap<String, String>>| {
            let each = named.into_iter().flatten().map(|(key, name)| Ok((key.clone(), place(name)?)));
            each.collect::<Result<Vec<_>, String>>()
        };
        Ok(Columns {
            time,
            job,
            tags: list(columns.map(|columns| &columns.tags))?,
            run_config: list(columns.map(|columns| &columns.run_config))?,
        })
    }

    /// A column that seems to name jobs, if none is said to.
    pub(super) fn unused_job(&self, header: &[&str]) -> Option<String> {
        let is_said = self.columns.as_ref().is_some_and(|columns| columns.job.is_some());
        let is_job = |cell: &&&str| JOBS.contains(&plain(cell).as_str());
        header.iter().find(is_job).filter(|_| !is_said).map(|cell| (*cell).to_owned())
    }
}

/// The column of times, by its name.
fn time_among<'a>(header: &[&'a str]) -> Result<&'a str, String> {
    let known: Vec<&str> = header.iter().filter(|cell| TIMES.contains(&plain(cell).as_str())).copied().collect();
    match (known[..].first(), known.len()) {
        (Some(only), 1) => Ok(only),
        (Some(_), _) => {
            let exact = known.iter().find(|cell| plain(cell) == TIMES[0]);
            exact.copied().ok_or_else(|| {
                format!("{} may all be the time: say which, as in `columns: {{ time: {} }}`", listed(&known), known[0])
            })
        }
        (None, _) => Err(format!(
            "none of the columns {} has a name such as `time` or `timestamp`: say which it is, as in `columns: {{ time: {} }}`",
            listed(header),
            header.first().map(|cell| clip(cell)).unwrap_or_default()
        )),
    }
}

/// `Start Time` is `start_time`.
fn plain(cell: &str) -> String {
    cell.to_lowercase().replace([' ', '-'], "_")
}

fn listed(cells: &[&str]) -> String {
    cells.iter().take(20).map(|cell| format!("`{}`", clip(cell))).collect::<Vec<_>>().join(", ")
}
