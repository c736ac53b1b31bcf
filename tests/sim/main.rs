//! The simulation: the real reconcile code over a simulated world, store and clock.
//!
//! A seed makes up to four scenarios, a storm (see `storm::Mishap`) and a calm in which all must converge. A failing
//! seed is printed; `SIM_SEED=n cargo test --test sim` runs it alone and shows its shortest form. `SIM_SEEDS=n` runs that
//! many, from `SIM_FIRST=m` on; `make sim` does so with an optimized build.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

mod aws;
mod clock;
mod core;
mod faults;
mod hands;
mod harness;
mod judge;
mod mutants;
mod objects;
mod process;
mod rivals;
mod runs;
mod scenarios;
mod shrink;
mod store;
mod storm;
mod weather;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use harness::{Outcome, simulate};
use mutants::Mutant;
use storm::{Keep, Mishap};

const SEEDS: u64 = 2_000;
/// A mutant must be caught within so many seeds.
const MUTANT_SEEDS: u64 = 2_000;

/// Of fewer seeds nothing is expected.
const ENOUGH: u64 = 1_000;

/// Seeds that once failed, replayed for ever.
const KEPT: &[(u64, &str)] = &[
    (19_713, "a change was decided by a look from before an append that stood still"),
    (26_122, "a dagstorm that had launched nothing came back after the other one had passed, and launched all"),
    (73_266, "likewise"),
    (29_027, "a shutdown waited out the pause after a refusal"),
    (71_870, "a torn write took the writer's name off a new generation"),
    (76_933, "a refused launch was sent again before the first look after a full disk"),
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn every_seed_holds_the_invariants() {
    if let Some(seed) = number("SIM_SEED") {
        let outcome = simulate(seed, Mutant::None, &Keep::default(), true);
        println!("{:#?}\n{}", outcome.counts.0, outcome.happened);
        let shrunk = shrink::explain(seed, Mutant::None);
        assert!(shrunk.is_none(), "{}", shrunk.unwrap_or_default());
        return;
    }
    let (seeds, first) = (number("SIM_SEEDS").unwrap_or(SEEDS), number("SIM_FIRST").unwrap_or(0));
    let all: Vec<u64> = KEPT.iter().map(|(seed, _)| *seed).chain(first..first + seeds).collect();
    let is_hunt = number("SIM_HUNT").is_some();
    let totals = all_of(&all, Mutant::None, is_hunt);
    for (what, count) in &totals.happened {
        println!("{count:9} {what}");
    }
    let lacks = totals.lacks(seeds);
    for line in totals.failures.iter().chain(&lacks) {
        println!("{line}");
    }
    if let Some(seed) = totals.failed.first() {
        println!("caught by {}", shrink::explain(*seed, Mutant::None).unwrap_or_default());
    }
    println!("{seeds} seeds, {} violations", totals.failures.len());
    if number("SIM_SEEDS").is_some() {
        // Whoever asked for so many reads this line last.
        // Hunting, nothing but a violation counts: a mutant may well keep things from happening.
        let is_lacking = !is_hunt && !lacks.is_empty();
        std::process::exit(i32::from(!totals.failures.is_empty() || is_lacking));
    }
    assert!(totals.failures.is_empty(), "SIM_SEED={} shows the first", totals.failed.first().unwrap_or(&0));
    assert!(lacks.is_empty(), "{lacks:?}");
}

/// Simulates seeds on all cores; hunting, until one fails.
fn all_of(seeds: &[u64], mutant: Mutant, is_hunt: bool) -> Totals {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, found) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut totals = Totals::default();
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            if is_hunt && found.load(Ordering::Relaxed) {
                break;
            }
            let outcome = simulate(*seed, mutant, &Keep::default(), false);
            found.fetch_or(!outcome.violations.is_empty(), Ordering::Relaxed);
            totals.take(*seed, &outcome);
        }
        totals
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut totals = Totals::default();
        for worker in workers {
            totals.add(worker.join().expect("a simulation does not panic"));
        }
        totals.failures.sort();
        totals
    })
}

/// What must have come of the storms, beside the mishaps themselves.
const WHAT_COMES_OF_IT: &[&str] = &[
    "passed",
    "failed",
    "unknown",
    "stopped",
    "faults seen",
    "recovered launches",
    "adopted runs",
    "torn writes",
    "takeovers of who stood still",
    "takeovers of who worked",
    "sent away",
    "launches refused in outages",
    "launches refused while a location reloads",
    "faults stalled",
    "faults taken back at a shutdown",
    "objects taken back by their marks",
    "aborted",
    "retries",
    "keys that two dagstorms launched",
];

/// What many seeds add up to.
#[derive(Default)]
struct Totals {
    happened: BTreeMap<String, u64>,
    failures: Vec<String>,
    failed: BTreeSet<u64>,
}

impl Totals {
    fn take(&mut self, seed: u64, outcome: &Outcome) {
        for mishap in Mishap::ALL {
            *self.happened.entry(format!("{mishap:?}")).or_default() += outcome.of(mishap);
        }
        for (what, count) in &outcome.counts.0 {
            *self.happened.entry((*what).to_owned()).or_default() += count;
        }
        self.failures.extend(outcome.violations.iter().map(|violation| format!("seed {seed}: {violation:.2000}")));
        if !outcome.violations.is_empty() {
            self.failed.insert(seed);
        }
    }

    /// A simulation in which nothing happens proves nothing.
    fn lacks(&self, seeds: u64) -> Vec<String> {
        let mishaps = Mishap::ALL.iter().map(|mishap| format!("{mishap:?}"));
        let wanted = mishaps.chain(WHAT_COMES_OF_IT.iter().map(|what| (*what).to_owned()));
        let counted = wanted.map(|what| (self.happened.get(&what).copied().unwrap_or_default(), what));
        let lacking = counted.filter(|(count, _)| seeds >= ENOUGH && *count < seeds / 50);
        lacking.map(|(count, what)| format!("only {count} times in {seeds} seeds: {what}")).collect()
    }

    fn add(&mut self, other: Self) {
        for (what, count) in other.happened {
            *self.happened.entry(what).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.failed.extend(other.failed);
    }
}

#[test]
fn every_mutant_is_caught() {
    let seeds: Vec<u64> = (0..MUTANT_SEEDS).collect();
    for mutant in Mutant::ALL {
        let totals = all_of(&seeds, mutant, true);
        let seed = totals.failed.first().unwrap_or_else(|| panic!("{mutant:?}: not caught by {MUTANT_SEEDS} seeds"));
        println!("{mutant:?}: caught by seed {seed}");
    }
}

#[test]
fn a_failing_seed_is_shown_in_its_shortest_form() {
    let seeds: Vec<u64> = (0..MUTANT_SEEDS).collect();
    let failed = all_of(&seeds, Mutant::NoSettle, true).failed;
    let text = shrink::explain(*failed.first().expect("it is caught"), Mutant::NoSettle).expect("it fails again");
    assert!(text.contains("was launched twice"), "{text}");
    let (left, of) = text.split_once(" mishaps left").and_then(|(head, _)| head.split_once(" of ")).expect("its head");
    let left: u32 = left.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(left * 2 <= of.parse().expect("a number"), "{text}");
}

#[test]
fn a_seed_is_a_whole_description() {
    let run = |seed| simulate(seed, Mutant::None, &Keep::default(), true);
    for seed in 0..60 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
