//! Where records lie.

use std::{future::Future, io};

use super::record::Record;
use crate::model::ScenarioName;

/// A durable home of journals, one a scenario.
pub trait Store: Send + Sync + 'static {
    /// Appends records. On return they survive a crash; on an error nothing may be assumed, and the writer must stop.
    fn append(&self, scenario: &ScenarioName, records: &[Record]) -> impl Future<Output = io::Result<()>> + Send;

    /// Reads all records of a scenario; a torn tail is cut off.
    fn read(&self, scenario: &ScenarioName) -> impl Future<Output = io::Result<Vec<Record>>> + Send;

    /// The scenarios that have a journal, sorted.
    fn names(&self) -> impl Future<Output = io::Result<Vec<ScenarioName>>> + Send;
}
