//! L4: the journal, the only truth. `record` is what is written, `state` and `generation` what it adds up to, `log` how
//! a record becomes a line, `segment` and `files` where the lines lie, `holding` who may write them, `store` the promise.

mod fault;
mod files;
mod generation;
mod holding;
mod log;
mod measure;
mod record;
mod segment;
mod state;
mod store;
mod submission;

pub use fault::{FaultStage, FaultState, Heal, HealStep};
pub use files::{FileStore, newest_epoch};
pub use generation::{Fact, Generation, Sample, TaskLife};
pub use holding::{Fenced, Holding, TRUSTED_FOR, read_epoch};
pub use log::{LogError, decode, encode};
pub use measure::{Evidence, Measured};
pub use record::{
    Conclusion, Dependency, Event, Found, Record, ResolvedChoice, ResolvedPartition, RunCounts, Summary,
    ThresholdResult,
};
pub use state::{IllegalRecord, State};
pub use store::{Store, Trouble};
pub use submission::{Launches, Submission, SubmissionStage};
