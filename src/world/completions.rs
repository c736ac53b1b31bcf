//! Reads what workers wrote down of their own work: a table, files, or a queue. All of it, or nothing.

mod files;
mod queue;
mod table;

use std::{collections::BTreeSet, future::Future};

use super::postgres;
use crate::model::{
    Census, CensusQuery, CompletionRecord, Completions, CompletionsTarget, Gathering, Why, WhyKind,
    completion::CompletionSource,
};

/// Whether the records can be read at all, before anything rests on it.
///
/// `sqs` is made only where it is needed.
pub async fn check<'a>(
    sqs: impl Future<Output = &'a aws_sdk_sqs::Client>,
    target: &CompletionsTarget,
) -> Result<(), Why> {
    match &target.source {
        CompletionSource::Postgres { url_from_env, table } => {
            table::check(&postgres::connect(url_from_env).await?, table, &target.fields).await
        }
        CompletionSource::Jsonl { path } => files::check(path).await,
        CompletionSource::Queue { name } => queue::check(sqs.await, name).await,
    }
}

/// Reads all records of a generation whose runs are known.
///
/// `sqs` is made only where it is needed.
pub async fn read<'a>(
    sqs: impl Future<Output = &'a aws_sdk_sqs::Client>,
    target: &CompletionsTarget,
    query: &CensusQuery,
    census: &Census,
) -> Result<Completions, Why> {
    let runs: BTreeSet<String> = census.runs.iter().map(|record| record.run.run_id.clone()).collect();
    let prefix = format!("{}/{}/", query.scenario, query.generation);
    match &target.source {
        CompletionSource::Postgres { url_from_env, table } => {
            let client = postgres::connect(url_from_env).await?;
            let mut gathering = Gathering::new(target, prefix.clone());
            table::read(&client, table, &target.fields, &runs, &prefix, &mut gathering).await?;
            Ok(gathering.end())
        }
        CompletionSource::Jsonl { path } => {
            let (path, target) = (path.clone(), target.clone());
            let read = tokio::task::spawn_blocking(move || {
                let mut gathering = Gathering::new(&target, prefix);
                files::read(&path, &runs, &mut gathering)?;
                Ok(gathering.end())
            });
            read.await.expect("reading files does not panic")
        }
        CompletionSource::Queue { name } => {
            let mut gathering = Gathering::new(target, prefix);
            queue::read(sqs.await, name, &runs, &mut gathering).await?;
            Ok(gathering.end())
        }
    }
}

/// Reads what was recorded of a few runs, while others are under way: of a table alone. From files and queues everything
/// would have to be read each time; there is nothing then.
pub async fn of_runs(target: &CompletionsTarget, runs: &BTreeSet<String>) -> Result<Vec<CompletionRecord>, Why> {
    match &target.source {
        CompletionSource::Postgres { url_from_env, table } => {
            let client = postgres::connect(url_from_env).await?;
            let mut gathering = Gathering::new(target, String::new());
            table::of_runs(&client, table, &target.fields, runs, &mut gathering).await?;
            Ok(gathering.end().records)
        }
        CompletionSource::Jsonl { .. } | CompletionSource::Queue { .. } => Ok(vec![]),
    }
}

fn protocol(message: String) -> Why {
    Why { kind: WhyKind::Protocol, message }
}
