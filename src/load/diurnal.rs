//! A rate that swings like a day.

use std::{f64::consts::TAU, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, Rate, rate::DAY_US};
use crate::model::Span;

/// A rate that swings between two values like a day: a cosine, highest at `peak`. Example:
/// `diurnal: { low: 1/min, high: 2/s, period: 24h, peak: 14h }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Diurnal {
    /// The lowest rate; may be zero. Example: `1/min`.
    pub low: Rate,
    /// The highest rate, above zero and not below `low`. Example: `2/s`.
    pub high: Rate,
    /// The time from one peak to the next, at least `1ms`. Default: `24h`. Example: `10m` for a day in fast motion.
    #[serde(default = "one_day")]
    pub period: Span,
    /// When the rate is highest, counted from the phase's begin. Default: half of `period`. Example: `14h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Span>,
}

fn one_day() -> Span {
    Span::from_secs(24 * 3_600)
}

/// A root is found when it is known to so many microseconds …
const CLOSE_US: f64 = 1e-3;
/// … or, for long periods, to so much of a period: floating point knows no better.
const CLOSEST: f64 = 4e-16;
/// Halving a period so often leaves nothing of it.
const MOST_STEPS: u32 = 64;
/// So much of the whole integral is rounding: what would come within it at the phase's end does not come.
const ROUNDING: f64 = 1e-13;

impl Diurnal {
    /// The n-th arrival comes when the integral of the rate reaches n. The integral is known in closed form; its inverse
    /// is found by Newton's method, kept between bounds.
    pub(super) fn instants(&self, length: Duration) -> Instants {
        let period_us = super::whole_us(self.period.duration()).max(1);
        let peak_us = self.peak.map_or(period_us / 2, |peak| super::whole_us(peak.duration()) % period_us);
        let length_us = super::whole_us(length);
        let (low, high) = (self.low.per_day(), self.high.per_day());
        let swing = if low + high > 0.0 { ((high - low) / (high + low)).clamp(-1.0, 1.0) } else { 0.0 };
        let wave = Wave::new(swing, peak_us as f64 / period_us as f64);
        let arrivals_a_period = (low + high) / 2.0 * period_us as f64 / DAY_US;
        let periods = (length_us / period_us) as f64 + wave.at((length_us % period_us) as f64 / period_us as f64).0;
        let total = arrivals_a_period * periods * (1.0 - ROUNDING);
        Instants { wave, arrivals_a_period, period_us, length_us, total, index: 0, turn: 0.0, last: wave.begin() }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = vec![];
        if self.high.is_zero() {
            found.push(("high", "the highest rate is above zero".to_owned()));
        } else if self.low.per_day() > self.high.per_day() {
            found.push(("low", format!("the lowest rate ({}) is above the highest ({})", self.low, self.high)));
        }
        if self.period.duration() < super::LEAST_GAP {
            found.push(("period", "a period lasts at least 1ms".to_owned()));
        }
        found
    }
}

/// The integral of `1 + swing·cos(2π(u − peak))` over a period of length 1: from 0 to 1, and never falling.
#[derive(Debug, Clone, Copy)]
struct Wave {
    swing: f64,
    peak: f64,
    /// What makes the integral begin at zero.
    offset: f64,
}

impl Wave {
    fn new(swing: f64, peak: f64) -> Self {
        Self { swing, peak, offset: libm::sin(TAU * peak) }
    }

    /// The integral and its derivative.
    fn at(&self, u: f64) -> (f64, f64) {
        let (sine, cosine) = libm::sincos(TAU * (u - self.peak));
        (u + self.swing / TAU * (sine + self.offset), 1.0 + self.swing * cosine)
    }

    fn begin(&self) -> Root {
        Root { u: 0.0, y: 0.0, slope: self.at(0.0).1 }
    }

    /// The root of `y`, which is not before the last one.
    fn next(&self, last: Root, y: f64, close: f64) -> Root {
        if y <= last.y {
            return last;
        }
        let guess = last.u + (y - last.y) / last.slope;
        let middle = last.u + (1.0 - last.u) / 2.0;
        let (u, slope) = self.root(y, last.u, if (last.u..1.0).contains(&guess) { guess } else { middle }, close);
        Root { u, y, slope }
    }

