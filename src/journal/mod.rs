//! L4: the journal, the only truth. `record` is what is written, `state` what it adds up to, `log` how a record becomes
//! a line, `store` where the lines lie.

mod files;
mod log;
mod record;
mod state;
mod store;

pub use files::FileStore;
pub use log::{LogError, decode, encode};
pub use record::{Conclusion, Dependency, Event, Found, Record, RunCounts};
pub use state::{Fact, FaultStage, FaultState, Generation, IllegalRecord, State, Submission, SubmissionStage, Summary};
pub use store::Store;
