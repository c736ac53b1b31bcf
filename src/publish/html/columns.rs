//! The table of all keys, a column each: a hundred thousand of them are a few megabytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::data::Origin;
use crate::{
    audit::Audit,
    journal::Generation,
    model::Census,
    plan::Plan,
    publish::keys::{Row, rows},
};

/// So many keys a page holds at most; `keys.csv` has all. Those of which there is something to say come first.
pub const MOST_KEYS: usize = 100_000;

/// All of one length. Instants are milliseconds from the page's origin.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// How many keys there are in all.
    pub total: u32,
    pub index: Vec<u32>,
    pub job: Named,
    pub due: Vec<Option<i64>>,
    pub attempts: Vec<u32>,
    pub outcome: Named,
    pub run: Vec<String>,
    pub status: Named,
    pub started: Vec<Option<i64>>,
    pub ended: Vec<Option<i64>>,
    pub steps_started: Vec<usize>,
    pub steps_completed: Vec<usize>,
    pub findings: Named,
}

/// A column of few different texts: each stands once, in the order in which it came.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Named {
    pub names: Vec<String>,
    pub of: Vec<usize>,
    #[serde(skip)]
    known: BTreeMap<String, usize>,
}

impl Named {
    fn push(&mut self, text: &str) {
        let number = self.known.get(text).copied().unwrap_or_else(|| {
            self.names.push(text.to_owned());
            self.known.insert(text.to_owned(), self.names.len() - 1);
            self.names.len() - 1
        });
        self.of.push(number);
    }
}

/// The planned keys in the order of their arrivals; of more than `most`, those with something to say and then the first.
pub fn columns(
    plan: &Plan,
    generation: &Generation,
    census: &Census,
    audit: &Audit,
    origin: Origin,
    most: usize,
) -> Columns {
    let total = plan.arrivals.len();
    let is_whole = total as usize <= most;
    let notable: BTreeSet<u32> = if is_whole {
        BTreeSet::new()
    } else {
        let rows = rows(plan, generation, census, audit);
        rows.filter(is_notable).map(|row| row.index).take(most).collect()
    };
    let mut room = most - notable.len();
    let mut columns = Columns { total, ..Columns::default() };
    for row in rows(plan, generation, census, audit) {
        if !notable.contains(&row.index) {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        columns.push(&row, origin);
    }
    columns
}

fn is_notable(row: &Row<'_>) -> bool {
    !row.words.is_empty() || row.outcome() != "acknowledged" || !row.is_plain_success()
}

impl Columns {
    fn push(&mut self, row: &Row<'_>, origin: Origin) {
        self.index.push(row.index);
        self.job.push(row.job);
        self.due.push(row.due.map(|at| origin.to(at)));
        self.attempts.push(row.attempts());
        self.outcome.push(row.outcome());
        self.run.push(row.run_ids());
        self.status.push(&row.statuses());
        self.started.push(row.started().map(|at| origin.to(at)));
        self.ended.push(row.ended().map(|at| origin.to(at)));
        self.steps_started.push(row.steps_started());
        self.steps_completed.push(row.steps_completed());
        self.findings.push(&row.words.join(", "));
    }
}
