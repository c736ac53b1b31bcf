//! L4: the journal, the only truth. `record` is what is written, `state` and `generation` what it adds up to, `log` how
//! a record becomes a line, `store` where the lines lie.

mod files;
mod generation;
mod log;
mod record;
mod state;
mod store;

pub use files::FileStore;
pub use generation::{Fact, FaultStage, FaultState, Generation, Launches, Sample, Submission, SubmissionStage};
pub use log::{LogError, decode, encode};
pub use record::{Conclusion, Dependency, Event, Found, Record, RunCounts, ThresholdResult};
pub use state::{IllegalRecord, State, Summary};
pub use store::Store;
