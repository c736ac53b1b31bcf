//! What the records of one scenario add up to. Replaying them gives the same state as living through them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    generation::{Fact, Generation},
    record::{Event, Record, Summary},
};
use crate::{
    model::{GenerationId, Target, Timestamp, Verdict},
    spec::Scenario,
};

/// So many of the generations that concluded last are kept; of older ones, what turns and repeats depend on.
const KEPT: usize = 20;

/// One scenario's state: its past generations, and the one that lives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The sequence number that the next record must have.
    pub next_seq: u64,
    /// The highest epoch seen.
    pub epoch: u64,
    pub current: Option<Generation>,
    /// Generations that concluded, the oldest first. None of them ever runs again. Old ones may be left out: never the
    /// last one of a spec, nor the last one of it that had a verdict.
    pub past: Vec<Summary>,
    /// By the digest of each spec that was ever concluded, the highest repeat: repeats count up, so it stands for all.
    pub concluded: BTreeMap<String, u32>,
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
        let is_head = self.next_seq == 0 && matches!(record.event, Event::Compacted { .. });
        if record.seq != self.next_seq && !is_head {
            return Err(illegal(format!("expected number {}", self.next_seq)));
        }
        if record.epoch < self.epoch {
            return Err(illegal(format!("epoch {} is older than {}", record.epoch, self.epoch)));
        }
        if let Event::Accepted { generation, scenario, target } = &record.event {
            self.accept(record.at, generation, scenario, target).map_err(illegal)?;
        } else if let Event::Compacted { past } = &record.event {
            self.compact(past, is_head).map_err(illegal)?;
        } else {
            let living = self.current.as_mut().filter(|current| current.concluded.is_none());
            let current = living.ok_or_else(|| illegal("no generation lives".to_owned()))?;
            current.apply(record.at, &record.event).map_err(illegal)?;
            if let Some(Fact { value: conclusion, .. }) = &current.concluded {
                note_repeat(&mut self.concluded, &current.id);
                self.past.push(Summary {
                    generation: current.id.clone(),
                    accepted_at: current.accepted_at,
                    concluded_at: record.at,
                    epoch: record.epoch,
                    conclusion: conclusion.clone(),
                });
            }
        }
        self.next_seq = record.seq + 1;
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
        if self.repeats_of(&generation.digest) >= generation.repeat {
            return Err(format!("generation {generation} was concluded already"));
        }
        self.current = Some(Generation::new(generation.clone(), scenario, target, at));
        Ok(())
    }

    /// Begins with what is kept of records that are gone; or, where they are not, lets go of what they let go of.
    fn compact(&mut self, past: &[Summary], is_head: bool) -> Result<(), String> {
        if self.living().is_some() {
            return Err("records are compacted while a generation lives".to_owned());
        }
        if is_head {
            past.iter().for_each(|summary| note_repeat(&mut self.concluded, &summary.generation));
        } else if self.kept() != past {
            return Err("the compacted records do not add up to what was kept of them".to_owned());
        }
        self.past = past.to_vec();
        Ok(())
    }

    /// What stands for all records until now, once nothing lives; `None` if there are none.
    pub fn compacted(&self) -> Option<Event> {
        (self.next_seq > 0 && self.living().is_none()).then(|| Event::Compacted { past: self.kept() })
    }

    fn kept(&self) -> Vec<Summary> {
        let (mut specs, mut judged) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = vec![];
        for (age, summary) in self.past.iter().rev().enumerate() {
            let digest = &summary.generation.digest;
            let is_last = specs.insert(digest);
            let is_last_verdict = summary.conclusion.verdict != Verdict::Stopped && judged.insert(digest);
            if age < KEPT || is_last || is_last_verdict {
                kept.push(summary.clone());
            }
        }
        kept.reverse();
        kept
    }

    /// The generation that still has work to do.
    pub fn living(&self) -> Option<&Generation> {
        self.current.as_ref().filter(|current| current.concluded.is_none())
    }

    /// How often a spec of this digest was concluded.
    pub fn repeats_of(&self, digest: &str) -> u32 {
        self.concluded.get(digest).copied().unwrap_or(0)
    }
}

