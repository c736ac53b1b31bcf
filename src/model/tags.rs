//! The tags that every run of ours carries: who reads them and who writes them mean the same.

/// `scenario/generation/index`.
pub const KEY: &str = "dagstorm/key";
pub const SCENARIO: &str = "dagstorm/scenario";
pub const GENERATION: &str = "dagstorm/generation";
/// When the generation began: offsets of arrivals count from it.
pub const STARTED: &str = "dagstorm/started";
/// The id of the data folder that launched the run.
pub const WRITER: &str = "dagstorm/writer";

/// All of them.
pub const ALL: [&str; 5] = [KEY, SCENARIO, GENERATION, STARTED, WRITER];
