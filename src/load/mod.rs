//! L1: the shapes of arrivals and the draw of jobs. Pure: the same input gives the same instants on every machine.

mod burst;
mod constant;
mod draw;
mod rate;

use std::time::Duration;

pub use burst::Burst;
pub use constant::Constant;
pub use draw::{JobMix, Weighted};
pub use rate::Rate;
use serde::{Deserialize, Serialize};

/// When the arrivals of a phase come. A new shape is one more file and one more arm here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Arrivals {
    Constant(Constant),
    Burst(Burst),
}

impl Arrivals {
    /// The offsets from the phase's begin, sorted, each below `length`.
    pub fn offsets(&self, length: Duration) -> Box<dyn Iterator<Item = Duration>> {
        match self {
            Self::Constant(shape) => Box::new(shape.offsets(length)),
            Self::Burst(shape) => Box::new(shape.offsets(length)),
        }
    }
}
