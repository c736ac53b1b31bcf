//! What the records of one scenario add up to. Replaying them gives the same state as living through them.

use std::collections::BTreeSet;

use super::{
    generation::{Fact, Generation},
    record::{Conclusion, Event, Record},
};
use crate::{
    model::{GenerationId, Target, Timestamp},
    spec::Scenario,
};

/// One scenario's state: its past generations, and the one that lives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The sequence number that the next record must have.
    pub next_seq: u64,
    /// The highest epoch seen.
    pub epoch: u64,
    pub current: Option<Generation>,
    /// Generations that concluded, the oldest first. None of them ever runs again.
    pub past: Vec<Summary>,
    pub concluded: BTreeSet<GenerationId>,
}

/// What stays of a generation that concluded.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub generation: GenerationId,
    pub accepted_at: Timestamp,
    pub concluded_at: Timestamp,
    /// The epoch of the process that concluded it.
    pub epoch: u64,
    pub conclusion: Conclusion,
}

/// A record that does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} is illegal: {reason}")]
pub struct IllegalRecord {
    pub seq: u64,
    pub reason: String,
}

impl State {
    /// Takes one record in.
    ///
    /// # Errors
    /// When the record does not follow from the state; the state is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        let illegal = |reason: String| IllegalRecord { seq: record.seq, reason };
        if record.seq != self.next_seq {
            return Err(illegal(format!("expected number {}", self.next_seq)));
        }
        if record.epoch < self.epoch {
            return Err(illegal(format!("epoch {} is older than {}", record.epoch, self.epoch)));
        }
        if let Event::Accepted { generation, scenario, target } = &record.event {
            self.accept(record.at, generation, scenario, target).map_err(illegal)?;
        } else {
            let living = self.current.as_mut().filter(|current| current.concluded.is_none());
            let current = living.ok_or_else(|| illegal("no generation lives".to_owned()))?;
            current.apply(record.at, &record.event).map_err(illegal)?;
            if let Some(Fact { value: conclusion, .. }) = &current.concluded {
                self.concluded.insert(current.id.clone());
                self.past.push(Summary {
                    generation: current.id.clone(),
                    accepted_at: current.accepted_at,
                    concluded_at: record.at,
                    epoch: record.epoch,
                    conclusion: conclusion.clone(),
                });
            }
        }
        self.next_seq += 1;
        self.epoch = record.epoch;
        Ok(())
    }

    fn accept(
        &mut self,
        at: Timestamp,
        generation: &GenerationId,
        scenario: &Scenario,
        target: &Target,
    ) -> Result<(), String> {
        if self.living().is_some() {
            return Err("a generation is accepted while another lives".to_owned());
        }
        if self.concluded.contains(generation) {
            return Err(format!("generation {generation} was concluded already"));
        }
        self.current = Some(Generation::new(generation.clone(), scenario, target, at));
        Ok(())
    }

    /// The generation that still has work to do.
    pub fn living(&self) -> Option<&Generation> {
        self.current.as_ref().filter(|current| current.concluded.is_none())
    }

    /// How often a spec of this digest was concluded.
    pub fn repeats_of(&self, digest: &str) -> u32 {
        self.concluded
            .iter()
            .filter(|generation| generation.digest == digest)
            .map(|generation| generation.repeat)
            .max()
            .unwrap_or(0)
    }
}
