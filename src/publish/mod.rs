//! L6: what users read: status, reports, events, metrics. Rendering is pure; `files` alone writes.

mod columns;
pub mod compare;
mod conditions;
mod events;
mod files;
pub mod fold;
mod headline;
pub mod history;
mod html;
mod junit;
mod keys;
mod latency;
mod markdown;
mod metrics;
pub mod recorded;
mod report;
mod schema;
mod shelf;
mod so_far;
mod status;
mod summary;
mod writer;

pub use events::{PersonEvent, for_people};
pub use files::{Evidence, Folder, write_atomically};
pub use headline::{Headline, LastRun};
pub use html::{comparison_page, html};
pub use junit::junit;
pub use keys::keys;
pub use latency::Quantiles;
pub use markdown::markdown;
pub use metrics::{gauges, latencies};
pub use report::{Report, report};
pub use schema::report_schema;
pub use so_far::{CountsSoFar, Judgement, SoFar, VerdictSoFar};
pub use status::{Beside, Rejection, Status, due, not_accepted, phase, status};
pub use summary::summary;