fn note_repeat(concluded: &mut BTreeMap<String, u32>, generation: &GenerationId) {
    let highest = concluded.entry(generation.digest.clone()).or_default();
    *highest = generation.repeat.max(*highest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::Conclusion,
        spec::{Manifest, load, no_attachments},
    };

    fn documents() -> (Scenario, Target) {
        let text = "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: a }
spec:
  target: local
  load: [{ name: base, for: 10s, arrivals: { constant: { rate: 1/s } }, jobs: { fast_job: 1 } }]
---
apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: { name: local }
spec:
  dagster: { url: 'http://127.0.0.1:1/graphql', location: demo, requestTimeout: 2s, settle: 5s }
";
        let mut found = load("a.yaml", text.as_bytes(), &no_attachments).into_iter().map(|one| one.content);
        match (found.next(), found.next()) {
            (Some(Ok(Manifest::Scenario(scenario))), Some(Ok(Manifest::Target(target)))) => (*scenario, *target),
            other => panic!("{other:?}"),
        }
    }

    /// A life: everything that happened, and the same from the last compaction on.
    #[derive(Default)]
    struct Life {
        state: State,
        whole: Vec<Record>,
        compacted: Vec<Record>,
    }

    impl Life {
        fn append(&mut self, event: Event) {
            if matches!(event, Event::Compacted { .. }) {
                self.compacted.clear();
            }
            let seq = self.state.next_seq;
            let record = Record { seq, at: Timestamp::from_micros(seq as i64), epoch: 1 + seq / 100, event };
            self.state.apply(&record).expect("legal");
            self.whole.push(record.clone());
            self.compacted.push(record);
        }

        fn accept(&mut self, digest: &str) {
            let (scenario, target) = documents();
            let generation = GenerationId { digest: digest.to_owned(), repeat: self.state.repeats_of(digest) + 1 };
            self.state.compacted().into_iter().for_each(|event| self.append(event));
            self.append(Event::Accepted { generation, scenario: Box::new(scenario), target: Box::new(target) });
        }

        fn conclude(&mut self, verdict: Verdict) {
            let reason = format!("the end at {}", self.state.next_seq);
            self.append(Event::StopRequested { reason: reason.clone(), terminate: false });
            self.append(Event::Concluded { conclusion: Conclusion { verdict, ..Conclusion::stopped(&reason) } });
        }
    }

    fn replay(records: &[Record]) -> State {
        let mut state = State::default();
        records.iter().for_each(|record| state.apply(record).expect("legal"));
        state
    }

    #[test]
    fn a_year_of_generations_starts_from_a_few_records_and_forgets_nothing_that_matters() {
        let mut life = Life::default();
        life.accept("aa");
        life.conclude(Verdict::Failed);
        life.accept("bb");
        life.conclude(Verdict::Passed);
        life.accept("bb");
        life.conclude(Verdict::Stopped);
        for turn in 0..300 {
            life.accept("cc");
            life.conclude(if turn % 7 == 0 { Verdict::Stopped } else { Verdict::Passed });
            assert_eq!(replay(&life.compacted).past.len(), life.state.past.len(), "turn {turn}");
        }
        life.accept("cc");
        assert_eq!(replay(&life.compacted), life.state, "from the head on");
        assert_eq!(replay(&life.whole), life.state, "from the very first record on");
        assert!(life.compacted.len() == 2 && life.state.past.len() == KEPT + 3, "{} kept", life.state.past.len());
        for (digest, repeats) in [("aa", 1), ("bb", 2), ("cc", 300), ("dd", 0)] {
            assert_eq!(life.state.repeats_of(digest), repeats, "{digest}");
        }
        let verdicts = |digest: &str| {
            let own = life.state.past.iter().filter(|past| past.generation.digest == digest);
            own.map(|past| (past.generation.repeat, past.conclusion.verdict)).collect::<Vec<_>>()
        };
        assert_eq!(verdicts("aa"), [(1, Verdict::Failed)]);
        assert_eq!(verdicts("bb"), [(1, Verdict::Passed), (2, Verdict::Stopped)]);
    }

    #[test]
    fn what_does_not_stand_for_the_records_before_it_is_refused() {
        let mut life = Life::default();
        life.accept("aa");
        let compacted =
            |seq, past| Record { seq, at: Timestamp::from_micros(9), epoch: 9, event: Event::Compacted { past } };
        let refused = |state: &State, record: &Record| state.clone().apply(record).map_err(|error| error.reason);
        let lives = refused(&life.state, &compacted(1, vec![]));
        assert_eq!(lives, Err("records are compacted while a generation lives".to_owned()));
        life.conclude(Verdict::Passed);
        let lost = refused(&life.state, &compacted(3, vec![]));
        assert_eq!(lost, Err("the compacted records do not add up to what was kept of them".to_owned()));
        assert_eq!(refused(&life.state, &compacted(4, life.state.past.clone())), Err("expected number 3".to_owned()));
        assert_eq!(refused(&life.state, &compacted(3, life.state.past.clone())), Ok(()));
        let (scenario, target) = documents();
        let again = GenerationId { digest: "aa".to_owned(), repeat: 1 };
        let event = Event::Accepted { generation: again, scenario: Box::new(scenario), target: Box::new(target) };
        let record = Record { seq: 3, at: Timestamp::from_micros(9), epoch: 9, event };
        assert_eq!(refused(&life.state, &record), Err("generation aa-1 was concluded already".to_owned()));
    }
}
