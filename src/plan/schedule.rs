//! The arrivals of a plan, computed as they are asked for: a million of them are not held in memory.

use std::{cmp::Reverse, collections::BinaryHeap, fmt, sync::Arc, time::Duration};

use crate::load::{Draw, Offsets};

/// One run to launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Since the generation's start.
    pub offset: Duration,
    /// What to launch: an index into the plan's choices.
    pub choice: u32,
    /// Which phase of the load it belongs to.
    pub phase: u32,
    /// How many arrivals of its phase's entry come before it. It is counted where partitions depend on it; else it is 0.
    pub turn: u32,
}

/// All arrivals, sorted by offset; those of one instant keep the order of their phases. An arrival's index in here is the
/// index of its key.
#[derive(Clone)]
pub struct Schedule {
    phases: Arc<[Phase]>,
    /// Sorted by index, the first at zero.
    checkpoints: Arc<[Cursor]>,
    len: u32,
}

/// A phase that has not begun.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    pub after: Duration,
    pub offsets: Offsets,
    pub draw: Draw,
    /// What the draw's indices stand for in the plan.
    pub choices: Vec<u32>,
    /// … and which counter of turns each has; none: turns are not counted.
    pub counters: Vec<usize>,
}

/// So many arrivals lie between two checkpoints, times the phases that are active at once: a checkpoint holds a cursor of
/// each of these, and all checkpoints together stay a few bytes an arrival.
const DISTANCE: u32 = 256;

impl Schedule {
    /// Walks through all arrivals once. There are fewer than 2³² of them: `spec` has counted.
    pub(super) fn new(phases: Vec<Phase>) -> Self {
        let phases: Arc<[Phase]> = phases.into();
        let mut cursor = Cursor::new(&phases);
        let mut checkpoints = vec![cursor.clone()];
        let mut next_at = DISTANCE;
        while cursor.next(&phases).is_some() {
            if cursor.index >= next_at {
                next_at = cursor.index.saturating_add(cursor.distance());
                checkpoints.push(cursor.clone());
            }
        }
        Self { phases, checkpoints: checkpoints.into(), len: cursor.index }
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The arrival of this index. It walks from a checkpoint: for many of them, see [`Walk::at`].
    pub fn get(&self, index: u32) -> Option<Arrival> {
        self.from(index).next()
    }

    /// The arrivals from this index on.
    pub fn from(&self, index: u32) -> Walk<'_> {
        let mut walk = Walk { schedule: self, cursor: self.checkpoint(index).clone() };
        walk.skip_to(index);
        walk
    }

    /// The last checkpoint that is not behind this index.
    fn checkpoint(&self, index: u32) -> &Cursor {
        let behind = self.checkpoints.partition_point(|checkpoint| checkpoint.index <= index);
        &self.checkpoints[behind.saturating_sub(1)]
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("len", &self.len).finish_non_exhaustive()
    }
}

/// See [`Schedule::from`].
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    schedule: &'a Schedule,
    cursor: Cursor,
}

impl Walk<'_> {
    /// The arrival of this index; the walk goes on behind it. One walk finds any number of ascending indices.
    pub fn at(&mut self, index: u32) -> Option<Arrival> {
        let checkpoint = self.schedule.checkpoint(index);
        if index < self.cursor.index || checkpoint.index > self.cursor.index {
            self.cursor = checkpoint.clone();
        }
        self.skip_to(index);
        self.next()
    }

    fn skip_to(&mut self, index: u32) {
        while self.cursor.index < index && self.next().is_some() {}
    }
}

impl Iterator for Walk<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.cursor.next(&self.schedule.phases)
    }
}

/// A merge of the phases, at one place.
#[derive(Debug, Clone)]
struct Cursor {
    /// Of the arrival that comes next.
    index: u32,
    /// The phases that have not begun, as indices, the last one first: a phase begins only when its turn comes, so that a
    /// cursor holds those alone that overlap.
    waiting: Arc<[u32]>,
    left: usize,
    active: Vec<Active>,
    /// The next instant of each active phase, its number, and its place in `active`.
    next: BinaryHeap<Reverse<(Duration, u32, usize)>>,
}

