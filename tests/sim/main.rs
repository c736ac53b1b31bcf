//! The simulation: the real reconcile code over a simulated world, store and clock.
//!
//! A seed makes a scenario or two, a storm (calls that are lost, late, refused or throttled, looks that fail, crashes at
//! any await with the unsynced bytes gone) and a calm in which all must converge. A failing seed is printed; run it
//! alone with `SIM_SEED=n cargo test --test sim`. `SIM_SEEDS=n` runs that many, from `SIM_FIRST=m` on.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, reason = "a test may fail loudly")]

mod clock;
mod core;
mod harness;
mod mutants;
mod scenarios;
mod store;
mod world;

use harness::{Outcome, simulate};
use mutants::Mutant;

const SEEDS: u64 = 2_000;
/// A mutant must be caught within so many seeds.
const MUTANT_SEEDS: u64 = 2_000;

/// Seeds that once failed, replayed for ever.
const KEPT: &[u64] = &[];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn every_seed_holds_the_invariants() {
    if let Some(seed) = number("SIM_SEED") {
        let outcome = simulate(seed, Mutant::None);
        println!("{outcome:#?}");
        assert!(outcome.violations.is_empty(), "seed {seed}");
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("SIM_FIRST").unwrap_or(0);
    let all: Vec<u64> = KEPT.iter().copied().chain(first..first + seeds).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut totals = Outcome::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let mine: Vec<u64> = all.iter().copied().skip(worker).step_by(threads).collect();
                scope.spawn(move || many(&mine))
            })
            .collect();
        for worker in workers {
            totals.add(&worker.join().expect("a simulation does not panic"));
        }
    });
    println!("{seeds} seeds, {} violations: {totals:?}", totals.violations.len());
    assert!(totals.violations.is_empty(), "{:#?}", totals.violations);
    // A simulation in which nothing happens proves nothing.
    for (what, count) in [
        ("crashes", totals.crashes),
        ("passed", totals.passed),
        ("failed", totals.failed),
        ("unknown", totals.unknown),
        ("stopped", totals.stopped),
        ("faults", totals.faults),
        ("recovered launches", totals.recovered),
    ] {
        assert!(count > seeds / 50, "only {count} {what} in {seeds} seeds: {totals:?}");
    }
}

fn many(seeds: &[u64]) -> Outcome {
    let mut totals = Outcome::default();
    for seed in seeds {
        let mut outcome = simulate(*seed, Mutant::None);
        for violation in &mut outcome.violations {
            violation.insert_str(0, &format!("seed {seed}: "));
        }
        totals.add(&outcome);
    }
    totals
}

#[test]
fn every_mutant_is_caught() {
    let caught = Mutant::ALL.iter().filter(|mutant| {
        let seed = (0..MUTANT_SEEDS).find(|seed| !simulate(*seed, **mutant).violations.is_empty());
        match seed {
            Some(seed) => println!("{mutant:?}: caught by seed {seed}"),
            None => println!("{mutant:?}: NOT caught by {MUTANT_SEEDS} seeds"),
        }
        seed.is_some()
    });
    let caught = caught.count();
    println!("{caught} of {} mutants caught", Mutant::ALL.len());
    assert_eq!(caught, Mutant::ALL.len());
}

#[test]
fn a_seed_is_a_whole_description() {
    for seed in 0..20 {
        assert_eq!(simulate(seed, Mutant::None), simulate(seed, Mutant::None), "seed {seed}");
    }
}
