//! The proof over the wire: the real binary against a Dagster that answers as the real one does.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

mod client;
mod connections;
mod contract;
mod dagster;
mod idle;
mod judge;
mod partitioned;
mod partitions;
mod passing;
mod proxy;
mod rig;
mod run;
mod schema;
mod storm;
