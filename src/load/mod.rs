//! L1: the shapes of arrivals and the draw of jobs. Pure: the same input gives the same instants on every machine, so
//! nothing but exact floating-point operations and `libm` is used.

mod burst;
mod constant;
mod diurnal;
mod draw;
mod poisson;
mod profile;
mod ramp;
mod rate;
mod spike;
mod stairs;
mod trace;

use std::time::Duration;

pub use burst::Burst;
pub use constant::Constant;
pub use diurnal::Diurnal;
pub use draw::{Draw, JobMix, Weighted, no_config};
pub use poisson::Poisson;
pub use ramp::Ramp;
pub use rate::Rate;
use serde::{Deserialize, Serialize};
pub use spike::Spike;
pub use stairs::Stairs;
pub use trace::{Numbers, RawColumns, RawTrace, Reading, RowKind, Rows, Trace, TraceError, config_value};

/// When the arrivals of a phase come: exactly one shape. All instants are whole microseconds from the phase's begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Arrivals {
    Constant(Constant),
    Ramp(Ramp),
    Stairs(Stairs),
    Poisson(Poisson),
    Burst(Burst),
    Spike(Spike),
    Diurnal(Diurnal),
    /// In a manifest it is a [`RawTrace`]; the file is read when the manifest is.
    Trace(Trace),
}

/// A field of a shape, and what is wrong with it.
type Problem = (&'static str, String);

/// What comes again and again comes at least so much later.
const LEAST_GAP: Duration = Duration::from_millis(1);

impl Arrivals {
    /// The offsets from the phase's begin: whole microseconds, sorted, each below `length`.
    pub fn offsets(&self, length: Duration, seed: u64, phase: u64) -> Offsets {
        Offsets(match self {
            Self::Constant(shape) => Instants::Constant(shape.instants(length)),
            Self::Ramp(shape) => Instants::Profile(shape.instants(length)),
            Self::Stairs(shape) => Instants::Profile(shape.instants(length)),
            Self::Poisson(shape) => Instants::Poisson(shape.instants(length, seed, phase)),
            Self::Burst(shape) => Instants::Burst(shape.instants(length)),
            Self::Spike(shape) => Instants::Profile(shape.instants(length)),
            Self::Diurnal(shape) => Instants::Diurnal(shape.instants(length)),
            Self::Trace(shape) => Instants::Trace(shape.instants(length)),
        })
    }

    /// Everything that is wrong with the shape in a phase of this length: the path below `arrivals`, and a sentence.
    pub fn problems(&self, length: Duration) -> Vec<(String, String)> {
        let found = match self {
            Self::Constant(shape) => shape.problems(),
            Self::Ramp(shape) => shape.problems(),
            Self::Stairs(shape) => shape.problems(),
            Self::Poisson(shape) => shape.problems(),
            Self::Burst(shape) => shape.problems(),
            Self::Spike(shape) => shape.problems(length),
            Self::Diurnal(shape) => shape.problems(),
            Self::Trace(shape) => shape.problems(length),
        };
        found.into_iter().map(|(field, message)| (format!("{}.{field}", self.name()), message)).collect()
    }

    /// The shape's name, as it stands in manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Ramp(_) => "ramp",
            Self::Stairs(_) => "stairs",
            Self::Poisson(_) => "poisson",
            Self::Burst(_) => "burst",
            Self::Spike(_) => "spike",
            Self::Diurnal(_) => "diurnal",
            Self::Trace(_) => "trace",
        }
    }

    /// The shape in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Constant(shape) => format!("constant {}", shape.rate),
            Self::Ramp(shape) => format!("ramp {} to {}", shape.from, shape.to),
            Self::Stairs(shape) => format!("stairs {} to {} in {} steps", shape.from, shape.to, shape.steps),
            Self::Poisson(shape) => format!("poisson {}", shape.rate),
            Self::Burst(shape) => format!("burst of {} every {}", shape.size, shape.every),
            Self::Spike(shape) => {
                let every = shape.every.map(|every| format!(", every {every}")).unwrap_or_default();
                let Spike { base, peak, after, length, .. } = shape;
                format!("spike {base} to {peak} after {after} for {length}{every}")
            }
            Self::Diurnal(shape) => format!("diurnal {} to {} every {}", shape.low, shape.high, shape.period),
            Self::Trace(shape) => {
                let speed = if shape.speed == 1.0 { String::new() } else { format!(" at speed {}", shape.speed) };
                format!("trace {} ({} rows){speed}", shape.file, shape.offsets_us.len())
            }
        }
    }
}

/// The offsets of a phase's arrivals. A clone goes on from the same place.
#[derive(Debug, Clone)]
pub struct Offsets(Instants);

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a plan holds few of them, and cloning must not allocate")]
enum Instants {
    Constant(constant::Instants),
    Profile(profile::Instants),
    Poisson(poisson::Instants),
    Burst(burst::Instants),
    Diurnal(diurnal::Instants),
    Trace(trace::Instants),
}

impl Iterator for Offsets {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let instant_us = match &mut self.0 {
            Instants::Constant(instants) => instants.next(),
            Instants::Profile(instants) => instants.next(),
            Instants::Poisson(instants) => instants.next(),
            Instants::Burst(instants) => instants.next(),
            Instants::Diurnal(instants) => instants.next(),
            Instants::Trace(instants) => instants.next(),
        };
        instant_us.map(Duration::from_micros)
    }
}

/// The whole microseconds of a length.
fn whole_us(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn refuse_zero(field: &'static str, rate: Rate) -> Vec<Problem> {
    if rate.is_zero() {
        return vec![(field, format!("{rate} is no load: a rate is above zero here"))];
    }
    vec![]
}

#[cfg(test)]
mod tests;
