//! L1: the edge. Two traits that the rest is written against, and the live clients behind them.

mod acl;
mod answers;
mod aws;
mod census;
mod certificates;
mod change;
mod clock;
mod cloudwatch;
mod completions;
mod copies;
mod dagster;
mod discover;
pub mod ec2;
mod ecs;
mod event_log;
mod graphql;
mod leftovers;
mod live;
mod location;
mod outgoing;
mod own;
mod partitions;
mod postgres;
mod proxy;
mod queue;
mod spool;
mod survey;
#[cfg(test)]
mod testing;

use std::future::Future;

pub use answers::{LAUNCH_ANSWERS, Look, Meaning};
pub use certificates::{NoCertificates, check_certificates};
pub use clock::SystemClock;
pub use dagster::Dagster;
pub use discover::{Account, JobCheck, Location, Queue, Repository, Service};
pub use graphql::DOCUMENTS;
pub use leftovers::{Leftover, Leftovers};
pub use live::LiveWorld;
pub use survey::{Identity, Permitted};

use crate::model::{Acted, Census, CensusQuery, Datum, Effect, Observation, Outcome, Query, Seen, Target, Timestamp};

/// The services that dagstorm acts on, as one object: a fault in one makes calls to another fail.
///
/// Every call ends within a time-out of its own and never panics; whatever goes wrong is in its answer.
pub trait World: Send + Sync + 'static {
    /// Looks once. The answer holds just what was asked for, fresh or unavailable, never empty for failed.
    fn look(&self, target: &Target, query: &Query) -> impl Future<Output = Observation> + Send;

    /// Does one effect once, without retries of its own where a repeat could do harm.
    fn act(&self, target: &Target, effect: &Effect) -> impl Future<Output = Acted> + Send;

    /// Reads all records of one generation, complete or not at all.
    fn census(&self, target: &Target, query: &CensusQuery) -> impl Future<Output = Seen<Census>> + Send;

    /// Finds everything that a target's faults can change and that carries a fault's mark.
    fn leftovers(&self, target: &Target) -> impl Future<Output = Leftovers> + Send;

    /// Publishes metrics. Nothing depends on their arrival.
    fn emit(&self, target: &Target, data: &[Datum]) -> impl Future<Output = Outcome> + Send;
}

/// Time, so that it can be simulated.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    fn sleep_until(&self, instant: Timestamp) -> impl Future<Output = ()> + Send;
}
