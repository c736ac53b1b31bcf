//! dagstorm: load, faults and proof for Dagster on ECS.
//!
//! ```text
//! file changed → intake (a key) → spec::load → plan::compile → journal: Accepted
//!   → world.look → decide → journal: intents → world.act → journal: outcomes → fold → publish::status → file
//!                                                 (when done) → census → audit → publish::report → files
//! ```
//!
//! One direction, no circle; the journal is the only truth; recovery is the ordinary path. A module imports modules of
//! lower levels only (`tests/architecture.rs` fails on any other edge):
//!
//! | level | modules |
//! | --- | --- |
//! | 8 | `cli` |
//! | 7 | `operator` |
//! | 6 | `publish` |
//! | 5 | `decide`, `audit` |
//! | 4 | `journal` |
//! | 3 | `plan` |
//! | 2 | `spec` |
//! | 1 | `load`, `fault`, `world` |
//! | 0 | `model` |

pub mod audit;
pub mod cli;
pub mod decide;
pub mod fault;

pub mod journal;
pub mod load;
pub mod model;
pub mod operator;
pub mod plan;
pub mod publish;
pub mod spec;
pub mod world;
