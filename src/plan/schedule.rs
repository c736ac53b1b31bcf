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

    /// The arrival of this index. It walks from a checkpoint: for many, see [`Self::from`] and [`Self::pick`].
    pub fn get(&self, index: u32) -> Option<Arrival> {
        self.from(index).next()
    }

    /// The arrivals from this index on.
    pub fn from(&self, index: u32) -> Walk<'_> {
        let mut walk = Walk { phases: &self.phases, cursor: self.checkpoint(index).clone() };
        walk.skip_to(index);
        walk
    }

    /// The arrivals of ascending indices, each with what came with its index; what is not planned is left out. One walk
    /// finds them all.
    pub fn pick<T>(&self, ascending: impl IntoIterator<Item = (u32, T)>) -> impl Iterator<Item = (T, Arrival)> {
        let mut walk = self.from(0);
        let mut last: Option<(u32, Arrival)> = None;
        ascending.into_iter().filter_map(move |(index, beside)| {
            let repeated = last.filter(|(known, _)| *known == index).map(|(_, arrival)| arrival);
            let arrival = repeated.or_else(|| self.go(&mut walk, index))?;
            last = Some((index, arrival));
            Some((beside, arrival))
        })
    }

    /// Moves a walk forward, over a checkpoint where there is one in between.
    fn go(&self, walk: &mut Walk<'_>, index: u32) -> Option<Arrival> {
        let checkpoint = self.checkpoint(index);
        if index < walk.cursor.index || checkpoint.index > walk.cursor.index {
            walk.cursor = checkpoint.clone();
        }
        walk.skip_to(index);
        walk.next()
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
#[derive(Clone)]
pub struct Walk<'a> {
    phases: &'a [Phase],
    cursor: Cursor,
}

impl Walk<'_> {
    fn skip_to(&mut self, index: u32) {
        while self.cursor.index < index && self.next().is_some() {}
    }
}

impl Iterator for Walk<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.cursor.next(self.phases)
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
        Some(Arrival { offset, choice: phase.choices[drawn], phase: number })
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
                self.active.push(Active { offsets, draw: phase.draw.clone() });
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
