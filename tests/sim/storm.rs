//! The storm: every mishap that a seed may bring. Each is numbered, so that any of them can be left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::OnceLock,
    time::Duration,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What can happen. Each kind has a random stream of its own: leaving one out does not shift the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// The process dies at an await; what was not synced is gone, or torn.
    Crash,
    /// With a crash the whole data folder is gone.
    DiskLost,
    /// The process stands still, as by SIGSTOP; if for long enough, another one takes over meanwhile.
    Pause,
    /// Another process takes over although this one lives and works.
    Usurp,
    /// The wall clock is set forward …
    JumpForward,
    /// … or back.
    JumpBack,
    /// The disk has no room for a while.
    DiskFull,
    /// One append stands still for longer than any window.
    Stall,
    /// Dagster refuses everything for half a minute.
    Outage,
    /// Everything is halted for a while.
    Halt,
    /// The manifests change: edited, deleted, suspended, and back.
    Change,
    RequestLost,
    ReplyLost,
    /// The reply is lost, and the effect comes about late.
    Late,
    Refused,
    /// Refused for good.
    Rejected,
    LookFailed,
    CensusFailed,
    CensusSlow,
    /// A completion shows in Dagster's log only after a while.
    EventLate,
    /// A message is worked off twice, side by side.
    Duplicate,
    /// One more scenario.
    Company,
    /// A scenario waits for another one's verdict.
    Chain,
    /// A scenario kills tasks.
    Kill,
    /// A scenario ends its runs when it is deleted.
    Terminate,
    /// A scenario limits its runs in flight.
    Limit,
    /// A scenario cuts the workers off by security-group rules.
    Cut,
    /// A scenario denies the queue.
    Deny,
    /// A scenario drains a service.
    Drain,
    /// A scenario has messages delivered twice.
    Copy,
    /// A part of a look shows what was a moment ago.
    Stale,
    /// Somebody else changes by hand what a fault lies in.
    Meddle,
    /// The process is told to end, and heals first.
    Shutdown,
    /// A scenario ends early when the queue is deep.
    Abort,
    /// The last message of a scenario is worked off twice, and its second worker writes late.
    Echo,
    /// A later call of a way back is lost, and somebody else changes a rule before it is tried again.
    Between,
    /// A scenario lasts long, and so do its faults: nothing but a shutdown ends them early.
    Long,
    /// The code location is not loaded for a while: Dagster says of every job that there is none.
    Reload,
    /// A run fails; Dagster runs it again, or not.
    RunFails,
    /// Dagster announces a retry and never makes it.
    NoRetry,
    /// Dagster makes two retries of one run.
    TwoRetries,
    /// Another dagstorm with a data folder of its own works on the same manifests.
    Rival,
    /// It ends for good.
    RivalGone,
}

impl Mishap {
    pub const ALL: [Self; 43] = [
        Self::Crash,
        Self::DiskLost,
        Self::Pause,
        Self::Usurp,
        Self::JumpForward,
        Self::JumpBack,
        Self::DiskFull,
        Self::Stall,
        Self::Outage,
        Self::Halt,
        Self::Change,
        Self::RequestLost,
        Self::ReplyLost,
        Self::Late,
        Self::Refused,
        Self::Rejected,
        Self::LookFailed,
        Self::CensusFailed,
        Self::CensusSlow,
        Self::EventLate,
        Self::Duplicate,
        Self::Company,
        Self::Chain,
        Self::Kill,
        Self::Terminate,
        Self::Limit,
        Self::Cut,
        Self::Deny,
        Self::Drain,
        Self::Copy,
        Self::Stale,
        Self::Meddle,
        Self::Shutdown,
        Self::Abort,
        Self::Echo,
        Self::Between,
        Self::Long,
        Self::Reload,
        Self::RunFails,
        Self::NoRetry,
        Self::TwoRetries,
        Self::Rival,
        Self::RivalGone,
    ];
}

/// Which mishaps are let happen, by their numbers; `None`: all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keep(pub Option<Happened>);

/// Mishaps by kind and number, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Happened(pub BTreeMap<Mishap, BTreeSet<u32>>);

impl Happened {
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
}

/// As `Crash 0, Late 3 7`.
impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.0.iter().filter(|(_, numbers)| !numbers.is_empty()).map(|(mishap, numbers)| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            format!("{mishap:?} {}", numbers.join(" "))
        });
        f.write_str(&kinds.collect::<Vec<_>>().join(", "))
    }
}

/// Random numbers of one purpose.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// In milliseconds, both ends included.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.number(least, most))
    }

    /// Both ends included.
    pub fn number(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }
}

/// Whether each seed has this mishap wherever it may have it: `SIM_MISHAP=Rival`. The variable is then a part of what a seed is.
fn is_everywhere(mishap: Mishap) -> bool {
    static EVERYWHERE: OnceLock<Option<Mishap>> = OnceLock::new();
    let of_name = |name: String| Mishap::ALL.into_iter().find(|mishap| format!("{mishap:?}") == name);
    let everywhere = EVERYWHERE
        .get_or_init(|| std::env::var("SIM_MISHAP").ok().map(|name| of_name(name).expect("SIM_MISHAP names a mishap")));
    *everywhere == Some(mishap)
}

/// Decides of each mishap whether it happens, and counts.
pub struct Storm {
    seed: u64,
    keep: Keep,
    streams: Vec<(Dice, u32)>,
    pub happened: Happened,
}

impl Storm {
    pub fn new(seed: u64, keep: Keep) -> Self {
        let streams = (0..Mishap::ALL.len() as u64).map(|stream| (Dice::new(seed, stream), 0)).collect();
        Self { seed, keep, streams, happened: Happened::default() }
    }

    /// Whether it happens now; then, the dice for its details, which are its own.
    pub fn strikes(&mut self, mishap: Mishap, percent: u32) -> Option<Dice> {
        let (dice, count) = &mut self.streams[mishap as usize];
        let strikes = dice.chance(percent) || (percent > 0 && is_everywhere(mishap));
        if !strikes {
            return None;
        }
        let number = *count;
        *count += 1;
        if self.keep.0.as_ref().is_some_and(|kept| !kept.0.get(&mishap).is_some_and(|kept| kept.contains(&number))) {
            return None;
        }
        self.happened.0.entry(mishap).or_default().insert(number);
        Some(Dice::new(self.seed, (1 + mishap as u64) << 32 | u64::from(number)))
    }
}
