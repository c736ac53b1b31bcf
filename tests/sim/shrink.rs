//! A failing seed in its shortest form: mishap after mishap is left out as long as the violation stays.

use std::{collections::BTreeSet, fmt::Write};

use crate::{
    harness::{Outcome, simulate},
    mutants::Mutant,
    storm::{Happened, Keep, Mishap},
};

/// At most so many simulations are spent on it.
const TRIES: u32 = 500;

/// Of a failing seed: what it takes, and what happened last, for people.
pub fn explain(seed: u64, mutant: Mutant) -> Option<String> {
    let whole = simulate(seed, mutant, &Keep::default(), false);
    let class = class(&whole)?;
    let mut shrinking = Shrinking { seed, mutant, class, kept: whole.happened.clone(), tries: 0 };
    shrinking.shrink();
    let last = simulate(seed, mutant, &Keep(Some(shrinking.kept.clone())), true);
    let mut text = format!(
        "seed {seed}, {} of {} mishaps left after {} tries: {}\n",
        shrinking.kept.count(),
        whole.happened.count(),
        shrinking.tries,
        if shrinking.kept.count() == 0 { "none is needed".to_owned() } else { shrinking.kept.to_string() }
    );
    for line in &last.told {
        writeln!(text, "  {line}").expect("a string takes it");
    }
    for violation in &last.violations {
        writeln!(text, "violated: {violation}").expect("a string takes it");
    }
    Some(text)
}

struct Shrinking {
    seed: u64,
    mutant: Mutant,
    class: String,
    kept: Happened,
    tries: u32,
}

impl Shrinking {
    /// Greedily: whole kinds first, then halves, then one by one; again until nothing more can go.
    fn shrink(&mut self) {
        loop {
            let before = self.kept.count();
            for mishap in Mishap::ALL {
                let numbers = self.kept.0.get(&mishap).cloned().unwrap_or_default();
                if !numbers.is_empty() && !self.without(mishap, &numbers) {
                    self.halve(mishap, &numbers.into_iter().collect::<Vec<_>>());
                }
            }
            if self.kept.count() == before || self.tries >= TRIES {
                return;
            }
        }
    }

    fn halve(&mut self, mishap: Mishap, numbers: &[u32]) {
        if numbers.len() < 2 {
            return;
        }
        let (first, second) = numbers.split_at(numbers.len() / 2);
        for half in [second, first] {
            if !self.without(mishap, &half.iter().copied().collect()) {
                self.halve(mishap, half);
            }
        }
    }

    /// Leaves these out, if the violation stays.
    fn without(&mut self, mishap: Mishap, numbers: &BTreeSet<u32>) -> bool {
        if self.tries >= TRIES {
            return false;
        }
        self.tries += 1;
        let mut fewer = self.kept.clone();
        if let Some(kept) = fewer.0.get_mut(&mishap) {
            kept.retain(|number| !numbers.contains(number));
        }
        let outcome = simulate(self.seed, self.mutant, &Keep(Some(fewer)), false);
        let stays = class(&outcome).as_ref() == Some(&self.class);
        if stays {
            // What does not happen any more without them goes too.
            self.kept = outcome.happened;
        }
        stays
    }
}

/// What was violated, without the names of what it was violated by: the beginning of the first violation.
fn class(outcome: &Outcome) -> Option<String> {
    let first = outcome.violations.first()?;
    let words = first.split_whitespace().filter(|word| !word.chars().any(|c| c.is_ascii_digit()));
    Some(words.take(4).collect::<Vec<_>>().join(" "))
}
