//! What a seed's storm does to the operators and to what they stand on, and when.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use dagstorm::model::Timestamp;

use crate::{
    core::{BEGAN, Core},
    storm::{Dice, Mishap},
};

/// A lease that did not change for so long is over: as in `src/operator/lease.rs`.
const EXPIRY_MS: u64 = 6_000;
const MOST_CRASHES: u32 = 6;
/// How long Dagster refuses everything.
pub const OUTAGE: Duration = Duration::from_secs(30);

/// The storm, hour by hour.
pub struct Weather {
    pub crashes: VecDeque<Crash>,
    /// From when to when everything is halted.
    pub halt: Option<(Timestamp, Timestamp)>,
    turns: BTreeMap<(Timestamp, usize), Turn>,
    pub rival: Option<Rival>,
}

/// Another dagstorm.
#[derive(Debug, Clone, Copy)]
pub struct Rival {
    pub starts_at: Timestamp,
    /// When the first one starts.
    pub first_at: Timestamp,
    /// When it ends for good.
    pub ends_at: Option<Timestamp>,
}

/// The process dies at its n-th poll.
pub struct Crash {
    pub poll: u64,
    /// The data folder is gone too; the next process comes so much later.
    pub disk_lost: Option<Duration>,
    pub dice: Dice,
}

/// What comes at an instant.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    Outage,
    /// The code location is not loaded for so long.
    Reload(Duration),
    /// The disk has no room for so long.
    Full(Duration),
    /// The holder stands still until then.
    Pause(Timestamp),
    /// If the holder still stands still, another process takes over.
    Follow,
    /// Another process takes over, whatever the holder does.
    Usurp,
    /// The holder is told to end; the next one comes so long after its end.
    Shutdown(Duration),
    /// All clocks are set by so many microseconds.
    Jump(i64),
}

impl Rival {
    /// Either of them may be the first, by long or by nearly nothing.
    fn draw(core: &mut Core) -> Option<Self> {
        let mut dice = core.storm.strikes(Mishap::Rival, 12)?;
        core.rivals.are_there = true;
        let most = if dice.chance(25) { 1_500 } else { 30_000 };
        let (later, is_first) = (BEGAN.plus(dice.millis(0, most)), dice.chance(50));
        let (starts_at, first_at) = if is_first { (BEGAN, later) } else { (later, BEGAN) };
        let gone = core.storm.strikes(Mishap::RivalGone, 50);
        let ends_at = gone.map(|mut dice| starts_at.plus(dice.millis(500, 30_000)));
        Some(Self { starts_at, first_at, ends_at })
    }

    fn instants(self) -> impl Iterator<Item = Timestamp> {
        [Some(self.starts_at), Some(self.first_at), self.ends_at].into_iter().flatten()
    }
}

impl Weather {
    pub fn draw(core: &mut Core) -> Self {
        let length = if core.dice.chance(10) { 0 } else { core.dice.number(0, 60_000) };
        core.storm_ends = BEGAN.plus(Duration::from_millis(length));
        core.idempotent = !core.dice.chance(15);
        let rival = Rival::draw(core);
        let mut weather = Self { crashes: VecDeque::new(), halt: None, turns: BTreeMap::new(), rival };
        if length > 0 {
            weather.draw_turns(core, length);
        }
        for _ in 0..core.dice.number(0, u64::from(MOST_CRASHES)) {
            let Some(mut dice) = core.storm.strikes(Mishap::Crash, 90) else { continue };
            let poll = dice.number(1, 250);
            let has_lost = weather.crashes.iter().any(|crash| crash.disk_lost.is_some());
            let lost = if has_lost || rival.is_some() { 0 } else { 12 };
            let lost = core.storm.strikes(Mishap::DiskLost, lost);
            weather.crashes.push_back(Crash { poll, disk_lost: lost.map(|mut dice| dice.millis(0, 20_000)), dice });
        }
        core.keeps_disk = weather.crashes.iter().all(|crash| crash.disk_lost.is_none());
        weather.draw_shutdown(core, length);
        weather.halt = core.storm.strikes(Mishap::Halt, if rival.is_some() { 0 } else { 10 }).map(|mut dice| {
            let from = BEGAN.plus(dice.millis(0, 40_000));
            (from, from.plus(dice.millis(0, 40_000)))
        });
        for at in weather
            .turns
            .keys()
            .map(|(at, _)| *at)
            .chain(weather.halt.into_iter().flat_map(|(from, to)| [from, to]))
            .chain(rival.into_iter().flat_map(Rival::instants))
        {
            core.alarm(at);
        }
        weather
    }

    /// In the storm, or when nothing of it is on its way any more: then all must be healed at the end.
    fn draw_shutdown(&mut self, core: &mut Core, length: u64) {
        let Some(mut dice) = core.storm.strikes(Mishap::Shutdown, 95) else { return };
        let at = if dice.chance(70) { dice.millis(0, length) } else { dice.millis(length + 14_000, length + 35_000) };
        // Beside another dagstorm, for so long that it is taken for gone and finds that out when it comes back.
        let longest = if self.rival.is_some() { 60_000 } else { 10_000 };
        self.add(BEGAN.plus(at), Turn::Shutdown(dice.millis(0, longest)));
    }

    fn draw_turns(&mut self, core: &mut Core, length: u64) {
        let during = |dice: &mut Dice| BEGAN.plus(dice.millis(0, length));
        for percent in [20, 10] {
            // What stands still is taken for gone: then both may launch what is due.
            let pauses = if self.rival.is_some() { 0 } else { percent };
            if let Some(mut dice) = core.storm.strikes(Mishap::Pause, pauses) {
                let at = during(&mut dice);
                if dice.chance(60) {
                    let follow = dice.number(EXPIRY_MS, EXPIRY_MS + 2_000);
                    self.add(at.plus(Duration::from_millis(follow)), Turn::Follow);
                    self.add(at, Turn::Pause(at.plus(dice.millis(follow, 40_000))));
                } else {
                    self.add(at, Turn::Pause(at.plus(dice.millis(200, EXPIRY_MS - 500))));
                }
            }
            if let Some(mut dice) = core.storm.strikes(Mishap::JumpForward, percent) {
                let by = dice.millis(100, 2_000);
                core.stepped += by;
                self.add(during(&mut dice), Turn::Jump(by.as_micros() as i64));
            }
            if let Some(mut dice) = core.storm.strikes(Mishap::JumpBack, percent) {
                let by = dice.millis(100, 3_000);
                self.add(during(&mut dice), Turn::Jump(-(by.as_micros() as i64)));
            }
        }
        if let Some(mut dice) = core.storm.strikes(Mishap::Usurp, 15) {
            self.add(during(&mut dice), Turn::Usurp);
        }
        if let Some(mut dice) = core.storm.strikes(Mishap::Outage, 20) {
            self.add(during(&mut dice), Turn::Outage);
        }
        if let Some(mut dice) = core.storm.strikes(Mishap::Reload, 25) {
            self.add(during(&mut dice), Turn::Reload(dice.millis(500, 12_000)));
        }
        if let Some(mut dice) = core.storm.strikes(Mishap::DiskFull, 20) {
            self.add(during(&mut dice), Turn::Full(dice.millis(100, 40_000)));
        }
    }

    fn add(&mut self, at: Timestamp, turn: Turn) {
        self.turns.insert((at, self.turns.len()), turn);
    }

    /// What comes now.
    pub fn next(&mut self, now: Timestamp) -> Option<Turn> {
        let entry = self.turns.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