    /// Where the integral is `y`, searched between `low` and 1, beginning at `guess`; and the slope near there.
    fn root(&self, y: f64, mut low: f64, guess: f64, close: f64) -> (f64, f64) {
        let (mut high, mut u, mut slope) = (1.0, guess, 1.0);
        for _ in 0..MOST_STEPS {
            let integral;
            (integral, slope) = self.at(u);
            let step = (integral - y) / slope;
            if integral > y {
                high = u;
            } else {
                low = u;
            }
            let next = u - step;
            if !(low..=high).contains(&next) {
                u = low + (high - low) / 2.0;
                if high - low <= close {
                    break;
                }
                continue;
            }
            u = next;
            // The error left behind by a step of Newton's method: the second derivative is below 2π·swing.
            if TAU * step * step <= close * slope || step.abs() <= close {
                break;
            }
        }
        (u, slope)
    }
}

/// The last root is where the search for the next one begins; a root itself follows from its index alone.
#[derive(Debug, Clone)]
pub(super) struct Instants {
    wave: Wave,
    arrivals_a_period: f64,
    period_us: u64,
    length_us: u64,
    total: f64,
    index: u64,
    turn: f64,
    last: Root,
}

/// Within one period: where the integral is `y`, and its slope near there.
#[derive(Debug, Clone, Copy)]
struct Root {
    u: f64,
    y: f64,
    slope: f64,
}

impl Iterator for Instants {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.index as f64 >= self.total {
            return None;
        }
        let turns = self.index as f64 / self.arrivals_a_period;
        let turn = turns.floor();
        if turn > self.turn {
            (self.turn, self.last) = (turn, self.wave.begin());
        }
        let period_us = self.period_us as f64;
        let root = self.wave.next(self.last, turns - turn, (CLOSE_US / period_us).max(CLOSEST));
        let instant = (turn * period_us + root.u * period_us).round() as u64;
        if instant >= self.length_us {
            return None;
        }
        self.last = root;
        self.index += 1;
        Some(instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diurnal(low: &str, high: &str, period: u64, peak: Option<u64>) -> Diurnal {
        let (low, high) = (low.parse().expect(low), high.parse().expect(high));
        Diurnal { low, high, period: Span::from_secs(period), peak: peak.map(Span::from_secs) }
    }

    fn instants(shape: &Diurnal, seconds: u64) -> Vec<u64> {
        shape.instants(Duration::from_secs(seconds)).collect()
    }

    #[test]
    fn a_day_counts_exactly() {
        for (low, high, period, seconds, count) in [
            ("0/s", "2/s", 100, 100, 100),
            ("0/s", "2/s", 100, 50, 50),
            ("0/s", "2/s", 100, 1_000, 1_000),
            ("1/min", "3/min", 3_600, 36_000, 1_200),
            ("0/s", "200/s", 86_400, 8_640, 55_738),
            ("2/s", "2/s", 100, 30, 60),
            ("0/s", "0/s", 100, 100, 0),
        ] {
            assert_eq!(instants(&diurnal(low, high, period, None), seconds).len(), count, "{low} to {high}");
        }
    }

    #[test]
    fn most_comes_at_the_peak() {
        let count = |shape: &Diurnal, second: u64| {
            let range = second * 1_000_000..(second + 10) * 1_000_000;
            instants(shape, 100).into_iter().filter(|instant| range.contains(instant)).count()
        };
        for (peak, at) in [(None, 45), (Some(30), 25), (Some(130), 25)] {
            let shape = diurnal("1/s", "101/s", 100, peak);
            let most = (0..91).map(|second| count(&shape, second)).max();
            assert_eq!(Some(count(&shape, at)), most, "{peak:?}");
            assert!((990..=1_010).contains(&count(&shape, at)), "{peak:?}: {}", count(&shape, at));
        }
    }

    #[test]
    fn equal_rates_are_an_even_pace() {
        let expected: Vec<u64> = (0..60).map(|index| index * 500_000).collect();
        assert_eq!(instants(&diurnal("2/s", "2/s", 7, None), 30), expected);
    }
}
