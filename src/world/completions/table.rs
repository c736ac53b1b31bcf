//! A table of attempts in PostgreSQL, row by row as they come: only those of this generation are kept.

use std::collections::BTreeSet;

use futures::{TryStreamExt, pin_mut};
use tokio_postgres::{Client, types::ToSql};

use super::protocol;
use crate::{
    model::{Gathering, Why, WhyKind, completion::CompletionFields},
    world::postgres,
};

/// So many runs are asked for at once.
const RUNS: usize = 1_000;

/// Whether the table is there and has what is needed.
pub async fn check(client: &Client, table: &str, fields: &CompletionFields) -> Result<(), Why> {
    let columns = columns(client, table).await?;
    for needed in [&fields.run, &fields.step] {
        if !columns.contains(needed) {
            let there: Vec<&str> = columns.iter().map(String::as_str).collect();
            let message = format!("table {table} has no column `{needed}`; it has {}", there.join(", "));
            return Err(Why { kind: WhyKind::NotFound, message });
        }
    }
    Ok(())
}

async fn columns(client: &Client, table: &str) -> Result<BTreeSet<String>, Why> {
    let of_table = "SELECT attname::text FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
    let rows = client.query(of_table, &[&quoted(table)]).await.map_err(|error| postgres::why(table, &error))?;
    let columns: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    if columns.is_empty() {
        let message = format!("PostgreSQL has no table {table}, or hides it from us");
        return Err(Why { kind: WhyKind::NotFound, message });
    }
    Ok(columns)
}

/// Each part of a name in quotes; it has letters, digits and `_` alone.
fn quoted(name: &str) -> String {
    name.split('.').map(column).collect::<Vec<_>>().join(".")
}

fn column(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads what carries a key of the generation, then what is of one of its runs and carries none.
pub async fn read(
    client: &Client,
    table: &str,
    fields: &CompletionFields,
    runs: &BTreeSet<String>,
    prefix: &str,
    gathering: &mut Gathering<'_>,
) -> Result<(), Why> {
    check(client, table, fields).await?;
    let (name, key) = (quoted(table), column(&fields.key));
    let mut read = Reading { client, table, runs, gathering, number: 0 };
    let mut others = String::new();
    if columns(client, table).await?.contains(&fields.key) {
        let by_key = format!("SELECT to_jsonb(t)::text FROM {name} AS t WHERE starts_with(t.{key}::text, $1)");
        read.rows(&by_key, &[&prefix]).await?;
        others = format!(" AND (t.{key} IS NULL OR NOT starts_with(t.{key}::text, $2))");
    }
    let by_run = format!("{}{others}", by_run(table, fields));
    let all: Vec<&String> = runs.iter().collect();
    for some in all.chunks(RUNS) {
        let without_key: [&(dyn ToSql + Sync); 2] = [&some, &prefix];
        read.rows(&by_run, if others.is_empty() { &without_key[..1] } else { &without_key }).await?;
    }
    Ok(())
}

/// Reads what is of some runs, whatever keys it carries.
pub async fn of_runs(
    client: &Client,
    table: &str,
    fields: &CompletionFields,
    runs: &BTreeSet<String>,
    gathering: &mut Gathering<'_>,
) -> Result<(), Why> {
    let all: Vec<&String> = runs.iter().collect();
    Reading { client, table, runs, gathering, number: 0 }.rows(&by_run(table, fields), &[&all]).await
}

/// Rows of the runs that are its first value.
fn by_run(table: &str, fields: &CompletionFields) -> String {
    format!("SELECT to_jsonb(t)::text FROM {} AS t WHERE t.{}::text = ANY($1)", quoted(table), column(&fields.run))
}

struct Reading<'a, 'b> {
    client: &'a Client,
    table: &'a str,
    runs: &'a BTreeSet<String>,
    gathering: &'a mut Gathering<'b>,
    number: u64,
}

impl Reading<'_, '_> {
    async fn rows(&mut self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), Why> {
        let failed = |error: tokio_postgres::Error| postgres::why(self.table, &error);
        let rows = self.client.query_raw(query, values.iter().copied()).await.map_err(failed)?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.number += 1;
            let text: &str = row.try_get(0).map_err(|error| protocol(format!("table {}: {error}", self.table)))?;
            let at = || format!("table {}, row {}", self.table, self.number);
            self.gathering.take(text, None, &at, &|run| self.runs.contains(run));
        }
        Ok(())
    }
}
