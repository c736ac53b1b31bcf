//! The commands as a user meets them: the real binary, its output and its exit codes. Nothing leaves this machine.
//!
//! `INSTA_UPDATE=always cargo test --test commands` rewrites the goldens; look at the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

mod audit;
mod cloud;
mod dagster;
mod flags;
mod init;
mod plan;
mod report;
mod rig;
mod validate;
mod words;
mod writers;
