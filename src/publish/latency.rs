//! How long runs took, and quantiles of durations.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Span;

/// Nearest-rank quantiles: each is a value that was really measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", into = "Written")]
pub struct Quantiles {
    /// How many were measured.
    pub samples: usize,
    /// Half of them took no longer.
    pub p50: Span,
    /// 95 of 100 took no longer.
    pub p95: Span,
    /// 99 of 100 took no longer.
    pub p99: Span,
    /// The longest.
    pub max: Span,
}

/// As it is written: each also as a number.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Quantiles", description = "Nearest-rank quantiles: each is a value that was really measured.")]
struct Written {
    /// How many were measured.
    samples: usize,
    /// Half of them took no longer.
    p50: Span,
    /// The same in seconds.
    p50_seconds: f64,
    /// 95 of 100 took no longer.
    p95: Span,
    /// The same in seconds.
    p95_seconds: f64,
    /// 99 of 100 took no longer.
    p99: Span,
    /// The same in seconds.
    p99_seconds: f64,
    /// The longest.
    max: Span,
    /// The same in seconds.
    max_seconds: f64,
}

impl From<Quantiles> for Written {
    fn from(Quantiles { samples, p50, p95, p99, max }: Quantiles) -> Self {
        let [p50_seconds, p95_seconds, p99_seconds, max_seconds] = [p50, p95, p99, max].map(Span::seconds);
        Self { samples, p50, p50_seconds, p95, p95_seconds, p99, p99_seconds, max, max_seconds }
    }
}

impl Quantiles {
    /// `None` without samples: absence is not zero.
    pub fn of(durations: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = durations.collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        // Milliseconds are what a reader can use.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1).min(last);
            Span::from_millis(sorted[rank].as_millis() as u64)
        };
        Some(Self { samples: sorted.len(), p50: at(50), p95: at(95), p99: at(99), max: at(100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        assert_eq!(Quantiles::of(std::iter::empty()), None);
        let of = Quantiles::of((1..=100).rev().map(Duration::from_secs)).expect("samples");
        let seconds = |span: Span| span.duration().as_secs();
        assert_eq!((seconds(of.p50), seconds(of.p95), seconds(of.p99), seconds(of.max)), (50, 95, 99, 100));
        let one = Quantiles::of(std::iter::once(Duration::from_secs(3))).expect("a sample");
        assert_eq!((one.p50, one.max, one.samples), (Span::from_secs(3), Span::from_secs(3), 1));
    }
}