#[derive(Debug, Clone)]
struct Active {
    offsets: Offsets,
    draw: Draw,
    /// By counter, how many arrivals came.
    turns: Vec<u32>,
}

impl Cursor {
    fn new(phases: &[Phase]) -> Self {
        let mut waiting: Vec<u32> = (0..phases.len() as u32).collect();
        waiting.sort_by_key(|phase| Reverse((phases[*phase as usize].after, *phase)));
        Self { index: 0, left: waiting.len(), waiting: waiting.into(), active: vec![], next: BinaryHeap::new() }
    }

    /// How far behind this checkpoint the next one may be.
    fn distance(&self) -> u32 {
        DISTANCE.saturating_mul(u32::try_from(self.active.len()).unwrap_or(u32::MAX).max(1))
    }

    fn next(&mut self, phases: &[Phase]) -> Option<Arrival> {
        self.begin_due(phases);
        let mut top = self.next.peek_mut()?;
        let Reverse((offset, number, place)) = *top;
        let phase = &phases[number as usize];
        let active = &mut self.active[place];
        let drawn = active.draw.next().expect("a draw has no end");
        let turns = phase.counters.get(drawn).and_then(|counter| active.turns.get_mut(*counter));
        let turn = turns.map_or(0, |turns| {
            *turns += 1;
            *turns - 1
        });
        match active.offsets.next() {
            Some(next) => {
                top.0.0 = phase.after.saturating_add(next);
                drop(top);
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
                self.end(place);
            }
        }
        self.index += 1;
        Some(Arrival { offset, choice: phase.choices[drawn], phase: number, turn })
    }

    /// Begins every phase that may have the next arrival.
    fn begin_due(&mut self, phases: &[Phase]) {
        while let Some(number) = self.left.checked_sub(1).map(|last| self.waiting[last]) {
            let phase = &phases[number as usize];
            if self.next.peek().is_some_and(|Reverse((offset, ..))| *offset < phase.after) {
                return;
            }
            self.left -= 1;
            let mut offsets = phase.offsets.clone();
            if let Some(first) = offsets.next() {
                self.next.push(Reverse((phase.after.saturating_add(first), number, self.active.len())));
                let turns = vec![0; phase.counters.iter().max().map_or(0, |last| last + 1)];
                self.active.push(Active { offsets, draw: phase.draw.clone(), turns });
            }
        }
    }

