//! L4: the journal, the only truth. `record` is what is written, `state` and `generation` what it adds up to, `log` how
//! a record becomes a line, `segment` and `files` where the lines lie, `holding` who may write them, `store` the promise.

mod fact;
mod fault;
mod files;
mod generation;
mod holding;
mod launch;
mod log;
mod measure;
mod record;
mod rejections;
mod segment;
mod state;
mod store;
mod submission;

pub use fault::{FaultStage, FaultState, Heal, HealStep};
pub use files::{FileStore, newest_epoch};
pub use generation::{Adopting, Fact, Generation, OtherWriter, Sample, TaskLife};
pub use holding::{Fenced, Holding, TRUSTED_FOR, read_epoch};
pub use launch::{Foreign, Launched, Launches, failed_by_reason, is_never_started};
pub use log::{LogError, decode, encode};
pub use measure::{Evidence, Measured};
pub use record::{
    Conclusion, Dependency, Event, Found, Record, ResolvedChoice, ResolvedPartition, Summary, ThresholdResult,
};
pub use state::{IllegalRecord, State};
pub use store::{Store, Trouble};
pub use submission::{Departure, LaunchTrouble, Submission, SubmissionStage};
