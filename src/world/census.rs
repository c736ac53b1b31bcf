//! Every run of a generation with its raw step events.
//!
//! The runs are listed first, and then read by their ids, several pages at once: a page that waits for Dagster holds no other one
//! up, and a run that is deleted meanwhile shifts none.

use std::collections::BTreeSet;

use backon::Retryable;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    dagster::{Dagster, With, census_retry, is_passing, of},
    event_log,
    spool::Spool,
};
use crate::model::{Census, CensusQuery, RunRecord, Timestamp, Why};

/// Ids of one page.
const IDS_PAGE: usize = 5_000;
/// Runs of one page with their events.
const EVENTS_PAGE: usize = 50;
/// How many of these pages are asked for at once.
const AT_ONCE: usize = 4;

impl Dagster {
    /// Reads every run of a generation with its raw step events. Runs that are deleted while it reads are not in it.
    ///
    /// # Errors
    /// When a page cannot be read, also after several tries: a census is all or nothing.
    pub async fn census(&self, query: &CensusQuery, now: Timestamp) -> Result<Census, Why> {
        let all = json!({ "tags": of(&query.generation) });
        // Reading changes nothing, so what failed is read again at once.
        let read = || self.filtered_page(&all, None, With { runs: 1, ..With::look() });
        let version = read.retry(census_retry()).sleep(tokio::time::sleep).when(is_passing).await?.version;
        if let Some(variable) = &self.target.event_log {
            let read = || event_log::read(variable, query);
            let runs = read.retry(census_retry()).sleep(tokio::time::sleep).when(is_passing).await?;
            return Ok(counted(now, version, runs));
        }
        let mut spool = Spool::open(query.spool.as_deref(), now);
        let read = || self.listed(&all);
        let mut unread = read.retry(census_retry()).sleep(tokio::time::sleep).when(is_passing).await?;
        let known: BTreeSet<&str> = spool.runs.iter().map(|record| record.run.run_id.as_str()).collect();
        unread.retain(|run_id| !known.contains(run_id.as_str()));
        let pages: Vec<Vec<String>> = unread.chunks(EVENTS_PAGE).map(<[String]>::to_vec).collect();
        let pages = pages.into_iter().map(|run_ids| self.page_of(query, &version, run_ids));
        let mut pages = stream::iter(pages).buffered(AT_ONCE);
        while let Some(page) = pages.try_next().await? {
            spool.add(page);
        }
        drop(pages);
        let began_at = spool.began_at;
        Ok(counted(began_at, version, spool.end()))
    }

    /// The ids of all runs that fit the filter.
    async fn listed(&self, filter: &Value) -> Result<Vec<String>, Why> {
        let (mut listed, mut cursors): (Vec<String>, Vec<String>) = (vec![], vec![]);
        loop {
            let page = self.page_of_ids(filter, listed.last().map(String::as_str), IDS_PAGE).await?;
            cursors.extend(listed.last().cloned());
            let is_full = page.len() == IDS_PAGE;
            listed.extend(page);
            if !is_full {
                self.check_cursors(&cursors).await?;
                return Ok(listed);
            }
        }
    }

    async fn page_of(&self, query: &CensusQuery, version: &str, run_ids: Vec<String>) -> Result<Vec<RunRecord>, Why> {
        let read = || self.steps(&query.scenario, &query.generation, version, &run_ids);
        read.retry(census_retry()).sleep(tokio::time::sleep).when(is_passing).await
    }
}

/// By key: however the runs were read, they have one order.
fn counted(taken_at: Timestamp, dagster_version: String, mut runs: Vec<RunRecord>) -> Census {
    runs.sort_by(|a, b| (a.run.key.as_ref(), &a.run.run_id).cmp(&(b.run.key.as_ref(), &b.run.run_id)));
    Census { taken_at, dagster_version, runs, completions: None }
}