    /// Forgets an active phase; the last one takes its place.
    fn end(&mut self, place: usize) {
        self.active.swap_remove(place);
        let moved = self.active.len();
        let next = std::mem::take(&mut self.next);
        self.next = next
            .into_iter()
            .map(|Reverse((offset, number, at))| Reverse((offset, number, if at == moved { place } else { at })))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::{Arrivals, JobMix, Weighted};

    /// A phase's begin and length in milliseconds, and its shape.
    type Planned = (u64, u64, Arrivals);

    fn mix() -> JobMix {
        JobMix {
            jobs: vec![Weighted::new("fast_job", 3.0), Weighted::new("slow_job", 1.0), Weighted::new("odd_job", 0.5)],
        }
    }

    fn shape(kind: usize, rate: u32) -> Arrivals {
        let text = match kind {
            0 => format!(r#"{{"constant":{{"rate":"{rate}/s"}}}}"#),
            1 => format!(r#"{{"ramp":{{"from":"0/s","to":"{rate}/s"}}}}"#),
            2 => format!(r#"{{"stairs":{{"from":"{rate}/s","to":"0/s","steps":5}}}}"#),
            3 => format!(r#"{{"poisson":{{"rate":"{rate}/s"}}}}"#),
            4 => format!(r#"{{"burst":{{"size":{rate},"every":"1s"}}}}"#),
            5 => format!(r#"{{"spike":{{"base":"0/s","peak":"{rate}/s","after":"1s","for":"1s","every":"3s"}}}}"#),
            6 => format!(r#"{{"diurnal":{{"low":"0/s","high":"{rate}/s","period":"7s"}}}}"#),
            _ => format!(r#"{{"trace":{{"file":"a.csv","speed":{rate},"offsetsUs":[0,1000000,1000000,9000000]}}}}"#),
        };
        serde_json::from_str(&text).expect(&text)
    }

    fn phases(planned: &[Planned], seed: u64) -> Vec<Phase> {
        (0..)
            .zip(planned)
            .map(|(number, (after, length, arrivals))| Phase {
                after: Duration::from_millis(*after),
                offsets: arrivals.offsets(Duration::from_millis(*length), seed, number),
                draw: mix().draw(seed, number),
                choices: vec![0, 1, 2],
                // The first and the last share a counter, as rows of a trace that launch the same do.
                counters: if number % 2 == 0 { vec![0, 1, 0] } else { vec![] },
            })
            .collect()
    }

    /// All arrivals, made one phase after another and sorted.
    fn plain(planned: &[Planned], seed: u64) -> Vec<Arrival> {
        let mut all = vec![];
        for (number, phase) in (0..).zip(phases(planned, seed)) {
            let mut turns = [0; 2];
            let drawn = phase.offsets.zip(phase.draw).map(|(offset, drawn)| {
                let counter = phase.counters.get(drawn).copied();
                let turn = counter.map_or(0, |counter| turns[counter]);
                counter.into_iter().for_each(|counter| turns[counter] += 1);
                Arrival { offset: phase.after + offset, choice: phase.choices[drawn], phase: number, turn }
            });
            all.extend(drawn);
        }
        all.sort_by_key(|arrival| arrival.offset);
        all
    }

    fn any_phases() -> impl Strategy<Value = Vec<Planned>> {
        let phase = (0u64..8, 0u64..20_000, 0usize..8, 1u32..150);
        let phase = phase.prop_map(|(after, length, kind, rate)| (after * 1_000, length, shape(kind, rate)));
        prop::collection::vec(phase, 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_schedule_is_what_a_plain_one_is(planned in any_phases(), seed: u64, picked in prop::collection::vec(0u32..5_000, 0..40)) {
            let plain = plain(&planned, seed);
            let schedule = Schedule::new(phases(&planned, seed));
            prop_assert_eq!(schedule.len() as usize, plain.len());
            prop_assert_eq!(schedule.is_empty(), plain.is_empty());
            prop_assert!(schedule.from(0).eq(plain.iter().copied()));
            let mut walk = schedule.from(0);
            for index in picked {
                let expected = plain.get(index as usize).copied();
                prop_assert_eq!(schedule.get(index), expected, "get {}", index);
                prop_assert_eq!(walk.at(index), expected, "at {}", index);
                let rest = plain.get(index as usize..).unwrap_or_default();
                prop_assert!(schedule.from(index).take(300).eq(rest.iter().take(300).copied()), "from {}", index);
            }
        }

        #[test]
        fn a_shape_has_no_part_in_the_draw(one in 0usize..8, other in 0usize..8, rate in 1u32..150, seed: u64) {
            let jobs = |kind| {
                let schedule = Schedule::new(phases(&[(0, 20_000, shape(kind, rate))], seed));
                schedule.from(0).map(|arrival| arrival.choice).collect::<Vec<_>>()
            };
            let (one, other) = (jobs(one), jobs(other));
            let both = one.len().min(other.len());
            prop_assert_eq!(&one[..both], &other[..both]);
        }
    }

    #[test]
    fn many_phases_one_after_another_stay_cheap() {
        let planned: Vec<Planned> = (0..3_000).map(|number| (number * 1_000, 1_000, shape(0, 10))).collect();
        let schedule = Schedule::new(phases(&planned, 7));
        assert_eq!(schedule.len(), 30_000);
        assert_eq!(schedule.get(29_999).map(|arrival| arrival.phase), Some(2_999));
    }
}
