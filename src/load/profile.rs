//! Rates that are straight lines in time, piece by piece: ramps, stairs and spikes.
//!
//! The n-th arrival (n = 0, 1 …) comes at the first instant after which the integral of the rate is above n, rounded to
//! the microsecond. So a ramp from zero begins with an arrival at once, and where the rate is zero for a while the next
//! arrival waits until it is not. A phase of length `L` has as many arrivals as come before `L`: the integral up to half a
//! microsecond before `L`, rounded up.

use std::{sync::Arc, time::Duration};

use super::rate::DAY_US;

/// One piece: from `begin_rate` to `end_rate` (arrivals a day) between two instants.
#[derive(Debug, Clone, PartialEq)]
struct Segment {
    begin_us: u64,
    length_us: u64,
    begin_rate: f64,
    end_rate: f64,
    /// The area below the rate before this segment, within one turn.
    before: f64,
    area: f64,
}

/// Segments one after another; all of them together again and again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    segments: Vec<Segment>,
    /// How long one turn is, and the area below its rate.
    turn_us: u64,
    area: f64,
}

/// So much of a segment's area is rounding: what would come within it comes behind the segment. It is less than half a
/// microsecond at an even rate, but decides whether a ramp to zero has its last arrival.
const ROUNDING: f64 = 1e-14;

impl Profile {
    pub(super) fn new() -> Self {
        Self { segments: vec![], turn_us: 0, area: 0.0 }
    }

    /// Adds a piece until this instant. One that ends before it begins is none.
    pub(super) fn until(mut self, end_us: u64, begin_rate: f64, end_rate: f64) -> Self {
        let length_us = end_us.saturating_sub(self.turn_us);
        if length_us > 0 {
            let area = (begin_rate + end_rate) / 2.0 * length_us as f64;
            let (begin_us, before) = (self.turn_us, self.area);
            self.segments.push(Segment { begin_us, length_us, begin_rate, end_rate, before, area });
            self.turn_us = end_us;
            self.area += area;
        }
        self
    }

    pub(super) fn instants(self, length: Duration) -> Instants {
        let length_us = super::whole_us(length);
        Instants { profile: Arc::new(self), length_us, index: 0, turn: 0, segment: 0 }
    }
}

impl Segment {
    /// When this much area is below the rate, in microseconds since the segment's begin. `None`: not in this segment.
    fn instant_us(&self, area: f64) -> Option<u64> {
        if area >= self.area * (1.0 - ROUNDING) {
            return None;
        }
        // What is below zero is rounding: the segment before has said that the arrival is not its own.
        let area = area.max(0.0);
        if area == 0.0 {
            return Some(0);
        }
        let slope = (self.end_rate - self.begin_rate) / self.length_us as f64;
        let root = (self.begin_rate * self.begin_rate + 2.0 * slope * area).max(0.0).sqrt();
        let instant = (2.0 * area / (self.begin_rate + root)).round() as u64;
        (instant < self.length_us).then_some(instant)
    }
}

/// Where the search for the next arrival goes on. Its instant follows from its index alone.
#[derive(Debug, Clone)]
pub(super) struct Instants {
    profile: Arc<Profile>,
    length_us: u64,
    index: u64,
    turn: u64,
    segment: usize,
}

impl Iterator for Instants {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let profile = &self.profile;
        if profile.area <= 0.0 {
            return None;
        }
        let area = self.index as f64 * DAY_US;
        // Over empty turns in one step; one fewer than computed, because that is rounded.
        let turn = (area / profile.area).floor() as u64;
        if turn > self.turn + 1 {
            (self.turn, self.segment) = (turn - 1, 0);
        }
        loop {
            let begin_us = self.turn.saturating_mul(profile.turn_us);
            if begin_us >= self.length_us {
                return None;
            }
            let Some(segment) = profile.segments.get(self.segment) else {
                (self.turn, self.segment) = (self.turn + 1, 0);
                continue;
            };
            let rest = area - (self.turn as f64 * profile.area + segment.before);
            if let Some(instant) = segment.instant_us(rest) {
                let instant = begin_us.saturating_add(segment.begin_us).saturating_add(instant);
                if instant >= self.length_us {
                    return None;
                }
                self.index += 1;
                return Some(instant);
            }
            self.segment += 1;
        }
    }
}
