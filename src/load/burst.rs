//! Many at once, again and again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::model::Span;

/// Many arrivals at the same instant, the first burst at once, then again and again. Example:
/// `burst: { size: 60, every: 5m }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Burst {
    /// How many arrivals come at one instant, from 1 to 100,000. Example: `60`.
    #[schemars(range(min = 1, max = 100_000))]
    pub size: u32,
    /// The time from one burst to the next, at least `1ms`. Example: `5m`.
    pub every: Span,
}

/// The largest burst. More at one instant is a test of this program, not of its target.
const LARGEST: u32 = 100_000;

impl Burst {
    pub(super) fn instants(&self, length: Duration) -> Instants {
        Instants {
            size: u64::from(self.size),
            every_us: super::whole_us(self.every.duration()),
            length_us: super::whole_us(length),
            index: 0,
        }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = vec![];
        if self.size == 0 {
            found.push(("size", "a burst has at least one arrival".to_owned()));
        }
        if self.size > LARGEST {
            found.push(("size", format!("a burst has {LARGEST} arrivals at most")));
        }
        if self.every.duration() < super::LEAST_GAP {
            found.push(("every", "bursts are at least 1ms apart".to_owned()));
        }
        found
    }
}

#[derive(Debug, Clone)]
pub(super) struct Instants {
    size: u64,
    every_us: u64,
    length_us: u64,
    index: u64,
}

impl Iterator for Instants {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let burst = self.index.checked_div(self.size)?;
        // Bursts without a gap would be one without an end.
        let instant = if self.every_us == 0 && burst > 0 { None } else { self.every_us.checked_mul(burst) };
        let instant = instant.filter(|instant| *instant < self.length_us)?;
        self.index += 1;
        Some(instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_together() {
        for (size, every, length, expected) in [
            (2, 30, 61, vec![0, 0, 30, 30, 60, 60]),
            (2, 30, 60, vec![0, 0, 30, 30]),
            (3, 30, 1, vec![0, 0, 0]),
            (0, 30, 60, vec![]),
            (1, 0, 60, vec![0]),
        ] {
            let shape = Burst { size, every: Span::from_secs(every) };
            let offsets: Vec<u64> = shape.instants(Duration::from_secs(length)).map(|us| us / 1_000_000).collect();
            assert_eq!(offsets, expected, "{shape:?} for {length}s");
        }
    }
}
